use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::control::{
    Founded, Founding, LogCertificate, OwnLogs, certificate, device_added, encode_entries, found_vault,
};
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, KeyProvider, SoftwareKey};

/// A device with its keys and the logs that it writes.
struct Actor {
    key: SoftwareKey,
    logs: OwnLogs,
}

type Applied = (LogId, Seq, Vec<u8>);

impl Actor {
    fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::dangerous_from_seed(seed);
        Self { key: SoftwareKey::generate(&entropy), logs: OwnLogs::generate(0, &entropy) }
    }

    fn public(&self) -> PublicKey {
        self.key.public()
    }

    fn control(&self) -> LogId {
        id_of(&self.logs.control)
    }

    fn certificate(&self, vault: &VaultId) -> Applied {
        (self.control(), Seq(0), certificate(&self.key, vault, &self.logs, vec![]).unwrap())
    }

    fn adds(&self, vault: &VaultId, seq: u64, other: &Self, name: &str, role: DeviceRole) -> Applied {
        let added = other.as_added(name, role);
        (self.control(), Seq(seq), device_added(&self.key, vault, vec![], added).unwrap())
    }

    fn as_added(&self, name: &str, role: DeviceRole) -> DeviceAdded {
        let prekey = KeyPair::generate(&SeededEntropy::dangerous_from_seed(99)).public();
        DeviceAdded {
            device: self.public(),
            prekey: SignedPrekey::sign(&self.key, 0, prekey).unwrap(),
            name: DeviceName::new(name).unwrap(),
            role,
        }
    }
}

fn id_of(pair: &KeyPair) -> LogId {
    LogId::of(&PublicKeyBytes::from_bytes(*pair.public().as_bytes()))
}

/// A vault and its founder.
fn founded() -> (VaultId, Actor, Applied) {
    let entropy = SeededEntropy::dangerous_from_seed(1);
    let key = SoftwareKey::generate(&entropy);
    let Founded { vault, keyring, genesis_entries, .. } =
        found_vault(&key, "founder", &Founding::Home, &entropy).unwrap();
    let founder = Actor { key, logs: keyring.logs };
    let first = (founder.control(), Seq(0), genesis_entries);
    (vault, founder, first)
}

fn apply(members: &mut Members, (log, seq, data): &Applied) -> Result<MemberChanges, ControlError> {
    members.apply(*log, *seq, data)
}

/// Founder A, B added by A, C added by A as a reader and by B as an admin, D added by C as a reader and adding F in
/// vain, E added by nobody and adding F in vain, and B's second pair of logs.
fn story() -> (VaultId, Vec<Applied>) {
    use DeviceRole::{Admin, Reader};
    let (vault, a, first) = founded();
    let [b, c, d, e, f] = [2, 3, 4, 5, 6].map(Actor::new);
    let again = Actor {
        key: SoftwareKey::generate(&SeededEntropy::dangerous_from_seed(2)),
        logs: OwnLogs::generate(1, &SeededEntropy::dangerous_from_seed(22)),
    };
    assert_eq!(again.public(), b.public());
    let story = vec![
        first,
        a.adds(&vault, 1, &b, "b", Admin),
        b.certificate(&vault),
        b.adds(&vault, 1, &c, "c by b", Admin),
        a.adds(&vault, 2, &c, "c by a", Reader),
        c.certificate(&vault),
        c.adds(&vault, 1, &d, "d by c", Reader),
        d.certificate(&vault),
        d.adds(&vault, 1, &f, "f by d", Admin),
        e.certificate(&vault),
        e.adds(&vault, 1, &f, "f by e", Admin),
        again.certificate(&vault),
    ];
    (vault, story)
}

fn told(vault: VaultId, story: &[Applied]) -> Members {
    let mut members = Members::new(vault);
    for segment in story {
        apply(&mut members, segment).unwrap();
    }
    members
}

fn outcome(members: &Members) -> (Vec<ListedDevice>, Vec<(LogId, CertifiedLog)>) {
    (members.devices().to_vec(), members.roster.logs.iter().map(|(log, info)| (*log, *info)).collect())
}

