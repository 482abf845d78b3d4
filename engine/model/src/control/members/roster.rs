//! What follows from a vault's control segments: folded from their set, never from an order of arrival.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subrosa_protocol::ids::{Base, LogId, PublicKeyBytes, Seq};
use subrosa_protocol::limits::{DEVICES_PER_VAULT_MAX, LOGS_PER_DEVICE_MAX};
use subrosa_protocol::segment::Class;

use super::super::DeviceRole;
use super::super::entry::EntryRank;
use super::segment::{Certificate, HeldEntry};
use super::{CertifiedLog, ControlLog, ListedDevice, MemberChanges};
use crate::keys::PublicKey;

/// What follows from the segments.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// Most senior first.
    pub(super) devices: Vec<ListedDevice>,
    ranks: BTreeMap<PublicKey, usize>,
    /// Of each device but the founder, the entry that gave it its name and place: its author's seniority and its rank.
    listings: BTreeMap<PublicKey, (usize, EntryRank)>,
    pub(super) logs: BTreeMap<LogId, CertifiedLog>,
    /// Of each device with a certificate that counts, those, by rank.
    pub(super) pairs: BTreeMap<PublicKey, BTreeMap<EntryRank, Pair>>,
    /// Where logs begin, if not at their first segment.
    pub(super) bases: BTreeMap<LogId, Base>,
    pub(super) update_needed: bool,
    /// More devices were added than a vault may have.
    pub(super) overflows: bool,
}

/// What is remembered of a certificate that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) admin_key: PublicKeyBytes,
}

/// The entries that count, by author and rank.
type Standing<'a> = BTreeMap<PublicKey, BTreeMap<EntryRank, &'a Arc<HeldEntry>>>;

/// The control logs that each device claims, by the rank of their certificates; no more than may count.
type OwnedLogs<'a> = BTreeMap<PublicKey, BTreeMap<EntryRank, &'a ControlLog>>;

/// Certificates of one device that count: two logs each. Few in tests of this crate, for making thousands takes minutes.
pub(super) const PAIRS_MAX: usize = if cfg!(test) { 48 } else { LOGS_PER_DEVICE_MAX / 2 };

/// Devices that are listed; tests may have fewer.
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(clippy::missing_const_for_fn, reason = "tests look for theirs")
)]
fn devices_max() -> usize {
    #[cfg(any(test, feature = "testing"))]
    if let Some(max) = super::testing::DEVICES_MAX.get() {
        return max;
    }
    DEVICES_PER_VAULT_MAX
}

impl Roster {
    /// Folds everything. What counted before goes on counting: ops of its logs may be merged, and nothing takes them back.
    pub(super) fn fold(logs: &BTreeMap<LogId, ControlLog>, before: &Self) -> Self {
        let mut roster = Self::default();
        let Some(founder) = logs.values().find_map(founder) else { return roster };
        let owned = logs_by_device(logs, before);
        let reach = Reach::from(founder.public, &owned);
        roster.list(founder, None);
        let mut rank = 0;
        while let Some(adder) = roster.devices.get(rank).map(|device| device.public) {
            if reach.roles.get(&adder) == Some(&DeviceRole::Admin) {
                roster.list_all_of(adder, rank, &reach);
            }
            rank += 1;
        }
        // Who finds no place in the list, or loses it to a senior device that comes late, has logs all the same.
        let listed: Vec<_> = roster.devices.iter().map(|device| device.public).collect();
        let beyond = reach.roles.keys().filter(|device| !roster.ranks.contains_key(*device)).copied();
        let members = listed.into_iter().chain(beyond.collect::<Vec<_>>());
        let logs_of_members = members.filter_map(|device| owned.get(&device)).flat_map(BTreeMap::values);
        let certificates: Vec<_> = logs_of_members.filter_map(|log| log.certificate()).collect();
        // A log that begins with a certificate is a control log, whoever names it as data.
        for certificate in &certificates {
            roster.certify_log(certificate, Class::Control);
        }
        for certificate in certificates {
            roster.certify(certificate);
        }
        roster.update_needed = roster.finds_critical(&reach, logs);
        roster.overflows = reach.roles.len() > devices_max();
        roster
    }

