//! The fold of a vault's control entries: which devices are listed, and which logs they own.
//!
//! The result depends on the set of segments alone, never on their order. From the genesis, which the vault's id
//! commits to, the fold walks outwards: the founder's certified control logs list devices, whose certified control
//! logs list further ones. A log counts when its certificate, at its own seq 0, is signed by a listed device;
//! until then its entries wait, within a bound. When several entries list one device, it has the strongest role of
//! them, so that a late entry never unlists what hangs on it; its name is that of the most senior author's first.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use subrosa_protocol::ids::{LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::{CONTROL_WAITING_MAX, DEVICES_PER_VAULT_MAX};
use subrosa_protocol::segment::Class;

use super::{
    ControlEntry, ControlError, DeviceAdded, DeviceName, DeviceRole, Entry, Genesis, LogCertificate,
    SignedEntry, SignedPrekey, decode_entries,
};
use crate::keys::PublicKey;

/// The members of one vault, as far as the control segments taken in tell.
#[derive(Debug)]
pub struct Members {
    vault: VaultId,
    logs: BTreeMap<LogId, ControlLog>,
    roster: Roster,
    /// Weight of the segments of logs that are not certified.
    waiting: usize,
    /// How often everything was folded anew.
    #[cfg(test)]
    folds: usize,
}

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
    /// Logs certified now and not before: what waits for them in quarantine can be tried again.
    pub logs_certified: Vec<LogId>,
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
    /// What others seal to.
    pub prekey: SignedPrekey,
}

/// One control log: all of its segments whose signatures hold.
#[derive(Debug, Default)]
struct ControlLog {
    segments: BTreeMap<Seq, Segment>,
}

/// What counts of one segment.
#[derive(Debug)]
struct Segment {
    hash: [u8; 32],
    /// `None` when no entry is of a known kind.
    author: Option<PublicKey>,
    genesis: Option<Genesis>,
    certificate: Option<LogCertificate>,
    added: Vec<DeviceAdded>,
}

/// Whether the signatures of a segment's entries were found to hold before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signatures {
    Checked,
    Unchecked,
}

/// What follows from the segments.
#[derive(Clone, Debug, Default)]
struct Roster {
    /// Most senior first.
    devices: Vec<ListedDevice>,
    ranks: BTreeMap<PublicKey, usize>,
    logs: BTreeMap<LogId, CertifiedLog>,
}