#[test]
fn the_story_lists_whom_it_should() {
    let (vault, story) = story();
    let members = told(vault, &story);
    let [b, c, d, e, f] = [2, 3, 4, 5, 6].map(Actor::new);
    let names: Vec<_> = members.devices().iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["founder", "b", "c by a", "d by c"], "the senior author gives the name");
    assert_eq!(members.device(&b.public()).unwrap().added_by, Some(members.devices()[0].public));
    assert_eq!(members.device(&c.public()).unwrap().role, DeviceRole::Admin, "the strongest role counts");
    assert_eq!(members.device(&d.public()).unwrap().role, DeviceRole::Reader);
    assert!(members.device(&f.public()).is_none(), "neither a reader nor a stranger adds anyone");
    let log = members.certified(&id_of(&b.logs.data)).unwrap();
    assert_eq!((log.device, log.class, log.incarnation), (b.public(), Class::Data, 0));
    let log = members.certified(&b.control()).unwrap();
    assert_eq!((log.device, log.class), (b.public(), Class::Control));
    assert_eq!(members.certified(&e.control()), None);
    assert_eq!(members.certified(&id_of(&e.logs.data)), None);
    assert_eq!(members.control_log_publics().len(), 5, "founder, B twice, C, D");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_order_and_any_repetition_gives_the_same(
        order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle(),
        repeats in prop::collection::vec(0..12usize, 0..6),
    ) {
        static STORY: LazyLock<(VaultId, Vec<Applied>)> = LazyLock::new(story);
        let (vault, story) = &*STORY;
        let mut members = Members::new(*vault);
        let (mut devices, mut logs) = (BTreeSet::new(), BTreeSet::new());
        for at in order.into_iter().chain(repeats) {
            let changes = apply(&mut members, &story[at]).unwrap();
            for device in changes.devices_added {
                prop_assert!(devices.insert(device), "told twice");
            }
            for log in changes.logs_certified {
                prop_assert!(logs.insert(log), "told twice");
            }
        }
        prop_assert_eq!(outcome(&members), outcome(&told(*vault, story)));
        let folded = Roster::fold(&members.logs);
        prop_assert_eq!((&folded.devices, &folded.logs), (&members.roster.devices, &members.roster.logs));
        prop_assert_eq!(devices.len(), members.devices().len());
        prop_assert_eq!(logs.len(), members.roster.logs.len());
    }

    #[test]
    fn a_forged_byte_never_lists_anyone(which in 1..4usize, at in any::<prop::sample::Index>(), bit in 0..8u8) {
        static STORY: LazyLock<(VaultId, Vec<Applied>)> = LazyLock::new(story);
        let (vault, story) = &*STORY;
        let mut story = story[..4].to_vec();
        let at = at.index(story[which].2.len());
        story[which].2[at] ^= 1 << bit;
        let mut members = Members::new(*vault);
        for (i, segment) in story.iter().enumerate() {
            let result = apply(&mut members, segment);
            // An altered tag makes an entry of a later kind: taken in, and counted for nothing.
            prop_assert!(result.is_err() == (i == which) || (i == which && at == 2));
        }
        // Without the altered segment: B is not added, B is not certified, or C is not added.
        prop_assert_eq!(members.devices().len(), if which == 1 { 1 } else { 2 });
    }
}

#[test]
fn nothing_counts_without_the_genesis() {
    let (vault, story) = story();
    let members = told(vault, &story[1..]);
    assert_eq!(outcome(&members), (vec![], vec![]));
}

#[test]
fn a_second_founder_is_refused() {
    let (vault, ..) = founded();
    let entropy = SeededEntropy::dangerous_from_seed(50);
    let key = SoftwareKey::generate(&entropy);
    let other = found_vault(&key, "thief", &Founding::Home, &entropy).unwrap();
    let log = id_of(&other.keyring.logs.control);
    let mut members = Members::new(vault);
    let refused = members.apply(log, Seq(0), &other.genesis_entries);
    assert_eq!(refused, Err(ControlError::OtherVault { log, seq: Seq(0) }));
    assert!(members.devices().is_empty());
}

