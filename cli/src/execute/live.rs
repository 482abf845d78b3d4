//! watch and sync: what waits for the network.

use std::sync::Arc;
use std::time::Duration;

use subrosa::{Change, ChangeKind, Changes, Sync, SyncError, SyncState, SyncStatus, Value, Vault};

use crate::clock::Stopwatch;
use crate::failure::Failure;
use crate::host::Host;
use crate::request::{Caller, Level, Progress};
use crate::stop::GLANCE;

/// Until both sides have everything, or nothing has moved for too long.
pub(super) fn sync(host: &Host, timeout_secs: u64, caller: &mut dyn Caller) -> Result<(), Failure> {
    let mut relay = host.relay_changes();
    let mut sync = host.sync()?;
    let mut patience = Patience::new(Duration::from_secs(timeout_secs));
    loop {
        if relay != host.relay_changes() {
            relay = host.relay_changes();
            drop(sync);
            sync = host.sync()?;
        }
        let waited = sync.wait_caught_up(GLANCE);
        let status = sync.status();
        show(&status, caller)?;
        match waited {
            Ok(()) => {
                let segments = status.progress.segments_done;
                return caller.note(Level::Plain, &format!("caught up, {segments} segments exchanged"));
            }
            Err(SyncError::NoProgress(_)) if !caller.is_there() => return Err(Failure::Interrupted),
            Err(SyncError::NoProgress(_)) if !patience.is_over(&status) => (),
            Err(SyncError::NoProgress(_)) => {
                return Err(Failure::Stalled { secs: timeout_secs, reason: describe(&status) });
            }
            Err(SyncError::Refused(code)) => return Err(Failure::Refused(code)),
            Err(error) => return Err(Failure::Sync(error)),
        }
    }
}

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
        ChangeKind::Inserted | ChangeKind::Updated => vault.records(&collection).get(id)?,
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
/// Time without progress.
struct Patience {
    limit: Duration,
    idle: Stopwatch,
    seen: Option<(u64, u64)>,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, idle: Stopwatch::start(), seen: None }
    }

    fn is_over(&mut self, status: &SyncStatus) -> bool {
        let moved = Some((status.progress.segments_done, status.progress.bytes_done));
        if moved != self.seen {
            self.seen = moved;
            self.idle = Stopwatch::start();
        }
        self.idle.elapsed() >= self.limit
    }
}

fn show(status: &SyncStatus, caller: &mut dyn Caller) -> Result<(), Failure> {
    let progress = &status.progress;
    let (done, known) = (progress.segments_done, progress.segments_known);
    caller.progress(Progress::Synced { done, known, bytes: progress.bytes_done })
}

/// State and reason in a few words.
pub(super) fn describe(status: &SyncStatus) -> String {
    match &status.failure {
        Some(failure) if status.state != SyncState::Live => format!("{}: {failure}", status.reason()),
        _ => status.reason(),
    }
}

/// Says it when the state has changed.
fn tell_state(status: &SyncStatus, shown: &mut String, caller: &mut dyn Caller) -> Result<(), Failure> {
    let now = describe(status);
    if now == *shown {
        return Ok(());
    }
    *shown = now;
    caller.note(Level::Plain, &format!("sync: {shown}"))
}
