//! Pairing, both sides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use subrosa::{Cancel, Confirmation, DeviceInfo, PairCode, PairJoin, PairLink, PairOffer, PairRequest};
use zeroize::Zeroizing;

use super::cancel::{CancelObject, Wait, timeout};
use super::device::{DeviceObject, DeviceOptions, folder};
use super::keys::KeyObject;
use crate::failure::Failure;
use crate::handles::Object;
use crate::status::{
    SUBROSA_BUSY, SUBROSA_CANCELLED, SUBROSA_INVALID_ARGUMENT, SUBROSA_NOT_READY, SUBROSA_PAIR_OVER,
    SUBROSA_TIMEOUT,
};

/// The old device's side.
pub(crate) struct OfferObject {
    pub(crate) device: Arc<DeviceObject>,
    /// Taken when it is over.
    offer: Mutex<Option<PairOffer>>,
    link: Zeroizing<String>,
    request: Mutex<Option<PairRequest>>,
    /// Fired when the handle is closed.
    pub(crate) closing: Cancel,
}

impl Object for OfferObject {
    const KIND: u8 = 10;
}

impl OfferObject {
    pub(crate) fn start(device: Arc<DeviceObject>, relay: &str) -> Result<Arc<Self>, Failure> {
        device.check_open()?;
        let offer = device.device.pair_offer(&device.relay_or_stored(relay)?)?;
        let link = offer.link().to_text();
        Ok(Arc::new(Self {
            device,
            offer: Mutex::new(Some(offer)),
            link,
            request: Mutex::default(),
            closing: Cancel::new(),
        }))
    }

    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    /// Waits until a device answers.
    pub(crate) fn wait(&self, timeout_ms: i32, cancel: Option<&CancelObject>) -> Result<(), Failure> {
        let wait = self.cut_short_by(cancel);
        let mut offer = alone(&self.offer)?;
        let waited = offer.as_mut().ok_or_else(over)?.wait_for_code_or(timeout(timeout_ms), &wait.cancel);
        let request = wait.explain(waited).inspect_err(|failure| {
            if failure.code != SUBROSA_CANCELLED {
                *offer = None;
            }
        })?;
        let request = request.ok_or_else(|| timed_out("no device has answered the link yet"))?;
        *lock(&self.request) = Some(request);
        Ok(())
    }

    /// The new device, once it has answered.
    pub(crate) fn request(&self) -> Result<PairRequest, Failure> {
        lock(&self.request)
            .clone()
            .ok_or_else(|| Failure::new(SUBROSA_NOT_READY, "no device has answered the link yet"))
    }

    /// Lets the new device in; `typed` is `None` when the user has compared the codes.
    pub(crate) fn confirm(&self, typed: Option<&str>) -> Result<DeviceInfo, Failure> {
        // Closing the device waits for it: from some point on it is not to be undone. Counted before it is looked
        // whether the device is closed.
        let _under_way = self.device.tasks.enter();
        self.device.check_open()?;
        // Before a device has answered there is nothing to confirm, and the offer stands.
        self.request()?;
        if typed.is_some_and(|typed| typed.trim().is_empty()) {
            // An input field that was left empty confirms nothing.
            return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "no code was typed"));
        }
        let offer = alone(&self.offer)?.take().ok_or_else(over)?;
        let confirmation = typed.map_or(Confirmation::CodesEqual, Confirmation::Typed);
        let wait = self.cut_short_by(None);
        wait.explain(offer.confirm_or(confirmation, &wait.cancel))
    }

    pub(crate) fn decline(&self) -> Result<(), Failure> {
        Ok(alone(&self.offer)?.take().ok_or_else(over)?.decline()?)
    }

    fn cut_short_by(&self, cancel: Option<&CancelObject>) -> Wait {
        let mut tokens = vec![(&self.closing, SUBROSA_PAIR_OVER)];
        tokens.extend(cancel.map(|cancel| (&cancel.0, SUBROSA_CANCELLED)));
        self.device.wait(&tokens)
    }
}

/// The new device's side.
pub(crate) struct JoinObject {
    /// Taken when it is over.
    join: Mutex<Option<PairJoin>>,
    code: Mutex<Option<PairCode>>,
    device: Mutex<Option<Arc<DeviceObject>>>,
    /// Fired when the handle is closed.
    pub(crate) closing: Cancel,
}

impl Object for JoinObject {
    const KIND: u8 = 11;
}

