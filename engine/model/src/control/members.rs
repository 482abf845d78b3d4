//! The fold of a vault's control entries: which devices are listed, and which logs they own.
//!
//! The result depends on the set of segments alone, never on their order. From the genesis, which the vault's id
//! commits to, the fold walks outwards: entries of the founder list devices, whose entries list further ones. An entry
//! counts wherever it stands in a certified control log, once; genesis and certificates stand at seq 0 of the log that
//! they are about. A log counts when its certificate is signed by a member; until then its entries wait, within a bound.
//! Of one device a limited number counts: those that came first, since nothing that was merged is taken back. Below the
//! limit, which no honest device reaches, no order matters. When several entries list one device, it has the strongest role
//! of them, so that a late entry never unlists what hangs on it; its name is that of the most senior author's first.

mod roster;
mod segment;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use sha2::{Digest as _, Sha256};
use subrosa_protocol::ids::{Base, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::CONTROL_WAITING_MAX;
use subrosa_protocol::segment::Class;

use self::roster::Roster;
use self::segment::{Certificate, HeldEntry, Segment, Signatures};
use super::{ControlError, DeviceName, DeviceRole, LogCertificate, SignedPrekey};
use crate::keys::PublicKey;

/// The members of one vault, as far as the control segments taken in tell.
#[derive(Debug)]
pub struct Members {
    vault: VaultId,
    logs: BTreeMap<LogId, ControlLog>,
    /// Every entry that is held, however often it stands: its signature is checked once.
    entries: HashMap<EntryKey, Weak<HeldEntry>>,
    roster: Roster,
    /// Weight of the segments of logs that are not certified.
    waiting: usize,
    /// How often everything was folded anew.
    #[cfg(test)]
    folds: usize,
    /// How many entries had their signatures checked.
    #[cfg(test)]
    verified: usize,
}

/// An entry's tag and the SHA-256 of the rest.
type EntryKey = (u8, [u8; 32]);

/// What follows from one more segment.
enum Effect {
    /// Nothing, as things are.
    None,
    /// Its log and one other are certified, and that is all.
    Certifies,
    /// Only folding everything tells.
    Unclear,
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

/// One control log: all of its segments whose signatures hold.
#[derive(Debug, Default)]
struct ControlLog {
    segments: BTreeMap<Seq, Segment>,
}

impl Members {
    /// Knows the vault's id and nothing else.
    pub fn new(vault: VaultId) -> Self {
        Self {
            vault,
            logs: BTreeMap::new(),
            entries: HashMap::new(),
            roster: Roster::default(),
            waiting: 0,
            #[cfg(test)]
            folds: 0,
            #[cfg(test)]
            verified: 0,
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
    /// any number of times. One to four signature checks an entry that is new, about 50 microseconds each; all segments
    /// are looked at again only when an admin adds a device, or what waited for one counts now.
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
        self.take_in(self.behind(control_log), data, Signatures::Unchecked)
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
        self.take_in(self.behind(control_log), data, Signatures::Checked)
    }

    /// A place of a log that no segment comes to.
    fn behind(&self, log: LogId) -> (LogId, Seq) {
        let taken = self.logs.get(&log).map(|log| log.segments.range(Seq(u64::MAX / 2)..));
        let first = taken.and_then(|mut taken| taken.next()).map_or(u64::MAX, |(seq, _)| seq.0);
        (log, Seq(first - 1))
    }

    fn take_in(
        &mut self,
        (control_log, seq): (LogId, Seq),
        data: &[u8],
        signatures: Signatures,
    ) -> Result<MemberChanges, ControlError> {
        let hash = Sha256::digest(data).into();
        if let Some(known) = self.logs.get(&control_log).and_then(|log| log.segments.get(&seq)) {
            return if known.hash == hash {
                Ok(MemberChanges::default())
            } else {
                Err(ControlError::Conflict { log: control_log, seq })
            };
        }
        let segment = self.check(control_log, seq, hash, data, signatures)?;
        let effect = self.effect(control_log, seq, &segment);
        let weight = segment.weight();
        if matches!(effect, Effect::None)
            && !self.is_certified(&control_log)
            && self.waiting + weight > CONTROL_WAITING_MAX
        {
            self.let_go(&segment);
            return Err(ControlError::TooManyWaiting { log: control_log });
        }
        self.logs.entry(control_log).or_default().segments.insert(seq, segment);
        Ok(match effect {
            Effect::None => {
                if !self.is_certified(&control_log) {
                    self.waiting += weight;
                }
                MemberChanges::default()
            }
            Effect::Certifies => self.certify_one(control_log),
            Effect::Unclear => self.fold(),
        })
    }

    /// What follows from a segment that is not taken in yet.
    fn effect(&self, control_log: LogId, seq: Seq, segment: &Segment) -> Effect {
        let has_room = |certificate: &Certificate| self.roster.has_room(&certificate.body.device);
        if segment.certificate.as_ref().is_some_and(|certificate| !has_room(certificate)) {
            return Effect::None;
        }
        if segment.genesis.is_some() || self.roster.overflows {
            return Effect::Unclear;
        }
        if seq > Seq(0) {
            let counts = self.is_certified(&control_log)
                && segment.entries.iter().any(|entry| self.roster.changes_by(entry));
            return if counts { Effect::Unclear } else { Effect::None };
        }
        let Some(certificate) = &segment.certificate else {
            // A critical one that is not understood counts where it stands.
            let mut critical = segment.entries.iter().filter(|entry| entry.is_critical());
            let stops = critical.any(|entry| self.roster.changes_by(entry));
            return if stops { Effect::Unclear } else { Effect::None };
        };
        if self.device(&certificate.body.device).is_none() {
            return Effect::None;
        }
        let data_log = LogId::of(&certificate.body.data_log);
        let is_new = !self.logs.contains_key(&control_log)
            && ![control_log, data_log].iter().any(|log| self.is_certified(log));
        let is_plain = segment.entries.is_empty() && certificate.bases.is_empty();
        if is_new && is_plain { Effect::Certifies } else { Effect::Unclear }
    }

    fn is_certified(&self, log: &LogId) -> bool {
        self.roster.logs.contains_key(log)
    }

    /// Certifies the logs of a listed device's certificate that claims what nobody has claimed.
    fn certify_one(&mut self, control_log: LogId) -> MemberChanges {
        let Some(certificate) = self.logs.get(&control_log).and_then(ControlLog::certificate) else {
            return MemberChanges::default();
        };
        MemberChanges { logs_certified: self.roster.certify(certificate), ..MemberChanges::default() }
    }

    /// Looks at all segments anew.
    fn fold(&mut self) -> MemberChanges {
        #[cfg(test)]
        {
            self.folds += 1;
        }
        let roster = Roster::fold(&self.logs, &self.roster);
        let changes = self.roster.changes_to(&roster);
        let waits = self.logs.iter().filter(|(log, _)| !roster.logs.contains_key(log));
        self.waiting = waits.map(|(_, log)| log.weight()).sum();
        self.roster = roster;
        changes
    }

    /// Forgets what waits of a log from a segment on: it may come again.
    pub fn forget_from(&mut self, control_log: &LogId, from: Seq) {
        if self.is_certified(control_log) {
            return;
        }
        let Some(log) = self.logs.get_mut(control_log) else { return };
        let gone = log.segments.split_off(&from);
        if log.segments.is_empty() {
            self.logs.remove(control_log);
        }
        for segment in gone.into_values() {
            self.waiting -= segment.weight();
            self.let_go(&segment);
        }
    }

    /// Forgets those entries of a segment, not held any more, that stand nowhere else.
    fn let_go(&mut self, segment: &Segment) {
        for entry in &segment.entries {
            if Arc::strong_count(entry) == 1 {
                self.entries.remove(&entry.key());
            }
        }
    }

    /// Whether a log begins with a certificate that holds, of a device that may not be listed.
    pub fn has_certificate(&self, control_log: &LogId) -> bool {
        self.logs.get(control_log).and_then(ControlLog::certificate).is_some()
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

    /// All that the certificate at the beginning of a certified control log says.
    pub fn certificate(&self, control_log: &LogId) -> Option<&LogCertificate> {
        let log = self.logs.get(control_log).filter(|_| self.is_certified(control_log))?;
        log.certificate().map(|certificate| &certificate.body)
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
        let segments = self.logs.values().flat_map(|log| log.segments.values());
        let used = segments.flat_map(|segment| segment.numbers_of(author)).max();
        used.map_or(0, |number| number.saturating_add(1))
    }

    /// The keys of all certified control logs, by log id.
    pub fn control_log_publics(&self) -> Vec<PublicKeyBytes> {
        let control = self.roster.logs.values().filter(|log| log.class == Class::Control);
        control.map(|log| log.public).collect()
    }
}

impl ControlLog {
    fn weight(&self) -> usize {
        self.segments.values().map(Segment::weight).sum()
    }

    fn certificate(&self) -> Option<&segment::Certificate> {
        self.segments.get(&Seq(0))?.certificate.as_ref()
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
