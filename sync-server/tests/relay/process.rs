//! The real binary: its command line, and what kill -9 leaves behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use redb::ReadableTable as _;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::frame::{ClientFrame, Credential, FeedFrame, RelayFrame, Role};
use subrosa_protocol::ids::Seq;

use crate::client::Client;
use crate::fixture::Vault;

pub(crate) fn relay(args: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa-relay"));
    command.args(args).arg("--data").arg(data).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A serving process; killed when dropped.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn serve(data: &Path) -> Serving {
    serve_logging_to(data, Stdio::inherit())
}

#[expect(clippy::disallowed_methods, reason = "measures how long a real process takes")]
fn serve_logging_to(data: &Path, stderr: Stdio) -> Serving {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_subrosa-relay"))
        .args(["serve", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().strip_prefix("listening on ").expect("one line says where").parse().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "goal: 1 s; the rest is for a loaded machine");
    Serving { child, addr }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_relay_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let text = stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--open"], &data));
    assert_eq!(text, "", "port 0 is no address to give away");
    let mut vault = Vault::new();
    let id = vault.id;
    let mut acked = None;
    for round in 0..3 {
        let mut serving = serve(&data);
        let mut client = Client::hello(serving.addr).await;
        if round == 0 {
            client.create(&vault, Credential::None).await.unwrap();
        } else {
            client.auth(&vault, Role::Writer).await;
        }
        client.logs(&vault).await;
        let mut feed = client.subscribe(id).await;
        let held = feed.until_caught_up().await.into_iter().filter_map(|frame| match frame {
            FeedFrame::Segment { segment, .. } => Some(segment),
            _ => None,
        });
        let held = held.last().map(|segment| segment.header().seq);
        assert!(held >= acked, "round {round}: {held:?} held, {acked:?} acknowledged");
        // Go on where the relay stands, as a device does that sees its own tail again.
        let mut batches: Vec<_> = (0..40).map(|_| vault.data.segment(&id, 2_000)).collect();
        if let Some(Seq(held)) = held {
            batches.retain(|segment| segment.header().seq.0 > held);
        }
        for segment in batches {
            client.send(&ClientFrame::Push { vault: id, segments: vec![segment] }).await;
        }
        for _ in 0..10 {
            match client.recv().await {
                RelayFrame::Ack { entries, .. } => acked = acked.max(entries.iter().map(|e| e.seq).max()),
                other => panic!("{other:?}"),
            }
        }
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        // Resume from the last segment that was acknowledged: later ones may or may not have made it.
        let serving = serve(&data);
        let mut client = Client::hello(serving.addr).await;
        client.auth(&vault, Role::Reader).await;
        let frames = client.subscribe(id).await.until_caught_up().await;
        let held = frames.iter().filter(|frame| matches!(frame, FeedFrame::Segment { .. })).count() as u64;
        assert!(held > acked.unwrap().0, "{held} segments, {acked:?} acknowledged");
        drop(serving);
        vault.rewind(&frames);
    }
    let report = stdout(&relay(&["verify"], &data));
    assert!(report.starts_with("1 vault, 1 log, "), "{report}");
}

#[test]
fn the_command_line_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let output = relay(&["status"], &data);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("subrosa-relay init"), "says what to do");
    assert_eq!(relay(&["frobnicate"], &data).status.code(), Some(2));

    let init = ["init", "--listen", "127.0.0.1:0", "--public", "relay.example:4433"];
    let made = stdout(&relay(&init, &data));
    let url = RelayAddr::parse(made.lines().last().unwrap()).unwrap();
    assert_eq!(url.hosts(), ["relay.example:4433"]);
    assert_eq!(url.invite().unwrap().uses_max, 1);
    let again = relay(&init, &data);
    assert_eq!(again.status.code(), Some(1), "an existing relay is not overwritten");
    for file in ["relay.key", "relay.toml"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    let offline = stdout(&relay(&["invite", "new", "--uses", "3", "--expires-days", "2"], &data));
    let mut serving = serve(&data);
    let second = relay(&["serve"], &data);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another subrosa-relay"));
    let online = stdout(&relay(&["invite", "new", "--class", "0"], &data));
    let ids: Vec<String> = [&offline, &online]
        .iter()
        .map(|text| RelayAddr::parse(text.trim()).unwrap().invite().unwrap().id)
        .map(|id| subrosa_relay::format_id(&id))
        .collect();
    assert_eq!(relay(&["invite", "new", "--class", "9"], &data).status.code(), Some(1));
    stdout(&relay(&["invite", "revoke", &ids[0]], &data));
    assert_eq!(relay(&["invite", "revoke", "xyz"], &data).status.code(), Some(1));
    let list = stdout(&relay(&["invite", "list"], &data));
    assert_eq!(list.lines().count(), 3);
    let line = |id: &str| list.lines().find(|line| line.contains(id)).unwrap().to_owned();
    assert!(line(&ids[0]).contains(r#""revoked":true"#) && line(&ids[1]).contains(r#""revoked":false"#));
    let status = stdout(&relay(&["status", "--json"], &data));
    assert!(status.contains(&serving.addr.to_string()), "{status}");
    assert!(stdout(&relay(&["status"], &data)).contains("by invite"));
    assert!(stdout(&relay(&["verify"], &data)).starts_with("0 vaults"));

    let pid = rustix::process::Pid::from_child(&serving.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0), "SIGTERM drains");
    assert!(!data.join("relay.sock").exists());
    let mut rest = String::new();
    serving.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "stdout is one line");
    assert!(stdout(&relay(&["status"], &data)).contains("not serving"));
}

#[test]
fn admin_commands_wait_for_each_other_and_for_a_relay_that_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--public", "relay.example:4433"], &data));
    let new = |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa-relay"));
        command.args(["invite", "new", "--data"]).arg(&data);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let at_once: Vec<Child> = (0..8).map(new).collect();
    for child in at_once {
        assert!(stdout(&child.wait_with_output().unwrap()).starts_with("subrosa://"));
    }
    assert_eq!(stdout(&relay(&["invite", "list"], &data)).lines().count(), 9);
}

