//! What the old device hands to the new one: the home vault's secrets, as far as a new device needs them.
//!
//! Never a log key and never a prekey secret: each device has its own.

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::ids::{Chain, Epoch, Generation, Head, LogId, Pin, Seq, VaultId};
use subrosa_protocol::limits::{
    LOGS_PER_VAULT_MAX, STATEMENT_BYTES_MAX, TOKEN_BYTES_MAX, VAULT_NAME_BYTES_MAX,
};
use subrosa_protocol::statement::Statement;
use zeroize::Zeroizing;

use super::PairError;
use super::message::SEALED_BYTES_MAX;
use crate::control::{
    EPOCHS_MAX, EpochSecrets, GRANTS_MAX, HeldStatements, Keyring, OwnLogs, PAIR_LEN, PrekeySecret,
    RecoverySeed, SignedEntry, decode_entries, encode_entries, read_list, read_option, read_pair,
    read_public, write_option,
};
use crate::keys::KeyPair;
use crate::keys::secret::{ControlKey, EpochKey};
use crate::seal::HPKE_OVERHEAD_BYTES;

/// Where the parts of a bundle come from.
pub struct BundleParts<'a> {
    /// The home vault.
    pub vault: VaultId,
    /// Its name.
    pub name: &'a str,
    /// Its secrets.
    pub keyring: &'a Keyring,
    /// The relay that it lives on; an invite is left out.
    pub relay: &'a RelayAddr,
    /// Its heads, most important first: what does not fit is left out, from the end. The new device then knows less
    /// of what the relay must show it, and nothing wrong.
    pub frontier: &'a [Head],
}

/// An encoded bundle that fits into a pairing. Wiped on drop.
pub struct Bundle(Zeroizing<Vec<u8>>);

/// The keys that a new device makes for itself.
pub(super) struct OwnKeys {
    pub(super) logs: OwnLogs,
    pub(super) admin: KeyPair,
    pub(super) prekey: PrekeySecret,
}

/// A bundle that was opened, and whose parts fit together.
pub(super) struct OpenedBundle {
    pub(super) vault: VaultId,
    pub(super) name: String,
    pub(super) relay: RelayAddr,
    pub(super) frontier: Vec<Head>,
    recovery: RecoverySeed,
    epochs: Vec<EpochSecrets>,
    /// The last one.
    statement: Vec<u8>,
    pub(super) listing: SignedEntry,
    grants: Vec<(Pin, Vec<u8>)>,
}

impl Bundle {
    /// Puts a bundle together. `listing` is the word by which the new device is let in.
    ///
    /// # Errors
    /// [`PairError::BundleTooLarge`]; [`PairError::BadBundle`] when the keyring lacks the live epoch's key.
    pub fn new(parts: &BundleParts<'_>, listing: &SignedEntry) -> Result<Self, PairError> {
        Self::with_listing(parts, &encode_entries(std::slice::from_ref(listing)))
    }

    /// Whether there is room for all of it, whatever the listing.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check_room(parts: &BundleParts<'_>) -> Result<(), PairError> {
        Self::with_listing(parts, &[0; LISTING_BYTES_MAX]).map(drop)
    }

    fn with_listing(parts: &BundleParts<'_>, listing: &[u8]) -> Result<Self, PairError> {
        let keyring = parts.keyring;
        let live = keyring.live_epoch();
        let key = live.key.as_ref().ok_or(PairError::BadBundle)?;
        // Sized beforehand: a buffer that grows leaves secrets behind where it was.
        let mut w = Writer::with_capacity(SEALED_BYTES_MAX.max(fixed_len(parts)));
        w.u8(VERSION).bytes(parts.vault.as_bytes()).prefixed(parts.name.as_bytes());
        w.bytes(keyring.recovery.public.as_bytes()).bytes(&keyring.recovery.nonce);
        w.u32(live.epoch.0).bytes(key.dangerous_bytes());
        write_option(
            &mut w,
            live.write.as_ref().map(KeyPair::dangerous_to_pkcs8_der).as_deref().map(|der| &der[..]),
        );
        let older = &keyring.epochs[..keyring.epochs.len() - 1];
        w.count(older.len());
        for secrets in older {
            w.u32(secrets.epoch.0).bytes(secrets.control.dangerous_bytes());
        }
        w.prefixed(keyring.statements.last());
        w.prefixed(listing);
        w.prefixed(parts.relay.without_invite().to_string().as_bytes());
        w.count(keyring.grants.len());
        for (pin, grant) in &keyring.grants {
            w.bytes(pin.as_bytes()).prefixed(grant);
        }
        let mut bytes = Zeroizing::new(w.finish());
        let Some(room) = PLAIN_BYTES_MAX.checked_sub(bytes.len() + 2) else {
            return Err(PairError::BundleTooLarge { bytes: bytes.len() + 2, limit: PLAIN_BYTES_MAX });
        };
        bytes.extend_from_slice(&frontier(parts.frontier, room / HEAD_LEN));
        Ok(Self(bytes))
    }

    /// What is sealed.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `count u16 | heads`, sorted by log, each log once, at most `room` of them.
fn frontier(heads: &[Head], room: usize) -> Vec<u8> {
    let mut heads = heads[..heads.len().min(room)].to_vec();
    heads.sort_unstable_by_key(|head| head.log);
    heads.dedup_by_key(|head| head.log);
    let mut w = Writer::with_capacity(2 + heads.len() * HEAD_LEN);
    w.count(heads.len());
    for head in heads {
        w.bytes(head.log.as_bytes()).u64(head.seq.0).bytes(head.chain.as_bytes());
    }
    w.finish()
}

