//! A relay in this process: its runtime, its endpoint, and how it stops.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quinn::{Endpoint, Incoming};
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::limits;
use subrosa_protocol::token::Invite;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::admin;
use crate::alarm::Alarm;
use crate::appender::{Appender, AppenderThreads};
use crate::clock::Clock;
use crate::config::Config;
use crate::data::DataDir;
use crate::error::Error;
use crate::heal::Healer;
use crate::hub::Hub;
use crate::link::{self, Shared, Tap};
use crate::lobby::{Lobby, Welcome};
use crate::places::{Chains, Places, Windows};
use crate::strangers::Address;
use crate::transport;

/// Feeds that read the database at a time.
const READS_MAX: usize = 8;
/// Threads for lookups and feeds' reads.
const BLOCKING_THREADS_MAX: usize = 12;
/// An idle one ends after this.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Threads that move packets.
const WORKERS_MAX: usize = 4;
/// One in this many newcomers has to show its address (Retry) in any case, so that the path never rots.
const RETRY_ALWAYS: u8 = 100;
/// Time for one handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for links to finish when the relay stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Where relays come from.
#[derive(Debug)]
pub struct Relay;

/// What tests hang into a relay.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Hooks {
    /// Shown every frame that a client sends.
    pub tap: Option<Tap>,
    /// Called at moments of threads that work on the store; may panic.
    pub trap: Option<Arc<dyn Fn(crate::appender::Moment) + Send + Sync>>,
    /// Whether logs may begin behind their first segment.
    pub bases: crate::appender::verify::Bases,
}

/// A relay that serves until it is stopped or dropped, or until a part without which it is none is gone.
pub struct RunningRelay {
    addr: SocketAddr,
    data: Arc<DataDir>,
    alarm: Alarm,
    #[cfg(test)]
    endpoint: Endpoint,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// SIGTERM and SIGINT, which end the process no more from when they are caught.
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// [`Error::System`] when signals cannot be had.
    pub fn catch() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (terminate, interrupt) = {
            let _guard = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(Self { runtime, terminate, interrupt })
    }
}

impl Relay {
    /// Opens `data` and serves it with `config`, which may differ from its `relay.toml`. Returns once the relay
    /// listens.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start(config: Config, data: &Path) -> Result<RunningRelay, Error> {
        Self::start_tapped(config, data, None)
    }

    /// As [`Relay::start`]; `tap` is shown every frame that a client sends. For the test that a relay sees nothing.
    ///
    /// # Errors
    /// [`Error`].
    #[doc(hidden)]
    pub fn start_tapped(config: Config, data: &Path, tap: Option<Tap>) -> Result<RunningRelay, Error> {
        Self::start_hooked(config, data, Hooks { tap, ..Hooks::default() })
    }

    /// As [`Relay::start`], with what tests need.
    ///
    /// # Errors
    /// [`Error`].
    #[doc(hidden)]
    pub fn start_hooked(config: Config, data: &Path, hooks: Hooks) -> Result<RunningRelay, Error> {
        let Hooks { tap, trap, bases } = hooks;
        let data = Arc::new(DataDir::open(data, config)?);
        let runtime = runtime()?;
        let endpoint = {
            let _guard = runtime.enter();
            transport::endpoint(data.config.listen, &data.key)?
        };
        let addr = endpoint.local_addr()?;
        let socket = {
            let _guard = runtime.enter();
            admin::Socket::bind(&data.path)?
        };
        let clock = Clock::start();
        let hub = Arc::new(Hub::new(clock.now()));
        let healer = Arc::new(Healer::new(Arc::clone(&data), Arc::clone(&hub)));
        let alarm = Alarm::new();
        let (appender, appender_threads) =
            Appender::start(Arc::clone(&healer), clock, &alarm, trap.clone(), bases)?;
        let shared = Arc::new(Shared {
            data: Arc::clone(&data),
            hub,
            appender,
            healer,
            clock,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            lobby: Arc::new(Lobby::new(clock, data.config.connections_max)),
            chains: Arc::new(Chains::new(limits::CHAINS_BYTES_MAX)),
            frames: Arc::new(Places::new(clock, limits::FRAMES_BYTES_MAX)),
            windows: Arc::new(Windows::new(
                limits::WINDOWS_BYTES_MAX,
                limits::MEMBER_WINDOW_BYTES - limits::WINDOW_BYTES_MIN,
            )),
            chunks: Arc::new(Places::new(clock, limits::FEEDS_BYTES_MAX)),
            send_windows: Arc::new(Windows::new(
                limits::SEND_WINDOWS_BYTES_MAX,
                limits::MEMBER_SEND_BYTES - limits::SEND_BYTES_MIN,
            )),
            alarm: alarm.clone(),
            tap,
            trap,
        });
        let (stop, stopped) = oneshot::channel();
        #[cfg(test)]
        let for_tests = endpoint.clone();
        let serving = Serving { runtime, endpoint, socket, shared, appender_threads, addr };
        let thread = thread::Builder::new().name("relay".into()).spawn(move || serving.run(stopped))?;
        Ok(RunningRelay {
            addr,
            data,
            alarm,
            #[cfg(test)]
            endpoint: for_tests,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl RunningRelay {
    /// The address that it listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL that clients need, without an invite.
    ///
    /// # Errors
    /// [`Error::NoPublicAddress`] when it listens on a wildcard address and no public one is configured.
    pub fn url(&self) -> Result<RelayAddr, Error> {
        self.data.url(Some(self.addr), None)
    }

    /// The URL with a new invite for `uses` vaults of quota class 0.
    ///
    /// # Errors
    /// As [`RunningRelay::url`], and [`Error::Store`].
    pub fn invite_url(&self, uses: u16) -> Result<RelayAddr, Error> {
        let invite: Invite = self.data.new_invite(uses, 0, 0)?;
        self.data.url(Some(self.addr), Some(invite))
    }

    /// Why the relay has stopped by itself, if it has: its links are ended, and nothing but stopping it is left.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.alarm.what().map(|what| Error::Stopped { what })
    }

    /// Blocks until SIGTERM or SIGINT, from this call on.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the relay had to stop by itself; [`Error::System`] when signals cannot be had.
    pub fn wait_for_signal(&self) -> Result<(), Error> {
        self.wait_for(Signals::catch()?)
    }

    /// Blocks until a signal that `signals` caught, which may have come before.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the relay had to stop by itself.
    pub fn wait_for(&self, signals: Signals) -> Result<(), Error> {
        let Signals { runtime, mut terminate, mut interrupt } = signals;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                what = self.alarm.rung() => return Err(Error::Stopped { what }),
            }
            Ok(())
        })
    }

    /// Drains: tells clients to come back later, finishes the commits under way, closes. Returns when all is
    /// released, the lock on the data directory included, with [`RunningRelay::failure`].
    pub fn stop(mut self) -> Option<Error> {
        self.stop_now();
        self.failure()
    }

    fn stop_now(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(()); // gone only if the thread has ended
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the relay's thread panicked");
        }
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        self.stop_now();
    }
}