impl Members {
    /// Knows the vault's id and nothing else.
    pub fn new(vault: VaultId) -> Self {
        Self {
            vault,
            logs: BTreeMap::new(),
            roster: Roster::default(),
            waiting: 0,
            #[cfg(test)]
            folds: 0,
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
        self.take_in(control_log, seq, data, Signatures::Checked)
    }

    /// Takes in the data of one control segment, whose log signature holds. Segments may come in any order, and
    /// any number of times. Two to four signature checks an entry, about 50 microseconds each; all segments are looked
    /// at again only when an admin adds a device, or what waited for one counts now.
    ///
    /// # Errors
    /// [`ControlError`]; then nothing of the segment counts.
    pub fn apply(
        &mut self,
        control_log: LogId,
        seq: Seq,
        data: &[u8],
    ) -> Result<MemberChanges, ControlError> {
        self.take_in(control_log, seq, data, Signatures::Unchecked)
    }

    fn take_in(
        &mut self,
        control_log: LogId,
        seq: Seq,
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
        let place = (control_log, seq);
        let segment = Segment::check(&self.vault, place, hash, data, signatures)?;
        let effect = self.effect(control_log, seq, &segment);
        let weight = segment.weight();
        self.logs.entry(control_log).or_default().segments.insert(seq, segment);
        let changes = match effect {
            Effect::None if self.roster.logs.contains_key(&control_log) => MemberChanges::default(),
            Effect::None if self.waiting + weight > CONTROL_WAITING_MAX => {
                self.forget(control_log, seq);
                return Err(ControlError::TooManyWaiting { log: control_log });
            }
            Effect::None => {
                self.waiting += weight;
                MemberChanges::default()
            }
            Effect::Certifies => self.certify_one(control_log),
            Effect::Unclear => self.fold(),
        };
        Ok(changes)
    }

    /// What follows from a segment that is not taken in yet.
    fn effect(&self, control_log: LogId, seq: Seq, segment: &Segment) -> Effect {
        // Only entries of later kinds: nothing follows from them.
        let Some(author) = segment.author else { return Effect::None };
        if segment.genesis.is_some() {
            return Effect::Unclear;
        }
        let held = self.logs.get(&control_log);
        let Some(certificate) = segment.certificate.as_ref().or_else(|| certificate(held?)) else {
            return Effect::None;
        };
        let Some(owner) = self.device(&certificate.device) else { return Effect::None };
        if seq > Seq(0) {
            let counts = author == owner.public && owner.role == DeviceRole::Admin;
            return if counts && !segment.added.is_empty() { Effect::Unclear } else { Effect::None };
        }
        let data_log = LogId::of(&certificate.data_log);
        let is_new = held.is_none() && ![control_log, data_log].iter().any(|log| self.is_certified(log));
        if is_new && segment.added.is_empty() { Effect::Certifies } else { Effect::Unclear }
    }

    fn is_certified(&self, log: &LogId) -> bool {
        self.roster.logs.contains_key(log)
    }

    /// Certifies the logs of a listed device's certificate that claims what nobody has claimed.
    fn certify_one(&mut self, control_log: LogId) -> MemberChanges {
        let Some(certificate) = self.logs.get(&control_log).and_then(certificate) else {
            return MemberChanges::default();
        };
        let logs = certified_by(certificate);
        let logs_certified = logs.iter().map(|(log, _)| *log).collect();
        self.roster.logs.extend(logs);
        MemberChanges { devices_added: Vec::new(), logs_certified }
    }

    /// Looks at all segments anew.
    fn fold(&mut self) -> MemberChanges {
        #[cfg(test)]
        {
            self.folds += 1;
        }
        let roster = Roster::fold(&self.logs);
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
        let weight = log.weight();
        log.segments.retain(|seq, _| *seq < from);
        self.waiting -= weight - log.weight();
        if log.segments.is_empty() {
            self.logs.remove(control_log);
        }
    }

    /// Whether a log begins with a certificate that holds, of a device that may not be listed.
    pub fn has_certificate(&self, control_log: &LogId) -> bool {
        self.logs.get(control_log).and_then(certificate).is_some()
    }

    /// The certificate of a log, control or data.
    pub fn certified(&self, log: &LogId) -> Option<CertifiedLog> {
        self.roster.logs.get(log).copied()
    }

    /// All listed devices, most senior first: the founder, then those it listed, and so on.
    pub fn devices(&self) -> &[ListedDevice] {
        &self.roster.devices
    }

    /// One listed device.
    pub fn device(&self, public: &PublicKey) -> Option<&ListedDevice> {
        self.roster.ranks.get(public).and_then(|rank| self.roster.devices.get(*rank))
    }

    /// The keys of all certified control logs, by log id.
    pub fn control_log_publics(&self) -> Vec<PublicKeyBytes> {
        let control = self.roster.logs.values().filter(|log| log.class == Class::Control);
        control.map(|log| log.public).collect()
    }

    fn forget(&mut self, control_log: LogId, seq: Seq) {
        if let Some(log) = self.logs.get_mut(&control_log) {
            log.segments.remove(&seq);
            if log.segments.is_empty() {
                self.logs.remove(&control_log);
            }
        }
    }
}

impl ControlLog {
    fn weight(&self) -> usize {
        self.segments.values().map(Segment::weight).sum()
    }
}

impl Segment {
    /// Checks all that can be checked without knowing who is listed.
    fn check(
        vault: &VaultId,
        (log, seq): (LogId, Seq),
        hash: [u8; 32],
        data: &[u8],
        signatures: Signatures,
    ) -> Result<Self, ControlError> {
        let mut segment = Self { hash, author: None, genesis: None, certificate: None, added: Vec::new() };
        for (index, entry) in decode_entries(data)?.into_iter().enumerate() {
            let ControlEntry::Known(signed) = entry else { continue };
            let misplaced = segment.author.is_some_and(|author| author != signed.author)
                || (matches!(signed.entry, Entry::Genesis(_)) && (seq, index) != (Seq(0), 0))
                || (matches!(signed.entry, Entry::LogCertificate(_)) && segment.certificate.is_some());
            if misplaced {
                return Err(ControlError::Misplaced { log, seq });
            }
            if matches!(&signed.entry, Entry::LogCertificate(certificate) if certificate.vault != *vault) {
                return Err(ControlError::OtherVault { log, seq });
            }
            if signatures == Signatures::Unchecked {
                signed.verify(vault).map_err(|_| ControlError::Forged { log, seq })?;
            }
            segment.take(*signed);
        }
        segment.check_birth(vault, log, seq)?;
        Ok(segment)
    }

    fn take(&mut self, signed: SignedEntry) {
        self.author = Some(signed.author);
        match signed.entry {
            Entry::Genesis(genesis) => self.genesis = Some(genesis),
            Entry::LogCertificate(certificate) => self.certificate = Some(certificate),
            Entry::DeviceAdded(added) => self.added.push(added),
        }
    }

    /// A certificate stands at seq 0 of the log that it names, and nowhere else; a genesis stands in the one log
    /// that the vault's id names.
    fn check_birth(&self, vault: &VaultId, log: LogId, seq: Seq) -> Result<(), ControlError> {
        if self.certificate.is_some() != (seq == Seq(0)) {
            return Err(ControlError::Misplaced { log, seq });
        }
        let Some(certificate) = &self.certificate else { return Ok(()) };
        if LogId::of(&certificate.control_log) != log || certificate.control_log == certificate.data_log {
            return Err(ControlError::Misplaced { log, seq });
        }
        let Some(genesis) = &self.genesis else { return Ok(()) };
        let born = VaultId::derive(&genesis.recovery_commitment, &genesis.hash(), &certificate.control_log);
        if born == *vault { Ok(()) } else { Err(ControlError::OtherVault { log, seq }) }
    }

