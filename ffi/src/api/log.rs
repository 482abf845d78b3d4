//! What the library has to say goes to one callback of the host's, and nowhere else.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Once, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::failure::Failure;
use crate::process::PerProcess;
use crate::status::{SUBROSA_INVALID_ARGUMENT, SUBROSA_WOULD_DEADLOCK};

/// Nothing is logged.
pub const SUBROSA_LOG_OFF: i32 = 0;
/// A bug, or data that is lost.
pub const SUBROSA_LOG_ERROR: i32 = 1;
/// Something that somebody should look at.
pub const SUBROSA_LOG_WARN: i32 = 2;
/// Something that happens seldom.
pub const SUBROSA_LOG_INFO: i32 = 3;
/// What a developer wants to see.
pub const SUBROSA_LOG_DEBUG: i32 = 4;
/// All of it.
pub const SUBROSA_LOG_TRACE: i32 = 5;

/// Where messages go.
pub(crate) trait Sink: Send + Sync {
    fn log(&self, level: i32, message: &str);
}

/// The host's callback; locked for reading while it runs, so that replacing it waits for it. A forked child has none
/// until it sets one.
static SINK: PerProcess<RwLock<Option<Box<dyn Sink>>>> = PerProcess::new();
/// Most talkative level that is wanted: 0 (none) to 5.
static LEVEL_MAX: AtomicI32 = AtomicI32::new(0);

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Sends messages up to `level_max` to `sink`; `None` turns them off. Returns after a running callback has finished.
pub(crate) fn set(level_max: i32, sink: Option<Box<dyn Sink>>) -> Result<(), Failure> {
    if !(SUBROSA_LOG_OFF..=SUBROSA_LOG_TRACE).contains(&level_max) {
        return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "levels are 0 (off) to 5 (trace)"));
    }
    if LOGGING.with(Cell::get) {
        return Err(Failure::new(SUBROSA_WOULD_DEADLOCK, "called from the log callback"));
    }
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        // Refused where a Rust host, linked with the static library, listens already: then it hears of us, too.
        let _ = tracing::subscriber::set_global_default(ToSink);
    });
    let level = if sink.is_some() { level_max } else { 0 };
    let before = {
        let sinks = SINK.get_or_new(|_| RwLock::new(None));
        let mut held = sinks.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that the level is that of the sink when two threads set them.
        LEVEL_MAX.store(level, Ordering::SeqCst);
        std::mem::replace(&mut *held, sink)
    };
    // Its destructor is the host's, too, and may call back.
    drop(before);
    Ok(())
}

/// Hands events to the sink.
struct ToSink;

impl Subscriber for ToSink {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level changes at run time.
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(metadata.level()) <= LEVEL_MAX.load(Ordering::Relaxed) && ours(metadata.target())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(sink) = SINK.get() else { return };
        if LOGGING.with(|logging| logging.replace(true)) {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        text.message.push_str(&text.fields);
        let sink = sink.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            sink.log(number(event.metadata().level()), &text.message);
        }
        drop(sink);
        LOGGING.with(|logging| logging.set(false));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The transport's own messages are about addresses; they stay out.
fn ours(target: &str) -> bool {
    target.starts_with("subrosa")
}

fn number(level: &Level) -> i32 {
    match *level {
        Level::ERROR => SUBROSA_LOG_ERROR,
        Level::WARN => SUBROSA_LOG_WARN,
        Level::INFO => SUBROSA_LOG_INFO,
        Level::DEBUG => SUBROSA_LOG_DEBUG,
        Level::TRACE => SUBROSA_LOG_TRACE,
    }
}

/// An event as one line.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
