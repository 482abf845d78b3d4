//! A relay that can be stopped, and devices that can be copied.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use subrosa::{
    Confirmation, Device, Error, Options, OsEntropy, PairJoin, PairLink, PairOffer, Record, RecordId,
    RelayAddr, SoftwareKey, StoreError, Sync, SyncError, Value, Vault,
};
use subrosa_relay::{Config, Relay, RunningRelay};
use tempfile::TempDir;

/// No single thing takes longer on any machine that is not broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long to watch for something that must not happen.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

pub(crate) struct TestRelay {
    dir: TempDir,
    config: Config,
    running: Option<RunningRelay>,
    addr: Option<SocketAddr>,
}

impl TestRelay {
    pub(crate) fn open() -> Self {
        Self::with(Config { open: true, ..Self::config() })
    }

    pub(crate) fn config() -> Config {
        Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
    }

    pub(crate) fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        subrosa_relay::init(&dir.path().join("relay"), &config).unwrap();
        let mut relay = Self { dir, config, running: None, addr: None };
        relay.start();
        relay
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("relay")
    }

    /// Starts it, where it was before if it was somewhere.
    pub(crate) fn start(&mut self) {
        let running = unlocked(
            || Relay::start(self.config.clone(), &self.data()),
            |error| matches!(error, subrosa_relay::Error::Serving(_)),
        );
        self.addr = Some(running.addr());
        self.config.listen = running.addr();
        self.running = Some(running);
    }

    pub(crate) fn stop(&mut self) {
        self.running.take().unwrap().stop();
    }

    /// Stops it, lets `change` work on its settings, and starts it again.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&mut Config)) {
        self.stop();
        change(&mut self.config);
        self.start();
    }

    pub(crate) fn url(&self) -> RelayAddr {
        self.running.as_ref().unwrap().url().unwrap()
    }

    pub(crate) fn invite_url(&self, uses: u16) -> RelayAddr {
        self.running.as_ref().unwrap().invite_url(uses).unwrap()
    }
}

/// A device of its own in a temporary directory.
pub(crate) struct TestDevice {
    _home: Arc<TempDir>,
    path: PathBuf,
    key: Vec<u8>,
    device: Option<Device>,
}

impl TestDevice {
    /// With one vault, `personal`.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store");
        let key = SoftwareKey::generate(&OsEntropy);
        let der = key.dangerous_to_pkcs8_der().to_vec();
        let device = Device::create(&path, Arc::new(key), Options::default()).unwrap();
        device.create_vault("personal").unwrap();
        Self { _home: Arc::new(home), path, key: der, device: Some(device) }
    }

    pub(crate) fn device(&self) -> &Device {
        self.device.as_ref().unwrap()
    }

    pub(crate) fn vault(&self) -> Vault {
        self.device().vault("personal").unwrap()
    }

    pub(crate) fn close(&mut self) {
        self.device = None;
    }

    pub(crate) fn open(&mut self) {
        self.open_with(Options::default());
    }

    pub(crate) fn open_with(&mut self, options: Options) {
        let open = || {
            let key = SoftwareKey::from_pkcs8_der(&self.key).unwrap();
            Device::open(&self.path, Arc::new(key), options.clone())
        };
        self.device = Some(unlocked(open, |error| matches!(error, Error::Store(StoreError::Locked { .. }))));
    }

    /// One more device, let in by this one.
    pub(crate) fn pair(&self, relay: &RelayAddr) -> Self {
        let new = NewDevice::new();
        let mut offer = self.device().pair_offer(relay).unwrap();
        let joined = new.answer(&offer);
        offer.wait_for_code(PATIENCE).unwrap().expect("the new device answers");
        offer.confirm(Confirmation::CodesEqual).unwrap();
        new.with(joined.join().unwrap().unwrap())
    }

    /// `cp -r` of the closed store, opened beside the original, which is opened again too.
    pub(crate) fn copy(&mut self) -> Self {
        self.close();
        let path = self.path.with_extension(format!("copy-{}", rand_name()));
        copy_dir(&self.path, &path);
        let mut copy = Self { _home: self._home.clone(), path, key: self.key.clone(), device: None };
        copy.open();
        self.open();
        copy
    }

    pub(crate) fn sync(&self, relay: &RelayAddr) -> Sync {
        self.device().sync(relay).unwrap()
    }

    /// Syncs until caught up both ways, and stops.
    pub(crate) fn sync_once(&self, relay: &RelayAddr) {
        let sync = self.sync(relay);
        caught_up(&sync);
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        put(&self.vault(), name, text);
    }

    /// Every record of `notes`, by id.
    pub(crate) fn notes(&self) -> BTreeMap<RecordId, Record> {
        notes(&self.vault())
    }
}

