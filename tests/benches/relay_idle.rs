//! What a relay needs while nothing happens: memory alone, and with idle subscribed connections; size of its binary.
//!
//! Each connection is a client of its own, from a port of its own, with a vault of its own.

mod harness;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use harness::relay::RelayProcess;
use harness::{Args, Goal, Report, quic};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use subrosa::{KeyPair, OsEntropy};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::frame::{
    ALPN, ClientFrame, Credential, FeedFrame, FrameLimit, RelayFrame, Role, StatementsPart, VERSION,
};
use subrosa_protocol::ids::{Epoch, Generation, PublicKeyBytes, Rseq, Signature, VaultId};
use subrosa_protocol::statement::{Signer, Statement, recovery_commitment};
use subrosa_protocol::{digest, labels};

const KIB: f64 = 1024.0;
const MB: f64 = 1e6;
/// So long after the last word, everything is idle.
const SETTLE: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::new("relay_idle: memory of an idle relay", &args);
    let connections = args.size(1_000, 20);
    let binary = std::fs::metadata(harness::relay::binary()?)?.len();
    for round in 0..args.rounds(3) {
        report.progress(format_args!("round {round}"));
        report.add_for("binary", "MB", binary as f64 / MB, Goal::AtMost(20.0));
        let relay = RelayProcess::start()?;
        std::thread::sleep(args.size(SETTLE, Duration::from_millis(200)));
        let (idle, idle_own) = (relay.resident()?, relay.resident_anonymous()?);
        report.add_for("memory, idle", "MB", idle as f64 / MB, Goal::AtMost(15.0));
        report.add("memory, idle, without file pages", "MB", idle_own as f64 / MB);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut clients = Vec::with_capacity(connections);
            let settle = || tokio::time::sleep(args.size(SETTLE, Duration::from_millis(200)));
            while clients.len() < connections / 2 {
                clients.push(Client::subscribed(relay.listening()).await?);
            }
            settle().await;
            let half = relay.resident()?;
            while clients.len() < connections {
                clients.push(Client::subscribed(relay.listening()).await?);
            }
            settle().await;
            let (full, full_own) = (relay.resident()?, relay.resident_anonymous()?);
            let each = |full: u64, idle: u64| full.saturating_sub(idle) as f64 / KIB / connections as f64;
            // Without what the first connections made the relay touch once and for all.
            let later = 2.0 * each(full, half);
            report.add(&format!("memory with {connections} connections"), "MB", full as f64 / MB);
            let name = "memory of a connection, its vault included";
            report.add_for(name, "KiB", each(full, idle), Goal::AtMost(32.0));
            report.add("the same, without file pages", "KiB", each(full_own, idle_own));
            report.add("the same, of the second half of them", "KiB", later);
            for client in &clients {
                ensure!(client.connection.close_reason().is_none(), "a connection was lost");
            }
            anyhow::Ok(())
        })?;
    }
    report.print()
}

/// One idle link.
struct Client {
    connection: Connection,
    _endpoint: Endpoint,
    _control: (SendStream, Frames),
    _feed: Frames,
}

impl Client {
    /// Connects, creates a vault, and has its feed up to CAUGHT_UP.
    async fn subscribed(relay: SocketAddr) -> anyhow::Result<Self> {
        let endpoint = quic::client(Some(ALPN))?;
        let connection = endpoint.connect(relay, quic::NAME)?.await?;
        let (mut send, recv) = connection.open_bi().await?;
        let mut recv = Frames::new(recv);
        let mut exporter = [0; 32];
        let exported = connection.export_keying_material(&mut exporter, labels::EXPORTER, b"");
        exported.map_err(|_| anyhow::Error::msg("no exporter"))?;
        let vault = Vault::new();
        let hello = ClientFrame::Hello { versions: vec![VERSION], caps: 0, extensions: Extensions::new() };
        for frame in [hello, vault.auth(&exporter)] {
            send.write_chunk(frame.encode()).await?;
        }
        let RelayFrame::Hello { incarnation, .. } = recv.control().await? else {
            anyhow::bail!("no HELLO");
        };
        ensure!(matches!(recv.control().await?, RelayFrame::Error(_)), "the vault is new");
        for frame in vault.create() {
            send.write_chunk(frame.encode()).await?;
        }
        ensure!(matches!(recv.control().await?, RelayFrame::Vault { .. }), "no VAULT");
        ensure!(matches!(recv.control().await?, RelayFrame::Grant { .. }), "no GRANT");
        let digest = digest::digest(&[]);
        let subscribe = ClientFrame::Subscribe { vault: vault.id, incarnation, cursor: Rseq(0), digest };
        send.write_chunk(subscribe.encode()).await?;
        let mut feed = Frames::new(connection.accept_uni().await?);
        loop {
            if let FeedFrame::CaughtUp { .. } = FeedFrame::decode(&feed.next().await?)? {
                break;
            }
        }
        Ok(Self { connection, _endpoint: endpoint, _control: (send, recv), _feed: feed })
    }
}

/// A vault as a relay knows it.
struct Vault {
    id: VaultId,
    write: KeyPair,
    statement: Statement,
}

impl Vault {
    fn new() -> Self {
        let (control, write) = (KeyPair::generate(&OsEntropy), KeyPair::generate(&OsEntropy));
        let [control_public, write_public] = [&control, &write].map(bytes_of);
        let (commitment, genesis) = (recovery_commitment(&control_public, &[5; 16]), [1; 32]);
        let id = VaultId::derive(&commitment, &genesis, &control_public);
        let unsigned = Statement {
            vault: id,
            generation: Generation(0),
            epoch: Epoch(0),
            read: write_public,
            write: write_public,
            admins: vec![control_public],
            recovery_commitment: commitment,
            previous: genesis,
            signer: Signer::Admin(control_public),
            signature: Signature::from_bytes([0; 64]),
        };
        let signature = control.sign(labels::STATEMENT, &unsigned.signed_bytes());
        let statement = Statement { signature: Signature::from_bytes(signature), ..unsigned };
        Self { id, write, statement }
    }

    fn auth(&self, exporter: &[u8; 32]) -> ClientFrame {
        let role = Role::Writer;
        let payload = [&exporter[..], self.id.as_bytes(), &[role as u8]].concat();
        let signature = Signature::from_bytes(self.write.sign(labels::AUTH, &payload));
        ClientFrame::Auth { vault: self.id, role, public: bytes_of(&self.write), signature }
    }

    fn create(&self) -> [ClientFrame; 2] {
        let statements = vec![self.statement.encode()];
        let part = StatementsPart { vault: self.id, last: true, statements };
        [ClientFrame::Statements(part), ClientFrame::Create { vault: self.id, credential: Credential::None }]
    }
}

fn bytes_of(pair: &KeyPair) -> PublicKeyBytes {
    PublicKeyBytes::from_bytes(*pair.public().as_bytes())
}

/// The frames of one stream.
struct Frames {
    recv: RecvStream,
    buffer: BytesMut,
}

impl Frames {
    fn new(recv: RecvStream) -> Self {
        Self { recv, buffer: BytesMut::new() }
    }

    async fn next(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Some(len) = FrameLimit::FULL.announced(&self.buffer)?
                && self.buffer.len() >= len + 4
            {
                let mut frame = self.buffer.split_to(len + 4);
                frame.advance(4);
                return Ok(frame.freeze());
            }
            let chunk = self.recv.read_chunk(64 << 10, true).await?.context("the stream has ended")?;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }

    async fn control(&mut self) -> anyhow::Result<RelayFrame> {
        Ok(RelayFrame::decode(&self.next().await?)?)
    }
}