#[test]
fn a_directory_that_cannot_be_looked_into_is_not_said_to_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    std::os::unix::fs::symlink(&data, &data).unwrap();
    for args in [&["serve"][..], &["status"], &["verify"], &["invite", "list"]] {
        let output = relay(args, &data);
        let reason = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(reason.contains("check the path") && !reason.contains("no relay in"), "{args:?}: {reason}");
    }
}

/// A stream whose other end takes nothing: closed, or full and read by nobody.
fn dead_ends() -> [(&'static str, Stdio, Option<UnixStream>); 2] {
    let (log, reader) = UnixStream::pair().unwrap();
    drop(reader);
    let closed = ("closed", Stdio::from(OwnedFd::from(log)), None);
    let (mut log, reader) = UnixStream::pair().unwrap();
    log.set_nonblocking(true).unwrap();
    while log.write(&[b'.'; 4096]).is_ok() {}
    while log.write(b".").is_ok() {}
    log.set_nonblocking(false).unwrap();
    [closed, ("full", Stdio::from(OwnedFd::from(log)), Some(reader))]
}

#[tokio::test]
async fn a_log_that_is_closed_or_that_nobody_reads_neither_ends_the_relay_nor_holds_it_up() {
    for (name, stderr, _reader) in dead_ends() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("relay");
        stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--open"], &data));
        std::fs::write(data.join("relay.revoked"), "worth a line in the log").unwrap();
        let mut serving = serve_logging_to(&data, stderr);
        let mut vault = Vault::new();
        let mut client = Client::hello(serving.addr).await;
        client.create(&vault, Credential::None).await.unwrap();
        client.logs(&vault).await;
        let segments = vec![vault.data.segment(&vault.id, 100)];
        client.send(&ClientFrame::Push { vault: vault.id, segments }).await;
        assert!(matches!(client.recv().await, RelayFrame::Ack { .. }), "{name}");
        let pid = rustix::process::Pid::from_child(&serving.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(serving.child.wait().unwrap().code(), Some(0), "{name}: drained");
    }
}

#[test]
fn a_half_line_in_the_file_of_revocations_does_not_stop_the_relay() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--public", "relay.example:4433"], &data));
    let list = stdout(&relay(&["invite", "list"], &data));
    let id: String = list.split('"').find(|part| part.len() == 16).unwrap().to_owned();
    std::fs::write(data.join("relay.revoked"), &id[..9]).unwrap();
    let _serving = serve(&data);
    let list = stdout(&relay(&["invite", "list"], &data));
    assert!(list.contains(r#""revoked":true"#), "what may have been revoked is: {list}");
    stdout(&relay(&["invite", "revoke", &id], &data));
    let text = std::fs::read_to_string(data.join("relay.revoked")).unwrap();
    assert_eq!(text, format!("{}\n{id}\n", &id[..9]), "made again, on a line of its own");
}

#[test]
fn a_signal_that_comes_as_soon_as_the_relay_listens_drains_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--open"], &data));
    for round in 0..10 {
        let mut serving = serve(&data);
        let pid = rustix::process::Pid::from_child(&serving.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(serving.child.wait().unwrap().code(), Some(0), "{round}");
    }
}

#[test]
fn an_admin_command_says_once_what_is_wrong_and_names_a_running_relay_only_where_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0"], &data));
    let line = |args: &[&str]| String::from_utf8(relay(args, &data).stderr).unwrap();
    let reason = "\"xyz\" is not an invite id: `invite list` shows them\n";
    assert_eq!(line(&["invite", "revoke", "xyz"]), format!("subrosa-relay: {reason}"));
    let serving = serve(&data);
    assert_eq!(
        line(&["invite", "revoke", "xyz"]),
        format!("subrosa-relay: the running relay says: {reason}")
    );
    drop(serving);

    std::fs::write(data.join("relay.redb"), "a letter").unwrap();
    let said = line(&["status"]);
    assert_eq!(said.matches("redb database").count(), 1, "{said}");
    assert_eq!(std::fs::read(data.join("relay.redb")).unwrap(), b"a letter");
    std::fs::write(data.join("relay.toml"), "opne = true\n").unwrap();
    assert!(line(&["serve"]).ends_with("; correct it, see docs/RELAY.md\n"));
    assert!(!line(&["serve"]).contains("\n;"));
}

#[test]
fn the_binary_refuses_a_database_of_an_older_format_by_name_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0"], &data));
    let table = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let database = redb::Database::open(data.join(subrosa_relay::DATABASE)).unwrap();
    let txn = database.begin_write().unwrap();
    let known = {
        let mut meta = txn.open_table(table).unwrap();
        let known = meta.get("format").unwrap().unwrap().value().to_vec();
        meta.insert("format", &1u64.to_be_bytes()[..]).unwrap();
        u64::from_be_bytes(known.try_into().unwrap())
    };
    txn.commit().unwrap();
    drop(database);
    for args in [&["serve"][..], &["status"], &["verify"], &["invite", "list"]] {
        let refused = relay(args, &data);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{said}");
        let reason = format!("is of format 1, this version reads format {known}: move relay.redb away");
        assert_eq!(said.matches(&reason).count(), 1, "{args:?}: {said}");
    }
}

#[test]
fn a_file_that_has_the_name_of_the_relays_socket_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0"], &data));
    std::fs::write(data.join("relay.sock"), "mine").unwrap();
    let refused = relay(&["serve"], &data);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("relay.sock"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(data.join("relay.sock")).unwrap(), "mine");
}
