//! The fold of all segments at once, written down as the specification has it: what the one that goes step by step is held against.

use std::collections::BTreeMap;

use super::super::roster::devices_max;
use super::*;
use crate::control::EntryRank;

/// The entries that count, by author and rank.
type Standing<'a> = BTreeMap<PublicKey, BTreeMap<EntryRank, &'a Arc<HeldEntry>>>;

/// The control logs that each device claims, by the rank of their certificates.
type OwnedLogs<'a> = BTreeMap<PublicKey, BTreeMap<EntryRank, &'a Vec<Segment>>>;

/// Devices and logs.
pub(super) type Outcome = (Vec<ListedDevice>, Vec<(LogId, CertifiedLog)>);

/// Folds everything, of devices that have fewer certificates than may count.
pub(super) fn fold(vault: VaultId, story: &[Applied]) -> Outcome {
    let (mut logs, mut founder) = (BTreeMap::<LogId, Vec<Segment>>::new(), None);
    for (log, seq, data) in story {
        let hash = Sha256::digest(data).into();
        let segment = Members::new(vault).check((*log, *seq), hash, data, Signatures::Unchecked).unwrap();
        if let Some(genesis) = &segment.genesis {
            founder = Some((genesis.founder, genesis.name.clone()));
        }
        logs.entry(*log).or_default().push(segment);
    }
    let Some((founder, name)) = founder else { return (vec![], vec![]) };
    let mut owned = OwnedLogs::new();
    for segments in logs.values() {
        for certificate in segments.iter().filter_map(|segment| segment.certificate.as_ref()) {
            owned.entry(certificate.device).or_default().insert(certificate.rank, segments);
        }
    }
    let reach = Reach::from(founder, &owned);
    let role = DeviceRole::Admin;
    let mut devices = vec![ListedDevice { public: founder, name, role, added_by: None, prekey: None }];
    let mut place = 0;
    while let Some(adder) = devices.get(place).map(|device| device.public) {
        place += 1;
        if reach.roles.get(&adder) != Some(&DeviceRole::Admin) {
            continue;
        }
        for added in reach.standing.get(&adder).into_iter().flatten().filter_map(|(_, entry)| entry.added()) {
            let is_listed = devices.iter().any(|device| device.public == added.device);
            if devices.len() < devices_max() && !is_listed {
                devices.push(ListedDevice {
                    public: added.device,
                    name: added.name.clone(),
                    role: reach.roles[&added.device],
                    added_by: Some(adder),
                    prekey: Some(added.prekey),
                });
            }
        }
    }
    let certified = certify(&devices, &reach, &owned);
    (devices, certified)
}

fn certify(devices: &[ListedDevice], reach: &Reach<'_>, owned: &OwnedLogs<'_>) -> Vec<(LogId, CertifiedLog)> {
    let listed: Vec<_> = devices.iter().map(|device| device.public).collect();
    let beyond = reach.roles.keys().filter(|device| !listed.contains(device)).copied();
    let members: Vec<_> = listed.iter().copied().chain(beyond).collect();
    let mut certified = BTreeMap::new();
    for class in [Class::Control, Class::Data] {
        for member in &members {
            for (rank, segments) in owned.get(member).into_iter().flatten() {
                let mut certificates = segments.iter().filter_map(|segment| segment.certificate.as_ref());
                let found = certificates.find(|certificate| certificate.rank == *rank).unwrap();
                let public = if class == Class::Control { found.control_log } else { found.data_log };
                let info = CertifiedLog { device: *member, class, incarnation: found.incarnation, public };
                certified.entry(LogId::of(&public)).or_insert(info);
            }
        }
    }
    certified.into_iter().collect()
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
                let segments = logs.flat_map(|segments| segments.iter());
                segments.flat_map(|segment| &segment.entries).for_each(|entry| reach.stands(entry));
            } else if !reach.words_stand(owned) {
                return reach;
            }
        }
    }

    /// Members' words by which devices were let in stand beside the certificates of those, too; whether there is a new one.
    fn words_stand(&mut self, owned: &OwnedLogs<'a>) -> bool {
        let segments = owned.values().flat_map(BTreeMap::values).flat_map(|segments| segments.iter());
        for word in segments.flat_map(Segment::listings) {
            let stood = self.standing.get(&word.author).is_some_and(|theirs| theirs.contains_key(&word.rank));
            if self.roles.contains_key(&word.author) && !stood {
                self.stands(word);
                return true;
            }
        }
        false
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
