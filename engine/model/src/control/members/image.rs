//! What counts, as bytes: an open store begins with that instead of with all segments (`docs/FORMAT.md`, "Image of the
//! members").
//!
//! Only what this version has made itself, and the sealed store has kept, is read: nothing in it is checked a second time but that
//! keys are keys.

use std::collections::HashMap;
use std::sync::Arc;

use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::ids::{Base, Chain, LogId, PublicKeyBytes, Seq, VaultId};

use super::super::claims::{read_cap, read_prefix_cap, write_cap, write_prefix_cap};
use super::super::entry::{DEVICE_ADDED, EntryRank, LOG_CERTIFICATE, read_public};
use super::super::{DeviceAdded, DeviceName, SignedPrekey};
use super::reach::Founder;
use super::segment::{Certificate, HeldEntry, Says};
use super::{MemberChanges, Members, Work};
use crate::keys::PublicKey;

const VERSION: u8 = 2;

/// The keys of authors and devices, each written once.
#[derive(Default)]
struct Keys {
    keys: Vec<PublicKey>,
    places: HashMap<PublicKey, u32>,
}

impl Members {
    /// What counts, as bytes. What waits is not in it.
    pub fn encode(&self) -> Vec<u8> {
        let (mut keys, mut w) = (Keys::default(), Writer::with_capacity(4096));
        let founder = self.reach.founder.as_ref();
        w.u8(founder.is_some().into());
        if let Some(Founder { public, name }) = founder {
            w.u32(keys.place(public));
            name.write(&mut w);
        }
        let certificates: Vec<_> = self.roster.pairs.values().flat_map(|pairs| pairs.values()).collect();
        w.u32(len(certificates.len()));
        certificates.into_iter().for_each(|certificate| write_certificate(certificate, &mut keys, &mut w));
        let adds: Vec<_> = self.reach.all_adds().filter_map(|entry| Some((entry, entry.added()?))).collect();
        w.u32(len(adds.len()));
        for (entry, added) in adds {
            w.u32(keys.place(&entry.author));
            write_rank(&entry.rank, &mut w);
            added.write(&mut w);
        }
        w.u32(len(self.reach.critical.len()));
        for author in &self.reach.critical {
            w.u32(keys.place(author));
        }
        let numbers = self.reach.numbers();
        w.u32(len(numbers.len()));
        for (author, next) in &numbers {
            w.u32(keys.place(author)).u64(*next);
        }
        let rest = w.finish();
        let mut w = Writer::with_capacity(5 + keys.keys.len() * 65 + rest.len());
        w.u8(VERSION).u32(len(keys.keys.len()));
        for key in &keys.keys {
            w.bytes(key.as_bytes());
        }
        w.bytes(&rest);
        w.finish()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`]: then all segments are to be read.
    pub fn decode(vault: VaultId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Unknown { what: "image version", value: u64::from(other) }),
        }
        let keys = list(&mut r, read_public)?;
        let key = |r: &mut Reader<'_>| {
            let place = r.u32()? as usize;
            keys.get(place).copied().ok_or(DecodeError::Invalid { what: "key in image" })
        };
        let mut members = Self::new(vault);
        let (mut work, mut changes) = (Work::default(), MemberChanges::default());
        if r.u8()? == 1 {
            let founder = Founder { public: key(&mut r)?, name: DeviceName::read(&mut r)? };
            members.found(founder, &mut work, &mut changes);
        }
        for certificate in list(&mut r, |r| read_certificate(r, &key))? {
            members.verified.insert((LOG_CERTIFICATE, certificate.rank.hash));
            members.roster.certify(&Arc::new(certificate), &members.reach, &mut changes);
        }
        for entry in list(&mut r, |r| read_add(r, &key))? {
            members.verified.insert(entry.key());
            work.entries.push_back(Arc::new(entry));
        }
        for author in list(&mut r, &key)? {
            members.reach.critical.insert(author);
        }
        for (author, next) in list(&mut r, |r| Ok((key(r)?, r.u64()?)))? {
            if let Some(last) = next.checked_sub(1) {
                members.reach.note_number(author, last);
            }
        }
        r.finish()?;
        members.run(work, &mut changes);
        members.look_for_critical();
        Ok(members)
    }
}

impl Keys {
    fn place(&mut self, key: &PublicKey) -> u32 {
        *self.places.entry(*key).or_insert_with(|| {
            self.keys.push(*key);
            len(self.keys.len() - 1)
        })
    }
}

fn write_certificate(certificate: &Certificate, keys: &mut Keys, w: &mut Writer) {
    w.u32(keys.place(&certificate.device)).u32(certificate.incarnation);
    for public in [&certificate.control_log, &certificate.data_log, &certificate.admin_key] {
        w.bytes(public.as_bytes());
    }
    certificate.prekey.write(w);
    write_rank(&certificate.rank, w);
    w.u32(len(certificate.bases.len()));
    for (log, base) in &certificate.bases {
        w.bytes(log.as_bytes()).u64(base.seq.0).bytes(base.chain.as_bytes());
    }
    w.u32(len(certificate.caps.len()));
    certificate.caps.iter().for_each(|cap| write_cap(cap, w));
    w.u32(len(certificate.prefix_caps.len()));
    certificate.prefix_caps.iter().for_each(|cap| write_prefix_cap(cap, w));
}

fn read_certificate(
    r: &mut Reader<'_>,
    key: &impl Fn(&mut Reader<'_>) -> Result<PublicKey, DecodeError>,
) -> Result<Certificate, DecodeError> {
    let (device, incarnation) = (key(r)?, r.u32()?);
    let [control_log, data_log, admin_key] =
        [r.array()?, r.array()?, r.array()?].map(PublicKeyBytes::from_bytes);
    let prekey = SignedPrekey::read(r)?.ok_or(DecodeError::Invalid { what: "prekey in image" })?;
    let rank = read_rank(r)?;
    let bases = list(r, |r| {
        let log = LogId::from_bytes(r.array()?);
        Ok((log, Base { seq: Seq(r.u64()?), chain: Chain::from_bytes(r.array()?) }))
    })?;
    let (caps, prefix_caps) = (list(r, read_cap)?, list(r, read_prefix_cap)?);
    Ok(Certificate {
        device,
        incarnation,
        control_log,
        data_log,
        admin_key,
        prekey,
        rank,
        bases,
        caps,
        prefix_caps,
    })
}

fn read_add(
    r: &mut Reader<'_>,
    key: &impl Fn(&mut Reader<'_>) -> Result<PublicKey, DecodeError>,
) -> Result<HeldEntry, DecodeError> {
    let (author, rank) = (key(r)?, read_rank(r)?);
    let added = DeviceAdded::read(r)?.ok_or(DecodeError::Invalid { what: "entry in image" })?;
    Ok(HeldEntry { author, rank, says: Says::Added(Box::new(added)), tag: DEVICE_ADDED })
}

fn write_rank(rank: &EntryRank, w: &mut Writer) {
    w.u64(rank.number).bytes(&rank.hash);
}

fn read_rank(r: &mut Reader<'_>) -> Result<EntryRank, DecodeError> {
    Ok(EntryRank { number: r.u64()?, hash: r.array()? })
}

/// `count u32 | items`, each of a byte or more.
fn list<T>(
    r: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = r.u32()? as usize;
    if count > r.left() {
        return Err(DecodeError::Truncated { needed: count, left: r.left() });
    }
    (0..count).map(|_| item(r)).collect()
}

fn len(count: usize) -> u32 {
    u32::try_from(count).expect("a vault has fewer")
}
