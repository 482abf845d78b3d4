//! `subrosa demo`: the whole path on one machine, for people to see.
//!
//! A real relay in a process of its own, two devices with stores of their own, no network beyond loopback.
//! Everything lies in one temporary folder; the folder and the relay go however the demo ends.

mod bytes;
pub(crate) mod relay;
mod screen;
mod story;

use crate::failure::Failure;
use crate::stop::Stop;

/// Runs it. Takes a few seconds.
pub(crate) fn run() -> Result<(), Failure> {
    let stop = Stop::on_signal().map_err(Failure::Signals)?;
    let root = tempfile::Builder::new().prefix("subrosa-demo-").tempdir().map_err(Failure::Demo)?;
    let told = story::tell(root.path(), &stop);
    // The devices and the relay are gone by now: nothing holds the folder.
    root.close().map_err(Failure::Demo)?;
    told
}
