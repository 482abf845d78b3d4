//! Tests of the core: two stores and a relay made of a list.

mod admins;
mod ahead;
mod bases;
mod batches;
mod caps;
mod closing;
mod cost;
mod entries;
mod exchange;
mod fields;
mod folding;
mod forked;
mod frontier;
mod futures;
mod grants;
mod held_up;
mod hostile;
mod incarnations;
mod killed;
mod lost_ahead;
mod making;
mod members;
mod merging;
mod names;
mod odd_caps;
mod opening;
mod panics;
mod prefix_caps;
mod reading;
mod repair;
mod restored;
mod rounds;
mod sealing;
mod specification;
mod spoiled;
mod statements;
mod strangers;
mod thread_ends;
mod transactions;
mod update_needed;
mod vectors;
mod writing;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use subrosa_model::control::{
    DeviceAdded, DeviceName, DeviceRole, EpochSecrets, Keyring, OwnLogs, PrekeySecret, RecoverySeed,
    SignedPrekey,
};
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::secret::EpochKey;
use subrosa_model::keys::{KeyPair, SoftwareKey};
use subrosa_model::merge::{RecordId, Value};
use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::codec::Reader;
use subrosa_protocol::digest::digest;
use subrosa_protocol::frame::{LogKey, ShortHead};
use subrosa_protocol::ids::{Head, Incarnation, LogId, Pin, Rseq, VaultId};
use subrosa_protocol::segment::SealedSegment;
use subrosa_store::process::ForkSign;

use crate::clock::Clock;
use crate::collection::Record;
use crate::device::Device;
use crate::life::Core;
use crate::logs::link_keys::LinkKeys;
use crate::logs::receive::TakenIn;
use crate::options::Options;
use crate::people::vaults::NewVault;
use crate::vault::Vault;

thread_local! {
    /// Makes a thread take itself for a forked child, which has its parent's process number.
    pub(super) static FORKED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The sign that [`FORKED`] moves.
struct TestSign;

impl ForkSign for TestSign {
    fn number(&self) -> u64 {
        FORKED.get().into()
    }
}

/// A wall clock that tests move.
#[derive(Default)]
pub(super) struct TestClock(AtomicU64);

/// At this time the clock panics.
pub(super) const PANIC_MS: u64 = 666;

impl TestClock {
    pub(super) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        let now = self.0.load(Ordering::Relaxed);
        assert_ne!(now, PANIC_MS, "the clock was told to panic");
        now
    }
}

/// A device in a temporary directory.
pub(super) struct TestDevice {
    pub(super) dir: tempfile::TempDir,
    pub(super) key_der: Vec<u8>,
    pub(super) clock: Arc<TestClock>,
    pub(super) device: Option<Device>,
}

impl TestDevice {
    pub(super) fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        clock.set(1_000_000);
        let key = SoftwareKey::generate(&OsEntropy);
        let key_der = key.dangerous_to_pkcs8_der().to_vec();
        let dir = tempfile::tempdir().unwrap();
        let options = options(&clock);
        let device = Device::create(dir.path().join("s"), Arc::new(key), options).unwrap();
        Self { dir, key_der, clock, device: Some(device) }
    }

    pub(super) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("s")
    }

    pub(super) fn open_at(&self, path: &Path) -> Device {
        let key = SoftwareKey::from_pkcs8_der(&self.key_der).unwrap();
        Device::open(path, Arc::new(key), options(&self.clock)).unwrap()
    }

    pub(super) fn reopen(&mut self) {
        self.device = None;
        self.device = Some(self.open_at(&self.path()));
    }

    pub(super) fn core(&self) -> &Core {
        &self.device.as_ref().unwrap().core
    }

    pub(super) fn vault(&self) -> Vault {
        self.device.as_ref().unwrap().vault("personal").unwrap()
    }
}

fn options(clock: &Arc<TestClock>) -> Options {
    Options::default().clock(clock.clone()).fork_sign(Arc::new(TestSign))
}

