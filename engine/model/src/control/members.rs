//! The fold of a vault's control entries: which devices are listed, and which logs they own.
//!
//! The result depends on the set of segments alone, never on their order. From the genesis, which the vault's id
//! commits to, the fold walks outwards: entries of the founder list devices, whose entries list further ones. An entry
//! counts wherever it stands in a certified control log, once; genesis and certificates stand at seq 0 of the log that
//! they are about. A log counts when its certificate is signed by a member; until then its entries wait, within a bound.
//! But for one: beside a certificate may stand the word by which its device was let in. That counts at once if a member wrote it, for
//! nobody else may have it.
//! Of one device a limited number counts: those that came first, since nothing that was merged is taken back. Below the
//! limit, which no honest device reaches, no order matters. When several entries list one device, it has the strongest role
//! of them, so that a late entry never unlists what hangs on it; its name is that of the most senior author's first.
//!
//! What counts only grows ([`Reach`]), so a segment costs what its entries bring with them. What is kept grows with devices and
//! their logs, not with history, and can be written down ([`Members::encode`]) and read when a store is opened.

mod held;
mod image;
mod reach;
mod roster;
mod segment;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subrosa_protocol::ids::{Base, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::segment::Class;

use self::held::HeldSegments;
use self::reach::{Followed, Founder, Reach};
use self::roster::Roster;
pub use self::roster::{CappedLogs, NamedGroup, NamedGroups};
#[cfg(test)]
use self::segment::Certificate;
use self::segment::{HeldEntry, Segment, Signatures};
use super::entry::LOG_CERTIFICATE;
use super::{ControlError, DeviceName, DeviceRole, SignedPrekey};
use crate::keys::PublicKey;
use crate::merge::Cap;

/// The members of one vault, as far as the control segments taken in tell.
#[derive(Debug)]
pub struct Members {
    vault: VaultId,
    reach: Reach,
    roster: Roster,
    held: HeldSegments,
    /// Entries whose signatures were found to hold: none is checked twice.
    verified: HashSet<EntryKey>,
    /// How many entries had their signatures checked.
    #[cfg(test)]
    checks: usize,
}

/// An entry's tag and the SHA-256 of the rest.
type EntryKey = (u8, [u8; 32]);

/// What is to be looked at because something counts now.
#[derive(Debug, Default)]
struct Work {
    entries: VecDeque<Arc<HeldEntry>>,
    members: Vec<PublicKey>,
}

/// What one segment changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MemberChanges {
    /// Devices listed now and not before, most senior first.
    pub devices_added: Vec<PublicKey>,
    /// Logs certified now and not before, or not as of this class: what waits for them in quarantine can be tried again.
    pub logs_certified: Vec<LogId>,
    /// Whether [`Members::update_needed`] holds now and did not before.
    pub update_needed: bool,
}

/// What a certificate says about one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertifiedLog {
    /// Its owner.
    pub device: PublicKey,
    /// What it holds.
    pub class: Class,
    /// Which of its owner's pairs of logs it belongs to.
    pub incarnation: u32,
    /// Its key.
    pub public: PublicKeyBytes,
}

/// A listed device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its key.
    pub public: PublicKey,
    /// Its name, as given when it was added.
    pub name: DeviceName,
    /// What it may do.
    pub role: DeviceRole,
    /// Who listed it; `None` for the founder.
    pub added_by: Option<PublicKey>,
    /// What others seal to until it has certified logs; `None` for the founder, who begins with them.
    pub prekey: Option<SignedPrekey>,
}

impl Members {
    /// Knows the vault's id and nothing else.
    pub fn new(vault: VaultId) -> Self {
        Self {
            vault,
            reach: Reach::default(),
            roster: Roster::default(),
            held: HeldSegments::default(),
            verified: HashSet::new(),
            #[cfg(test)]
            checks: 0,
        }
    }

