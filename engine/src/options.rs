//! How a device is opened.

use std::sync::Arc;
use std::time::Duration;

use subrosa_model::entropy::{Entropy, OsEntropy};
#[cfg(doc)]
use subrosa_store::error::StoreError;
use subrosa_store::process::{ForkSign, ProcessNumber};
#[cfg(feature = "testing")]
use subrosa_store::testing::SimSite;

use crate::clock::{Clock, SystemClock};

/// How a device is opened. [`Options::default`] suits an application; what is to be otherwise is said one by one:
///
/// ```
/// # use subrosa::Options;
/// let options = Options::default().device_name("laptop").cache_bytes(64 << 20);
/// assert_eq!(options.device_name, "laptop");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Memory for pages of the database, in plaintext. 16 MiB by default.
    pub cache_bytes: usize,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for keys, nonces and ids.
    pub entropy: Arc<dyn Entropy>,
    /// By what a forked child is told from its parent, whose store it must leave alone. The process number by default.
    pub fork_sign: Arc<dyn ForkSign>,
    /// What this device is called in the lists of devices, 1 to 128 bytes without control characters. Used when a store
    /// is created, which keeps it; not looked at when one is opened.
    pub device_name: String,
    /// How long a write that is a call by itself waits for a [`Transaction`](crate::Transaction) of another thread before
    /// it answers [`StoreError::Busy`]; `None`, the default, for as long as that takes. Other calls end by themselves and
    /// are always waited for.
    pub write_wait: Option<Duration>,
    /// Where the store lies in a simulation, in place of the folder.
    #[cfg(feature = "testing")]
    pub(crate) site: Option<Arc<SimSite>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            fork_sign: Arc::new(ProcessNumber),
            device_name: "device".to_owned(),
            write_wait: None,
            #[cfg(feature = "testing")]
            site: None,
        }
    }
}

impl Options {
    /// With so much memory for pages.
    #[must_use]
    pub fn cache_bytes(self, cache_bytes: usize) -> Self {
        Self { cache_bytes, ..self }
    }

    /// With another clock.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// With another source of randomness.
    #[must_use]
    pub fn entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ..self }
    }

    /// With another sign for forked children.
    #[must_use]
    pub fn fork_sign(self, fork_sign: Arc<dyn ForkSign>) -> Self {
        Self { fork_sign, ..self }
    }

    /// With this name for the device.
    #[must_use]
    pub fn device_name(self, device_name: impl Into<String>) -> Self {
        Self { device_name: device_name.into(), ..self }
    }

    /// With a bound on how long a write waits for a transaction.
    #[must_use]
    pub fn write_wait(self, write_wait: Duration) -> Self {
        Self { write_wait: Some(write_wait), ..self }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("cache_bytes", &self.cache_bytes).finish_non_exhaustive()
    }
}