    pub(super) fn device(&self, public: &PublicKey) -> Option<&ListedDevice> {
        self.ranks.get(public).and_then(|rank| self.devices.get(*rank))
    }

    /// Lists everybody whom an admin adds.
    fn list_all_of(&mut self, adder: PublicKey, seniority: usize, reach: &Reach<'_>) {
        for (rank, entry) in reach.standing.get(&adder).into_iter().flatten() {
            let Some(added) = entry.added() else { continue };
            let device = ListedDevice {
                public: added.device,
                name: added.name.clone(),
                role: reach.roles.get(&added.device).copied().unwrap_or(added.role),
                added_by: Some(adder),
                prekey: Some(added.prekey),
            };
            self.list(device, Some((seniority, *rank)));
        }
    }

    /// Lists a device unless it is listed, or the vault is full.
    fn list(&mut self, device: ListedDevice, listing: Option<(usize, EntryRank)>) {
        if self.devices.len() < devices_max() && !self.ranks.contains_key(&device.public) {
            self.ranks.insert(device.public, self.devices.len());
            self.listings.extend(listing.map(|listing| (device.public, listing)));
            self.devices.push(device);
        }
    }

    /// Certifies both logs of a listed device's certificate; those that were not certified. Should two certificates name
    /// one log, which takes one device that gives its log key to another, the one that comes first counts.
    pub(super) fn certify(&mut self, certificate: &Certificate) -> Vec<LogId> {
        let Certificate { body, rank, bases } = certificate;
        self.pairs.entry(body.device).or_default().insert(*rank, Pair { admin_key: body.admin_key });
        for (log, base) in bases {
            let raised = self.bases.entry(*log).or_insert(*base);
            *raised = (*raised).max(*base);
        }
        let classes = [Class::Control, Class::Data];
        classes.into_iter().filter_map(|class| self.certify_log(certificate, class)).collect()
    }

    /// Certifies one of the two, unless it was certified.
    fn certify_log(&mut self, certificate: &Certificate, class: Class) -> Option<LogId> {
        let body = &certificate.body;
        let (device, incarnation) = (body.device, body.incarnation);
        let public = match class {
            Class::Control => body.control_log,
            Class::Data => body.data_log,
        };
        let log = LogId::of(&public);
        let Entry::Vacant(free) = self.logs.entry(log) else { return None };
        free.insert(CertifiedLog { device, class, incarnation, public });
        Some(log)
    }

    /// Whether one more certificate of a device counts.
    pub(super) fn has_room(&self, device: &PublicKey) -> bool {
        self.pairs.get(device).is_none_or(|pairs| pairs.len() < PAIRS_MAX)
    }

    /// Whether an entry, that stands in a log that counts, changes what follows from the others.
    pub(super) fn changes_by(&self, entry: &HeldEntry) -> bool {
        let Some(seniority) = self.ranks.get(&entry.author) else { return false };
        if self.devices[*seniority].role != DeviceRole::Admin {
            return false;
        }
        let Some(added) = entry.added() else { return entry.is_critical() && !self.update_needed };
        let Some(listed) = self.device(&added.device) else { return true };
        // The stronger role has the smaller number; the founder stays as it is.
        let earlier = |before: &(usize, EntryRank)| (*seniority, entry.rank) < *before;
        added.role < listed.role || self.listings.get(&added.device).is_some_and(earlier)
    }

    /// Whether something critical by a listed admin is not understood. A certificate like that certifies nothing, so that
    /// it counts where it stands: at the beginning of a log.
    fn finds_critical(&self, reach: &Reach<'_>, logs: &BTreeMap<LogId, ControlLog>) -> bool {
        let standing = reach.standing.values().flat_map(BTreeMap::values).copied();
        let first = logs.values().filter_map(|log| log.segments.get(&Seq(0)));
        let uncertified = first.filter(|segment| segment.certificate.is_none());
        let mut entries = standing.chain(uncertified.flat_map(|segment| &segment.entries));
        let by_admin = |author| self.device(author).is_some_and(|device| device.role == DeviceRole::Admin);
        entries.any(|entry| entry.is_critical() && by_admin(&entry.author))
    }