fn runtime() -> Result<Runtime, Error> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_name("relay-io")
        .enable_io()
        .enable_time()
        .build()?)
}

struct Serving {
    runtime: Runtime,
    endpoint: Endpoint,
    socket: admin::Socket,
    shared: Arc<Shared>,
    appender_threads: AppenderThreads,
    addr: SocketAddr,
}

impl Serving {
    fn run(self, stopped: oneshot::Receiver<()>) {
        let Self { runtime, endpoint, socket, shared, appender_threads, addr } = self;
        let admin = runtime.spawn(socket.serve(Arc::clone(&shared), addr));
        runtime.block_on(async {
            let mut links = JoinSet::new();
            accept(&endpoint, &shared, &mut links, stopped).await;
            let alive = shared.alarm.what().is_none();
            if alive {
                shared.hub.drain()
            } else {
                shared.hub.abandon()
            }
            let all = async { while links.join_next().await.is_some() {} };
            if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
                tracing::warn!(links = links.len(), "links did not finish in time");
            }
            links.shutdown().await;
            endpoint.close(if alive { transport::close_code(0) } else { transport::CLOSE_INTERNAL }, b"");
            let _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
            admin.abort();
            let _ = admin.await; // cancelled
        });
        drop(shared);
        runtime.shutdown_timeout(DRAIN_TIMEOUT); // whoever still holds the appender lets go of it
        appender_threads.join();
    }
}

/// Lets connections in until told to stop, or until the relay cannot go on.
async fn accept(
    endpoint: &Endpoint,
    shared: &Arc<Shared>,
    links: &mut JoinSet<()>,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(incoming, endpoint, shared, links),
                None => return shared.alarm.ring("the UDP socket"),
            },
            Some(_) = links.join_next(), if !links.is_empty() => {}
            _ = &mut stopped => return,
            _ = shared.alarm.rung() => return,
        }
    }
}

fn admit(incoming: Incoming, endpoint: &Endpoint, shared: &Arc<Shared>, links: &mut JoinSet<()>) {
    if endpoint.open_connections() >= shared.data.config.connections_max {
        return incoming.refuse();
    }
    let shown = incoming.remote_address_validated();
    let address = if shown { Address::Shown } else { Address::Claimed };
    let welcome = if !shown && one_in(RETRY_ALWAYS) {
        Welcome::ShowAddress
    } else {
        shared.lobby.knock(incoming.remote_address().ip(), address)
    };
    let guest = match welcome {
        Welcome::Enter(guest) => guest,
        Welcome::Refused => return incoming.refuse(),
        Welcome::ShowAddress => {
            let _ = incoming.retry(); // fails only for an address that was shown
            return;
        }
    };
    let shared = Arc::clone(shared);
    let shown_out = guest.shown_out();
    let serve = Box::pin(async move {
        let Ok(connecting) = incoming.accept() else { return };
        if let Ok(Ok(connection)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
            link::serve(connection, shared, guest).await;
        }
    });
    links.spawn(async move {
        tokio::select! {
            () = serve => {}
            () = shown_out.notified() => {} // dropped, and with it the connection
        }
    });
}

fn one_in(n: u8) -> bool {
    crate::data::random::<2>().is_ok_and(|bytes| u16::from_be_bytes(bytes) % u16::from(n) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_loses_its_socket_stops_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("relay");
        let config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() };
        crate::data::init(&data, &config).unwrap();
        let relay = Relay::start(config.clone(), &data).unwrap();
        relay.endpoint.close(transport::CLOSE_INTERNAL, b"");
        assert!(matches!(relay.wait_for_signal(), Err(Error::Stopped { what: "the UDP socket" })));
        relay.stop();
        Relay::start(config, &data).unwrap().stop();
    }
}
