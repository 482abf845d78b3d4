//! What the `subrosa` command says of a relay that lies. It is the one that is built beside these tests.

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use subrosa_tests::liar::{Lie, LyingRelay};
use tempfile::TempDir;

/// The command, with a store of its own.
pub(crate) struct Command {
    binary: PathBuf,
    dir: TempDir,
}

impl Command {
    /// A new store that syncs with a relay.
    pub(crate) fn with_store(relay: &LyingRelay) -> Self {
        let own = std::env::current_exe().unwrap();
        let binary = own.parent().and_then(std::path::Path::parent).unwrap().join("subrosa");
        assert!(binary.exists(), "{} is not built: cargo build -p subrosa-cli", binary.display());
        let command = Self { binary, dir: tempfile::tempdir().unwrap() };
        command.ok(&["init", "--name", "test", "--relay", &relay.url().to_string()]);
        command
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.binary);
        command.env_remove("SUBROSA_STORE").arg("--store").arg(self.dir.path().join("store")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs in the background, and says nothing.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What one that must go well prints.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn the_command_says_what_a_relay_does_and_ends_and_loses_nothing() {
    let cases = [
        (Lie::InventDigest, 0, "the relay hides or has lost something that it was given"),
        (Lie::InventHeads, 1, "another copy's changes of this device"),
        (Lie::InventTime, 0, "clock"),
        (Lie::Conflict, 1, "another copy's changes of this device"),
        (Lie::InventIncarnation, 1, "feed of another incarnation than the relay's"),
        (Lie::NeverAcknowledge, 1, "no progress for 2 s"),
        (Lie::Greet, 1, "no progress for 2 s"),
    ];
    let relay = LyingRelay::start(Lie::Honest).unwrap();
    let command = Command::with_store(&relay);
    command.ok(&["put", "notes", "first", r#"{"text":"before"}"#]);
    command.ok(&["sync"]);
    for (n, (lie, code, text)) in cases.into_iter().enumerate() {
        command.ok(&["put", "notes", &format!("note {n}"), r#"{"text":"meanwhile"}"#]);
        relay.tell(lie);
        let output = command.run(&["sync", "--timeout", "2"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{lie:?}: {said}");
        assert!(said.contains(text), "{lie:?}: {said}");
    }
    relay.tell(Lie::Honest);
    command.ok(&["sync"]);
    let honest = LyingRelay::start(Lie::Honest).unwrap();
    command.ok(&["relay", "set", &honest.url().to_string()]);
    command.ok(&["sync"]);
    assert_eq!(command.ok(&["list", "notes"]).lines().count(), 1 + cases.len());
}
