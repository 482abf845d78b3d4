//! Drives one [`RelayLink`] over one QUIC connection. It decides nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{RelayFrame, RelayLimits};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::relay_link::{Admission, Asker, Input, LinkConfig, LinkNo, Output, RelayLink};
use subrosa_protocol::{labels, limits};
use tokio::sync::{Semaphore, mpsc};

use crate::alarm::Alarm;
use crate::appender::{Appender, Moment, Reply, Trap};
use crate::clock::Clock;
use crate::data::DataDir;
use crate::feed::{FeedTask, Means};
use crate::frames::{FrameEnd, FrameReader, Terms};
use crate::heal::Healer;
use crate::hub::Hub;
use crate::intake::Owner;
use crate::lobby::{Guest, Lobby};
use crate::places::{ChainRoom, Chains, Places, Windows};
use crate::sending::Sending;
use crate::store::StoreError;
use crate::transport::{self, Stalled};

/// Inputs waiting for one link: an answer to each append and to one lookup, one look again for each vault, and
/// what other links cause.
const INBOX_MAX: usize = 32 + limits::APPENDS_PER_LINK_MAX + limits::VAULTS_PER_LINK_MAX;
/// Time for the last frames to arrive before the connection is closed under them.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// What all links of a relay share.
pub(crate) struct Shared {
    pub(crate) data: Arc<DataDir>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) appender: Appender,
    pub(crate) healer: Arc<Healer>,
    pub(crate) clock: Clock,
    /// Feeds reading the database at a time.
    pub(crate) reads: Arc<Semaphore>,
    /// Whom the relay lets in.
    pub(crate) lobby: Arc<Lobby>,
    /// Chains that come in parts.
    pub(crate) chains: Arc<Chains>,
    /// Large frames of members.
    pub(crate) frames: Arc<Places>,
    /// Larger windows of members.
    pub(crate) windows: Arc<Windows>,
    /// Chunks of feeds.
    pub(crate) chunks: Arc<Places>,
    /// Larger windows of what is sent.
    pub(crate) send_windows: Arc<Windows>,
    /// Stops the relay when a part that it cannot do without is gone.
    pub(crate) alarm: Alarm,
    /// Sees every frame that a client sends, after decryption.
    pub(crate) tap: Option<Tap>,
    /// Called at moments at which a test may make a thread panic.
    pub(crate) trap: Option<Trap>,
}

impl Shared {
    fn trap(&self, moment: Moment) {
        if let Some(trap) = &self.trap {
            trap(moment);
        }
    }
}

/// Shown every frame that a client sends, without its length prefix.
pub type Tap = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Why a link's connection ended.
enum End {
    /// The machine closed it.
    Closed(ErrorCode),
    /// The peer went away, stalled, or is not of this protocol.
    Peer,
    /// Another link had more for this one than its inbox holds.
    Overrun,
}

impl From<Stalled> for End {
    fn from(_: Stalled) -> Self {
        Self::Peer
    }
}

/// Serves one connection until it ends.
///
/// # Cancel safety
/// If dropped, the connection ends, and what is under way is answered to nobody.
pub(crate) async fn serve(connection: Connection, shared: Arc<Shared>, guest: Guest) {
    let mut exporter = [0; 32];
    if connection.export_keying_material(&mut exporter, labels::EXPORTER, b"").is_err() {
        return connection.close(transport::CLOSE_INTERNAL, b"");
    }
    let Ok(Ok((send, recv))) = tokio::time::timeout(limits::AUTH_DEADLINE, connection.accept_bi()).await
    else {
        return connection.close(transport::close_code(ErrorCode::BadFrame.to_wire()), b"no stream");
    };
    let (inbox, inputs) = mpsc::channel(INBOX_MAX);
    let config = &shared.data.config;
    let link = RelayLink::new(
        shared.clock.now(),
        LinkConfig {
            exporter,
            incarnation: shared.data.store.incarnation(),
            limits: RelayLimits {
                segment_bytes_max: config.segment_bytes_max(),
                vaults_max: limits::VAULTS_PER_LINK_MAX as u16,
            },
            relay: *shared.data.key.public(),
            admission: if config.open { Admission::Open } else { Admission::Closed },
        },
    );
    let no = shared.hub.register(inbox.clone());
    let mut driver = Box::new(Driver {
        link,
        no,
        inbox: inbox.downgrade(),
        send,
        connection,
        feeds: Vec::new(),
        sending: None,
        guest,
        vault: None,
        chain: None,
        shared,
    });
    drop(inbox);
    driver.run(recv, inputs).await;
}