/// Lets `new` into the vault of `old`, as pairing will.
pub(super) fn join(old: &TestDevice, new: &TestDevice) -> VaultId {
    let vault = old.vault().id();
    let public = new.core().public();
    let logs = OwnLogs::generate(0, &OsEntropy);
    let prekey = PrekeySecret::generate(&logs, &OsEntropy);
    let queued = old
        .core()
        .append_control(&vault, |number| {
            let added = DeviceAdded {
                device: public,
                prekey: SignedPrekey::sign(new.core().key(), 0, prekey.pair.public()).unwrap(),
                name: DeviceName::new("second").unwrap(),
                role: DeviceRole::Admin,
            };
            Ok(subrosa_model::control::device_added(old.core().key(), &vault, number, added)?)
        })
        .unwrap();
    let keyring = old
        .core()
        .with_vault(&vault, |state| {
            let ring = &state.keyring;
            let live = ring.live_epoch();
            let write = live.write.as_ref().map(copy_pair);
            let key = copy_secret(live.key.as_ref().unwrap());
            Ok(Keyring {
                recovery: RecoverySeed {
                    public: ring.recovery.public,
                    nonce: ring.recovery.nonce,
                    entropy: None,
                },
                epochs: vec![EpochSecrets::live(live.epoch, key, write)],
                logs,
                old_logs: Vec::new(),
                admin: KeyPair::generate(&OsEntropy),
                prekeys: vec![prekey],
                statements: ring.statements.clone(),
                grants: Vec::new(),
            })
        })
        .unwrap();
    new.core()
        .join_vault(NewVault { id: vault, name: "personal".to_owned(), keyring }, queued.entry, &[])
        .unwrap();
    vault
}

fn copy_secret(key: &EpochKey) -> EpochKey {
    EpochKey::read(&mut Reader::new(key.dangerous_bytes())).unwrap()
}

pub(super) fn copy_pair(pair: &KeyPair) -> KeyPair {
    KeyPair::from_pkcs8_der(&pair.dangerous_to_pkcs8_der()).unwrap()
}

thread_local! {
    /// Every second batch of a test is looked at ahead, as a link's checker would: nothing may depend on it.
    static AHEAD: std::cell::Cell<bool> = const { std::cell::Cell::new(true) };
}

/// Finds out ahead what can be found about a batch.
pub(super) fn look_ahead(core: &Core, vault: &VaultId, batch: &FeedBatch) {
    core.open_ahead(vault).unwrap();
    for item in &batch.items {
        let of = |key: &&LogKey| LogId::of(&key.public) == item.segment.header().log;
        if let Some(key) = batch.logs.iter().find(of) {
            core.ahead.arrived(vault, &key.public, &item.segment);
        }
    }
    core.check_what_arrived();
}

/// A relay without a network: it keeps what it is given, in order, and feeds it.
pub(super) struct ListRelay {
    pub(super) pin: Pin,
    pub(super) incarnation: Incarnation,
    state: Mutex<Listed>,
    /// What it has introduced on its link.
    keys: Mutex<LinkKeys>,
}

#[derive(Default)]
struct Listed {
    logs: Vec<LogKey>,
    segments: Vec<SealedSegment>,
    heads: std::collections::BTreeMap<LogId, Head>,
}

/// Why a push was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict;

