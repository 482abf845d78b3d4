//! Drives one [`ClientLink`] over one connection: carries what happens to the machine, and does what it asks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::client_link::{ClientLink, Event, Input, LinkError, Output, Purpose};
use subrosa_protocol::codec::DecodeError;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::ids::{RendezvousId, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::token::Invite;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::SyncFailure;
use super::board::Standing;
use super::control::Wish;
use super::dial::{CONNECT_WAIT, Dialer, LINK_WINDOW_BYTES};
use super::frames::{FrameError, FrameReader};
use super::mailbox;
use super::pulse::{Beat, Pulse};
use super::run::Context;
use super::worker::{ANSWERS_MAX, Answer, Job, Work, Worker};
use crate::Error;

/// Feed frames read and not taken. A full channel stops the readers, and the transport's windows stop the relay.
const FEED_FRAMES_MAX: usize = 32;
/// Feed frames taken in one go before other things have their turn.
const FEED_BURST: usize = 32;

/// How often the wall clock is looked at while groups are held for it.
const CLOCK_LOOK: Duration = Duration::from_secs(10);

/// How long the last message of a meeting may take after its owner has left.
const SAY_WAIT: Duration = Duration::from_secs(1);

/// What a link is for.
pub(super) enum Errand {
    /// All vaults of the device, until told to stop.
    Sync,
    /// A rendezvous, and the vault that proves a member if it is to be opened.
    Meet { id: RendezvousId, member: Option<VaultId> },
}

/// How a link ended.
#[derive(Debug)]
pub(super) enum LinkEnd {
    Stopped,
    Failed(SyncFailure),
}

/// The other side of a rendezvous, seen from its owner.
pub(super) struct Meeting {
    pub(super) say: mpsc::Receiver<Vec<u8>>,
    pub(super) heard: mailbox::Sender<Heard>,
    pub(super) met: bool,
}

/// What happens in a rendezvous.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Vec<u8>),
    Parted,
}

/// A link that is up.
pub(super) struct Link<'a> {
    connection: Connection,
    dialer: &'a Dialer,
    machine: ClientLink,
    control: FrameReader,
    send: SendStream,
    outgoing: Vec<Bytes>,
    feeds: mpsc::Receiver<(u64, FeedEvent)>,
    feed_sender: mpsc::Sender<(u64, FeedEvent)>,
    readers: JoinSet<()>,
    exporter: [u8; 32],
    worker: Option<&'a Worker>,
    work: VecDeque<Work>,
    answers: mpsc::Receiver<Answer>,
    answer_sender: mpsc::Sender<Answer>,
    context: Option<&'a Context>,
    /// Lists of vaults asked for and not here.
    listing: usize,
    vaults: Vec<VaultId>,
    /// Local writes that the machine knows of.
    noted: u64,
    /// Groups held for the clock are being merged.
    merging: bool,
    greeted: bool,
    pulse: Pulse,
    probes: u32,
    pub(super) meeting: Option<Meeting>,
    /// The refusal that ends a meeting before it began.
    unwelcome: Option<Refusal>,
}

enum FeedEvent {
    Frame(Bytes),
    Closed,
    Unreadable(DecodeError),
}

/// One thing that happened.
enum Happening {
    Wish(Wish),
    WorkerGone,
    Control(Result<Bytes, FrameError>),
    Feed(u64, FeedEvent),
    Stream(Option<RecvStream>),
    Sent(bool),
    HandedOver,
    Answer(Answer),
    Written,
    Say(Vec<u8>),
    Time,
}

impl<'a> Link<'a> {
    /// A link for the vaults of a device.
    pub(super) async fn new(
        context: &'a Context,
        worker: &'a Worker,
        connection: Connection,
        dialer: &'a Dialer,
    ) -> Result<Self, SyncFailure> {
        let mut link = Self::open(&context.relay, Some(worker), connection, dialer).await?;
        link.context = Some(context);
        Ok(link)
    }

