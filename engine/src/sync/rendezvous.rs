//! A meeting of two devices at a relay, for pairing: a link of its own, seen through blocking calls.
//!
//! What is said is for pairing to seal; the relay reads it.

use std::sync::Arc;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::{RendezvousId, VaultId};
use subrosa_protocol::limits::{RENDEZVOUS_MESSAGE_BYTES_MAX, RENDEZVOUS_MESSAGES_MAX};
use subrosa_store::process::Process;
use tokio::sync::mpsc;

use super::control::{Control, Wish};
use super::dial::Dialer;
use super::link::{Link, LinkEnd, OtherSide, Owner};
use super::machine::{Errand, Heard};
use super::mailbox::{Nothing, Receiver, mailbox};
use super::run::{farewell, runtime};
use super::thread::{EngineThread, Panicked};
use super::worker::Worker;
use crate::cancel::Cancel;
use crate::error::{RendezvousError, SyncFailure};
use crate::sync::engine::Engine;

/// One side of a meeting. Dropping it leaves.
pub(crate) struct RendezvousLink {
    say: mpsc::Sender<Vec<u8>>,
    said: usize,
    heard: Receiver<Heard>,
    control: Arc<Control>,
    thread: EngineThread<Option<SyncFailure>>,
    failure: Option<SyncFailure>,
}

impl RendezvousLink {
    /// Opens a meeting as a member of `vault`, which is created at the relay if it is not there yet. Returns at
    /// once; the first [`RendezvousLink::recv`] says whether it worked.
    pub(crate) fn open(
        core: &Arc<Engine>,
        relay: &RelayAddr,
        vault: VaultId,
        id: RendezvousId,
    ) -> Result<Self, RendezvousError> {
        Self::start(core.process(), Some(core.clone()), relay, Errand::Meet { id, member: Some(vault) })
    }

    /// Joins a meeting; nothing but its id is needed.
    pub(crate) fn join(
        process: &Process,
        relay: &RelayAddr,
        id: RendezvousId,
    ) -> Result<Self, RendezvousError> {
        Self::start(process, None, relay, Errand::Meet { id, member: None })
    }

    fn start(
        process: &Process,
        core: Option<Arc<Engine>>,
        relay: &RelayAddr,
        errand: Errand,
    ) -> Result<Self, RendezvousError> {
        let (say, to_say) = mpsc::channel(RENDEZVOUS_MESSAGES_MAX);
        let (hear, heard) = mailbox();
        let start = |error: std::io::Error| RendezvousError::Start(error.kind());
        let control = core.as_ref().map_or_else(|| Ok(Control::new()), |core| core.links.register());
        let control = control.map_err(|_| SyncFailure::Suspended)?;
        let runtime = runtime().map_err(start)?;
        let worker = core.map(|core| Worker::start(core, *relay.pin())).transpose().map_err(start)?;
        let relay = relay.clone();
        let meeting = OtherSide { say: to_say, heard: hear };
        let over = Over(control.clone());
        let work = move || {
            let Over(control) = &over;
            let failure = runtime.block_on(meet(worker.as_ref(), &relay, errand, meeting, control));
            runtime.shutdown_timeout(farewell(control.wish()));
            if let Some(worker) = worker {
                worker.stop();
            }
            failure
        };
        let thread = EngineThread::spawn(process, "subrosa-meet", work).map_err(start)?;
        Ok(Self { say, said: 0, heard, control, thread, failure: None })
    }

    /// Says something to the other side; before it is there, it is kept for it.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), RendezvousError> {
        if self.said >= RENDEZVOUS_MESSAGES_MAX || message.len() > RENDEZVOUS_MESSAGE_BYTES_MAX {
            return Err(RendezvousError::TooMuch);
        }
        self.said += 1;
        self.say.try_send(message.to_vec()).map_err(|_| self.why_over())
    }

    /// The next message of the other side; [`RendezvousError::Silence`] after `timeout`, or once cancelled.
    pub(crate) fn recv(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Vec<u8>, RendezvousError> {
        match self.heard.recv(timeout, cancel) {
            Ok(Heard::Message(message)) => Ok(message),
            Ok(Heard::Parted) => Err(RendezvousError::Over),
            Err(Nothing::InTime | Nothing::Cancelled) => Err(RendezvousError::Silence),
            Err(Nothing::AnyMore) => Err(self.why_over()),
        }
    }

    /// Why the link is over, which it is.
    fn why_over(&mut self) -> RendezvousError {
        if let Some(ended) = self.thread.join_for_host() {
            self.failure = ended.unwrap_or(Some(SyncFailure::Panicked));
        }
        self.failure.clone().map_or(RendezvousError::Over, RendezvousError::Failed)
    }
}

impl Drop for RendezvousLink {
    fn drop(&mut self) {
        if self.thread.is_of_this_process() {
            self.control.stop();
            if let Some(Err(Panicked)) = self.thread.join_for_host() {
                tracing::error!("the rendezvous thread panicked");
            }
        }
    }
}

/// Says that the thread is over, whatever ended it.
struct Over(Arc<Control>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over();
    }
}

async fn meet(
    worker: Option<&Worker>,
    relay: &RelayAddr,
    errand: Errand,
    meeting: OtherSide,
    control: &Control,
) -> Option<SyncFailure> {
    let mut dialer = Dialer::new(relay);
    let mut wish = control.subscribe();
    let dialed = loop {
        if !matches!(*wish.borrow_and_update(), Wish::Run { .. }) {
            break None;
        }
        tokio::select! {
            dialed = dialer.dial() => break Some(dialed),
            _ = wish.changed() => dialer.forget(),
        }
    };
    let failure = match dialed {
        None => None,
        Some(Err(failure)) => Some(failure),
        Some(Ok(connection)) => {
            let (jobs, path) = (worker.map(|worker| worker.jobs().clone()), (connection.clone(), &dialer));
            let opened = tokio::select! {
                opened = Link::open(relay, jobs, path, Owner::Meeting(meeting), || errand) => opened,
                _ = wish.changed() => Err(SyncFailure::Lost),
            };
            let end = match opened {
                Ok(mut link) => link.run(&mut wish).await,
                Err(failure) => LinkEnd::Failed(failure),
            };
            connection.close(0_u32.into(), b"");
            match end {
                LinkEnd::Stopped => None,
                LinkEnd::Failed(failure) => Some(failure),
            }
        }
    };
    dialer.close(farewell(control.wish())).await;
    match control.wish() {
        Wish::Rest { .. } => Some(SyncFailure::Suspended),
        Wish::Run { .. } | Wish::Stop => failure,
    }
}
