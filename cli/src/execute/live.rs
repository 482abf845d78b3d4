//! watch and sync: what waits for the network.

use std::sync::Arc;
use std::time::Duration;

use subrosa::{Change, ChangeKind, Changes, Error, Sync, SyncError, SyncState, SyncStatus, Value, Vault};

use super::state::{counted, in_words};
use crate::clock::Stopwatch;
use crate::failure::Failure;
use crate::host::Host;
use crate::request::{Answer, Caller, Level, Progress};
use crate::stop::GLANCE;
use crate::terminal::printable;

/// The command: until both sides have everything, or the time is over: that given, or else the usual one.
pub(super) fn sync(host: &Host, timeout_secs: Option<u64>, caller: &mut dyn Caller) -> Result<(), Failure> {
    let patience = match timeout_secs.map(Duration::from_secs) {
        Some(given) => Patience::new(given, given),
        None => Patience::new(IDLE_MAX, WHOLE_MAX),
    };
    let status = exchange(host, patience, caller)?;
    let disagrees = tell_hidden(host, &status, caller)?;
    let segments = status.progress.segments_done;
    let json = serde_json::json!({ "segments": segments, "disagrees": disagrees }).to_string();
    caller.answer(&Answer { text: String::new(), json })
}

/// As part of another command: until both sides have everything, or nothing moved for too long.
pub(super) fn sync_within(host: &Host, idle_max: Duration, caller: &mut dyn Caller) -> Result<(), Failure> {
    let status = exchange(host, Patience::new(idle_max, WHOLE_MAX), caller)?;
    tell_hidden(host, &status, caller).map(drop)
}

fn exchange(host: &Host, mut patience: Patience, caller: &mut dyn Caller) -> Result<SyncStatus, Failure> {
    let mut relay = host.relay_changes();
    // Of a sync that runs already, what it exchanged before is not ours to tell.
    let mut before = host.running_sync().map_or(0, |sync| sync.status().progress.segments_done);
    let mut sync = host.sync()?;
    let mut moment = sync.moment();
    loop {
        if relay != host.relay_changes() {
            relay = host.relay_changes();
            drop(sync);
            before = 0;
            sync = host.sync()?;
            moment = sync.moment();
        }
        // A glance in all: what a relay feeds meanwhile must not keep us from looking at the time.
        let waited = moment.wait(GLANCE, GLANCE);
        let mut status = sync.status();
        show(&status, caller)?;
        match waited {
            Ok(()) => {
                let done = &mut status.progress.segments_done;
                *done = done.saturating_sub(before);
                caller.note(Level::Plain, &format!("caught up, {} exchanged", counted(*done, "segment")))?;
                if let Some(clock) = of_clock(&status) {
                    caller.note(Level::Plain, &format!("{clock}; put right whichever is wrong"))?;
                }
                if status.held_until_ms.is_some() {
                    caller.note(Level::Plain, &format!("{HELD}; see `subrosa status`"))?;
                }
                return Ok(status);
            }
            Err(SyncError::NoProgress(_) | SyncError::Unfinished(_)) => {
                if !caller.is_there() {
                    return Err(Failure::Interrupted);
                }
                patience.check(&status)?;
                if let Some(silent) = patience.silent_for() {
                    let (state, most) = (describe(&status), patience.idle_max.as_secs());
                    let text = format!(
                        "nothing has moved for {} s ({state}); waiting for {most} s in all",
                        silent.as_secs()
                    );
                    caller.note(Level::Plain, &text)?;
                }
            }
            Err(SyncError::Refused(code)) => return Err(Failure::Refused(code)),
            Err(SyncError::UpdateNeeded) => return Err(Failure::Engine(Error::UpdateNeeded)),
            Err(SyncError::Disputed) => return Err(Failure::Disputed),
            Err(error) => return Err(Failure::Sync(error)),
        }
    }
}

/// Says of which vaults the relay hides something, and names them.
fn tell_hidden(host: &Host, status: &SyncStatus, caller: &mut dyn Caller) -> Result<Vec<String>, Failure> {
    let mut hidden = Vec::new();
    for info in host.device().vaults()? {
        if status.disagrees.contains(&info.id) {
            caller.note(Level::Plain, &format!("vault {}: {DISAGREES}", printable(&info.name)))?;
            hidden.push(info.name);
        }
    }
    Ok(hidden)
}

/// What a digest that is not ours means to the user.
pub(super) const DISAGREES: &str =
    "the relay hides or has lost something that it was given; compare with another device or another relay";

/// What a claim means of which nothing is shown.
pub(super) const DISPUTED: &str =
    "the relay says that it has another copy's changes of this device, and shows none: nothing is sent to it";

/// Until interrupted, through lost links, relay restarts and changes of the relay.
pub(super) fn sync_live(host: &Host, caller: &mut dyn Caller) -> Result<(), Failure> {
    loop {
        let relay = host.relay_changes();
        let sync = host.sync()?;
        caller.note(Level::Plain, "syncing until interrupted")?;
        let mut shown = String::new();
        while relay == host.relay_changes() {
            if !caller.is_there() {
                return Err(Failure::Interrupted);
            }
            tell_state(&sync.status(), &mut shown, caller)?;
            std::thread::sleep(GLANCE);
        }
    }
}