    /// A link; `worker` may be missing where nothing is asked of a store.
    pub(super) async fn open(
        relay: &RelayAddr,
        worker: Option<&'a Worker>,
        connection: Connection,
        dialer: &'a Dialer,
    ) -> Result<Self, SyncFailure> {
        let mut exporter = [0; 32];
        connection
            .export_keying_material(&mut exporter, labels::EXPORTER, b"")
            .map_err(|_| SyncFailure::Lost)?;
        // A relay may grant no stream and keep the connection alive all the same.
        let opened = tokio::time::timeout(CONNECT_WAIT, connection.open_bi()).await;
        let (send, receive) = opened.ok().and_then(Result::ok).ok_or(SyncFailure::Lost)?;
        let (feed_sender, feeds) = mpsc::channel(FEED_FRAMES_MAX);
        let (answer_sender, answers) = mpsc::channel(ANSWERS_MAX);
        let now = now();
        Ok(Self {
            machine: ClientLink::new(now, relay.invite().map(Invite::encode)),
            connection,
            dialer,
            control: FrameReader::new(receive),
            send,
            outgoing: Vec::new(),
            feeds,
            feed_sender,
            readers: JoinSet::new(),
            exporter,
            worker,
            work: VecDeque::new(),
            answers,
            answer_sender,
            context: None,
            listing: 0,
            vaults: Vec::new(),
            noted: 0,
            merging: false,
            greeted: false,
            pulse: Pulse::new(now),
            probes: 0,
            meeting: None,
            unwelcome: None,
        })
    }

    /// Runs until the link ends, or until something else is wanted.
    pub(super) async fn run(&mut self, errand: &Errand, wish: &mut watch::Receiver<Wish>) -> LinkEnd {
        let started = match errand {
            Errand::Sync => {
                self.list();
                Ok(())
            }
            Errand::Meet { id, member: None } => self.give(Input::Join { id: *id }),
            Errand::Meet { id, member: Some(vault) } => self
                .give(Input::Add { vault: *vault, purpose: Purpose::Member })
                .and_then(|()| self.give(Input::Open { id: *id })),
        };
        if let Err(error) = started {
            return LinkEnd::Failed(error.into());
        }
        loop {
            self.drain();
            match self.next(wish).await {
                Happening::Wish(Wish::Stop) => {
                    self.say_the_rest().await;
                    return LinkEnd::Stopped;
                }
                Happening::Wish(Wish::Rest { .. }) => return LinkEnd::Stopped,
                happening => {
                    if let Err(failure) = self.take(happening) {
                        return LinkEnd::Failed(failure);
                    }
                }
            }
            if let Some(refusal) = self.unwelcome {
                return LinkEnd::Failed(LinkError::Refused(refusal).into());
            }
        }
    }

    /// Waits for the next thing to happen.
    ///
    /// # Cancel safety
    /// Nothing is lost: every branch is cancel-safe, and what it brought is returned at once.
    async fn next(&mut self, wish: &mut watch::Receiver<Wish>) -> Happening {
        let deadlines = [self.machine.deadline(), self.held_due(), Some(self.pulse.due())];
        let timer =
            tokio::time::sleep_until(deadlines.into_iter().flatten().min().unwrap_or_else(now).into());
        let (meeting, reads_feeds) = (self.meeting.as_mut(), self.machine.reads_feeds());
        let jobs = self.worker.map(Worker::jobs);
        tokio::select! {
            _ = wish.changed() => Happening::Wish(*wish.borrow_and_update()),
            () = gone(jobs) => Happening::WorkerGone,
            frame = self.control.next() => Happening::Control(frame),
            Some((stream, event)) = self.feeds.recv(), if reads_feeds => Happening::Feed(stream, event),
            stream = self.connection.accept_uni() => Happening::Stream(stream.ok()),
            written = self.send.write_chunks(&mut self.outgoing), if !self.outgoing.is_empty() => {
                Happening::Sent(written.is_ok())
            }
            Some(permit) = reserve(jobs), if !self.work.is_empty() => {
                if let Some(work) = self.work.pop_front() {
                    permit.send(Job::Work { work, answers: self.answer_sender.clone() });
                }
                Happening::HandedOver
            }
            Some(answer) = self.answers.recv() => Happening::Answer(answer),
            () = written(self.context) => Happening::Written,
            Some(message) = said(meeting) => Happening::Say(message),
            () = timer => Happening::Time,
        }
    }