    /// How much a segment counts against the bound on what waits.
    fn weight(&self) -> usize {
        1 + self.added.len()
    }
}

impl Roster {
    fn fold(logs: &BTreeMap<LogId, ControlLog>) -> Self {
        let mut roster = Self::default();
        let Some(founder) = logs.values().find_map(|log| founder(log.segments.get(&Seq(0))?)) else {
            return roster;
        };
        let owned = logs_by_device(logs);
        let roles = roles(&founder, &owned);
        roster.list(founder);
        let mut rank = 0;
        while let Some(adder) = roster.devices.get(rank).map(|device| device.public) {
            rank += 1;
            if roles.get(&adder) != Some(&DeviceRole::Admin) {
                continue;
            }
            for added in added_by(&adder, &owned) {
                roster.list(ListedDevice {
                    public: added.device,
                    name: added.name.clone(),
                    role: roles.get(&added.device).copied().unwrap_or(added.role),
                    added_by: Some(adder),
                    prekey: added.prekey,
                });
            }
        }
        roster.certify(&owned);
        roster
    }

    /// Lists a device unless it is listed, or the vault is full.
    fn list(&mut self, device: ListedDevice) {
        if self.devices.len() < DEVICES_PER_VAULT_MAX && !self.ranks.contains_key(&device.public) {
            self.ranks.insert(device.public, self.devices.len());
            self.devices.push(device);
        }
    }

    /// Certifies the logs of all listed devices. Should two certificates name one log, which takes one device that
    /// gives its log key to another, the more senior device's counts.
    fn certify(&mut self, owned: &OwnedLogs<'_>) {
        for device in &self.devices {
            for log in owned.get(&device.public).into_iter().flatten() {
                let Some(certificate) = certificate(log) else { continue };
                for (log, info) in certified_by(certificate) {
                    self.logs.entry(log).or_insert(info);
                }
            }
        }
    }

    fn changes_to(&self, next: &Self) -> MemberChanges {
        let before: BTreeSet<_> = self.ranks.keys().collect();
        let devices = next.devices.iter().map(|device| device.public);
        MemberChanges {
            devices_added: devices.filter(|public| !before.contains(public)).collect(),
            logs_certified: next.logs.keys().filter(|log| !self.logs.contains_key(log)).copied().collect(),
        }
    }
}

/// Both logs of a certificate.
fn certified_by(certificate: &LogCertificate) -> [(LogId, CertifiedLog); 2] {
    let (device, incarnation) = (certificate.device, certificate.incarnation);
    [(Class::Control, certificate.control_log), (Class::Data, certificate.data_log)]
        .map(|(class, public)| (LogId::of(&public), CertifiedLog { device, class, incarnation, public }))
}

type OwnedLogs<'a> = BTreeMap<PublicKey, Vec<&'a ControlLog>>;

/// The control logs that each device claims, oldest first.
fn logs_by_device(logs: &BTreeMap<LogId, ControlLog>) -> OwnedLogs<'_> {
    let mut owned = OwnedLogs::new();
    for log in logs.values() {
        if let Some(certificate) = certificate(log) {
            owned.entry(certificate.device).or_default().push(log);
        }
    }
    for logs in owned.values_mut() {
        // Stable: logs of one incarnation, as restored copies make them, stay in the order of their ids.
        logs.sort_by_key(|log| certificate(log).map(|certificate| certificate.incarnation));
    }
    owned
}

/// The entries by which a device adds others, in the order of its logs.
fn added_by<'a>(adder: &PublicKey, owned: &OwnedLogs<'a>) -> impl Iterator<Item = &'a DeviceAdded> {
    let adder = *adder;
    let segments = owned.get(&adder).cloned().into_iter().flatten().flat_map(|log| log.segments.values());
    segments.filter(move |segment| segment.author == Some(adder)).flat_map(|segment| &segment.added)
}

/// Every device that a chain of admins leads to from the founder, with its strongest role.
fn roles(founder: &ListedDevice, owned: &OwnedLogs<'_>) -> BTreeMap<PublicKey, DeviceRole> {
    let mut roles = BTreeMap::from([(founder.public, founder.role)]);
    let mut admins = vec![founder.public];
    while let Some(admin) = admins.pop() {
        for added in added_by(&admin, owned) {
            let before = roles.get(&added.device).copied();
            // The stronger role has the smaller number.
            if before.is_none_or(|role| added.role < role) {
                roles.insert(added.device, added.role);
                if added.role == DeviceRole::Admin {
                    admins.push(added.device);
                }
            }
        }
    }
    roles
}

fn certificate(log: &ControlLog) -> Option<&LogCertificate> {
    log.segments.get(&Seq(0))?.certificate.as_ref()
}

/// The founder, as the genesis names it. Its id was checked against the vault's.
fn founder(segment: &Segment) -> Option<ListedDevice> {
    let genesis = segment.genesis.as_ref()?;
    Some(ListedDevice {
        public: genesis.founder,
        name: genesis.name.clone(),
        role: DeviceRole::Admin,
        added_by: None,
        prekey: genesis.prekey,
    })
}

#[cfg(test)]
mod tests;