/// Prints changes until interrupted; syncs meanwhile, when there is a relay.
pub(super) fn watch(host: &Host, vault: &Vault, caller: &mut dyn Caller) -> Result<(), Failure> {
    let mut changes = vault.watch();
    let mut relay = host.relay_changes();
    let mut sync = optional(host.sync())?;
    caller.note(Level::Plain, "watching until interrupted")?;
    let mut shown = String::new();
    while caller.is_there() {
        if relay != host.relay_changes() {
            relay = host.relay_changes();
            drop(sync.take());
            sync = optional(host.sync())?;
        }
        if let Some(sync) = &sync {
            tell_state(&sync.status(), &mut shown, caller)?;
        }
        print_changes(vault, &mut changes, caller)?;
    }
    Err(Failure::Interrupted)
}

/// A watch works without a relay too.
fn optional(sync: Result<Arc<Sync>, Failure>) -> Result<Option<Arc<Sync>>, Failure> {
    match sync {
        Err(Failure::NoRelay) => Ok(None),
        other => other.map(Some),
    }
}

/// Waits a glance for a change, and prints it with all that are there by then.
fn print_changes(vault: &Vault, changes: &mut Changes, caller: &mut dyn Caller) -> Result<(), Failure> {
    let mut next = changes.next(GLANCE);
    while let Some(change) = next {
        caller.line(&change_line(vault, change)?)?;
        next = changes.try_next();
    }
    caller.flush()
}