#[test]
fn a_listed_device_cannot_speak_in_the_log_of_another() {
    let (vault, a, first) = founded();
    let [b, c] = [2, 3].map(Actor::new);
    let mut members =
        told(vault, &[first, a.adds(&vault, 1, &b, "b", DeviceRole::Admin), b.certificate(&vault)]);
    // B's entry, copied into A's log by whoever holds A's log key but not A's device key.
    let (_, _, data) = b.adds(&vault, 1, &c, "c", DeviceRole::Admin);
    let changes = members.apply(a.control(), Seq(2), &data).unwrap();
    assert_eq!(changes, MemberChanges::default());
    assert!(members.device(&c.public()).is_none());
}

#[test]
fn a_certificate_claims_only_the_log_that_it_stands_in() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let listed = a.adds(&vault, 1, &b, "b", DeviceRole::Admin);
    let (log, _, data) = b.certificate(&vault);
    let mut members = told(vault, &[first, listed]);
    let elsewhere = LogId::from_bytes([1; 16]);
    let misplaced = |log, seq| Err(ControlError::Misplaced { log, seq });
    assert_eq!(members.apply(elsewhere, Seq(0), &data), misplaced(elsewhere, Seq(0)));
    assert_eq!(members.apply(log, Seq(1), &data), misplaced(log, Seq(1)), "not at seq 0");
    let (_, _, added) = a.adds(&vault, 0, &b, "b", DeviceRole::Admin);
    assert_eq!(members.apply(log, Seq(0), &added), misplaced(log, Seq(0)), "seq 0 without one");
    let twice = [decode_entries(&data).unwrap(), decode_entries(&data).unwrap()].concat();
    assert_eq!(members.apply(log, Seq(0), &encode_entries(&twice)), misplaced(log, Seq(0)), "two of them");
    assert_eq!(members.certified(&log), None);
    assert_eq!(members.apply(log, Seq(0), &data).unwrap().logs_certified.len(), 2);
}

#[test]
fn a_certificate_of_another_vault_is_refused() {
    let (vault, _, first) = founded();
    let b = Actor::new(2);
    let (log, seq, data) = b.certificate(&VaultId::from_bytes([9; 32]));
    let mut members = told(vault, &[first]);
    assert_eq!(members.apply(log, seq, &data), Err(ControlError::OtherVault { log, seq }));
    // The same bytes with our vault's id written in: the signature tells.
    let mut entries = decode_entries(&data).unwrap();
    let ControlEntry::Known(signed) = &mut entries[0] else { unreachable!() };
    let Entry::LogCertificate(certificate) = &mut signed.entry else { unreachable!() };
    *certificate = LogCertificate { vault, ..certificate.clone() };
    let forged = members.apply(log, seq, &encode_entries(&entries));
    assert_eq!(forged, Err(ControlError::Forged { log, seq }));
}

#[test]
fn another_segment_at_the_same_place_is_reported() {
    let (vault, a, first) = founded();
    let [b, c] = [2, 3].map(Actor::new);
    let mut members = told(vault, &[first, a.adds(&vault, 1, &b, "b", DeviceRole::Admin)]);
    let (log, seq, data) = a.adds(&vault, 1, &c, "c", DeviceRole::Admin);
    assert_eq!(members.apply(log, seq, &data), Err(ControlError::Conflict { log, seq }));
    assert_eq!(members.devices().len(), 2);
}

#[test]
fn entries_of_later_kinds_are_taken_in_and_count_for_nothing() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let (log, seq, data) = a.adds(&vault, 1, &b, "b", DeviceRole::Admin);
    let mut entries = decode_entries(&data).unwrap();
    entries.insert(0, ControlEntry::Unknown { tag: 77, bytes: vec![1, 2, 3] });
    let mut members = told(vault, &[first]);
    let changes = members.apply(log, seq, &encode_entries(&entries)).unwrap();
    assert_eq!(changes.devices_added, [b.public()]);
    let only_later = encode_entries(&entries[..1]);
    assert_eq!(members.apply(log, Seq(2), &only_later), Ok(MemberChanges::default()));
}

