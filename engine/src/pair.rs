//! What a device offers and answers for a pairing; it happens in [`crate::people::pairing`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use subrosa_model::keys::KeyProvider;
#[cfg(doc)]
use subrosa_model::pair::PairError;
use subrosa_model::pair::{PairCode, PairLink};
use subrosa_protocol::addr::RelayAddr;

use crate::cancel::Cancel;
use crate::device::Device;
use crate::error::Error;
use crate::options::Options;
use crate::people::pairing::{PairJoin, PairOffer, SLICE};

impl Device {
    /// Offers to let one more device of the user into the home vault. Show [`PairOffer::link`], then wait for the
    /// new device's code. Needs the relay; the vault is created there if need be, and
    /// pushed before the new device gets its keys. Sync afterwards: the other devices learn of the new one that way.
    ///
    /// # Errors
    /// [`Error::NoVault`] without a home vault; [`Error::NotPermitted`] unless this device is an admin of it;
    /// [`PairError::BundleTooLarge`]; [`Error::Rendezvous`] when no thread can be started.
    pub fn pair_offer(&self, relay: &RelayAddr) -> Result<PairOffer, Error> {
        PairOffer::over(self.core.clone(), relay)
    }

    /// Answers a pairing link and makes a store in `dir`, which must have none. `on_code` is called once with the
    /// code to show; then this waits for the user to confirm it on the old device, five minutes at most. To wait with
    /// interruptions, use [`PairJoin`].
    ///
    /// # Errors
    /// As [`PairJoin::start`] and [`PairJoin::wait`].
    pub fn pair_join(
        dir: impl AsRef<Path>,
        key: Arc<dyn KeyProvider>,
        options: Options,
        link: PairLink,
        on_code: impl FnOnce(PairCode),
    ) -> Result<Self, Error> {
        let mut join = PairJoin::start(dir, key, options, link)?;
        let mut on_code = Some(on_code);
        loop {
            if let Some(device) = join.wait(SLICE)? {
                return Ok(device);
            }
            if let Some(code) = join.code()
                && let Some(on_code) = on_code.take()
            {
                on_code(code);
            }
        }
    }
}

impl PairJoin {
    /// Goes on for up to `timeout`, or until the code becomes known; the open device once it is there. Call again
    /// while it returns `None`; not after it has returned a device.
    ///
    /// # Errors
    /// [`Error::Pair`], [`Error::Rendezvous`]: the other side, or the relay, ended it. [`Error::AlreadyExists`] when
    /// somebody has made a store meanwhile, which stays as it is. What the disk refuses. No store is left behind in the
    /// directory, at most one that was never finished, which a further try with the same key finishes.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Device>, Error> {
        self.wait_or(timeout, &Cancel::new())
    }

    /// Goes on as [`PairJoin::wait`] does, until `cancel` at the latest.
    ///
    /// # Errors
    /// [`Error::Cancelled`]: it may be gone on with. Those of [`PairJoin::wait`].
    pub fn wait_or(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Option<Device>, Error> {
        Ok(self.go_on(timeout, cancel)?.map(Device::of))
    }
}