struct Driver {
    link: RelayLink,
    no: LinkNo,
    /// The hub holds the inbox open; when it forgets the link, `inputs` ends.
    inbox: mpsc::WeakSender<Box<Input>>,
    send: SendStream,
    connection: Connection,
    feeds: Vec<(VaultId, FeedTask)>,
    /// The send window that the feeds share.
    sending: Option<Arc<Sending>>,
    guest: Guest,
    /// The first vault of which the peer proved a key: its large frames are of that vault's share.
    vault: Option<VaultId>,
    /// What the link has gathered of a chain.
    chain: Option<ChainRoom>,
    shared: Arc<Shared>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.hub.unregister(self.shared.clock.now(), self.no);
    }
}

impl Driver {
    async fn run(&mut self, recv: RecvStream, mut inputs: mpsc::Receiver<Box<Input>>) {
        let mut frames = FrameReader::new(self.connection.clone(), recv);
        let end = loop {
            match self.next_input(&mut frames, &mut inputs).await {
                Ok(input) => {
                    if matches!(&input, Input::Deliver(RelayFrame::RendezvousReady { .. })) {
                        self.guest.met();
                    }
                    if let Err(error) = self.link.handle(self.shared.clock.now(), input) {
                        tracing::debug!(link = self.no.0, %error, "link ended");
                    }
                    self.count_chain();
                    if let Err(end) = self.perform(&mut frames).await {
                        break end;
                    }
                    if self.link.accepts_frame() {
                        frames.release();
                    }
                }
                Err(end) => break end,
            }
        };
        match end {
            End::Closed(code) => {
                self.feeds.clear();
                let _ = self.send.finish();
                let _ = tokio::time::timeout(CLOSE_GRACE, self.send.stopped()).await;
                self.connection.close(transport::close_code(code.to_wire()), b"");
            }
            End::Overrun => self.connection.close(transport::CLOSE_INTERNAL, b"overrun"),
            End::Peer => self.connection.close(transport::close_code(0), b""),
        }
    }

    /// Counts what the link holds of chains among those of all links.
    fn count_chain(&mut self) {
        let bytes = self.link.gathered_bytes();
        if bytes == 0 {
            self.chain = None;
            return;
        }
        let owner = self.owner();
        let room = self.chain.get_or_insert_with(|| Arc::clone(&self.shared.chains).room(owner));
        if !room.fit(bytes) {
            let refused = self.link.handle(self.shared.clock.now(), Input::NoRoom);
            debug_assert!(refused.is_ok(), "it ends no link");
            room.fit(self.link.gathered_bytes());
        }
    }

