//! What counts of a vault's control segments: who is a member, with which role, and by whose word.
//!
//! It only grows. A device that is a member stays one, a role only becomes stronger, and an entry that stands in a log of a
//! member stands: so each entry is followed once, when it arrives or when what it waited for does, and in no order. Of the
//! entries by which one author adds one device those are kept that can still decide something: the first one, and
//! those behind it with a stronger role. What is kept here grows with devices and not with history.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::entry::EntryRank;
use super::super::{DeviceName, DeviceRole};
use super::segment::{HeldEntry, Says};
use crate::keys::PublicKey;

/// Members and the entries that made them such.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// As the genesis names it.
    pub(super) founder: Option<Founder>,
    /// Every device that a chain of admins leads to from the founder, with its strongest role.
    pub(super) roles: BTreeMap<PublicKey, DeviceRole>,
    /// What each author adds, members or not.
    adds: BTreeMap<PublicKey, Adds>,
    /// Who has written something critical that is not understood.
    pub(super) critical: BTreeSet<PublicKey>,
    /// Of each author the number behind the last one that it has used.
    numbers: HashMap<PublicKey, u64>,
}

/// The first device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Founder {
    pub(super) public: PublicKey,
    pub(super) name: DeviceName,
}

/// By what entries an author adds devices.
#[derive(Debug, Default)]
struct Adds {
    by_rank: BTreeMap<EntryRank, Arc<HeldEntry>>,
    /// Of each device those that are kept: roles become stronger with rank, so there are at most as many as roles.
    of: HashMap<PublicKey, Vec<EntryRank>>,
}

/// What is to be looked at because an entry stands.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Entries of admins that count, in an order in which each author was a member before.
    pub(super) entries: Vec<Arc<HeldEntry>>,
    /// Devices that are members now and were not.
    pub(super) members: Vec<PublicKey>,
}

impl Reach {
    /// The founder is a member.
    pub(super) fn found(&mut self, founder: Founder, followed: &mut Followed) {
        let public = founder.public;
        if self.founder.is_some() {
            return;
        }
        self.founder = Some(founder);
        self.roles.insert(public, DeviceRole::Admin);
        followed.members.push(public);
        self.follow(self.added_by(&public), followed);
    }

    /// An entry stands in a log of a member.
    pub(super) fn stand(&mut self, entry: &Arc<HeldEntry>, followed: &mut Followed) {
        self.note_number(entry.author, entry.rank.number);
        match &entry.says {
            Says::Unknown { critical } => {
                if *critical {
                    self.critical.insert(entry.author);
                }
            }
            Says::Added(_) => {
                let kept = self.adds.entry(entry.author).or_default().keep(entry);
                if kept && self.roles.get(&entry.author) == Some(&DeviceRole::Admin) {
                    self.follow(vec![entry.clone()], followed);
                }
            }
        }
    }

    /// Follows entries of admins, and those of whom they make admins.
    fn follow(&mut self, mut to_follow: Vec<Arc<HeldEntry>>, followed: &mut Followed) {
        to_follow.reverse();
        while let Some(entry) = to_follow.pop() {
            let Some(added) = entry.added() else { continue };
            let (device, role) = (added.device, added.role);
            followed.entries.push(entry);
            let before = self.roles.get(&device).copied();
            // The stronger role has the smaller number.
            if before.is_some_and(|before| before <= role) {
                continue;
            }
            self.roles.insert(device, role);
            if before.is_none() {
                followed.members.push(device);
            }
            if role == DeviceRole::Admin {
                to_follow.extend(self.added_by(&device).into_iter().rev());
            }
        }
    }

    /// An author has used a number.
    pub(super) fn note_number(&mut self, author: PublicKey, number: u64) {
        let next = self.numbers.entry(author).or_default();
        *next = (*next).max(number.saturating_add(1));
    }

    /// The number behind the last one that an author has used.
    pub(super) fn next_number(&self, author: &PublicKey) -> u64 {
        self.numbers.get(author).copied().unwrap_or_default()
    }

    pub(super) fn is_admin(&self, device: &PublicKey) -> bool {
        self.roles.get(device) == Some(&DeviceRole::Admin)
    }

    /// What an author adds, by rank.
    pub(super) fn adds_of(&self, author: &PublicKey) -> impl Iterator<Item = &Arc<HeldEntry>> {
        self.adds.get(author).into_iter().flat_map(|adds| adds.by_rank.values())
    }

    /// All entries that are kept, author by author.
    pub(super) fn all_adds(&self) -> impl Iterator<Item = &Arc<HeldEntry>> {
        self.adds.values().flat_map(|adds| adds.by_rank.values())
    }

    /// Of each author the number behind its last one, by author.
    pub(super) fn numbers(&self) -> BTreeMap<PublicKey, u64> {
        self.numbers.iter().map(|(author, next)| (*author, *next)).collect()
    }

    fn added_by(&self, author: &PublicKey) -> Vec<Arc<HeldEntry>> {
        self.adds_of(author).cloned().collect()
    }
}

impl Adds {
    /// Keeps an entry if it can decide anything, and lets go of those that cannot any more.
    fn keep(&mut self, entry: &Arc<HeldEntry>) -> bool {
        let Some(added) = entry.added() else { return false };
        let kept = self.of.entry(added.device).or_default();
        let role_of = |rank: &EntryRank| {
            let entry = self.by_rank.get(rank)?;
            entry.added().map(|added| added.role)
        };
        // The stronger role has the smaller number.
        let is_beaten = |rank: &EntryRank| *rank <= entry.rank && role_of(rank) <= Some(added.role);
        if kept.iter().any(is_beaten) {
            return false;
        }
        let (gone, stay): (Vec<_>, Vec<_>) =
            kept.iter().copied().partition(|rank| *rank > entry.rank && role_of(rank) >= Some(added.role));
        *kept = stay;
        kept.push(entry.rank);
        for rank in gone {
            self.by_rank.remove(&rank);
        }
        self.by_rank.insert(entry.rank, entry.clone());
        true
    }
}
