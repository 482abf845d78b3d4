//! What the library has to say goes to one callback of the host's and to the event queues that ask for it, and nowhere
//! else.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::bell::Bell;
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

/// Messages that the log keeps for an event queue.
pub const SUBROSA_EVENT_LOG_MAX: usize = 1024;

/// A process's receivers. A forked child has none until it asks for some.
#[derive(Default)]
struct Receivers {
    /// The host's callback; locked for reading while it runs, so that replacing it waits for it.
    sink: RwLock<Option<Box<dyn Sink>>>,
    /// Those of event queues.
    tails: RwLock<Vec<Arc<Messages>>>,
}

static RECEIVERS: PerProcess<Receivers> = PerProcess::new();
/// Most talkative levels that are wanted: 0 (none) to 5. Each is stored under the lock of what wants it.
static SINK_LEVEL_MAX: AtomicI32 = AtomicI32::new(SUBROSA_LOG_OFF);
static TAILS_LEVEL_MAX: AtomicI32 = AtomicI32::new(SUBROSA_LOG_OFF);

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Sends messages up to `level_max` to `sink`; `None` turns them off. Returns after a running callback has finished.
pub(crate) fn set(level_max: i32, sink: Option<Box<dyn Sink>>) -> Result<(), Failure> {
    if !(SUBROSA_LOG_OFF..=SUBROSA_LOG_TRACE).contains(&level_max) {
        return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "levels are 0 (off) to 5 (trace)"));
    }
    if LOGGING.try_with(Cell::get).unwrap_or(false) {
        return Err(Failure::new(SUBROSA_WOULD_DEADLOCK, "called from the log callback"));
    }
    let level = if sink.is_some() { level_max } else { SUBROSA_LOG_OFF };
    let before = {
        let mut held = receivers().sink.write().unwrap_or_else(PoisonError::into_inner);
        SINK_LEVEL_MAX.store(level, Ordering::SeqCst);
        std::mem::replace(&mut *held, sink)
    };
    // Its destructor is the host's, too, and may call back.
    drop(before);
    Ok(())
}

/// This process's receivers, from now on listened for.
fn receivers() -> &'static Receivers {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        // Refused where a Rust host, linked with the static library, listens already: then it hears of us, too.
        let _ = tracing::subscriber::set_global_default(ToReceivers);
    });
    RECEIVERS.get_or_new(|_| Receivers::default())
}

impl Receivers {
    fn change_tails(&self, change: impl FnOnce(&mut Vec<Arc<Messages>>)) {
        let mut tails = self.tails.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut tails);
        let level = tails.iter().map(|messages| messages.level_max).max();
        TAILS_LEVEL_MAX.store(level.unwrap_or(SUBROSA_LOG_OFF), Ordering::SeqCst);
    }

    fn give_to_tails(&self, level: i32, message: &str) {
        let tails = self.tails.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = None;
        for messages in tails.iter().filter(|messages| level <= messages.level_max) {
            messages.push(level, text.get_or_insert_with(|| Arc::from(message)));
        }
    }

    /// What the callback does is not logged to it.
    fn give_to_sink(&self, level: i32, message: &str) {
        if LOGGING.try_with(|logging| logging.replace(true)).unwrap_or(false) {
            return;
        }
        let sink = self.sink.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            sink.log(level, message);
        }
        drop(sink);
        let _ = LOGGING.try_with(|logging| logging.set(false));
    }
}

/// The log as an event queue follows it, until it is dropped.
pub(crate) struct Tail(Arc<Messages>);

/// What comes next.
pub(crate) enum Tailed {
    Message {
        level: i32,
        text: Arc<str>,
    },
    /// Some are lost.
    Lagged,
}

struct Messages {
    level_max: i32,
    held: Mutex<Held>,
    arrived: Arc<Bell>,
}

#[derive(Default)]
struct Held {
    messages: VecDeque<(i32, Arc<str>)>,
    is_lagging: bool,
}

impl Tail {
    /// From now on, up to `level_max`; rings `arrived` for each.
    pub(crate) fn new(level_max: i32, arrived: Arc<Bell>) -> Result<Self, Failure> {
        if !(SUBROSA_LOG_ERROR..=SUBROSA_LOG_TRACE).contains(&level_max) {
            return Err(Failure::new(
                SUBROSA_INVALID_ARGUMENT,
                "levels of events are 1 (error) to 5 (trace)",
            ));
        }
        let messages = Arc::new(Messages { level_max, held: Mutex::default(), arrived });
        receivers().change_tails(|tails| tails.push(messages.clone()));
        Ok(Self(messages))
    }