    /// The last message of a meeting may be followed by a stop at once: it still goes out, if it can.
    async fn say_the_rest(&mut self) {
        let Some(meeting) = self.meeting.as_mut().filter(|meeting| meeting.met) else { return };
        while let Ok(message) = meeting.say.try_recv() {
            if self.machine.handle(now(), Input::Say { message }).is_err() {
                return;
            }
        }
        self.drain();
        let rest = async {
            self.send.write_all_chunks(&mut self.outgoing).await.ok()?;
            self.send.finish().ok()?;
            self.send.stopped().await.ok()
        };
        // What is not acknowledged by then is lost, and the other side says so.
        drop(tokio::time::timeout(SAY_WAIT, rest).await);
    }

    fn take(&mut self, happening: Happening) -> Result<(), SyncFailure> {
        match happening {
            Happening::HandedOver => {}
            Happening::Wish(_) => self.path_changed()?,
            Happening::WorkerGone => return Err(SyncFailure::Panicked),
            Happening::Control(Ok(frame)) => {
                self.pulse.heard(now());
                self.give(Input::Frame(frame))?;
            }
            Happening::Control(Err(FrameError::Decode(error))) => return Err(LinkError::Decode(error).into()),
            Happening::Control(Err(FrameError::Ended)) | Happening::Stream(None) | Happening::Sent(false) => {
                return Err(self.lost());
            }
            Happening::Feed(stream, event) => self.take_feed(stream, event)?,
            Happening::Stream(Some(stream)) => self.read_feed(stream),
            Happening::Sent(true) => self.outgoing.retain(|bytes| !bytes.is_empty()),
            Happening::Answer(answer) => self.take_answer(answer)?,
            Happening::Written => self.note_writes()?,
            Happening::Say(message) => self.give(Input::Say { message })?,
            Happening::Time => self.take_time()?,
        }
        Ok(())
    }

    /// Why the connection is gone. A relay's last word may overtake its ERROR frame as a close code.
    fn lost(&self) -> SyncFailure {
        match self.connection.close_reason() {
            Some(ConnectionError::ApplicationClosed(closed)) => {
                match u16::try_from(closed.error_code.into_inner()) {
                    Ok(0) | Err(_) => SyncFailure::Lost,
                    Ok(code) => LinkError::Refused(Refusal::link(ErrorCode::from_wire(code))).into(),
                }
            }
            _ => SyncFailure::Lost,
        }
    }

    fn give(&mut self, input: Input) -> Result<(), LinkError> {
        let result = self.machine.handle(now(), input);
        self.drain();
        result
    }

