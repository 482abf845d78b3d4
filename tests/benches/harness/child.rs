//! The benchmark again, as a process of its own with a part to play: it says what it has done a line at a time, and
//! starts when it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Args;

/// The word before the part in a child's command line.
const PART: &str = "part";

/// A child process. Killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program again for `part`, with `words` for [`words`].
    pub(crate) fn start(part: &str, words: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(PART)
            .arg(part)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().context("stdin is piped")?;
        let stdout = BufReader::new(process.stdout.take().context("stdout is piped")?);
        Ok(Self { process, stdin, stdout })
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self) -> anyhow::Result<()> {
        Ok(writeln!(self.stdin, "go")?)
    }

    /// The next thing that it says.
    pub(crate) fn heard(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.stdout.read_line(&mut line)? > 0, "a child process has ended early");
        Ok(line.trim().to_owned())
    }

    /// The time on a core that it says it has spent.
    pub(crate) fn heard_cpu(&mut self) -> anyhow::Result<Duration> {
        Ok(Duration::from_nanos(self.heard()?.parse()?))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The part that this process was started for, if it was, with its words.
pub(crate) fn part(args: &Args) -> Option<(&str, &[String])> {
    match &args.rest[..] {
        [word, part, words @ ..] if word == PART => Some((part, words)),
        _ => None,
    }
}

/// Says something to the process that started this one.
pub(crate) fn say(word: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{word}")?;
    Ok(stdout.flush()?)
}

/// Says what time on a core this process has spent since it had spent `before`.
pub(crate) fn say_cpu(before: Duration) -> anyhow::Result<()> {
    say(super::machine::own_cpu().saturating_sub(before).as_nanos())
}

/// Waits until told to go on.
pub(crate) fn wait_for_go() -> anyhow::Result<()> {
    let mut line = String::new();
    ensure!(std::io::stdin().read_line(&mut line)? > 0, "the benchmark has ended");
    Ok(())
}