/// An upper bound of all but the frontier.
fn fixed_len(parts: &BundleParts<'_>) -> usize {
    let keyring = parts.keyring;
    let grants: usize = keyring.grants.iter().map(|(_, grant)| Pin::LEN + 4 + grant.len()).sum();
    1024 + parts.name.len()
        + PAIR_LEN
        + keyring.epochs.len() * 36
        + 4
        + keyring.statements.last().len()
        + LISTING_BYTES_MAX
        + grants
        + RELAY_BYTES_MAX
}

impl OpenedBundle {
    /// Reads a bundle and checks that its parts fit together.
    ///
    /// # Errors
    /// [`PairError::Message`], [`PairError::BadBundle`].
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PairError> {
        let bundle = Self::decode(bytes)?;
        bundle.check().ok_or(PairError::BadBundle)?;
        Ok(bundle)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Unknown { what: "bundle version", value: u64::from(other) }),
        }
        let vault = VaultId::from_bytes(r.array()?);
        let name = text(r.prefixed("vault name", VAULT_NAME_BYTES_MAX)?)?.to_owned();
        let recovery = RecoverySeed { public: read_public(&mut r)?, nonce: r.array()?, entropy: None };
        let live_epoch = Epoch(r.u32()?);
        let live = EpochSecrets::live(live_epoch, EpochKey::read(&mut r)?, read_option(&mut r, read_pair)?);
        let older = r.count("epochs", EPOCHS_MAX, 4 + 32)?;
        // Sized beforehand, the live one included: a list that grows leaves secrets behind where it was.
        let mut epochs = Vec::with_capacity(older + 1);
        for _ in 0..older {
            let (epoch, control) = (Epoch(r.u32()?), ControlKey::read(&mut r)?);
            epochs.push(EpochSecrets { epoch, key: None, control, write: None });
        }
        epochs.push(live);
        let statement = r.prefixed("statement", STATEMENT_BYTES_MAX)?.to_vec();
        let listing = <[_; 1]>::try_from(decode_entries(r.prefixed("listing", LISTING_BYTES_MAX)?)?);
        let [listing] = listing.map_err(|_| DecodeError::Invalid { what: "listing" })?;
        let relay = RelayAddr::parse(text(r.prefixed("relay", RELAY_BYTES_MAX)?)?)
            .map_err(|_| DecodeError::Invalid { what: "relay" })?;
        let grants = read_list(&mut r, "grants", GRANTS_MAX, Pin::LEN + 4, |r| {
            Ok((Pin::from_bytes(r.array()?), r.prefixed("grant", TOKEN_BYTES_MAX)?.to_vec()))
        })?;
        let frontier = read_list(&mut r, "frontier", LOGS_PER_VAULT_MAX, HEAD_LEN, |r| {
            Ok(Head {
                log: LogId::from_bytes(r.array()?),
                seq: Seq(r.u64()?),
                chain: Chain::from_bytes(r.array()?),
            })
        })?;
        r.finish()?;
        let sorted = epochs.is_sorted_by(|a, b| a.epoch < b.epoch)
            && frontier.is_sorted_by(|a, b| a.log < b.log)
            && relay.invite().is_none();
        if !sorted {
            return Err(DecodeError::NotCanonical { what: "bundle" });
        }
        Ok(Self { vault, name, relay, frontier, recovery, epochs, statement, listing, grants })
    }

    /// The statement is of this vault, the keys are those that it names, and the listing adds a device to it. Whether it ends a chain
    /// from the vault's id is checked when the relay has shown the chain; of generation 0 it is one by itself.
    fn check(&self) -> Option<()> {
        let last = Statement::decode(&self.statement).ok()?;
        if last.generation == Generation(0) {
            last.check_first().ok()?;
        }
        let adds = self.listing.entry.added().is_some() && self.listing.verify(&self.vault).is_ok();
        if last.vault != self.vault || !adds {
            return None;
        }
        let live = self.epochs.last()?;
        let write_fits = live.write.as_ref().is_none_or(|pair| last.write == pair.public().into());
        let fits = live.epoch == last.epoch
            && last.read == live.read_key()?.public().into()
            && write_fits
            && self.recovery.commitment() == last.recovery_commitment;
        fits.then_some(())
    }

    /// The new device's keyring: what it was given, and keys of its own.
    pub(super) fn into_keyring(self, own: OwnKeys) -> Keyring {
        let OwnKeys { logs, admin, prekey } = own;
        Keyring {
            recovery: self.recovery,
            epochs: self.epochs,
            logs,
            old_logs: Vec::new(),
            admin,
            prekeys: vec![prekey],
            statements: HeldStatements::received(self.statement),
            grants: self.grants,
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid { what: "text" })
}

const VERSION: u8 = 3;
/// Bytes of a head in the frontier.
const HEAD_LEN: usize = 16 + 8 + 32;
/// A relay's address: eight hosts and a pin.
const RELAY_BYTES_MAX: usize = 2048;
/// An entry that adds a device: its name, two keys, two signatures, and room for extensions.
const LISTING_BYTES_MAX: usize = 1024;
/// What fits into the pieces, once sealed.
const PLAIN_BYTES_MAX: usize = SEALED_BYTES_MAX - HPKE_OVERHEAD_BYTES;

#[cfg(test)]
mod tests;