    /// Does, or queues, all that the machine asks for.
    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Send(bytes) => self.outgoing.push(bytes),
                Output::Event(event) => self.report(event),
                output => self.work.push_back(Work::Link { output, exporter: self.exporter }),
            }
        }
        if let Some(context) = self.context {
            let noted = |done: bool| (self.listing == 0 && done).then_some(self.noted);
            context.board.standing(Standing {
                greeted: self.greeted,
                synced: noted(self.machine.is_synced()),
                settled: noted(self.machine.is_settled()),
                progress: self.machine.progress(),
            });
        }
    }

    fn report(&mut self, event: Event) {
        self.greeted |= event == Event::Greeted;
        if let Some(context) = self.context {
            context.board.event(&event);
        }
        let Some(meeting) = &mut self.meeting else { return };
        let heard = match event {
            Event::Met => {
                meeting.met = true;
                return;
            }
            Event::Heard { message } => Heard::Message(message),
            Event::Parted => Heard::Parted,
            Event::Refused { refusal, .. } => {
                self.unwelcome = Some(refusal);
                return;
            }
            _ => return,
        };
        meeting.heard.send(heard);
    }

    /// Takes a feed frame, and those behind it while there is room and nobody has waited long.
    fn take_feed(&mut self, stream: u64, event: FeedEvent) -> Result<(), SyncFailure> {
        self.pulse.heard(now());
        let mut next = Some((stream, event));
        let mut taken = 0;
        while let Some((stream, event)) = next.take() {
            self.give(match event {
                FeedEvent::Frame(frame) => Input::Feed { stream, frame },
                FeedEvent::Closed => Input::FeedClosed { stream },
                FeedEvent::Unreadable(error) => return Err(LinkError::Decode(error).into()),
            })?;
            taken += 1;
            if taken < FEED_BURST && self.machine.reads_feeds() {
                next = self.feeds.try_recv().ok();
            }
        }
        Ok(())
    }

    fn read_feed(&mut self, stream: RecvStream) {
        let number = VarInt::from(stream.id()).into_inner();
        let sender = self.feed_sender.clone();
        while self.readers.try_join_next().is_some() {}
        self.readers.spawn(async move {
            let mut frames = FrameReader::new(stream);
            loop {
                let event = match frames.next().await {
                    Ok(frame) => FeedEvent::Frame(frame),
                    Err(FrameError::Ended) => FeedEvent::Closed,
                    Err(FrameError::Decode(error)) => FeedEvent::Unreadable(error),
                };
                let last = !matches!(event, FeedEvent::Frame(_));
                if sender.send((number, event)).await.is_err() || last {
                    return;
                }
            }
        });
    }

    fn take_answer(&mut self, answer: Answer) -> Result<(), SyncFailure> {
        match answer {
            Answer::Done => {}
            Answer::Merged => self.merging = false,
            Answer::Input(input) => self.give(input)?,
            Answer::Failed(Error::Peer(fault)) => return Err(fault.into()),
            Answer::Failed(error) => return Err(SyncFailure::Store(error.into())),
            Answer::Vaults(vaults) => {
                self.listing -= 1;
                for vault in vaults {
                    if !self.vaults.contains(&vault) {
                        self.vaults.push(vault);
                        self.give(Input::Add { vault, purpose: Purpose::Sync })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Something was written on this device, perhaps a new vault.
    fn note_writes(&mut self) -> Result<(), SyncFailure> {
        self.list();
        for vault in self.vaults.clone() {
            self.give(Input::Written { vault })?;
        }
        Ok(())
    }

    fn list(&mut self) {
        self.noted = self.context.map_or(0, |context| context.board.writes());
        // One that has not begun will see what was written by now.
        if !self.work.iter().any(|work| matches!(work, Work::List)) {
            self.listing += 1;
            self.work.push_back(Work::List);
        }
    }

    /// Makes the peer's transport answer.
    fn probe(&mut self) {
        // Raising the window by a byte sends a frame that the peer's transport acknowledges.
        self.probes += 1;
        let window = VarInt::from_u32(LINK_WINDOW_BYTES.saturating_add(self.probes));
        self.connection.set_receive_window(window);
    }

    /// This machine's way to the network is another one: goes on from a new socket, if the relay still hears us.
    fn path_changed(&mut self) -> Result<(), SyncFailure> {
        self.dialer.rebind()?;
        self.probe();
        self.pulse.suspect(now(), self.connection.stats().udp_rx.datagrams);
        Ok(())
    }

    fn take_time(&mut self) -> Result<(), SyncFailure> {
        let now = now();
        let datagrams = self.connection.stats().udp_rx.datagrams;
        match self.pulse.beat(now, self.machine.is_waiting(), datagrams) {
            Beat::Nothing => {}
            Beat::Dead => return Err(SyncFailure::Lost),
            Beat::Probe => self.probe(),
        }
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.give(Input::Timeout)?;
        }
        if self.held_wait() == Some(Duration::ZERO) {
            self.merging = true;
            self.work.push_back(Work::MergeHeld);
        }
        Ok(())
    }

    /// How long until groups that are held for the clock can be merged, unless that is under way.
    fn held_wait(&self) -> Option<Duration> {
        self.context.filter(|_| !self.merging)?.core.held_wait()
    }

    /// When to look at the wall clock for that; it may jump meanwhile.
    fn held_due(&self) -> Option<Instant> {
        Some(now() + self.held_wait()?.min(CLOCK_LOOK))
    }
}

/// The monotonic clock, as tokio counts it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn reserve(jobs: Option<&mpsc::Sender<Job>>) -> Option<mpsc::Permit<'_, Job>> {
    match jobs {
        Some(jobs) => jobs.reserve().await.ok(),
        None => std::future::pending().await,
    }
}

/// The worker ends before its link only by a panic.
async fn gone(jobs: Option<&mpsc::Sender<Job>>) {
    match jobs {
        Some(jobs) => jobs.closed().await,
        None => std::future::pending().await,
    }
}

async fn written(context: Option<&Context>) {
    match context {
        Some(context) => context.pending.notified().await,
        None => std::future::pending().await,
    }
}

async fn said(meeting: Option<&mut Meeting>) -> Option<Vec<u8>> {
    match meeting {
        Some(meeting) if meeting.met => meeting.say.recv().await,
        _ => std::future::pending().await,
    }
}
