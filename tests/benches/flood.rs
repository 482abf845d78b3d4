//! What an honest client notices of floods, and what a relay holds under them.
//!
//! The honest client has a vault of its own and pushes one edit after the other, as fast as they are acknowledged: a block of
//! them while nothing else happens, and a block while a process of its own floods the relay from other networks, in turns.

#[path = "flood/acts.rs"]
mod acts;
#[path = "../../sync-server/tests/relay/client.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "they are the relay's tests', which use more of it")]
mod client;
#[path = "../../sync-server/tests/relay/fixture.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "they are the relay's tests', which use more of it")]
mod fixture;
mod harness;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use subrosa_protocol::frame::{ClientFrame, Credential, RelayFrame};
use tokio::runtime::Runtime;

use self::acts::Act;
use self::client::Client;
use self::fixture::Vault;
use self::harness::child::{Child, part};
use self::harness::relay::RelayProcess;
use self::harness::{Args, Goal, Report, now};

const MIB: f64 = (1 << 20) as f64;
/// What a relay may hold above what it holds without a flood.
const MEMORY_MIB: f64 = 64.0;
/// How many times as long one edit in a hundred may take.
const SLOWER: f64 = 2.0;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(("flood", words)) = part(&args) {
        let [act, addr] = words else { bail!("an act and an address") };
        let act = Act::ALL.into_iter().find(|one| one.name() == act).context("no such act")?;
        return acts::run(act, addr.parse()?);
    }
    let mut report = Report::new("flood: edits of an honest client, and memory of a relay", &args);
    for round in 0..args.rounds(5) {
        for act in Act::ALL.into_iter().filter(|act| args.wants(act.name())) {
            report.progress(format_args!("round {round}, {}", act.name()));
            measure(act, &args, &mut report)?;
        }
    }
    report.print()
}

fn measure(act: Act, args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let relay = RelayProcess::start()?;
    let mut honest = Honest::new(relay.listening())?;
    let edits = args.size(400, 20);
    honest.edits(edits / 4, &relay)?; // what is done once is done
    let quiet = honest.edits(edits, &relay)?;
    let mut child = Child::start("flood", &[act.name(), &relay.listening().to_string()])?;
    child.heard()?;
    let base = relay.resident()?;
    child.go()?;
    child.heard()?;
    let flooded = honest.edits(edits, &relay)?;
    drop(child);
    let name = act.name();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    report.add(&format!("{name}: median, quiet"), "ms", ms(quiet.median()));
    report.add(&format!("{name}: median, flooded"), "ms", ms(flooded.median()));
    report.add(&format!("{name}: p99, quiet"), "ms", ms(quiet.p99()));
    report.add(&format!("{name}: p99, flooded"), "ms", ms(flooded.p99()));
    let slower = flooded.p99().as_secs_f64() / quiet.p99().as_secs_f64();
    report.add_for(&format!("{name}: p99, flooded / quiet"), "times", slower, Goal::AtMost(SLOWER));
    let held = flooded.resident.saturating_sub(base) as f64 / MIB;
    report.add_for(&format!("{name}: memory of the relay above base"), "MiB", held, Goal::AtMost(MEMORY_MIB));
    Ok(())
}

/// A client that edits.
struct Honest {
    runtime: Runtime,
    vault: Vault,
    client: Client,
}

/// What edits took.
struct Edits {
    took: Vec<Duration>,
    /// The most memory that the relay had meanwhile.
    resident: u64,
}

impl Edits {
    fn median(&self) -> Duration {
        self.took[self.took.len() / 2]
    }

    fn p99(&self) -> Duration {
        self.took[self.took.len() * 99 / 100]
    }
}

impl Honest {
    fn new(relay: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let vault = Vault::new();
        let client = runtime.block_on(async {
            let mut client = Client::hello(relay).await;
            let created = client.create(&vault, Credential::None).await;
            created.map_err(|code| anyhow::anyhow!("not created: {code}"))?;
            client.logs(&vault).await;
            anyhow::Ok(client)
        })?;
        Ok(Self { runtime, vault, client })
    }

    /// So many edits, one after the other.
    fn edits(&mut self, count: usize, relay: &RelayProcess) -> anyhow::Result<Edits> {
        let Self { runtime, vault, client } = self;
        let id = vault.id;
        let (mut took, mut resident) = (Vec::with_capacity(count), 0);
        for n in 0..count {
            let segments = vec![vault.data.segment(&id, 300)];
            let begun = now();
            let answer = runtime.block_on(async {
                client.send(&ClientFrame::Push { vault: id, segments }).await;
                client.recv().await
            });
            took.push(begun.elapsed());
            let RelayFrame::Ack { .. } = answer else { bail!("refused: {answer:?}") };
            if n % 16 == 0 {
                resident = resident.max(relay.resident()?);
            }
        }
        took.sort_unstable();
        Ok(Edits { took, resident })
    }
}