#[test]
fn what_waits_is_bounded_and_may_come_again() {
    let (vault, a, first) = founded();
    let [b, stranger] = [2, 3].map(Actor::new);
    let mut members = told(vault, &[first]);
    let later = encode_entries(&[ControlEntry::Unknown { tag: 77, bytes: vec![] }]);
    for seq in 0..CONTROL_WAITING_MAX as u64 {
        members.apply(stranger.control(), Seq(seq + 1), &later).unwrap();
    }
    let (log, seq, data) = b.certificate(&vault);
    assert_eq!(members.apply(log, seq, &data), Err(ControlError::TooManyWaiting { log }));
    let listed = a.adds(&vault, 1, &b, "b", DeviceRole::Admin);
    assert_eq!(apply(&mut members, &listed).unwrap().devices_added, [b.public()]);
    assert_eq!(members.apply(log, seq, &data).unwrap().logs_certified.len(), 2, "certified logs do not wait");
}

#[test]
fn certificates_are_taken_in_without_looking_at_all_others_again() {
    let (vault, a, first) = founded();
    let mut members = told(vault, &[first]);
    let before = members.folds;
    let entropy = SeededEntropy::dangerous_from_seed(7);
    let mut segments = Vec::new();
    for incarnation in 1..=40 {
        let logs = OwnLogs::generate(incarnation, &entropy);
        segments.push((id_of(&logs.control), Seq(0), certificate(&a.key, &vault, &logs, vec![]).unwrap()));
    }
    for segment in &segments {
        let changes = apply(&mut members, segment).unwrap();
        assert_eq!((changes.devices_added.len(), changes.logs_certified.len()), (0, 2));
    }
    // Nor do those of a device that is not listed cost more, one by one or when it is.
    let stranger = Actor::new(2);
    for incarnation in 1..=40 {
        let logs = OwnLogs::generate(incarnation, &entropy);
        let waits =
            (id_of(&logs.control), Seq(0), certificate(&stranger.key, &vault, &logs, vec![]).unwrap());
        assert_eq!(apply(&mut members, &waits), Ok(MemberChanges::default()));
        segments.push(waits);
    }
    assert_eq!(members.folds, before);
    let listed = a.adds(&vault, 1, &stranger, "b", DeviceRole::Writer);
    assert_eq!(apply(&mut members, &listed).unwrap().logs_certified.len(), 80);
    assert_eq!(members.folds, before + 1);
    segments.push(listed);
    let (_, _, genesis) = founded();
    assert_eq!(outcome(&members), outcome(&told(vault, &[vec![genesis], segments].concat())));
}

#[test]
fn what_is_forgotten_of_a_log_that_waits_may_come_again() {
    let (vault, a, first) = founded();
    let [b, c] = [2, 3].map(Actor::new);
    let mut members = told(vault, &[first]);
    let segments = [b.certificate(&vault), b.adds(&vault, 1, &c, "c", DeviceRole::Writer)];
    for segment in &segments {
        apply(&mut members, segment).unwrap();
    }
    assert_eq!(members.waiting, 3);
    members.forget_from(&b.control(), Seq(1));
    assert_eq!((members.waiting, members.has_certificate(&b.control())), (1, true));
    members.forget_from(&b.control(), Seq(0));
    assert_eq!((members.waiting, members.has_certificate(&b.control())), (0, false));
    apply(&mut members, &a.adds(&vault, 1, &b, "b", DeviceRole::Admin)).unwrap();
    assert!(members.device(&c.public()).is_none());
    for segment in &segments {
        apply(&mut members, segment).unwrap();
    }
    assert!(members.device(&c.public()).is_some());
    // What counts is not forgotten.
    members.forget_from(&b.control(), Seq(0));
    assert!(members.certified(&b.control()).is_some() && members.has_certificate(&b.control()));
}
