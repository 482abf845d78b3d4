//! A relay of which an older copy of its database was put back, and the members that come to it then.

use std::path::Path;

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, RelayFrame, Role, StatementsPart};
use subrosa_protocol::ids::{Generation, VaultId};
use subrosa_protocol::limits;
use subrosa_protocol::statement::Statement;
use subrosa_relay::{Config, Relay, RunningRelay, init};

use crate::client::Client;
use crate::fixture::{Key, Vault, sign_statement};
use crate::home::{acked, config};

/// A relay that is stopped and started on one directory.
struct Machine {
    dir: tempfile::TempDir,
    relay: Option<RunningRelay>,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&dir.path().join("relay"), &open()).unwrap();
        let mut machine = Self { dir, relay: None };
        machine.start();
        machine
    }

    fn start(&mut self) {
        self.relay = Some(Relay::start(open(), &self.dir.path().join("relay")).unwrap());
    }

    fn stop(&mut self) {
        assert!(self.relay.take().unwrap().stop().is_none());
    }

    fn database(&self) -> std::path::PathBuf {
        self.dir.path().join("relay/relay.redb")
    }

    /// Keeps a copy of the database.
    fn back_up(&mut self, to: &Path) {
        self.stop();
        std::fs::copy(self.database(), to).unwrap();
        self.start();
    }

    fn put_back(&mut self, from: &Path) {
        self.stop();
        std::fs::copy(from, self.database()).unwrap();
        self.start();
    }

    async fn client(&self) -> Client {
        Client::hello(self.relay.as_ref().unwrap().addr()).await
    }

    /// The chain as the relay shows it.
    async fn chain(&self, vault: &Vault) -> Vec<Vec<u8>> {
        let mut client = self.client().await;
        client.auth(vault, Role::Reader).await;
        statements(&mut client, vault.id, 0).await
    }
}

fn open() -> Config {
    Config { open: true, ..config() }
}

