//! Devices.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use subrosa::{Cancel, Device, Options, RelayAddr};

use super::cancel::{Wait, timeout};
use super::keys::KeyObject;
use super::sync::SyncObject;
use super::task::Tasks;
use crate::failure::Failure;
use crate::fork_sign::Sign;
use crate::handles::Object;
use crate::status::{SUBROSA_CLOSED, SUBROSA_INVALID_ARGUMENT, SUBROSA_NO_RELAY};

/// An open device.
pub(crate) struct DeviceObject {
    pub(crate) device: Device,
    /// Fired when the device is closed: what waits on it ends.
    pub(crate) closing: Cancel,
    /// What syncs it, if anything does.
    pub(crate) sync: Mutex<Weak<SyncObject>>,
    closed: AtomicBool,
    /// Whether closing is done; held while it is under way.
    close_done: Mutex<bool>,
    /// Names it among all of this process.
    pub(crate) number: u64,
    /// The asynchronous calls under way.
    pub(crate) tasks: Arc<Tasks>,
}

impl Object for DeviceObject {
    const KIND: u8 = 6;
}

/// How a device is opened.
pub(crate) struct DeviceOptions<'a> {
    /// 0 for the default.
    pub(crate) cache_bytes: u64,
    /// Empty for the default.
    pub(crate) name: &'a str,
    /// 0 for no bound.
    pub(crate) write_wait_ms: u32,
}

impl DeviceOptions<'_> {
    pub(crate) fn to_options(&self) -> Result<Options, Failure> {
        let mut options = Options::default();
        if self.cache_bytes > 0 {
            let refused = |_| Failure::new(SUBROSA_INVALID_ARGUMENT, "cache_bytes does not fit into memory");
            options.cache_bytes = usize::try_from(self.cache_bytes).map_err(refused)?;
        }
        if !self.name.is_empty() {
            options.device_name = self.name.to_owned();
        }
        // A host of this library may fork children that have its process number.
        options.fork_sign = Arc::new(Sign);
        options.write_wait =
            (self.write_wait_ms > 0).then(|| Duration::from_millis(self.write_wait_ms.into()));
        #[cfg(feature = "fault-injection")]
        {
            options.clock = Arc::new(crate::fault::FaultyClock);
        }
        Ok(options)
    }
}

impl DeviceObject {
    pub(crate) fn new(device: Device) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            tasks: Arc::default(),
            device,
            closing: Cancel::new(),
            sync: Mutex::default(),
            closed: AtomicBool::new(false),
            close_done: Mutex::new(false),
        })
    }

    pub(crate) fn create(
        dir: &str,
        key: &KeyObject,
        options: &DeviceOptions<'_>,
    ) -> Result<Arc<Self>, Failure> {
        let device = Device::create(folder(dir)?, key.provider.clone(), options.to_options()?)?;
        Ok(Self::new(device))
    }

    pub(crate) fn open(
        dir: &str,
        key: &KeyObject,
        options: &DeviceOptions<'_>,
    ) -> Result<Arc<Self>, Failure> {
        let device = Device::open(folder(dir)?, key.provider.clone(), options.to_options()?)?;
        Ok(Self::new(device))
    }

    /// Ends everything that is under way, waits for it, and closes the file. Whoever closes it meanwhile waits, too.
    pub(crate) fn close(self: &Arc<Self>) -> Result<(), Failure> {
        self.closed.store(true, Ordering::SeqCst);
        self.closing.cancel();
        let mut done = self.close_done.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *done, true) {
            return Ok(());
        }
        let sync = self.sync.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(sync) = sync {
            sync.stop();
        }
        self.tasks.wait();
        self.warn_of_open_transactions();
        Ok(self.device.close()?)
    }

    /// Says so when the host has left transactions open: each keeps old pages alive.
    fn warn_of_open_transactions(&self) {
        let Ok(open) = self.device.in_progress() else { return };
        if open.snapshots + open.transactions > 0 {
            tracing::warn!(
                snapshots = open.snapshots,
                transactions = open.transactions,
                oldest_ms = open.oldest.unwrap_or_default().as_millis(),
                "a device is closed with transactions open"
            );
        }
    }

    /// Refuses once it was closed.
    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        if self.closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(()) }
    }

    /// A wait that ends when the device is closed, and when `tokens` say so.
    pub(crate) fn wait(&self, tokens: &[(&Cancel, i32)]) -> Wait {
        let mut all = vec![(&self.closing, SUBROSA_CLOSED)];
        all.extend_from_slice(tokens);
        Wait::new(&all)
    }

    pub(crate) fn suspend(&self, deadline_ms: i32) -> Result<(), Failure> {
        Ok(self.device.suspend(timeout(deadline_ms))?)
    }

    pub(crate) fn network_changed(&self) -> Result<(), Failure> {
        self.check_open()?;
        self.device.network_changed();
        Ok(())
    }

    pub(crate) fn set_relay(&self, url: &str) -> Result<(), Failure> {
        let relay = if url.is_empty() { None } else { Some(RelayAddr::parse(url)?) };
        Ok(self.device.set_relay(relay.as_ref())?)
    }

    /// The relay that a caller names, or the stored one.
    pub(crate) fn relay_or_stored(&self, url: &str) -> Result<RelayAddr, Failure> {
        if !url.is_empty() {
            return Ok(RelayAddr::parse(url)?);
        }
        let none = || Failure::new(SUBROSA_NO_RELAY, "no relay was given, and none is stored");
        self.device.relay()?.ok_or_else(none)
    }
}

impl Drop for DeviceObject {
    fn drop(&mut self) {
        // The last handle of any kind is gone; the engine closes the file with its own last reference.
        self.closing.cancel();
    }
}

pub(crate) fn closed() -> Failure {
    Failure::new(SUBROSA_CLOSED, "the device was closed")
}

pub(crate) fn folder(dir: &str) -> Result<&Path, Failure> {
    if dir.is_empty() || dir.contains('\0') {
        return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "not the name of a folder"));
    }
    Ok(Path::new(dir))
}