    pub(crate) fn try_next(&self) -> Option<Tailed> {
        let mut held = self.0.lock();
        if std::mem::take(&mut held.is_lagging) {
            return Some(Tailed::Lagged);
        }
        held.messages.pop_front().map(|(level, text)| Tailed::Message { level, text })
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        receivers().change_tails(|tails| tails.retain(|messages| !Arc::ptr_eq(messages, &self.0)));
    }
}

impl Messages {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever logs may hold any lock of the engine or of a queue: only our own are taken, and nothing is called with them.
    fn push(&self, level: i32, text: &Arc<str>) {
        let mut held = self.lock();
        if held.messages.len() == SUBROSA_EVENT_LOG_MAX {
            held.messages.pop_front();
            held.is_lagging = true;
        }
        held.messages.push_back((level, text.clone()));
        drop(held);
        self.arrived.ring();
    }
}

/// Hands events to those who want them.
struct ToReceivers;

impl Subscriber for ToReceivers {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level changes at run time.
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level_max = SINK_LEVEL_MAX.load(Ordering::Relaxed).max(TAILS_LEVEL_MAX.load(Ordering::Relaxed));
        number(metadata.level()) <= level_max && ours(metadata.target())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(receivers) = RECEIVERS.get() else { return };
        let level = number(event.metadata().level());
        let mut text = Text::default();
        event.record(&mut text);
        text.message.push_str(&text.fields);
        receivers.give_to_tails(level, &text.message);
        if level <= SINK_LEVEL_MAX.load(Ordering::Relaxed) {
            receivers.give_to_sink(level, &text.message);
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What comes with this word in it; other tests log, too.
    fn with(tail: &Tail, word: &str) -> Vec<(i32, String)> {
        let messages = std::iter::from_fn(|| tail.try_next()).filter_map(|tailed| match tailed {
            Tailed::Message { level, text } => Some((level, text.to_string())),
            Tailed::Lagged => None,
        });
        messages.filter(|(_, text)| text.contains(word)).collect()
    }

    #[test]
    fn a_tail_has_what_was_said_at_its_level_since_it_began() {
        let bell = Arc::new(Bell::default());
        tracing::warn!("gudgeon before");
        let warnings = Tail::new(SUBROSA_LOG_WARN, bell.clone()).unwrap();
        let all = Tail::new(SUBROSA_LOG_TRACE, bell).unwrap();
        tracing::warn!(count = 3, "gudgeon");
        tracing::info!("gudgeon aside");
        tracing::warn!(target: "quinn", "gudgeon elsewhere");
        let warning = (SUBROSA_LOG_WARN, "gudgeon count=3".to_owned());
        assert_eq!(with(&warnings, "gudgeon"), std::slice::from_ref(&warning));
        assert_eq!(with(&all, "gudgeon"), [warning, (SUBROSA_LOG_INFO, "gudgeon aside".to_owned())]);
    }

    #[test]
    fn a_tail_that_nobody_reads_keeps_the_newest_and_says_so() {
        let tail = Tail::new(SUBROSA_LOG_ERROR, Arc::default()).unwrap();
        for number in 0..=SUBROSA_EVENT_LOG_MAX {
            tracing::error!("loach {number};");
        }
        assert!(matches!(tail.try_next(), Some(Tailed::Lagged)));
        let kept = with(&tail, "loach");
        assert!(kept.len() <= SUBROSA_EVENT_LOG_MAX && kept.len() > SUBROSA_EVENT_LOG_MAX / 2);
        assert_eq!(kept.last().unwrap().1, format!("loach {SUBROSA_EVENT_LOG_MAX};"));
        assert!(kept.iter().all(|(_, text)| text != "loach 0;"));
        assert!(tail.try_next().is_none_or(|next| matches!(next, Tailed::Message { .. })));
    }

    #[test]
    fn a_message_wakes_who_waits_and_a_tail_that_is_gone_hears_nothing() {
        let bell = Arc::new(Bell::default());
        let tail = Tail::new(SUBROSA_LOG_ERROR, bell.clone()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| tracing::error!("tench"));
            let mut heard = false;
            bell.wait_until(Duration::from_secs(60), || {
                heard |= !with(&tail, "tench").is_empty();
                heard
            });
            assert!(heard);
        });
        let messages = Arc::downgrade(&tail.0);
        drop(tail);
        assert!(messages.upgrade().is_none());
    }
}
