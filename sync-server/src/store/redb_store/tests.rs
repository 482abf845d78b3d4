//! What a full disk does: a backend with an end.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redb::StorageBackend;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use subrosa_protocol::ids::{Chain, Epoch, PublicKeyBytes, Signature};
use subrosa_protocol::labels;
use subrosa_protocol::segment::{Kind, SealedSegment};

use super::super::Offered;
use super::*;
use crate::verify::VerifiedSegment;

/// A disk in memory that outlives the database on it.
#[derive(Clone, Debug)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Writes beyond this offset find no space.
    capacity: Arc<AtomicU64>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let start = offset as usize;
        out.copy_from_slice(&bytes[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(len as usize, 0); // sparse, as on a file system
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        if end > self.capacity.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut bytes = self.bytes.lock().unwrap();
        bytes[offset as usize..end as usize].copy_from_slice(data);
        Ok(())
    }
}

/// The next segment of a log whose key is `key`, verified.
fn next(key: &EcdsaKeyPair, vault: &VaultId, prev: Option<&VerifiedSegment>) -> VerifiedSegment {
    let public = PublicKeyBytes::from_bytes(key.public_key().as_ref().try_into().unwrap());
    let chain = prev.map_or(Chain::ZERO, |before| *before.chain());
    let seq = prev.map_or(Seq(0), |before| before.segment().header().seq.next());
    let body = vec![seq.0 as u8; 60_000];
    let header = Header {
        kind: Kind::Data,
        log: LogId::of(&public),
        seq,
        epoch: Epoch(0),
        salt: [0; 16],
        commit: [0; 32],
        body_len: 60_000,
    };
    let unsigned = SealedSegment::assemble(header, &body, &Signature::ZERO);
    let message = [labels::CHAIN, unsigned.preimage(vault, &chain).as_bytes()].concat();
    loop {
        let signature = key.sign(&SystemRandom::new(), &message).unwrap();
        let signature = Signature::from_bytes(signature.as_ref().try_into().unwrap());
        let segment = SealedSegment::assemble(header, &body, &signature);
        // A high s, one time in two, is refused: sign again.
        if let Ok(verified) = VerifiedSegment::check(vault, chain, public, segment) {
            return verified;
        }
    }
}

/// Puts a vault's row in without its birth, which is not what is tested here.
fn plant(store: &RedbStore, vault: &VaultId) {
    let meta = VaultMeta { no: 0, class: 0, used_bytes: 0, last: Rseq(0), logs: 0 };
    let planted = store.write(|txn| {
        txn.open_table(VAULTS)?.insert(vault.as_bytes(), &meta.encode()[..])?;
        Ok(((), Changed::Yes))
    });
    planted.unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space() {
    let capacity = Arc::new(AtomicU64::new(u64::MAX));
    let disk = Disk { bytes: Arc::default(), capacity: Arc::clone(&capacity) };
    let open = move || Database::builder().set_cache_size(1 << 20).create_with_backend(disk.clone());
    let life = Incarnation::from_bytes([1; 16]);
    let store = RedbStore::with_opener(Box::new(open), Quotas::default(), life).unwrap();
    let vault = VaultId::from_bytes([7; 32]);
    plant(&store, &vault);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &SystemRandom::new())
            .unwrap();
    let append = |segment: &VerifiedSegment| {
        store.append(&[Batch { vault, offered: vec![Offered::Next(segment.clone())] }])
    };
    let held = |store: &RedbStore| {
        let mut seqs = Vec::new();
        let scan = Scan { after: Rseq(0), class: None };
        let end = store.scan(&vault, scan, &mut |stored| {
            assert!(SealedSegment::parse(Bytes::copy_from_slice(stored.bytes)).is_ok());
            seqs.push(stored.header.seq.0);
            ControlFlow::Continue(())
        });
        assert!(end.unwrap().is_some());
        seqs
    };

    let mut last = next(&key, &vault, None);
    append(&last).unwrap();
    capacity.store(3 << 20, Ordering::Relaxed);
    let mut acknowledged = 1;
    let refused = loop {
        let segment = next(&key, &vault, Some(&last));
        match append(&segment) {
            Ok(outcomes) => {
                assert_eq!(outcomes[0].refused, []);
                acknowledged += 1;
                last = segment;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Full), "{error}");
                break segment;
            }
        }
        assert!(acknowledged < 200, "the disk has an end");
    };
    assert_eq!(
        held(&store),
        (0..acknowledged).collect::<Vec<_>>(),
        "all that was acknowledged, nothing else"
    );
    capacity.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(append(&refused).unwrap()[0].refused, []);
    assert_eq!(held(&store).len() as u64, acknowledged + 1);
    assert_eq!(store.usage().unwrap().segments, acknowledged + 1);
}
