//! Two devices that met at a relay that was honest so far, and what a lie comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use subrosa::{Record, RecordId, Sync, SyncEvent, SyncStatus};
use subrosa_tests::liar::{Lie, LyingRelay};

use crate::support::{PATIENCE, TestDevice, TestRelay, caught_up, clock, note};

/// How often to look while nothing happens.
const GLANCE: Duration = Duration::from_millis(20);

/// Devices that a relay lies to.
pub(crate) struct Stage {
    pub(crate) relay: LyingRelay,
    pub(crate) a: TestDevice,
    pub(crate) b: TestDevice,
    /// Everything that was written.
    written: BTreeMap<RecordId, Record>,
}

impl Stage {
    /// With a note that both have, and of which the relay has kept a copy.
    pub(crate) fn honest() -> Self {
        let relay = LyingRelay::start(Lie::Honest).unwrap();
        let a = TestDevice::new();
        let mut written = BTreeMap::new();
        write(&mut written, &a, "before");
        a.sync_once(relay.url());
        let b = a.pair(relay.url());
        b.sync_once(relay.url());
        a.sync_once(relay.url());
        relay.keep();
        relay.split();
        Self { relay, a, b, written }
    }

    pub(crate) fn write_a(&mut self, name: &str) {
        write(&mut self.written, &self.a, name);
    }

    pub(crate) fn write_b(&mut self, name: &str) {
        write(&mut self.written, &self.b, name);
    }

    /// Nothing that was not written is anywhere.
    pub(crate) fn is_authentic(&self, what: &str) {
        for device in [&self.a, &self.b] {
            for (id, note) in device.notes() {
                assert_eq!(self.written.get(&id), Some(&note), "{what}: nobody wrote that");
            }
        }
    }

    /// From now on the relay is honest, and everybody comes anew: it gives all of it to both.
    pub(crate) fn is_healed_by_honesty(&self, what: &str) {
        self.is_authentic(what);
        self.relay.tell(Lie::Honest);
        self.relay.cut();
        self.meet(self.relay.url(), what);
    }

    /// An honest relay gets all of it from both, and a new device all of it from that relay.
    pub(crate) fn nothing_is_lost(&self, what: &str) {
        self.is_authentic(what);
        let honest = TestRelay::open();
        self.meet(&honest.url(), what);
        let c = self.a.pair(&honest.url());
        c.sync_once(&honest.url());
        assert_eq!(c.notes(), self.written, "{what}");
        assert!(self.a.device().verify().unwrap().is_good(), "{what}");
    }

    fn meet(&self, relay: &subrosa::RelayAddr, what: &str) {
        for device in [&self.a, &self.b, &self.a] {
            device.sync_once(relay);
        }
        for device in [&self.a, &self.b] {
            assert_eq!(device.notes(), self.written, "{what}");
            assert_eq!(device.vault().pending().unwrap(), 0, "{what}");
        }
    }
}

fn write(written: &mut BTreeMap<RecordId, Record>, device: &TestDevice, name: &str) {
    let text = format!("{name}, as it was written");
    device.put(name, &text);
    written.insert(RecordId::from_name(name), note(&text));
}

/// Waits until a sync says something that begins like that, in an event or in its status.
pub(crate) fn says(sync: &Sync, sign: &str) {
    let (events, deadline) = (sync.events(), clock() + PATIENCE);
    let mut said = signs_of(&sync.status());
    while !said.iter().any(|one| one.starts_with(sign)) {
        let left = deadline.saturating_duration_since(clock());
        assert!(!left.is_zero(), "never said {sign}: {said:?}");
        said.extend(events.next(left.min(GLANCE)).iter().filter_map(sign_of));
        said.extend(signs_of(&sync.status()));
    }
}

/// A sync comes to its end, and complains of nothing.
pub(crate) fn suspects_nothing(sync: &Sync) {
    caught_up(sync);
    assert_eq!(signs_of(&sync.status()), BTreeSet::new());
}

fn sign_of(event: &SyncEvent) -> Option<String> {
    Some(match event {
        SyncEvent::Disagrees(_) => "disagrees".to_owned(),
        SyncEvent::Disputed(_) => "disputed".to_owned(),
        SyncEvent::Rests { fault, .. } => format!("rests: {fault}"),
        SyncEvent::Refused { code, .. } => format!("refused: {code}"),
        SyncEvent::Clock { ahead_ms: Some(_) } => "clock".to_owned(),
        _ => return None,
    })
}

fn signs_of(status: &SyncStatus) -> BTreeSet<String> {
    let mut signs = BTreeSet::new();
    let mut sign = |is: bool, text: &str| is.then(|| signs.insert(text.to_owned()));
    sign(!status.disagrees.is_empty(), "disagrees");
    sign(!status.disputed.is_empty(), "disputed");
    sign(status.clock_ahead_ms.is_some(), "clock");
    for fault in status.resting.values() {
        sign(true, &format!("rests: {fault}"));
    }
    if let Some(failure) = &status.failure {
        sign(true, &format!("failed: {failure}"));
    }
    signs
}
