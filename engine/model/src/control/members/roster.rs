//! What follows from what counts: who is listed, in which order, and which logs are whose.
//!
//! Seniority is a list: the founder, whom it adds by rank, whom the first of those adds, and so on. What comes last, as nearly
//! everything does, is put at its place. Only an entry that ranks earlier than the one by which its device stands in the list, a
//! device more than the list has room for, or a log that two certificates name, has all of it made anew
//! from [`Reach`]: that costs in proportion to members and their logs, not to history.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subrosa_protocol::ids::{Base, Chain, LogId, Seq};
use subrosa_protocol::limits::{DEVICES_PER_VAULT_MAX, LOGS_PER_DEVICE_MAX};
use subrosa_protocol::segment::Class;

use super::super::entry::EntryRank;
use super::super::{DeviceRole, PrefixCap};
use super::reach::Reach;
use super::segment::{Certificate, HeldEntry};
use super::{CertifiedLog, ListedDevice, MemberChanges};
use crate::keys::PublicKey;
use crate::merge::{Cap, Stamp};

/// What follows from what counts.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Most senior first.
    pub(super) devices: Vec<ListedDevice>,
    /// Of each of them, the rank of the entry that gave it its name and place; none of the founder.
    listings: Vec<Option<EntryRank>>,
    places: BTreeMap<PublicKey, usize>,
    pub(super) logs: BTreeMap<LogId, CertifiedLog>,
    /// Of each device with a certificate that counts, those, by rank.
    pub(super) pairs: BTreeMap<PublicKey, BTreeMap<EntryRank, Arc<Certificate>>>,
    /// Where logs begin, if not at their first segment.
    pub(super) bases: BTreeMap<LogId, Base>,
    /// Per log and device, the cap that certificates of the device set on it. It counts if the log is the device's.
    caps: BTreeMap<(LogId, PublicKey), Cap>,
    /// Per log, the caps that certificates set on what their authors had merged of it, who may write, or whose log it is.
    prefix_caps: BTreeMap<LogId, NamedGroups>,
    /// Those of devices that may not write.
    prefix_caps_of_readers: BTreeMap<PublicKey, BTreeSet<(LogId, PrefixCap)>>,
    /// Of each data log the devices whose certificates name it as theirs: one, but for devices that share a key.
    owners: BTreeMap<LogId, BTreeSet<PublicKey>>,
    /// Logs of which the caps may be others since that was last asked.
    pub(super) capped: CappedLogs,
    pub(super) update_needed: bool,
    /// More devices were added than a vault may have.
    pub(super) overflows: bool,
    /// Two certificates name one log: which one counts depends on seniority.
    contested: bool,
    /// What is to be made anew.
    stale: Stale,
    /// How often the list was made anew.
    #[cfg(test)]
    pub(super) folds: usize,
}

/// Logs whose caps may be others than before.
#[derive(Debug, Default)]
pub struct CappedLogs {
    /// Whether it may be any that has some.
    pub all: bool,
    /// Otherwise these.
    pub logs: BTreeSet<LogId>,
    /// And these, of which nothing is new but what some groups of them are capped by.
    pub groups: BTreeMap<LogId, BTreeSet<NamedGroup>>,
}

impl CappedLogs {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        !self.all && self.logs.is_empty() && self.groups.is_empty()
    }
}

/// A group of a log as a cap names it: by a segment and its chain.
pub type NamedGroup = (Seq, Chain);

/// The groups of one log that caps name on what somebody had merged.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NamedGroups {
    groups: BTreeMap<NamedGroup, Stamp>,
    lowest: Option<Stamp>,
}

impl NamedGroups {
    /// The one of a log of which none is named.
    pub const NONE: Self = Self { groups: BTreeMap::new(), lowest: None };

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The lowest of all caps.
    pub const fn lowest(&self) -> Option<Stamp> {
        self.lowest
    }

    /// The lowest cap of a group.
    pub fn cap(&self, group: &NamedGroup) -> Option<Stamp> {
        self.groups.get(group).copied()
    }

    /// Those that are named by a segment of a number, or a later one.
    pub fn not_before(&self, seq: Seq) -> impl Iterator<Item = (&NamedGroup, &Stamp)> {
        self.groups.range((seq, Chain::ZERO)..)
    }

    /// Whether that is something new.
    fn add(&mut self, PrefixCap { seq, chain, cap }: PrefixCap) -> bool {
        self.lowest = Some(self.lowest.map_or(cap, |lowest| lowest.min(cap)));
        let is_news = self.cap(&(seq, chain)).is_none_or(|held| cap < held);
        if is_news {
            self.groups.insert((seq, chain), cap);
        }
        is_news
    }
}