/// A change as a line; the fields are those of now, so several changes of one record may show the same.
fn change_line(vault: &Vault, change: Change) -> Result<String, Failure> {
    let Change::Record { collection, id, kind } = change else { return Ok(LAGGED.to_owned()) };
    let fields = match kind {
        ChangeKind::Removed => None,
        ChangeKind::Inserted | ChangeKind::Updated => match vault.records(&collection).get(id) {
            // Whoever watches reads it field by field.
            Err(Error::RecordTooLarge { .. }) => None,
            read => read?,
        },
    };
    let kind = match kind {
        ChangeKind::Inserted => "inserted",
        ChangeKind::Updated => "updated",
        ChangeKind::Removed => "removed",
    };
    let mut members = vec![
        ("collection", Value::from(&*collection)),
        ("id", Value::from(id.to_string())),
        ("kind", Value::from(kind)),
    ];
    members.extend(fields.map(|fields| ("fields", Value::Map(fields.0))));
    Ok(Value::Map(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        .to_json_string())
}

/// Changes were missed: read again what you need.
pub(crate) const LAGGED: &str = r#"{"kind":"lagged"}"#;
/// Without `--timeout`: time without progress.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// After so long without progress it is said what is waited for.
const SAID_AFTER: Duration = Duration::from_secs(2);
/// And in all, since a relay can feed for ever.
const WHOLE_MAX: Duration = Duration::from_secs(3600);

/// The time that is left.
struct Patience {
    /// In which nothing may move.
    idle_max: Duration,
    whole_max: Duration,
    whole: Stopwatch,
    idle: Stopwatch,
    seen: Option<(u64, u64)>,
    /// Whether it was said, since something moved, that nothing does.
    said: bool,
}

impl Patience {
    fn new(idle_max: Duration, whole_max: Duration) -> Self {
        Self {
            idle_max,
            whole_max,
            whole: Stopwatch::start(),
            idle: Stopwatch::start(),
            seen: None,
            said: false,
        }
    }

    /// Fails when it is over.
    fn check(&mut self, status: &SyncStatus) -> Result<(), Failure> {
        let moved = (status.progress.segments_done, status.progress.bytes_done);
        match self.seen.replace(moved) {
            Some(seen) if seen != moved => (self.idle, self.said) = (Stopwatch::start(), false),
            _ => {}
        }
        if self.idle.elapsed() >= self.idle_max {
            return Err(Failure::Stalled { secs: self.idle_max.as_secs(), reason: describe(status) });
        }
        if self.whole.elapsed() >= self.whole_max {
            return Err(Failure::Unfinished { secs: self.whole_max.as_secs(), reason: describe(status) });
        }
        Ok(())
    }

    /// For how long nothing has moved, once that is to be said: whoever looks on would think that the command hangs.
    fn silent_for(&mut self) -> Option<Duration> {
        let silent = self.idle.elapsed();
        if self.said || silent < SAID_AFTER {
            return None;
        }
        self.said = true;
        Some(silent)
    }
}

fn show(status: &SyncStatus, caller: &mut dyn Caller) -> Result<(), Failure> {
    let progress = &status.progress;
    let (done, known) = (progress.segments_done, progress.segments_known);
    caller.progress(Progress::Synced { done, known, bytes: progress.bytes_done })
}

/// State and reason in a few words.
pub(super) fn describe(status: &SyncStatus) -> String {
    let mut words = match &status.failure {
        Some(failure) if status.state != SyncState::Live => format!("{}: {failure}", status.reason()),
        _ => status.reason(),
    };
    for (number, what) in [
        (status.resting.len(), "resting"),
        (status.disagrees.len(), "not shown whole by the relay"),
        (status.disputed.len(), "disputed by the relay"),
        (status.update_needed.len(), "in need of a newer version of subrosa"),
    ] {
        if number > 0 {
            words.push_str(&format!(", {} {what}", counted(number as u64, "vault")));
        }
    }
    for words_of_clocks in
        [of_clock(status), status.held_until_ms.map(|_| HELD.to_owned())].into_iter().flatten()
    {
        words.push_str(&format!(", {words_of_clocks}"));
    }
    words
}

/// By how much this machine's clock differs from the relay's.
fn of_clock(status: &SyncStatus) -> Option<String> {
    let ahead_ms = status.clock_ahead_ms?;
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    Some(format!("the clock of this machine is {} {side} the relay's", in_words(ahead_ms.unsigned_abs())))
}

/// What it means that groups are held.
const HELD: &str = "edits are held that were made ahead of this clock";

/// Says it when the state has changed.
fn tell_state(status: &SyncStatus, shown: &mut String, caller: &mut dyn Caller) -> Result<(), Failure> {
    match news(status, shown) {
        Some(now) => {
            *shown = now;
            caller.note(Level::Plain, &format!("sync: {shown}"))
        }
        None => Ok(()),
    }
}

/// What is to be said, after what was said last. Another try after one that failed is no news: a relay that is down for a night
/// would fill the screen.
fn news(status: &SyncStatus, said: &str) -> Option<String> {
    let again = status.state == SyncState::Connecting && status.failure.is_some();
    Some(describe(status)).filter(|now| !again && now != said)
}

#[cfg(test)]
mod tests {
    use subrosa::SyncFailure;

    use super::*;

    #[test]
    fn a_given_time_is_over_whatever_has_moved() {
        let mut patience = Patience::new(WHOLE_MAX, Duration::ZERO);
        let mut status = SyncStatus::default();
        for moved in 1..4 {
            status.progress.segments_done = moved;
            let over = patience.check(&status);
            assert!(matches!(over, Err(Failure::Unfinished { secs: 0, .. })), "{over:?}");
        }
        let mut patience = Patience::new(Duration::ZERO, WHOLE_MAX);
        assert!(matches!(patience.check(&status), Err(Failure::Stalled { .. })));
        assert!(Patience::new(WHOLE_MAX, WHOLE_MAX).check(&status).is_ok());
    }

    #[test]
    fn a_relay_that_is_down_is_said_once() {
        let mut status = SyncStatus::default();
        let mut said = String::new();
        let mut lines = Vec::new();
        for (state, failure) in [
            (SyncState::Connecting, None),
            (SyncState::Offline, Some(SyncFailure::Unreachable)),
            (SyncState::Connecting, Some(SyncFailure::Unreachable)),
            (SyncState::Offline, Some(SyncFailure::Unreachable)),
            (SyncState::Connecting, Some(SyncFailure::Unreachable)),
            (SyncState::Offline, Some(SyncFailure::WrongKey)),
            (SyncState::Live, None),
        ] {
            (status.state, status.failure) = (state, failure);
            if let Some(now) = news(&status, &said) {
                lines.push(now.clone());
                said = now;
            }
        }
        let (unreachable, key) = (SyncFailure::Unreachable, SyncFailure::WrongKey);
        assert_eq!(
            lines,
            ["connecting", &format!("offline: {unreachable}"), &format!("offline: {key}"), "live"]
        );
    }

    #[test]
    fn what_the_relay_hides_and_what_rests_is_described() {
        let mut status = SyncStatus::default();
        assert_eq!(describe(&status), "offline");
        status.disagrees.insert(subrosa::VaultId::ZERO);
        assert_eq!(describe(&status), "offline, 1 vault not shown whole by the relay");
        status.disputed.insert(subrosa::VaultId::ZERO);
        assert!(describe(&status).ends_with(", 1 vault disputed by the relay"));
        let fault = subrosa::SyncFault::Peer(subrosa::PeerFault::BadSignature);
        status.resting.insert(subrosa::VaultId::ZERO, fault);
        assert!(describe(&status).contains("1 vault resting"));
        status.update_needed.insert(subrosa::VaultId::ZERO);
        assert!(describe(&status).ends_with(", 1 vault in need of a newer version of subrosa"));
        let mut status = SyncStatus::default();
        status.clock_ahead_ms = Some(-3 * 3_600_000);
        assert_eq!(describe(&status), "offline, the clock of this machine is 3 hours behind the relay's");
        status.clock_ahead_ms = Some(400_000);
        status.held_until_ms = Some(1);
        let both = "offline, the clock of this machine is 7 minutes ahead of the relay's, edits are held that were made ahead of this clock";
        assert_eq!(describe(&status), both);
    }
}
