//! A link without threads, sockets or a runtime: the real machine and the real store work, stepped by hand.
//!
//! What [`run.rs`](super::run), [`link.rs`](super::link) and [`worker.rs`](super::worker) carry, a simulation carries here;
//! it decides no more than they do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use subrosa_protocol::client_link::Event;
use subrosa_protocol::ids::{Pin, PublicKeyBytes};

use super::checker::Overheard;
use super::machine::{Errand, FeedEvent, Machine, MachineInput, MachineOutput, News};
use super::work::Answer;
use super::worker::{Peer, perform};
use crate::error::{SyncFailure, SyncFault};
use crate::life::PendingHook;
use crate::logs::link_keys::LinkKeys;
use crate::sync::engine::Engine;

/// The relay at the other end, as a connection tells it.
#[derive(Clone, Copy, Debug)]
pub struct SimPeer {
    /// The pin of its key.
    pub pin: Pin,
    /// That key.
    pub key: PublicKeyBytes,
    /// The connection's exporter value; the relay has the same.
    pub exporter: [u8; 32],
}

/// One thing that the link wants carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimOutput {
    /// A frame on the control stream, length prefix removed.
    Send(Bytes),
    /// No more is read of this feed; its end is to be handed in.
    StopFeed(u64),
    /// The peer's transport is to answer, which it does unless the path is dead.
    Probe,
}

/// What a link said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimNews {
    /// A vault rests, and why.
    Rests(SyncFault),
    /// Refused by the relay, with this code.
    Refused(subrosa_protocol::error::ErrorCode),
    /// The relay shows other heads than are held, after all were compared.
    Disagrees,
    /// The relay claims another future of this device's log, and shows nothing of it.
    Disputed,
}

/// One link of a device.
pub struct SimLink {
    core: Arc<Engine>,
    machine: Machine,
    keys: LinkKeys,
    overheard: Overheard,
    peer: Peer,
    relay: Pin,
    writes: Arc<AtomicU64>,
    noted: u64,
    hook: PendingHook,
    answers: VecDeque<Answer>,
    out: VecDeque<SimOutput>,
    news: Vec<SimNews>,
    datagrams: u64,
    asks: u64,
}

impl SimLink {
    /// A link that has just been connected.
    ///
    /// # Errors
    /// What ends a link.
    pub(crate) fn open(core: Arc<Engine>, now: Instant, peer: &SimPeer) -> Result<Self, SyncFailure> {
        let writes = Arc::new(AtomicU64::new(0));
        let counted = writes.clone();
        let hook: PendingHook = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        core.on_pending(&hook);
        let machine = Machine::new(now, None, &Errand::Sync { share: 0, writes: 0, asks: 0 })?;
        let relay = peer.pin;
        let peer = Peer { share: 0, exporter: peer.exporter, key: Some(peer.key) };
        let (answers, out) = (VecDeque::new(), VecDeque::new());
        let mut link = Self {
            core,
            machine,
            keys: LinkKeys::default(),
            overheard: Overheard::default(),
            peer,
            relay,
            writes,
            noted: 0,
            hook,
            answers,
            out,
            news: Vec::new(),
            datagrams: 0,
            asks: 0,
        };
        link.drain();
        Ok(link)
    }

    /// A frame of the control stream.
    ///
    /// # Errors
    /// What ends the link, here and below.
    pub fn frame(&mut self, now: Instant, frame: Bytes) -> Result<(), SyncFailure> {
        self.datagrams += 1;
        self.give(now, MachineInput::Frame(frame))
    }

    /// A frame of a feed, or its end.
    ///
    /// # Errors
    /// As [`SimLink::frame`].
    pub fn feed(&mut self, now: Instant, stream: u64, frame: Option<Bytes>) -> Result<(), SyncFailure> {
        self.datagrams += 1;
        match &frame {
            Some(frame) => self.overheard.frame(&self.core, stream, frame, self.machine.is_delivering()),
            None => self.overheard.over(stream),
        }
        let event = frame.map_or(FeedEvent::Closed, FeedEvent::Frame);
        self.give(now, MachineInput::Feed { stream, event })
    }

    /// The peer's transport has answered a probe.
    pub const fn answered(&mut self) {
        self.datagrams += 1;
    }