impl FromIterator<(NamedGroup, Stamp)> for NamedGroups {
    fn from_iter<T: IntoIterator<Item = (NamedGroup, Stamp)>>(groups: T) -> Self {
        let mut named = Self::NONE;
        for ((seq, chain), cap) in groups {
            named.add(PrefixCap { seq, chain, cap });
        }
        named
    }
}

/// What of the roster does not fit any more.
#[derive(Debug, Default)]
struct Stale {
    list: bool,
    logs: bool,
}

/// Certificates of one device that count: two logs each. Few in tests of this crate, for making thousands takes minutes.
pub(super) const PAIRS_MAX: usize = if cfg!(test) { 48 } else { LOGS_PER_DEVICE_MAX / 2 };

/// Devices that are listed; tests may have fewer.
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(clippy::missing_const_for_fn, reason = "tests look for theirs")
)]
pub(super) fn devices_max() -> usize {
    #[cfg(any(test, feature = "testing"))]
    if let Some(max) = super::testing::DEVICES_MAX.get() {
        return max;
    }
    DEVICES_PER_VAULT_MAX
}

impl Roster {
    pub(super) fn device(&self, public: &PublicKey) -> Option<&ListedDevice> {
        self.places.get(public).and_then(|place| self.devices.get(*place))
    }

    /// Whether a log is a control log by a certificate that counts.
    pub(super) fn is_control(&self, log: &LogId) -> bool {
        self.logs.get(log).is_some_and(|log| log.class == Class::Control)
    }

    /// The founder is listed.
    pub(super) fn found(&mut self, reach: &Reach, changes: &mut MemberChanges) {
        if let Some(founder) = founder_of(reach)
            && self.devices.is_empty()
        {
            changes.devices_added.push(founder.public);
            self.push(founder, None);
        }
    }

    /// An entry of an admin counts: its device is put at its place.
    pub(super) fn follow(&mut self, entry: &HeldEntry, reach: &Reach, changes: &mut MemberChanges) {
        let Some(added) = entry.added() else { return };
        let role = reach.roles.get(&added.device).copied().unwrap_or(added.role);
        // Who may write from now on may have set caps before.
        if role != DeviceRole::Reader {
            let set = self.prefix_caps_of_readers.remove(&added.device).unwrap_or_default();
            set.into_iter().for_each(|(log, prefix)| self.cap_prefix(log, prefix));
        }
        if self.stale.list {
            return;
        }
        if self.overflows || reach.roles.len() > devices_max() {
            self.stale.list = true;
            return;
        }
        let Some(adder) = self.places.get(&entry.author).copied() else { return };
        let Some(place) = self.places.get(&added.device).copied() else {
            let place = self.place_behind(adder, &entry.rank);
            changes.devices_added.push(added.device);
            return self.insert(place, listed(entry, role), entry.rank);
        };
        let Some(before) = self.listings[place] else { return }; // the founder
        let sponsor = self.devices[place].added_by.and_then(|sponsor| self.places.get(&sponsor));
        if sponsor.is_some_and(|sponsor| (adder, entry.rank) < (*sponsor, before)) {
            self.stale.list = true;
        } else {
            self.devices[place].role = role;
        }
    }