    /// Waits for the next thing that happens to the link.
    ///
    /// # Cancel safety
    /// Not to be cancelled; inside, both alternatives keep what they have read.
    async fn next_input(
        &mut self,
        frames: &mut FrameReader,
        inputs: &mut mpsc::Receiver<Box<Input>>,
    ) -> Result<Input, End> {
        let accepts = self.link.accepts_frame();
        let member = self.link.is_member();
        let terms = Terms {
            limit: self.link.frame_limit(),
            owner: self.owner(),
            places: &self.shared.frames,
            windows: member.then_some(&self.shared.windows),
        };
        let deadline = self.link.deadline().map(|at| self.shared.clock.instant(at));
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            input = inputs.recv() => input.map(|input| *input).ok_or(End::Overrun),
            frame = frames.next(&terms), if accepts => match frame {
                Ok(frame) => {
                    if let Some(tap) = &self.shared.tap {
                        tap(&frame);
                    }
                    Ok(Input::Frame(frame))
                }
                Err(FrameEnd::TooLarge) => Ok(Input::Frame(Bytes::new())), // the machine ends the link
                Err(FrameEnd::TooSlow) => Ok(Input::TooSlow),
                Err(FrameEnd::Peer) => Err(End::Peer),
            },
            _ = self.connection.closed() => Err(End::Peer),
            () = timeout => Ok(Input::Timeout),
        }
    }

    /// Does all that the machine asks for. The frame that led to it keeps its place while the relay works on it,
    /// not while the peer takes an answer, and not once the appender counts it.
    async fn perform(&mut self, frames: &mut FrameReader) -> Result<(), End> {
        while let Some(output) = self.link.poll() {
            match output {
                Output::Send(frame) => {
                    frames.release();
                    self.write(&frame).await?;
                }
                Output::Append(append) => {
                    let reply = self.reply()?;
                    let feed = self.feed(&append.vault).map(|task| Arc::clone(&task.handle));
                    self.shared.appender.submit(append, feed, reply).await;
                    frames.release();
                }
                Output::Joined(vault) => {
                    if self.vault.is_none() {
                        self.vault = Some(vault);
                        self.guest.proved();
                    }
                    self.shared.hub.join(vault, self.no, None);
                    self.look_again(vault)?;
                }
                Output::Left(vault) => self.shared.hub.leave(&vault, self.no),
                Output::OpenFeed(feed) => {
                    let vault = *feed.vault();
                    let task = FeedTask::spawn(feed, self.connection.clone(), self.means());
                    self.shared.hub.join(vault, self.no, Some(Arc::clone(&task.handle)));
                    self.feeds.push((vault, task));
                }
                Output::CloseFeed(vault) => {
                    self.feeds.retain(|(fed, _)| *fed != vault);
                    self.shared.hub.join(vault, self.no, None);
                }
                Output::Want(vault, want) => {
                    if let Some(task) = self.feed(&vault) {
                        task.handle.want(want);
                    }
                }
                Output::Ask(vault, number) => {
                    if let Some(task) = self.feed(&vault) {
                        task.handle.ask(number);
                    }
                }
                Output::Rendezvous(request) => {
                    let asker = Asker { link: self.no, origin: self.guest.origin() };
                    self.shared.hub.rendezvous(self.shared.clock.now(), asker, request);
                }
                Output::Close(code) => return Err(End::Closed(code)),
                lookup => self.look_up(lookup)?,
            }
        }
        Ok(())
    }

    /// Answers a lookup on a blocking thread.
    fn look_up(&self, lookup: Output) -> Result<(), End> {
        let owed = Owed(Some(self.reply()?));
        let shared = Arc::clone(&self.shared);
        let no = self.no;
        tokio::task::spawn_blocking(move || {
            shared.trap(Moment::LookUp);
            match answer(&shared, no, lookup) {
                Ok(input) => owed.pay(input),
                Err(error) => tracing::error!(%error, "lookup"),
            }
        });
        Ok(())
    }

    /// A statement may have come between the lookup that let the peer in and its place in the hub: without
    /// this, a key superseded in that moment would keep its link. A link that cannot be looked at ends.
    fn look_again(&self, vault: VaultId) -> Result<(), End> {
        let reply = self.reply()?;
        let (shared, no) = (Arc::clone(&self.shared), self.no);
        tokio::task::spawn_blocking(move || match shared.data.store.vault(&vault) {
            Ok(Some(row)) => {
                reply.send(Box::new(Input::StatementsChanged(vault, shared.data.state(row))));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "lookup");
                shared.hub.cut(no);
            }
        });
        Ok(())
    }

    fn reply(&self) -> Result<Reply, End> {
        let inbox = self.inbox.upgrade().ok_or(End::Overrun)?;
        inbox.try_reserve_owned().map_err(|_| End::Overrun)
    }

    fn owner(&self) -> Owner {
        Owner { origin: self.guest.origin(), vault: self.vault }
    }

    /// What a feed of this link needs.
    fn means(&mut self) -> Means {
        let (owner, shared) = (self.owner(), &self.shared);
        let windows = &shared.send_windows;
        let new = || Sending::new(self.connection.clone(), Arc::clone(windows), owner);
        Means {
            healer: Arc::clone(&shared.healer),
            reads: Arc::clone(&shared.reads),
            chunks: Arc::clone(&shared.chunks),
            owner,
            sending: Arc::clone(self.sending.get_or_insert_with(new)),
            trap: shared.trap.clone(),
            inbox: self.inbox.clone(),
        }
    }

    fn feed(&self, vault: &VaultId) -> Option<&FeedTask> {
        self.feeds.iter().find(|(fed, _)| fed == vault).map(|(_, task)| task)
    }

    async fn write(&mut self, frame: &RelayFrame) -> Result<(), End> {
        Ok(transport::write(&mut self.send, frame.encode()).await?)
    }
}

/// The answer to a lookup, which the link waits for: without another one, if the thread panics too, it is that it failed.
struct Owed(Option<Reply>);

impl Owed {
    fn pay(mut self, input: Input) {
        if let Some(reply) = self.0.take() {
            reply.send(Box::new(input));
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply.send(Box::new(Input::Failed));
        }
    }
}

fn answer(shared: &Shared, no: LinkNo, lookup: Output) -> Result<Input, StoreError> {
    let (data, healer) = (&shared.data, &shared.healer);
    Ok(match lookup {
        Output::LoadVault(vault) => Input::Vault(data.store.vault(&vault)?.map(|row| data.state(row))),
        Output::Create(creation) => Input::Created(data.create(*creation)?),
        Output::LoadStatements { vault, from } => Input::Statements(data.store.statements(&vault, from)?),
        Output::JoinStatements { vault, tail } => {
            let joined = data.join_statements(&vault, &tail, shared.clock.now())?;
            if let Ok((state, true)) = &joined {
                shared.hub.statements_changed(vault, state, no);
            }
            Input::StatementStored(joined.map(|(state, _)| state))
        }
        Output::LoadDigest(vault) => {
            let (last, digest) = healer.read(|store| store.digest(&vault))?;
            Input::Digest { last, digest }
        }
        Output::LoadHeads(vault) => Input::Heads(healer.read(|store| store.heads(&vault))?),
        Output::MatchHeads { vault, heads } => {
            Input::Matched(healer.read(|store| store.match_heads(&vault, &heads))?)
        }
        _ => Input::Failed,
    })
}