/// A device that has no store yet.
pub(crate) struct NewDevice(TestDevice);

impl NewDevice {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store");
        let key = SoftwareKey::generate(&OsEntropy).dangerous_to_pkcs8_der().to_vec();
        Self(TestDevice { _home: Arc::new(home), path, key, device: None })
    }

    /// Answers an offer, on a thread of its own, and waits for what comes of it.
    pub(crate) fn answer(&self, offer: &PairOffer) -> JoinHandle<Result<Device, Error>> {
        let link = PairLink::parse(&offer.link().to_text()).unwrap();
        let key = Arc::new(SoftwareKey::from_pkcs8_der(&self.0.key).unwrap());
        let mut join = PairJoin::start(&self.0.path, key, Options::default(), link).unwrap();
        std::thread::spawn(move || {
            loop {
                if let Some(device) = join.wait(PATIENCE)? {
                    return Ok(device);
                }
            }
        })
    }

    pub(crate) fn has_store(&self) -> bool {
        self.0.path.exists()
    }

    /// It is a device now.
    pub(crate) fn with(mut self, device: Device) -> TestDevice {
        self.0.device = Some(device);
        self.0
    }
}

fn rand_name() -> String {
    use subrosa::Entropy as _;
    let mut bytes = [0; 4];
    OsEntropy.fill(&mut bytes);
    format!("{:08x}", u32::from_be_bytes(bytes))
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

pub(crate) fn note(text: &str) -> Record {
    Record(BTreeMap::from([("text".to_owned(), Value::Text(text.to_owned()))]))
}

pub(crate) fn put(vault: &Vault, name: &str, text: &str) {
    vault.records("notes").put(RecordId::from_name(name), &note(text)).unwrap();
}

pub(crate) fn notes(vault: &Vault) -> BTreeMap<RecordId, Record> {
    vault.records("notes").scan().map(Result::unwrap).collect()
}

pub(crate) fn caught_up(sync: &Sync) {
    if let Err(error) = sync.wait_caught_up(PATIENCE) {
        panic!("{error}; {:?}", sync.status());
    }
}

/// Waits until `vault` looks as it should.
pub(crate) fn eventually(vault: &Vault, what: &str, mut holds: impl FnMut(&Vault) -> bool) {
    let mut changes = vault.watch();
    let deadline = clock() + PATIENCE;
    while !holds(vault) {
        let left = deadline.saturating_duration_since(clock());
        assert!(!left.is_zero(), "waited in vain for {what}");
        changes.next(left);
    }
}

/// Waits until status says so.
pub(crate) fn reason_becomes(sync: &Sync, reason: &str) {
    let events = sync.events();
    let deadline = clock() + PATIENCE;
    while sync.status().reason() != reason {
        let left = deadline.saturating_duration_since(clock());
        assert!(!left.is_zero(), "waited in vain for {reason}: {:?}", sync.status());
        let _ = events.next(left);
    }
}

/// Opens what was closed just now. Another test may be starting a process at this moment: between its fork and
/// its exec the child holds copies of all locks of this process.
fn unlocked<T, E: std::fmt::Debug>(open: impl Fn() -> Result<T, E>, locked: impl Fn(&E) -> bool) -> T {
    let deadline = clock() + PATIENCE;
    loop {
        match open() {
            Err(error) if locked(&error) && clock() < deadline => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests have deadlines")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// What waiting in vain ends with.
pub(crate) fn no_progress(sync: &Sync) -> subrosa::SyncStatus {
    match sync.wait_caught_up(MOMENT) {
        Err(SyncError::NoProgress(status)) => *status,
        other => panic!("{other:?}"),
    }
}