async fn statements(client: &mut Client, vault: VaultId, from: u64) -> Vec<Vec<u8>> {
    client.send(&ClientFrame::StatementsWant { vault, from: Generation(from) }).await;
    let mut all = Vec::new();
    loop {
        match client.recv().await {
            RelayFrame::Statements(part) => {
                all.extend(part.statements);
                if part.last {
                    return all;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A vault with a chain of five, of which the copy that was put back has the first two.
async fn restored() -> (Machine, Vault) {
    let mut machine = Machine::new();
    let mut vault = Vault::new();
    let copy = machine.dir.path().join("copy");
    let mut client = machine.client().await;
    client.create(&vault, Credential::None).await.unwrap();
    for n in 1..5 {
        vault.advance();
        let statement = vault.encoded().pop().unwrap();
        client.send(&ClientFrame::Statement { vault: vault.id, statement }).await;
        assert_eq!(client.refusal().await.code, ErrorCode::AuthFailed, "its key is superseded");
        assert!(matches!(client.recv().await, RelayFrame::Vault { .. }));
        client.auth(&vault, Role::Writer).await;
        if n == 1 {
            drop(client);
            machine.back_up(&copy);
            client = machine.client().await;
            client.auth(&vault, Role::Writer).await;
        }
    }
    assert_eq!(machine.chain(&vault).await, vault.encoded());
    drop(client);
    machine.put_back(&copy);
    (machine, vault)
}

#[tokio::test]
async fn a_member_whose_key_the_relay_does_not_list_yet_brings_it_up_to_date() {
    for role in [Role::Writer, Role::Reader] {
        let (machine, mut vault) = restored().await;
        let mut member = machine.client().await;
        member.send_auth(&vault, role).await;
        assert_eq!(member.refusal().await.code, ErrorCode::AuthFailed);
        for part in vault.parts() {
            member.send(&part).await;
        }
        assert!(matches!(member.recv().await, RelayFrame::Vault { .. }), "{role:?}");
        assert_eq!(machine.chain(&vault).await, vault.encoded(), "{role:?}");
        if role == Role::Writer {
            member.logs(&vault).await;
            let segments = vec![vault.data.segment(&vault.id, 10)];
            member.send(&ClientFrame::Push { vault: vault.id, segments }).await;
            acked(&member.recv().await);
        }
    }
}

#[tokio::test]
async fn a_member_whose_key_the_relay_still_takes_for_the_last_one_does_too_and_loses_its_place_for_it() {
    let (machine, vault) = restored().await;
    let (id, (_, write)) = (vault.id, &vault.past[1]);
    let mut hears = machine.client().await;
    hears.send_auth_by(id, Role::Reader, &vault.past[1].0).await;
    assert!(matches!(hears.recv().await, RelayFrame::Vault { .. }));
    let mut member = machine.client().await;
    member.send_auth_by(id, Role::Writer, write).await;
    assert!(matches!(member.recv().await, RelayFrame::Vault { .. }), "the relay takes it for current");
    assert_eq!(statements(&mut member, id, 4).await, Vec::<Vec<u8>>::new(), "it does not have our last one");
    assert_eq!(statements(&mut member, id, 0).await, vault.encoded()[..2]);
    member.send(&tail(&vault, 2)).await;
    assert_eq!(member.refusal().await.code, ErrorCode::AuthFailed);
    assert!(matches!(member.recv().await, RelayFrame::Vault { .. }));
    assert_eq!(hears.refusal().await.code, ErrorCode::AuthFailed, "who else is superseded hears of it");
    assert_eq!(machine.chain(&vault).await, vault.encoded());
    member.send_auth_by(id, Role::Writer, write).await;
    assert!(matches!(member.recv().await, RelayFrame::Vault { .. }), "as a superseded key");
    assert_eq!(statements(&mut member, id, 3).await, vault.encoded()[3..]);
}

#[tokio::test]
async fn a_member_with_a_key_that_was_superseded_long_ago_does_too() {
    let (machine, vault) = restored().await;
    let mut member = machine.client().await;
    member.send_auth_by(vault.id, Role::Writer, &vault.past[0].1).await;
    assert!(matches!(member.recv().await, RelayFrame::Vault { .. }));
    member.send(&tail(&vault, 0)).await;
    assert!(matches!(member.recv().await, RelayFrame::Vault { .. }));
    assert_eq!(machine.chain(&vault).await, vault.encoded());
}

#[tokio::test]
async fn a_strangers_tail_changes_nothing_and_tells_nothing() {
    let (machine, vault) = restored().await;
    let held = vault.encoded()[..2].to_vec();
    let stranger = Vault::new();
    let own = Statement { write: stranger.write.public(), ..vault.next_statement(&Key::new(), &Key::new()) };
    let forged = sign_statement(own, &stranger.admin).encode();
    let mut link = machine.client().await;
    for n in 0..limits::AUTH_FAILURES_MAX / 2 {
        link.send_auth_by(vault.id, Role::Writer, &stranger.write).await;
        assert_eq!(link.refusal().await.code, ErrorCode::AuthFailed, "{n}");
        // What joins and what does not are answered alike; what joins was a member's work.
        let statements = if n % 2 == 0 { vec![forged.clone()] } else { held.clone() };
        link.send(&ClientFrame::Statements(StatementsPart { vault: vault.id, last: true, statements })).await;
        assert_eq!(link.refusal().await.code, ErrorCode::AuthFailed, "{n}");
    }
    assert_eq!(link.try_recv().await, None, "and it is cut off");
    let mut member = machine.client().await;
    member.send_auth_by(vault.id, Role::Reader, &vault.past[1].0).await;
    assert!(matches!(member.recv().await, RelayFrame::Vault { .. }));
    assert_eq!(statements(&mut member, vault.id, 0).await, held);
}

/// The chain from a generation on, in one part.
fn tail(vault: &Vault, from: usize) -> ClientFrame {
    let statements = vault.encoded().split_off(from);
    ClientFrame::Statements(StatementsPart { vault: vault.id, last: true, statements })
}
