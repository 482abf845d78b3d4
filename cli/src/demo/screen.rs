//! How the demo looks.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::failure::Failure;

/// Columns of text.
const WIDTH: usize = 96;
/// Columns of the left one of two texts.
const COLUMN: usize = 46;

/// Prints the demo's steps, numbered and timed.
pub(super) struct Screen {
    is_terminal: bool,
    steps: u32,
    watch: Stopwatch,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), steps: 0, watch: Stopwatch::start() }
    }

    /// A heading.
    pub(super) fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.steps += 1;
        let heading = format!("{}  {title}", self.steps);
        self.print("")?;
        self.print(&self.styled("1", &heading))
    }

    /// A fact: who, and what.
    pub(super) fn fact(&self, who: &str, what: &str) -> Result<(), Failure> {
        self.print(&format!("   {}  {what}", self.styled("36", &format!("{who:<9}"))))
    }

    /// A fact that took time.
    pub(super) fn timed(&self, who: &str, what: &str, took: Duration) -> Result<(), Failure> {
        let room = WIDTH.saturating_sub(14 + what.chars().count());
        self.fact(who, &format!("{what}{}", self.styled("2", &format!("{:>room$}", millis(took)))))
    }

    /// Two texts beside each other, the left one cut to its column.
    pub(super) fn columns(&self, left: &str, right: &str) -> Result<(), Failure> {
        let mut cut: String = left.chars().take(COLUMN).collect();
        if left.chars().count() > COLUMN {
            cut.pop();
            cut.push('…');
        }
        self.print(&format!("   {cut:<COLUMN$}  {}", self.styled("2", right)))
    }

    /// Time since the demo began.
    pub(super) fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.is_terminal { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn print(&self, line: &str) -> Result<(), Failure> {
        match writeln!(io::stdout(), "{}", line.trim_end()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
            other => other.map_err(Failure::Output),
        }
    }
}

/// A time as people read it.
pub(super) fn millis(time: Duration) -> String {
    if time.as_secs() > 0 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} ms", time.as_millis())
    }
}