    /// Where a device comes that is added by who stands at `adder`: behind all whom others before that one have added, and
    /// behind those whom that one has added with a lower rank.
    fn place_behind(&self, adder: usize, rank: &EntryRank) -> usize {
        // Who was listed without an adder is the founder. All others stand behind their adders.
        let (mut low, mut high) = (adder + 1, self.devices.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let sponsor = self.devices[middle].added_by.and_then(|sponsor| self.places.get(&sponsor));
            if sponsor.map(|sponsor| (*sponsor, self.listings[middle])) < Some((adder, Some(*rank))) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn insert(&mut self, place: usize, device: ListedDevice, rank: EntryRank) {
        for later in &self.devices[place..] {
            if let Some(place) = self.places.get_mut(&later.public) {
                *place += 1;
            }
        }
        self.places.insert(device.public, place);
        self.listings.insert(place, Some(rank));
        self.devices.insert(place, device);
    }

    fn push(&mut self, device: ListedDevice, rank: Option<EntryRank>) {
        self.places.insert(device.public, self.devices.len());
        self.listings.push(rank);
        self.devices.push(device);
    }

    /// A certificate of a member counts.
    pub(super) fn certify(
        &mut self,
        certificate: &Arc<Certificate>,
        reach: &Reach,
        changes: &mut MemberChanges,
    ) {
        let device = certificate.device;
        self.pairs.entry(device).or_default().insert(certificate.rank, certificate.clone());
        self.own(LogId::of(&certificate.data_log), device);
        for (log, base) in &certificate.bases {
            let raised = self.bases.entry(*log).or_insert(*base);
            *raised = (*raised).max(*base);
        }
        for (log, step) in &certificate.caps {
            let held = self.caps.entry((*log, device)).or_default();
            *held = Cap::of(held.steps().iter().copied().chain([*step]));
            self.capped.logs.insert(*log);
        }
        let may_write = reach.roles.get(&device).is_some_and(|role| *role != DeviceRole::Reader);
        for (log, prefix) in &certificate.prefix_caps {
            if may_write || self.owners.get(log).is_some_and(|owners| owners.contains(&device)) {
                self.cap_prefix(*log, *prefix);
            } else {
                self.prefix_caps_of_readers.entry(device).or_default().insert((*log, *prefix));
            }
        }
        for class in [Class::Control, Class::Data] {
            match self.claim(certificate, class) {
                Some(log) => changes.logs_certified.push(log),
                None => self.contested = true,
            }
        }
        self.stale.logs |= self.contested;
    }

    /// A certificate of a device names a data log as its own: what the device had merged of it is capped as it says, whether it may write or
    /// not.
    fn own(&mut self, log: LogId, device: PublicKey) {
        if !self.owners.entry(log).or_default().insert(device) {
            return;
        }
        let Some(set) = self.prefix_caps_of_readers.get_mut(&device) else { return };
        let first = PrefixCap { seq: Seq(0), chain: Chain::ZERO, cap: Stamp(0) };
        let of_log: Vec<_> = set.range((log, first)..).take_while(|(of, _)| *of == log).copied().collect();
        set.retain(|(of, _)| *of != log);
        of_log.into_iter().for_each(|(_, prefix)| self.cap_prefix(log, prefix));
    }

    fn cap_prefix(&mut self, log: LogId, prefix: PrefixCap) {
        if self.prefix_caps.entry(log).or_default().add(prefix) {
            self.capped.groups.entry(log).or_default().insert((prefix.seq, prefix.chain));
        }
    }

    /// Certifies one of the two logs, unless it was certified. Should two certificates name one log, which takes one device that gives
    /// its log key to another, the one that comes first counts.
    fn claim(&mut self, certificate: &Certificate, class: Class) -> Option<LogId> {
        let Certificate { device, incarnation, .. } = *certificate;
        let public = match class {
            Class::Control => certificate.control_log,
            Class::Data => certificate.data_log,
        };
        let log = LogId::of(&public);
        let Entry::Vacant(free) = self.logs.entry(log) else { return None };
        free.insert(CertifiedLog { device, class, incarnation, public });
        if self.has_caps() {
            self.capped.logs.insert(log);
            self.capped.logs.insert(LogId::of(&certificate.data_log));
        }
        Some(log)
    }

    /// The cap that its own device sets on a data log; where several certificates name one as theirs, which takes a device that gives its
    /// log key to another, all of them do: a cap that counts must not cease to.
    pub(super) fn cap(&self, log: &LogId) -> Option<Cap> {
        self.logs.get(log).filter(|certified| certified.class == Class::Data)?;
        let owners = self.owners.get(log).into_iter().flatten();
        let caps: Vec<_> = owners.filter_map(|device| self.caps.get(&(*log, *device))).collect();
        let steps = caps.iter().flat_map(|cap| cap.steps().iter().copied());
        (!caps.is_empty()).then(|| Cap::of(steps))
    }

    /// The logs that have a cap, and it.
    #[cfg(test)]
    pub(super) fn caps(&self) -> impl Iterator<Item = (LogId, Cap)> {
        let named = self.caps.keys().map(|(log, device)| (log, device));
        let counts =
            named.filter(|(log, device)| self.logs.get(log).is_some_and(|log| log.device == **device));
        counts.filter_map(|(log, _)| Some((*log, self.cap(log)?)))
    }

    /// The caps on what of a log devices had merged who may write, or whose log it is.
    pub(super) fn prefix_caps(&self, log: &LogId) -> &NamedGroups {
        static NONE: NamedGroups = NamedGroups::NONE;
        let is_data = self.logs.get(log).is_some_and(|certified| certified.class == Class::Data);
        self.prefix_caps.get(log).filter(|_| is_data).unwrap_or(&NONE)
    }

    /// The logs of which some cap is set, some more than once.
    pub(super) fn logs_with_caps(&self) -> impl Iterator<Item = LogId> {
        self.caps.keys().map(|(log, _)| *log).chain(self.prefix_caps.keys().copied())
    }

    pub(super) fn has_caps(&self) -> bool {
        !self.caps.is_empty() || !self.prefix_caps.is_empty()
    }

    /// Whether a certificate counts already.
    pub(super) fn counts(&self, certificate: &Certificate) -> bool {
        self.pairs.get(&certificate.device).is_some_and(|pairs| pairs.contains_key(&certificate.rank))
    }

    /// Whether one more certificate of a device counts.
    pub(super) fn has_room(&self, device: &PublicKey) -> bool {
        self.pairs.get(device).is_none_or(|pairs| pairs.len() < PAIRS_MAX)
    }

    /// Makes anew what does not fit any more.
    pub(super) fn settle(&mut self, reach: &Reach, changes: &mut MemberChanges) {
        let Stale { list, logs } = std::mem::take(&mut self.stale);
        if list {
            let told: BTreeSet<_> = changes.devices_added.drain(..).collect();
            let before: BTreeSet<_> =
                self.places.keys().filter(|device| !told.contains(device)).copied().collect();
            self.list_all(reach);
            let now = self.devices.iter().map(|device| device.public);
            changes.devices_added.extend(now.filter(|device| !before.contains(device)));
        } else {
            changes.devices_added.sort_by_key(|device| self.places.get(device));
        }
        if logs || (list && self.contested) {
            self.certify_all(reach, changes);
        }
    }

    /// Lists everybody: the founder, whom it adds, whom the first of those adds, and so on.
    fn list_all(&mut self, reach: &Reach) {
        #[cfg(test)]
        {
            self.folds += 1;
        }
        self.devices.clear();
        self.listings.clear();
        self.places.clear();
        self.overflows = reach.roles.len() > devices_max();
        let Some(founder) = founder_of(reach) else { return };
        self.push(founder, None);
        let mut place = 0;
        while let Some(adder) = self.devices.get(place).map(|device| device.public) {
            place += 1;
            if !reach.is_admin(&adder) {
                continue;
            }
            for entry in reach.adds_of(&adder) {
                let Some(added) = entry.added() else { continue };
                if self.devices.len() < devices_max() && !self.places.contains_key(&added.device) {
                    let role = reach.roles.get(&added.device).copied().unwrap_or(added.role);
                    self.push(listed(entry, role), Some(entry.rank));
                }
            }
        }
    }

    /// Looks at all certificates in the order of their devices. Who finds no place in the list, or loses it to a senior device that
    /// comes late, has logs all the same.
    fn certify_all(&mut self, reach: &Reach, changes: &mut MemberChanges) {
        let before = std::mem::take(&mut self.logs);
        let listed = self.devices.iter().map(|device| device.public);
        let beyond = reach.roles.keys().filter(|device| !self.places.contains_key(*device)).copied();
        let members: Vec<_> = listed.chain(beyond).collect();
        let of_member = |device: &PublicKey| self.pairs.get(device).into_iter().flat_map(BTreeMap::values);
        let certificates: Vec<_> = members.iter().flat_map(of_member).cloned().collect();
        // A log that begins with a certificate is a control log, whoever names it as data.
        for class in [Class::Control, Class::Data] {
            for certificate in &certificates {
                self.claim(certificate, class);
            }
        }
        let told: BTreeSet<_> = changes.logs_certified.drain(..).collect();
        let is_new = |(log, now): &(&LogId, &CertifiedLog)| {
            told.contains(*log) || before.get(*log).is_none_or(|before| before.class != now.class)
        };
        let certified: Vec<_> = self.logs.iter().filter(is_new).map(|(log, _)| *log).collect();
        if self.has_caps() {
            self.capped.logs.extend(&certified);
        }
        changes.logs_certified.extend(certified);
    }
}

fn founder_of(reach: &Reach) -> Option<ListedDevice> {
    let founder = reach.founder.as_ref()?;
    Some(ListedDevice {
        public: founder.public,
        name: founder.name.clone(),
        role: DeviceRole::Admin,
        added_by: None,
        prekey: None,
    })
}

fn listed(entry: &HeldEntry, role: DeviceRole) -> ListedDevice {
    let added = entry.added().expect("only entries that add a device are followed");
    ListedDevice {
        public: added.device,
        name: added.name.clone(),
        role,
        added_by: Some(entry.author),
        prekey: Some(added.prekey),
    }
}