    /// Notes what was written here, groups whose time has come, and the time.
    ///
    /// # Errors
    /// As [`SimLink::frame`].
    pub fn tick(&mut self, now: Instant) -> Result<(), SyncFailure> {
        let writes = self.writes.load(Ordering::SeqCst);
        if writes != self.noted {
            self.noted = writes;
            self.give(now, MachineInput::Written { writes })?;
        }
        self.give(now, MachineInput::Held { wait: self.core.held_wait() })?;
        if self.machine.deadline() <= now {
            self.give(now, MachineInput::Timeout { datagrams: self.datagrams })?;
        }
        Ok(())
    }

    /// Asks for everything that the relay has acknowledged to anybody by now; the number of the question.
    ///
    /// # Errors
    /// As [`SimLink::frame`].
    pub fn ask(&mut self, now: Instant) -> Result<u64, SyncFailure> {
        self.asks += 1;
        self.give(now, MachineInput::Asked { asks: self.asks, datagrams: self.datagrams })?;
        Ok(self.asks)
    }

    /// Looks ahead at segments that wait for the store, as a thread of its own does.
    pub fn look_ahead(&self) {
        self.core.check_what_arrived();
    }

    /// Does the next thing that is asked of the store; `false` if there is none.
    pub fn work(&mut self) -> bool {
        let Some(work) = self.machine.next_work() else { return false };
        self.answers.push_back(perform(&self.core, (&self.relay, &self.peer), &mut self.keys, work));
        true
    }

    /// Whether the store has something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.machine.has_work()
    }

    /// Whether the store has answered something that the link was not told yet.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Tells the link the store's next answer.
    ///
    /// # Errors
    /// As [`SimLink::frame`].
    pub fn answer(&mut self, now: Instant) -> Result<(), SyncFailure> {
        match self.answers.pop_front() {
            Some(answer) => self.give(now, MachineInput::Answer(answer)),
            None => Ok(()),
        }
    }

    /// The next thing to carry.
    pub fn poll(&mut self) -> Option<SimOutput> {
        self.out.pop_front()
    }

    /// Whether frames of feeds may be handed in.
    #[must_use]
    pub const fn reads_feeds(&self) -> bool {
        self.machine.reads_feeds()
    }

    /// When to call [`SimLink::tick`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.machine.deadline()
    }

    /// Whether everything is caught up both ways.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.machine.standing().synced == Some(self.writes.load(Ordering::SeqCst))
    }

    /// Whether everything is here that a question asked for, and everything written here is there: what ends
    /// [`Sync::wait_caught_up`](super::Sync::wait_caught_up).
    #[must_use]
    pub fn is_caught_up(&self, ask: u64) -> bool {
        self.is_synced() && self.machine.standing().answered >= ask
    }

    /// Whether nothing is to be done before something refused is tried again.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.machine.standing().settled.is_some()
    }

    /// What was said since the last call.
    pub fn take_news(&mut self) -> Vec<SimNews> {
        std::mem::take(&mut self.news)
    }

    fn give(&mut self, now: Instant, input: MachineInput) -> Result<(), SyncFailure> {
        let given = self.machine.handle(now, input);
        self.drain();
        given
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                MachineOutput::Send(bytes) => self.out.extend(frames(bytes).map(SimOutput::Send)),
                MachineOutput::StopFeed { stream } => self.out.push_back(SimOutput::StopFeed(stream)),
                MachineOutput::Probe => self.out.push_back(SimOutput::Probe),
                MachineOutput::News(News::Rests { fault, .. }) => self.news.push(SimNews::Rests(fault)),
                MachineOutput::News(News::Event(Event::Refused { refusal, .. })) => {
                    self.news.push(SimNews::Refused(refusal.code));
                }
                MachineOutput::News(News::Event(Event::Disagrees { .. })) => {
                    self.news.push(SimNews::Disagrees);
                }
                MachineOutput::News(News::Event(Event::Disputed { .. })) => self.news.push(SimNews::Disputed),
                MachineOutput::News(_) | MachineOutput::Links(_) | MachineOutput::Heard(_) => {}
            }
        }
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        self.core.no_more_pending(&self.hook);
        self.core.ahead.forget();
        self.core.stop_sealing();
    }
}

/// The frames in what is put on the stream at once.
fn frames(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let len = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        drop(bytes.split_to(4));
        Some(bytes.split_to(len))
    })
}