impl ListRelay {
    pub(super) fn new() -> Self {
        Self {
            pin: Pin::from_bytes([7; 32]),
            incarnation: Incarnation::from_bytes([9; 16]),
            state: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// Another relay, which has all that this one has but for a log.
    pub(super) fn without(&self, log: &LogId) -> Self {
        let state = self.state.lock().unwrap();
        let is_other = |segment: &&SealedSegment| segment.header().log != *log;
        let segments = state.segments.iter().filter(is_other).cloned().collect();
        let mut heads = state.heads.clone();
        heads.remove(log);
        let listed = Listed { logs: state.logs.clone(), segments, heads };
        Self {
            pin: Pin::from_bytes([8; 32]),
            incarnation: Incarnation::from_bytes([10; 16]),
            state: Mutex::new(listed),
            keys: Mutex::default(),
        }
    }

    /// Feeds everything after the device's cursor; returns what taking it in did.
    pub(super) fn feed(&self, core: &Core, vault: &VaultId) -> TakenIn {
        let plan = core.sync_plan(vault, &self.pin).unwrap();
        let state = self.state.lock().unwrap();
        let after = if plan.incarnation == self.incarnation { plan.cursor.0 as usize } else { 0 };
        let items = state.segments.iter().enumerate().skip(after).map(|(index, segment)| FeedItem {
            rseq: Some(Rseq(index as u64 + 1)),
            segment: segment.clone(),
        });
        let batch = FeedBatch {
            incarnation: self.incarnation,
            logs: state.logs.clone(),
            items: items.collect(),
            caught_up: Some((
                Rseq(state.segments.len() as u64),
                digest(&state.heads.values().copied().collect::<Vec<_>>()),
            )),
        };
        drop(state);
        self.give(core, vault, batch).unwrap()
    }

    /// Gives a device a batch.
    pub(super) fn give(
        &self,
        core: &Core,
        vault: &VaultId,
        batch: FeedBatch,
    ) -> Result<TakenIn, crate::error::Error> {
        if AHEAD.replace(!AHEAD.get()) {
            look_ahead(core, vault, &batch);
        }
        core.receive(vault, &self.pin, &mut self.keys.lock().unwrap(), batch)
    }

    /// Takes what the device has for it, and acknowledges it.
    pub(super) fn take(&self, core: &Core, vault: &VaultId) -> Result<u64, Conflict> {
        let mut taken = 0;
        loop {
            let batch = core.outbox(vault, &self.pin, &Default::default(), 1 << 20).unwrap();
            if batch.segments.is_empty() {
                return Ok(taken);
            }
            let mut state = self.state.lock().unwrap();
            for key in batch.logs.into_iter().map(|log| log.key) {
                if !state.logs.contains(&key) {
                    state.logs.push(key);
                }
            }
            let mut acks = Vec::new();
            for segment in batch.segments {
                acks.push(append(&mut state, vault, segment)?);
                taken += 1;
            }
            drop(state);
            if core.acked(vault, &self.pin, &acks).unwrap() {
                while core.seal_for(vault, &self.pin).unwrap().more {}
            }
        }
    }

    /// One whole round: feed, new logs if one of ours has another future here, seal, take.
    pub(super) fn sync(&self, core: &Core, vault: &VaultId) {
        for _ in 0..4 {
            if self.feed(core, vault).received.own_log_foreign {
                core.rotate_logs(vault).unwrap();
                self.compare(core, vault);
                continue;
            }
            while core.seal_for(vault, &self.pin).unwrap().more {}
            if self.take(core, vault).is_ok() {
                break;
            }
            self.compare(core, vault);
        }
        assert_eq!(self.feed(core, vault).received.digest_ok, Some(true));
    }

    /// Shows the device its heads.
    pub(super) fn compare(&self, core: &Core, vault: &VaultId) {
        let heads: Vec<_> =
            self.state.lock().unwrap().heads.values().map(|head| ShortHead::from(*head)).collect();
        core.relay_heads(vault, &self.pin, self.incarnation, &heads).unwrap();
    }
}

fn append(state: &mut Listed, vault: &VaultId, segment: SealedSegment) -> Result<Head, Conflict> {
    let header = *segment.header();
    let key = state.logs.iter().find(|key| LogId::of(&key.public) == header.log);
    let LogKey { public, base } = *key.expect("logs come first");
    let before = state.heads.get(&header.log).copied();
    let expected = before.map_or(base.seq.0, |head| head.seq.0 + 1);
    if header.seq.0 < expected {
        let held = state.segments.iter().find(|held| held.header() == &header).ok_or(Conflict)?;
        assert_eq!(held.bytes(), segment.bytes());
        return Ok(Head { seq: header.seq, ..before.unwrap() });
    }
    assert_eq!(header.seq.0, expected, "pushed without a gap");
    let prev = before.map_or(base.chain, |head| head.chain);
    if header.prev != prev {
        return Err(Conflict);
    }
    let chain = segment.verify(vault, &public).expect("devices push what their logs' keys signed");
    let head = Head { log: header.log, seq: header.seq, chain };
    state.heads.insert(header.log, head);
    state.segments.push(segment);
    Ok(head)
}

pub(super) fn device_with_vault() -> TestDevice {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    device
}

pub(super) fn is_store<T: std::fmt::Debug>(
    result: Result<T, crate::error::Error>,
    expected: &subrosa_store::error::StoreError,
) {
    assert!(matches!(&result, Err(crate::error::Error::Store(error)) if error == expected), "{result:?}");
}

pub(super) fn is_life<T: std::fmt::Debug>(
    result: Result<T, crate::error::Error>,
    expected: crate::error::LifeError,
) {
    assert!(matches!(&result, Err(crate::error::Error::Life(error)) if *error == expected), "{result:?}");
}

/// Everything visible in a vault, to compare devices by.
pub(super) fn everything(vault: &Vault) -> Vec<(String, RecordId, Record)> {
    let mut all = Vec::new();
    for name in vault.collections().unwrap() {
        for record in vault.records(&name).scan() {
            let (id, fields) = record.unwrap();
            all.push((name.clone(), id, fields));
        }
    }
    all
}

/// A record with the given fields.
pub(super) fn record(fields: &[(&str, i64)]) -> Record {
    Record(fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect())
}

pub(super) fn id(n: u8) -> RecordId {
    RecordId::from_bytes([n; 16])
}