    /// Takes in again what [`Self::apply`] has taken in before, and the sealed store has kept since: entries are not
    /// checked a second time.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_checked(
        &mut self,
        control_log: LogId,
        seq: Seq,
        data: &[u8],
    ) -> Result<MemberChanges, ControlError> {
        self.take_in((control_log, seq), data, Signatures::Checked)
    }

    /// Takes in the data of one control segment, whose log signature holds. Segments may come in any order, and
    /// any number of times. One to four signature checks an entry that is new, about 50 microseconds each, and what the entries
    /// bring with them. An entry that ranks earlier than what counted before costs as much as there are devices.
    ///
    /// # Errors
    /// [`ControlError`]; then nothing of the segment counts.
    pub fn apply(
        &mut self,
        control_log: LogId,
        seq: Seq,
        data: &[u8],
    ) -> Result<MemberChanges, ControlError> {
        self.take_in((control_log, seq), data, Signatures::Unchecked)
    }

    /// Has an entry count that this device is to seal in its control log, and has not yet: as if it stood there.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_waiting(&mut self, control_log: LogId, data: &[u8]) -> Result<MemberChanges, ControlError> {
        self.take_in(Self::behind(control_log), data, Signatures::Unchecked)
    }

    /// As [`Self::apply_waiting`], of one that was taken in before, and the sealed store has kept since.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_waiting_checked(
        &mut self,
        control_log: LogId,
        data: &[u8],
    ) -> Result<MemberChanges, ControlError> {
        self.take_in(Self::behind(control_log), data, Signatures::Checked)
    }

    /// A place of a log that no segment comes to. Those of one place are told apart by what they say.
    const fn behind(log: LogId) -> (LogId, Seq) {
        (log, Seq(u64::MAX))
    }

    fn take_in(
        &mut self,
        (control_log, seq): (LogId, Seq),
        data: &[u8],
        signatures: Signatures,
    ) -> Result<MemberChanges, ControlError> {
        let place = (seq, Sha256::digest(data).into());
        if self.held.holds(&control_log, &place) {
            return Ok(MemberChanges::default());
        }
        let mut segment = self.check((control_log, seq), place.1, data, signatures)?;
        let (mut work, mut changes) = (Work::default(), MemberChanges::default());
        if let Some(genesis) = segment.genesis.take() {
            self.reach.note_number(genesis.founder, 0);
            let founder = Founder { public: genesis.founder, name: genesis.name };
            self.found(founder, &mut work, &mut changes);
        }
        if segment.certificate.as_ref().is_some_and(|certificate| self.roster.counts(certificate)) {
            segment.certificate = None;
        }
        let counted = self.roster.is_control(&control_log);
        if counted {
            work.entries.extend(segment.entries.drain(..));
        }
        let listings = segment.listings().filter(|entry| self.reach.roles.contains_key(&entry.author));
        work.entries.extend(listings.cloned());
        if let Some(certificate) = &segment.certificate
            && self.reach.roles.contains_key(&certificate.device)
        {
            work.members.push(certificate.device);
        }
        if !counted || segment.certificate.is_some() {
            self.held.put(control_log, seq, segment);
        }
        self.run(work, &mut changes);
        changes.update_needed = self.look_for_critical();
        if self.held.overflows() && self.held.holds(&control_log, &place) {
            let gone = self.held.forget(&control_log, &place);
            self.let_go(gone);
            if !counted {
                return Err(ControlError::TooManyWaiting { log: control_log });
            }
        }
        Ok(changes)
    }

    fn found(&mut self, founder: Founder, work: &mut Work, changes: &mut MemberChanges) {
        let mut followed = Followed::default();
        self.reach.found(founder, &mut followed);
        self.roster.found(&self.reach, changes);
        self.take_followed(followed, work, changes);
    }

    /// Goes on until nothing more counts, and has the roster follow.
    fn run(&mut self, mut work: Work, changes: &mut MemberChanges) {
        loop {
            if let Some(entry) = work.entries.pop_front() {
                let mut followed = Followed::default();
                self.reach.stand(&entry, &mut followed);
                self.take_followed(followed, &mut work, changes);
            } else if let Some(member) = work.members.pop() {
                work.entries.extend(self.held.listings_by(&member));
                self.certify_all_of(&member, &mut work, changes);
            } else {
                return self.roster.settle(&self.reach, changes);
            }
        }
    }

    fn take_followed(&mut self, followed: Followed, work: &mut Work, changes: &mut MemberChanges) {
        for entry in &followed.entries {
            self.roster.follow(entry, &self.reach, changes);
        }
        work.members.extend(followed.members);
    }

    /// The certificates of a member count, as many as there is room for, and so does what stands in their logs.
    fn certify_all_of(&mut self, member: &PublicKey, work: &mut Work, changes: &mut MemberChanges) {
        if !self.roster.has_room(member) {
            return;
        }
        for certificate in self.held.certificates_of(member) {
            if !self.roster.has_room(member) {
                return;
            }
            self.reach.note_number(*member, certificate.rank.number);
            self.roster.certify(&certificate, &self.reach, changes);
            let log = LogId::of(&certificate.control_log);
            work.entries.extend(self.held.release(&log, &certificate.rank));
        }
    }

    /// Whether something critical by a listed admin is not understood, and was not found before. A certificate like that
    /// certifies nothing, so that it counts where it stands: at the beginning of a log.
    fn look_for_critical(&mut self) -> bool {
        let by_admin = |author: &PublicKey| {
            self.roster.device(author).is_some_and(|device| device.role == DeviceRole::Admin)
        };
        let mut authors = self.reach.critical.iter().chain(self.held.critical_at_beginnings());
        let found = !self.roster.update_needed && authors.any(by_admin);
        self.roster.update_needed |= found;
        found
    }

    /// Forgets what waits of a log from a segment on: it may come again.
    pub fn forget_from(&mut self, control_log: &LogId, from: Seq) {
        if !self.roster.is_control(control_log) {
            let gone = self.held.forget_from(control_log, from);
            self.let_go(gone);
        }
    }

    /// Forgets that the entries of segments, not held any more, were checked.
    fn let_go(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            for entry in &segment.entries {
                self.verified.remove(&entry.key());
            }
            if let Some(certificate) = &segment.certificate {
                self.verified.remove(&(LOG_CERTIFICATE, certificate.rank.hash));
            }
        }
    }

    /// Whether a log begins with a certificate that holds, of a device that may not be listed.
    pub fn has_certificate(&self, control_log: &LogId) -> bool {
        self.roster.is_control(control_log) || self.held.has_certificate(control_log)
    }

    /// Whether everything that was taken in of a control log counts.
    pub fn counts_whole(&self, control_log: &LogId) -> bool {
        self.roster.is_control(control_log) && self.held.of(control_log).next().is_none()
    }

    /// Whether an admin has written something critical that this version does not understand: nothing may be written
    /// any more in this vault before an update.
    pub const fn update_needed(&self) -> bool {
        self.roster.update_needed
    }

    /// The certificate of a log, control or data.
    pub fn certified(&self, log: &LogId) -> Option<CertifiedLog> {
        self.roster.logs.get(log).copied()
    }

    /// Where a log begins, if a certificate says that it does not begin at its first segment. Only tests make such ones.
    pub fn base(&self, log: &LogId) -> Option<Base> {
        self.roster.bases.get(log).copied()
    }

    /// What the stamps of a log count as at most, as certificates of its own device say.
    pub fn cap(&self, log: &LogId) -> Option<Cap> {
        self.roster.cap(log)
    }

    /// The logs of which [`Members::cap`] or [`Members::prefix_caps`] may say something else than when this was last asked.
    pub fn take_capped(&mut self) -> CappedLogs {
        std::mem::take(&mut self.roster.capped)
    }

    /// Whether there is one.
    pub fn has_capped(&self) -> bool {
        !self.roster.capped.is_empty()
    }

    /// The caps on what members had merged of a data log who may write, or whose log it is.
    pub fn prefix_caps(&self, log: &LogId) -> &NamedGroups {
        self.roster.prefix_caps(log)
    }

    /// The logs of which some cap is set, whether it counts or not.
    pub fn logs_with_caps(&self) -> BTreeSet<LogId> {
        self.roster.logs_with_caps().collect()
    }

    /// The data logs that have a cap, and it.
    #[cfg(test)]
    pub fn caps(&self) -> impl Iterator<Item = (LogId, Cap)> {
        self.roster.caps()
    }

    /// What the certificate at the beginning of a certified control log says.
    #[cfg(test)]
    pub(crate) fn certificate(&self, control_log: &LogId) -> Option<&Certificate> {
        let device = self.certified(control_log)?.device;
        let mut pairs = self.roster.pairs.get(&device)?.values();
        pairs.find(|pair| LogId::of(&pair.control_log) == *control_log).map(|pair| &**pair)
    }

    /// All listed devices, most senior first: the founder, then those it listed, and so on.
    pub fn devices(&self) -> &[ListedDevice] {
        &self.roster.devices
    }

    /// One listed device.
    pub fn device(&self, public: &PublicKey) -> Option<&ListedDevice> {
        self.roster.device(public)
    }

    /// The admin key of a listed device: that of its certificate of lowest rank, as far as certificates are here.
    pub fn admin_key(&self, device: &PublicKey) -> Option<PublicKeyBytes> {
        self.roster.pairs.get(device)?.values().next().map(|pair| pair.admin_key)
    }

    /// The number that a device's next entry has: above all that are held of it, wherever they stand.
    pub fn next_number(&self, author: &PublicKey) -> u64 {
        let waiting = self.held.last_number(author).map_or(0, |number| number.saturating_add(1));
        self.reach.next_number(author).max(waiting)
    }

    /// The keys of all certified control logs, by log id.
    pub fn control_log_publics(&self) -> Vec<PublicKeyBytes> {
        let control = self.roster.logs.values().filter(|log| log.class == Class::Control);
        control.map(|log| log.public).collect()
    }
}

/// Smaller limits for the thread of a test.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use std::cell::Cell;

    thread_local! {
        /// Devices that a vault lists.
        pub static DEVICES_MAX: Cell<Option<usize>> = const { Cell::new(None) };
    }
}

#[cfg(test)]
mod tests;
