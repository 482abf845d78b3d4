//! The new device's side of a pairing, with patience: the link may be opened before the old device has reached the
//! relay.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use subrosa::{Device, Error, KeyProvider, Options, PairCode, PairJoin, PairLink, RendezvousError};

use crate::clock::Stopwatch;
use crate::failure::Failure;
use crate::stop::{GLANCE, Stop};

/// How long a meeting that does not exist may still be about to begin.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the store is made, and as whom.
pub(crate) struct NewDevice<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) key: Arc<dyn KeyProvider>,
    pub(crate) options: Options,
}

/// Answers `link` and waits for the old device to confirm. `on_code` gets the code to show.
pub(crate) fn join(
    link: &str,
    new: &NewDevice<'_>,
    stop: &Stop,
    mut on_code: impl FnMut(PairCode) -> Result<(), Failure>,
) -> Result<Device, Failure> {
    let watch = Stopwatch::start();
    loop {
        let link = PairLink::parse(link).map_err(Error::PairLink)?;
        let mut pairing = PairJoin::start(new.dir, Arc::clone(&new.key), new.options.clone(), link)?;
        match answer(&mut pairing, stop, &mut on_code) {
            Err(Failure::Engine(Error::Rendezvous(RendezvousError::Over)))
                if pairing.code().is_none() && watch.elapsed() < PATIENCE =>
            {
                std::thread::sleep(GLANCE);
            }
            other => return other,
        }
    }
}

fn answer(
    pairing: &mut PairJoin,
    stop: &Stop,
    on_code: &mut impl FnMut(PairCode) -> Result<(), Failure>,
) -> Result<Device, Failure> {
    let mut shown = None;
    loop {
        if stop.is_raised() {
            return Err(Failure::Interrupted);
        }
        if let Some(device) = pairing.wait(GLANCE)? {
            return Ok(device);
        }
        if shown != pairing.code() {
            shown = pairing.code();
            shown.map_or(Ok(()), &mut *on_code)?;
        }
    }
}
