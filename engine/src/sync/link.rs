//! Drives one [`Machine`] over one connection: carries what happens to the machine, and does what it asks. It decides
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::client_link::LinkError;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::ids::PublicKeyBytes;
use subrosa_protocol::labels;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::checker::Overheard;
use super::control::Wish;
use super::dial::{CONNECT_WAIT, Dialer, LINK_WINDOW_BYTES, relay_key};
use super::frames::{FeedBytes, FrameError, FrameReader};
use super::machine::{Errand, FeedEvent, Heard, Machine, MachineInput, MachineOutput};
use super::mailbox;
use super::run::Context;
use super::work::Answer;
use super::worker::{ANSWERS_MAX, Job, Peer};
use crate::error::SyncFailure;

/// Feed frames read and not taken. A full channel stops the readers, and the transport's windows stop the relay.
const FEED_FRAMES_MAX: usize = 32;
/// Feed frames taken in one go before other things have their turn.
const FEED_BURST: usize = 32;

/// How long the last message of a meeting may take after its owner has left.
const SAY_WAIT: Duration = Duration::from_secs(1);

/// How a link ended.
#[derive(Debug)]
pub(super) enum LinkEnd {
    Stopped,
    Failed(SyncFailure),
}

/// The other side of a rendezvous, seen from its owner.
pub(super) struct OtherSide {
    pub(super) say: mpsc::Receiver<Vec<u8>>,
    pub(super) heard: mailbox::Sender<Heard>,
}

/// Whose link it is.
pub(super) enum Owner<'a> {
    /// A device that syncs, and which share of its vaults the link carries.
    Device { context: &'a Context, share: usize },
    /// Somebody who meets another device.
    Meeting(OtherSide),
}

/// A link that is up.
pub(super) struct Link<'a> {
    connection: Connection,
    dialer: &'a Dialer,
    machine: Machine,
    control: FrameReader,
    send: SendStream,
    outgoing: Vec<Bytes>,
    feeds: mpsc::Receiver<(u64, FeedEvent)>,
    feed_sender: mpsc::Sender<(u64, FeedEvent)>,
    /// What the readers have and the machine has not.
    held: Arc<FeedBytes>,
    readers: JoinSet<()>,
    /// Ends the reader of a feed.
    stops: BTreeMap<u64, oneshot::Sender<()>>,
    peer: Peer,
    jobs: Option<mpsc::Sender<Job>>,
    answers: mpsc::Receiver<Answer>,
    answer_sender: mpsc::Sender<Answer>,
    owner: Owner<'a>,
    pending: Option<watch::Receiver<()>>,
    asks: Option<watch::Receiver<u64>>,
    probes: u32,
    overheard: Overheard,
}

/// One thing that happened.
#[expect(clippy::large_enum_variant, reason = "one at a time, handed on at once")]
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
    Asked(u64),
    Say(Vec<u8>),
    Time,
}