impl JoinObject {
    pub(crate) fn start(
        dir: &str,
        key: &KeyObject,
        options: &DeviceOptions<'_>,
        link: &str,
    ) -> Result<Arc<Self>, Failure> {
        let link = PairLink::parse(link)?;
        let join = PairJoin::start(folder(dir)?, key.provider.clone(), options.to_options()?, link)?;
        Ok(Arc::new(Self {
            join: Mutex::new(Some(join)),
            code: Mutex::default(),
            device: Mutex::default(),
            closing: Cancel::new(),
        }))
    }

    /// Waits until the code to show is known.
    pub(crate) fn wait_code(&self, timeout_ms: i32, cancel: Option<&CancelObject>) -> Result<(), Failure> {
        self.wait(timeout_ms, cancel, |this| lock(&this.code).is_some())
    }

    /// Waits until the old device has let this one in.
    pub(crate) fn wait_device(&self, timeout_ms: i32, cancel: Option<&CancelObject>) -> Result<(), Failure> {
        self.wait(timeout_ms, cancel, |this| lock(&this.device).is_some())
    }

    fn wait(
        &self,
        timeout_ms: i32,
        cancel: Option<&CancelObject>,
        is_there: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        if is_there(self) {
            return Ok(());
        }
        let mut tokens = vec![(&self.closing, SUBROSA_PAIR_OVER)];
        tokens.extend(cancel.map(|cancel| (&cancel.0, SUBROSA_CANCELLED)));
        let wait = Wait::new(&tokens);
        let mut slot = alone(&self.join)?;
        let (since, wait_max) = (now(), timeout(timeout_ms));
        loop {
            let join = slot.as_mut().ok_or_else(over)?;
            let code_before = join.code();
            let waited = join.wait_or(wait_max.saturating_sub(since.elapsed()), &wait.cancel);
            let code = join.code();
            *lock(&self.code) = code;
            match wait.explain(waited) {
                Ok(Some(device)) => {
                    *lock(&self.device) = Some(DeviceObject::new(device));
                    *slot = None;
                }
                Ok(None) => {}
                Err(failure) => {
                    if failure.code != SUBROSA_CANCELLED {
                        *slot = None;
                    }
                    return Err(failure);
                }
            }
            if is_there(self) {
                return Ok(());
            }
            // The engine returns early once: when the code becomes known.
            if code == code_before {
                return Err(timed_out("the other device has not answered yet"));
            }
        }
    }

    pub(crate) fn code(&self) -> Result<PairCode, Failure> {
        lock(&self.code).ok_or_else(|| Failure::new(SUBROSA_NOT_READY, "the code is not known yet"))
    }

    /// Hands the device out, once.
    pub(crate) fn take_device(&self) -> Result<Arc<DeviceObject>, Failure> {
        let not_ready = || Failure::new(SUBROSA_NOT_READY, "the device is not there yet, or was handed out");
        lock(&self.device).take().ok_or_else(not_ready)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "deadlines of callers are in this clock")]
fn now() -> Instant {
    Instant::now()
}

/// The lock, unless another call holds it.
fn alone<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Failure> {
    match mutex.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(SUBROSA_BUSY, "another call on this handle is under way").retryable())
        }
    }
}

fn over() -> Failure {
    Failure::new(SUBROSA_PAIR_OVER, "this pairing is over")
}

fn timed_out(text: &str) -> Failure {
    Failure::new(SUBROSA_TIMEOUT, text).retryable()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_join_waits_once_for_as_long_as_it_is_told() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let pin = "gmcdq4y6k77guoqh7qcuz6caucmneonnngzc3wsufdmnxjiyu7qq";
        let relay = format!("subrosa://{}/#{pin}", silent.local_addr().unwrap());
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [old, new] = dirs.each_ref().map(|dir| dir.path().to_str().unwrap());
        let options = DeviceOptions { cache_bytes: 0, name: "", write_wait_ms: 0 };
        let device = DeviceObject::create(old, &KeyObject::generate(), &options).unwrap();
        device.device.create_vault("personal").unwrap();
        let offer = OfferObject::start(device, &relay).unwrap();
        let join = JoinObject::start(new, &KeyObject::generate(), &options, offer.link()).unwrap();
        let since = now();
        assert_eq!(join.wait_code(3000, None).unwrap_err().code, SUBROSA_TIMEOUT);
        let waited = since.elapsed();
        let (enough, twice) = (Duration::from_millis(3000), Duration::from_millis(6000));
        assert!(enough <= waited && waited < twice, "{waited:?}");
    }
}
