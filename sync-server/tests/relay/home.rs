//! A relay on loopback for a test, and what its links push and are fed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use subrosa_protocol::frame::{ClientFrame, Credential, FeedFrame, RelayFrame};
use subrosa_protocol::ids::{Rseq, Seq};
use subrosa_protocol::segment::{Kind, SealedSegment};
use subrosa_relay::{Bases, Config, Hooks, Moment, Relay, RunningRelay};

use crate::client::Client;
use crate::fixture::Vault;

pub(crate) fn config() -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
}

/// A new relay in `data`, a directory that is not there yet.
pub(crate) fn start(data: &std::path::Path, config: Config) -> RunningRelay {
    subrosa_relay::init(data, &config).unwrap();
    Relay::start(config, data).unwrap()
}

/// A relay that panics at each next `moment` for which it is armed.
pub(crate) fn armed_for(moment: Moment) -> (tempfile::TempDir, RunningRelay, Arc<AtomicBool>) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let config = Config { open: true, ..config() };
    subrosa_relay::init(&data, &config).unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let trigger = Arc::clone(&armed);
    let trap = move |at| assert!(at != moment || !trigger.swap(false, Ordering::AcqRel), "a trap");
    let hooks = Hooks { trap: Some(Arc::new(trap)), ..Hooks::default() };
    let relay = Relay::start_hooked(config, &data, hooks).unwrap();
    (dir, relay, armed)
}

/// A relay that lives as long as the test.
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) relay: RunningRelay,
}

impl Home {
    pub(crate) fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let relay = start(&dir.path().join("relay"), config);
        Self { dir, relay }
    }

    pub(crate) fn open() -> Self {
        Self::with(Config { open: true, ..config() })
    }

    /// One that lets a log begin where LOG says.
    pub(crate) fn taking_bases() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, config) = (dir.path().join("relay"), Config { open: true, ..config() });
        subrosa_relay::init(&data, &config).unwrap();
        let hooks = Hooks { bases: Bases::Taken, ..Hooks::default() };
        let relay = Relay::start_hooked(config, &data, hooks).unwrap();
        Self { dir, relay }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("relay")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::hello(self.relay.addr()).await
    }

    /// A vault of its own and a writer's link to it.
    pub(crate) async fn vault(&self) -> (Vault, Client) {
        let vault = Vault::new();
        let mut client = self.client().await;
        client.create(&vault, Credential::None).await.unwrap();
        client.logs(&vault).await;
        (vault, client)
    }
}

pub(crate) async fn push(client: &mut Client, vault: &Vault, segments: Vec<SealedSegment>) -> RelayFrame {
    client.send(&ClientFrame::Push { vault: vault.id, segments }).await;
    client.recv().await
}

pub(crate) fn acked(frame: &RelayFrame) -> (Rseq, Vec<Seq>) {
    match frame {
        RelayFrame::Ack { rseq, entries, .. } => (*rseq, entries.iter().map(|entry| entry.seq).collect()),
        other => panic!("{other:?}"),
    }
}

/// The segments of feed frames as (is ahead, rseq, log is control, seq).
pub(crate) fn shape(frames: &[FeedFrame]) -> Vec<(Option<u64>, Kind, u64)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            FeedFrame::Ahead { segment } => Some((None, segment.header().kind, segment.header().seq.0)),
            FeedFrame::Segment { rseq, segment } => {
                Some((Some(rseq.0), segment.header().kind, segment.header().seq.0))
            }
            FeedFrame::Start { .. }
            | FeedFrame::Log { .. }
            | FeedFrame::CaughtUp { .. }
            | FeedFrame::Answer { .. } => None,
        })
        .collect()
}