impl<'a> Link<'a> {
    /// A link; `jobs` may be missing where nothing is asked of a store. `errand` is asked for once everything else is
    /// there: what is written from then on is told.
    pub(super) async fn open(
        relay: &RelayAddr,
        jobs: Option<mpsc::Sender<Job>>,
        (connection, dialer): (Connection, &'a Dialer),
        owner: Owner<'a>,
        errand: impl FnOnce() -> Errand,
    ) -> Result<Self, SyncFailure> {
        let mut exporter = [0; 32];
        connection
            .export_keying_material(&mut exporter, labels::EXPORTER, b"")
            .map_err(|_| SyncFailure::Lost)?;
        let share = match &owner {
            Owner::Device { share, .. } => *share,
            Owner::Meeting(_) => 0,
        };
        let peer = Peer { share, exporter, key: relay_key(&connection) };
        // A relay may grant no stream and keep the connection alive all the same.
        let opened = tokio::time::timeout(CONNECT_WAIT, connection.open_bi()).await;
        let (send, receive) = opened.ok().and_then(Result::ok).ok_or(SyncFailure::Lost)?;
        let (feed_sender, feeds) = mpsc::channel(FEED_FRAMES_MAX);
        let (answer_sender, answers) = mpsc::channel(ANSWERS_MAX);
        let (pending, asks) = match &owner {
            Owner::Device { context, .. } => (Some(context.pending.subscribe()), Some(context.board.asks())),
            Owner::Meeting(_) => (None, None),
        };
        Ok(Self {
            machine: Machine::new(now(), invite_for(relay, peer.key.as_ref()), &errand())?,
            connection,
            dialer,
            control: FrameReader::new(receive),
            send,
            outgoing: Vec::new(),
            feeds,
            feed_sender,
            held: Arc::default(),
            readers: JoinSet::new(),
            stops: BTreeMap::new(),
            peer,
            jobs,
            answers,
            answer_sender,
            owner,
            pending,
            asks,
            probes: 0,
            overheard: Overheard::default(),
        })
    }

    /// Runs until the link ends, or until something else is wanted.
    pub(super) async fn run(&mut self, wish: &mut watch::Receiver<Wish>) -> LinkEnd {
        loop {
            if let Owner::Device { context, share: 0 } = &self.owner {
                context.board.held(context.core.held_until());
                context.board.futures(&context.core);
                let wait = context.core.held_wait();
                if let Err(failure) = self.machine.handle(now(), MachineInput::Held { wait }) {
                    return LinkEnd::Failed(failure);
                }
            }
            self.drain();
            match self.next(wish).await {
                Happening::Wish(Wish::Stop) => {
                    self.say_the_rest().await;
                    return LinkEnd::Stopped;
                }
                Happening::Wish(Wish::Rest { .. }) => return LinkEnd::Stopped,
                happening => {
                    if let Err(failure) = self.take(happening) {
                        self.drain();
                        return LinkEnd::Failed(failure);
                    }
                }
            }
        }
    }

    /// Waits for the next thing to happen.
    ///
    /// # Cancel safety
    /// Nothing is lost: every branch is cancel-safe, and what it brought is returned at once.
    async fn next(&mut self, wish: &mut watch::Receiver<Wish>) -> Happening {
        let timer = tokio::time::sleep_until(self.machine.deadline().into());
        let (reads_feeds, has_work, is_met) =
            (self.machine.reads_feeds(), self.machine.has_work(), self.machine.is_met());
        let jobs = self.jobs.as_ref();
        let meeting = if let Owner::Meeting(meeting) = &mut self.owner { Some(meeting) } else { None };
        tokio::select! {
            // Feeds come last: their end says nothing new once the relay has said why, or the connection is gone.
            biased;
            _ = wish.changed() => Happening::Wish(*wish.borrow_and_update()),
            () = gone(jobs) => Happening::WorkerGone,
            frame = self.control.next() => Happening::Control(frame),
            Some(answer) = self.answers.recv() => Happening::Answer(answer),
            () = timer => Happening::Time,
            Some(permit) = reserve(jobs), if has_work => {
                if let Some(work) = self.machine.next_work() {
                    permit.send(Job::Work { work, peer: self.peer, answers: self.answer_sender.clone() });
                }
                Happening::HandedOver
            }
            written = self.send.write_chunks(&mut self.outgoing), if !self.outgoing.is_empty() => {
                Happening::Sent(written.is_ok())
            }
            () = written(self.pending.as_mut()) => Happening::Written,
            asks = asked(self.asks.as_mut()) => Happening::Asked(asks),
            Some(message) = said(meeting), if is_met => Happening::Say(message),
            stream = self.connection.accept_uni() => Happening::Stream(stream.ok()),
            Some((stream, event)) = self.feeds.recv(), if reads_feeds => Happening::Feed(stream, event),
        }
    }

    /// The last message of a meeting may be followed by a stop at once: it still goes out, if it can.
    async fn say_the_rest(&mut self) {
        if !self.machine.is_met() {
            return;
        }
        let Owner::Meeting(meeting) = &mut self.owner else { return };
        while let Ok(message) = meeting.say.try_recv() {
            if self.machine.handle(now(), MachineInput::Say(message)).is_err() {
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
        let input = match happening {
            Happening::HandedOver => return Ok(()),
            Happening::WorkerGone => return Err(SyncFailure::Panicked),
            Happening::Control(Err(FrameError::Decode(error))) => return Err(LinkError::Decode(error).into()),
            Happening::Control(Err(FrameError::TooMuchBegun)) => return Err(LinkError::TooMuchBegun.into()),
            Happening::Control(Err(FrameError::Ended)) | Happening::Stream(None) | Happening::Sent(false) => {
                return Err(self.lost());
            }
            Happening::Feed(stream, event) => return self.take_feed(stream, event),
            Happening::Stream(Some(stream)) => {
                self.read_feed(stream);
                return Ok(());
            }
            Happening::Sent(true) => {
                self.outgoing.retain(|bytes| !bytes.is_empty());
                return Ok(());
            }
            Happening::Wish(_) => {
                // Goes on from a new socket, if the relay still hears us.
                self.dialer.rebind()?;
                MachineInput::PathChanged { datagrams: self.datagrams() }
            }
            Happening::Control(Ok(frame)) => MachineInput::Frame(frame),
            Happening::Answer(answer) => MachineInput::Answer(answer),
            Happening::Written => MachineInput::Written { writes: self.writes() },
            Happening::Asked(asks) => MachineInput::Asked { asks, datagrams: self.datagrams() },
            Happening::Say(message) => MachineInput::Say(message),
            Happening::Time => MachineInput::Timeout { datagrams: self.datagrams() },
        };
        self.machine.handle(now(), input)
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

    fn datagrams(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    fn writes(&self) -> u64 {
        match &self.owner {
            Owner::Device { context, .. } => context.board.writes(),
            Owner::Meeting(_) => 0,
        }
    }

    /// Does all that the machine asks for, but its work, which waits for its turn with the store.
    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            match (output, &mut self.owner) {
                (MachineOutput::Send(bytes), _) => self.outgoing.push(bytes),
                (MachineOutput::StopFeed { stream }, _) => drop(self.stops.remove(&stream)),
                (MachineOutput::Probe, _) => self.probe(),
                (MachineOutput::Links(links), Owner::Device { context, .. }) => context.want_links(links),
                (MachineOutput::News(news), Owner::Device { context, share }) => {
                    context.board.news(*share, &news)
                }
                (MachineOutput::Heard(heard), Owner::Meeting(meeting)) => meeting.heard.send(heard),
                (MachineOutput::Links(_) | MachineOutput::News(_), Owner::Meeting(_))
                | (MachineOutput::Heard(_), Owner::Device { .. }) => {}
            }
        }
        if let Owner::Device { context, share } = &self.owner {
            context.board.standing(*share, self.machine.standing());
        }
    }

    /// Takes a feed frame, and those behind it while there is room and nobody has waited long.
    fn take_feed(&mut self, stream: u64, event: FeedEvent) -> Result<(), SyncFailure> {
        let mut next = Some((stream, event));
        let mut taken = 0;
        while let Some((stream, event)) = next.take() {
            if let FeedEvent::Frame(frame) = &event {
                self.held.took(frame.len());
            }
            if let FeedEvent::Closed = event {
                if self.connection.close_reason().is_some() {
                    return Err(self.lost());
                }
                self.stops.remove(&stream);
            }
            self.overhear(stream, &event);
            self.machine.handle(now(), MachineInput::Feed { stream, event })?;
            self.drain();
            taken += 1;
            if taken < FEED_BURST && self.machine.reads_feeds() {
                next = self.feeds.try_recv().ok();
            }
        }
        Ok(())
    }

    /// Has what will wait for the store looked at ahead.
    fn overhear(&mut self, stream: u64, event: &FeedEvent) {
        let Owner::Device { context, .. } = &self.owner else { return };
        match event {
            FeedEvent::Frame(frame) => {
                self.overheard.frame(&context.core, stream, frame, self.machine.is_delivering())
            }
            FeedEvent::Closed | FeedEvent::Unreadable(_) | FeedEvent::TooMuchBegun => {
                self.overheard.over(stream)
            }
        }
    }

    fn read_feed(&mut self, stream: RecvStream) {
        let number = VarInt::from(stream.id()).into_inner();
        let sender = self.feed_sender.clone();
        let held = self.held.clone();
        let (stop, mut stopped) = oneshot::channel();
        self.stops.insert(number, stop);
        while self.readers.try_join_next().is_some() {}
        self.readers.spawn(async move {
            let mut frames = FrameReader::of_feed(stream, held);
            loop {
                let event = tokio::select! {
                    frame = frames.next() => match frame {
                        Ok(frame) => FeedEvent::Frame(frame),
                        Err(FrameError::Ended) => FeedEvent::Closed,
                        Err(FrameError::Decode(error)) => FeedEvent::Unreadable(error),
                        Err(FrameError::TooMuchBegun) => FeedEvent::TooMuchBegun,
                    },
                    // Dropping the stream tells the relay to send no more.
                    _ = &mut stopped => FeedEvent::Closed,
                };
                let last = !matches!(event, FeedEvent::Frame(_));
                if sender.send((number, event)).await.is_err() || last {
                    return;
                }
            }
        });
    }

    /// Makes the peer's transport answer.
    fn probe(&mut self) {
        // Raising the window by a byte sends a frame that the peer's transport acknowledges.
        self.probes += 1;
        let window = VarInt::from_u32(LINK_WINDOW_BYTES.saturating_add(self.probes));
        self.connection.set_receive_window(window);
    }
}

/// The invite to show to the relay whose key this is. One that another relay signed opens nothing here, and is not for this
/// one to see.
fn invite_for(relay: &RelayAddr, key: Option<&PublicKeyBytes>) -> Option<Vec<u8>> {
    let invite = relay.invite()?;
    let is_its_own = key.is_some_and(|key| invite.verify(key).is_ok());
    if !is_its_own {
        tracing::warn!(
            "the invite in the relay's address was not made by this relay, and is not shown to it"
        );
    }
    is_its_own.then(|| invite.encode())
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

async fn written(pending: Option<&mut watch::Receiver<()>>) {
    if let Some(pending) = pending
        && pending.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn asked(asks: Option<&mut watch::Receiver<u64>>) -> u64 {
    if let Some(asks) = asks
        && asks.changed().await.is_ok()
    {
        return *asks.borrow_and_update();
    }
    std::future::pending().await
}

async fn said(meeting: Option<&mut OtherSide>) -> Option<Vec<u8>> {
    match meeting {
        Some(meeting) => meeting.say.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use subrosa_model::entropy::OsEntropy;
    use subrosa_model::keys::KeyPair;
    use subrosa_protocol::ids::{Pin, Signature};
    use subrosa_protocol::token::Invite;

    use super::*;

    #[test]
    fn an_invite_is_shown_only_to_the_relay_that_made_it() {
        let [relay, other] = [(); 2].map(|()| KeyPair::generate(&OsEntropy));
        let mut invite = Invite {
            id: [1; 8],
            class: 0,
            uses_max: 1,
            expires_secs: 0,
            signature: Signature::from_bytes([0; 64]),
        };
        invite.signature = Signature::from_bytes(relay.sign(labels::INVITE, &invite.signed_bytes()));
        let hosts = vec!["relay.example:4433".to_owned()];
        let addr = RelayAddr::new(hosts, Pin::from_bytes([7; 32]), Some(invite)).unwrap();
        let shown = |key: Option<&KeyPair>| invite_for(&addr, key.map(|key| key.public().into()).as_ref());
        assert_eq!(shown(Some(&relay)), Some(invite.encode()));
        assert_eq!((shown(Some(&other)), shown(None)), (None, None));
        assert_eq!(invite_for(&addr.without_invite(), Some(&relay.public().into())), None);
    }
}