    pub(super) fn changes_to(&self, next: &Self) -> MemberChanges {
        let before: BTreeSet<_> = self.ranks.keys().collect();
        let devices = next.devices.iter().map(|device| device.public);
        let is_new = |(log, now): &(&LogId, &CertifiedLog)| {
            self.logs.get(log).is_none_or(|before| before.class != now.class)
        };
        MemberChanges {
            devices_added: devices.filter(|public| !before.contains(public)).collect(),
            logs_certified: next.logs.iter().filter(is_new).map(|(log, _)| *log).collect(),
            update_needed: next.update_needed && !self.update_needed,
        }
    }
}

/// Every device that a chain of admins leads to from the founder, with its strongest role, and the entries that count:
/// those in a control log that one of these devices certified. Both only grow on the way, so no order matters.
struct Reach<'a> {
    roles: BTreeMap<PublicKey, DeviceRole>,
    standing: Standing<'a>,
    /// Devices whose logs are to be looked at.
    listed: Vec<PublicKey>,
    /// Entries by admins that are to be followed.
    to_follow: Vec<&'a HeldEntry>,
}

impl<'a> Reach<'a> {
    fn from(founder: PublicKey, owned: &OwnedLogs<'a>) -> Self {
        let mut reach = Self {
            roles: BTreeMap::from([(founder, DeviceRole::Admin)]),
            standing: Standing::new(),
            listed: vec![founder],
            to_follow: Vec::new(),
        };
        loop {
            if let Some(entry) = reach.to_follow.pop() {
                reach.follow(entry);
            } else if let Some(device) = reach.listed.pop() {
                let logs = owned.get(&device).into_iter().flat_map(BTreeMap::values);
                let segments = logs.flat_map(|log| log.segments.values());
                segments.flat_map(|segment| &segment.entries).for_each(|entry| reach.stands(entry));
            } else {
                return reach;
            }
        }
    }

    /// An entry stands in a certified log.
    fn stands(&mut self, entry: &'a Arc<HeldEntry>) {
        self.standing.entry(entry.author).or_default().insert(entry.rank, entry);
        if self.roles.get(&entry.author) == Some(&DeviceRole::Admin) {
            self.to_follow.push(entry);
        }
    }

    /// An entry of an admin counts.
    fn follow(&mut self, entry: &HeldEntry) {
        let Some(added) = entry.added() else { return };
        let before = self.roles.get(&added.device).copied();
        // The stronger role has the smaller number.
        if before.is_some_and(|role| role <= added.role) {
            return;
        }
        self.roles.insert(added.device, added.role);
        if before.is_none() {
            self.listed.push(added.device);
        }
        if added.role == DeviceRole::Admin {
            let theirs = self.standing.get(&added.device).into_iter().flat_map(BTreeMap::values);
            self.to_follow.extend(theirs.map(|entry| &***entry));
        }
    }
}

fn logs_by_device<'a>(logs: &'a BTreeMap<LogId, ControlLog>, before: &Roster) -> OwnedLogs<'a> {
    let mut owned = OwnedLogs::new();
    for log in logs.values() {
        if let Some(certificate) = log.certificate() {
            owned.entry(certificate.body.device).or_default().insert(certificate.rank, log);
        }
    }
    for (device, logs) in &mut owned {
        let counted = before.pairs.get(device);
        let mut left = PAIRS_MAX.saturating_sub(counted.map_or(0, BTreeMap::len));
        logs.retain(|rank, _| {
            let counts = counted.is_some_and(|pairs| pairs.contains_key(rank)) || left > 0;
            left -= usize::from(counts && counted.is_none_or(|pairs| !pairs.contains_key(rank)));
            counts
        });
    }
    owned
}

/// The founder, as the genesis names it. Its id was checked against the vault's.
fn founder(log: &ControlLog) -> Option<ListedDevice> {
    let genesis = log.segments.get(&Seq(0))?.genesis.as_ref()?;
    Some(ListedDevice {
        public: genesis.founder,
        name: genesis.name.clone(),
        role: DeviceRole::Admin,
        added_by: None,
        prekey: None,
    })
}
