//! Log lines on stderr: level, message, fields. Ids and counts only; who writes an event keeps to that.
//!
//! Whoever logs hands the line over and goes on. One thread writes; nobody may read the other end of stderr, or it may
//! be closed, and that must neither stop a thread of the relay nor hold it up: lines that find no room are counted and
//! dropped, and so is what cannot be written.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Lines waiting for the thread that writes them: some hundred KiB.
const LINES_MAX: usize = 1024;
/// Time for the last lines to be written when the process ends.
const FLUSH_MAX: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    /// Answered once everything before it was written.
    Flush(SyncSender<()>),
}

/// Everything at `info` and above, of this crate.
#[derive(Clone)]
struct Stderr {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("subrosa")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().as_str().to_ascii_lowercase());
        event.record(&mut line);
        self.line(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Stderr {
    fn line(&self, line: String) {
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// This process's log. Dropping it gives the last lines a moment.
pub(crate) struct Log(Stderr);

impl Log {
    /// Why the process ends, as its last line.
    pub(crate) fn line(&self, line: String) {
        self.0.line(line);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        match self.0.lines.try_send(Message::Flush(done)) {
            Ok(()) => {
                let _ = written.recv_timeout(FLUSH_MAX); // nobody reads: the lines are lost
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Makes stderr the log of this process, of its panics too.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn install() -> io::Result<Log> {
    let (lines, waiting) = sync_channel(LINES_MAX);
    let log = Stderr { lines, dropped: Arc::default() };
    let dropped = Arc::clone(&log.dropped);
    thread::Builder::new().name("log".into()).spawn(move || write_lines(&waiting, &dropped, io::stderr()))?;
    let _ = tracing::subscriber::set_global_default(log.clone()); // only one is ever set
    let panics = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let trace = Backtrace::capture(); // only if the environment asks for it
        let trace =
            if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
        panics.line(format!("error panic thread={} {panic}{trace}", thread.name().unwrap_or("?")));
    }));
    Ok(Log(log))
}

fn write_lines(waiting: &Receiver<Message>, dropped: &AtomicU64, mut out: impl io::Write) {
    while let Ok(message) = waiting.recv() {
        match message {
            Message::Line(line) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                let note = if lost == 0 { String::new() } else { format!("warn log lines lost={lost}\n") };
                let _ = out.write_all(format!("{note}{line}\n").as_bytes()); // closed: the relay goes on
            }
            Message::Flush(done) => {
                let _ = done.try_send(()); // has room, unless nobody waits any more
            }
        }
    }
}

/// For people: a line on stderr, if it can be written.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}"); // closed: nobody is there to be told
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_takes_lines_all_the_same() {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let log = Stderr { lines, dropped: Arc::default() };
        for n in 0..LINES_MAX + 7 {
            log.line(format!("info {n}"));
        }
        assert_eq!(log.dropped.load(Ordering::Relaxed), 7, "full: dropped and counted, nobody waits");
        let dropped = Arc::clone(&log.dropped);
        drop(log);
        write_lines(&waiting, &dropped, Broken); // ends, though nothing can be written
    }

    #[test]
    fn lost_lines_are_counted_in_the_next_one() {
        let (lines, waiting) = sync_channel(2);
        let log = Stderr { lines, dropped: Arc::default() };
        for n in 0..5 {
            log.line(format!("info {n}"));
        }
        let dropped = Arc::clone(&log.dropped);
        drop(log);
        let mut out = Vec::new();
        write_lines(&waiting, &dropped, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "warn log lines lost=3\ninfo 0\ninfo 1\n");
    }
}
