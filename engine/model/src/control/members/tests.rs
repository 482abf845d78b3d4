use std::collections::BTreeSet;

use subrosa_protocol::codec::Extensions;
use subrosa_protocol::ids::Chain;
use subrosa_protocol::limits::CONTROL_WAITING_MAX;

use super::roster::PAIRS_MAX;
use super::*;
use crate::control::{
    DeviceAdded, Entry, Founded, Founding, LogBirth, OwnLogs, PrekeySecret, SignedEntry, UnknownEntry,
    decode_entries, encode_entries, found_vault, with_bases,
};
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, KeyProvider, SoftwareKey};

mod caps;
mod image;
mod listing;
mod order;
mod reference;

/// A device with its keys and the logs that it writes.
struct Actor {
    key: SoftwareKey,
    admin: KeyPair,
    logs: OwnLogs,
}

/// Devices that a vault lists, in tests of what is beyond.
const DEVICES_MAX: usize = 24;

type Applied = (LogId, Seq, Vec<u8>);

impl Actor {
    fn new(seed: u64) -> Self {
        Self::with_logs(seed, 0)
    }

    /// The device of a seed with its nth pair of logs.
    fn with_logs(seed: u64, incarnation: u32) -> Self {
        let entropy = SeededEntropy::dangerous_from_seed(seed);
        let key = SoftwareKey::generate(&entropy);
        let logs = SeededEntropy::dangerous_from_seed(seed * 10_000 + u64::from(incarnation));
        Self { key, admin: KeyPair::generate(&entropy), logs: OwnLogs::generate(incarnation, &logs) }
    }

    fn public(&self) -> PublicKey {
        self.key.public()
    }

    fn control(&self) -> LogId {
        id_of(&self.logs.control)
    }

    fn data(&self) -> LogId {
        id_of(&self.logs.data)
    }

    fn signs(&self, vault: &VaultId, number: u64, entry: Entry) -> SignedEntry {
        SignedEntry::sign(&self.key, vault, number, entry, Extensions::new()).unwrap()
    }

    fn certificate(&self, vault: &VaultId) -> Applied {
        self.certificate_numbered(vault, u64::from(self.logs.incarnation))
    }

    fn certificate_numbered(&self, vault: &VaultId, number: u64) -> Applied {
        let prekey = PrekeySecret::generate(&self.logs, &SeededEntropy::dangerous_from_seed(98));
        let birth = LogBirth { vault, number, logs: &self.logs, admin: &self.admin, prekey: &prekey };
        (self.control(), Seq(0), birth.entries(&self.key).unwrap())
    }

    /// "Device added" in a log of one's own, numbered like its place.
    fn adds(&self, vault: &VaultId, seq: u64, other: &Self, name: &str, role: DeviceRole) -> Applied {
        let entry = Entry::DeviceAdded(other.as_added(name, role));
        (self.control(), Seq(seq), encode_entries(&[self.signs(vault, seq, entry)]))
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
    let founder = Actor { key, admin: keyring.admin, logs: keyring.logs };
    let first = (founder.control(), Seq(0), genesis_entries);
    (vault, founder, first)
}

fn apply(members: &mut Members, (log, seq, data): &Applied) -> Result<MemberChanges, ControlError> {
    members.apply(*log, *seq, data)
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
fn an_entry_counts_wherever_it_stands_in_a_certified_log_and_once() {
    let (vault, a, first) = founded();
    let [b, c, stranger] = [2, 3, 4].map(Actor::new);
    let mut members =
        told(vault, &[first, a.adds(&vault, 1, &b, "b", DeviceRole::Writer), b.certificate(&vault)]);
    let (_, _, data) = a.adds(&vault, 7, &c, "c", DeviceRole::Admin);
    apply(&mut members, &stranger.certificate(&vault)).unwrap();
    let waits = members.apply(stranger.control(), Seq(1), &data).unwrap();
    assert_eq!(waits, MemberChanges::default(), "a stranger's log certifies nothing");
    // A writer repeats the admin's entry.
    let checks = members.checks;
    let changes = members.apply(b.control(), Seq(1), &data).unwrap();
    assert_eq!(changes.devices_added, [c.public()]);
    assert_eq!(members.device(&c.public()).unwrap().added_by, Some(a.public()));
    assert_eq!(members.apply(a.control(), Seq(2), &data), Ok(MemberChanges::default()));
    assert_eq!(members.checks, checks, "what was verified is not verified again");
    assert_eq!(members.next_number(&a.public()), 8);
    // Whom the writer adds is not added.
    let (_, _, data) = b.adds(&vault, 9, &stranger, "s", DeviceRole::Writer);
    assert_eq!(members.apply(a.control(), Seq(3), &data), Ok(MemberChanges::default()));
    assert!(members.device(&stranger.public()).is_none());
}

#[test]
fn a_critical_entry_of_an_admin_stops_writing_and_of_nobody_else() {
    let (vault, a, first) = founded();
    let [b, c] = [2, 3].map(Actor::new);
    let critical = |author: &Actor, number| {
        encode_entries(&[author.signs(&vault, number, Entry::Unknown(UnknownEntry::new(0x99, vec![])))])
    };
    let base = [first, a.adds(&vault, 1, &b, "b", DeviceRole::Writer), b.certificate(&vault)];
    let mut members = told(vault, &base);
    for (seq, data) in [(2, critical(&b, 7)), (3, critical(&c, 7))] {
        assert_eq!(members.apply(a.control(), Seq(seq), &data), Ok(MemberChanges::default()));
    }
    let plain = a.signs(&vault, 7, Entry::Unknown(UnknownEntry::new(0x79, vec![])));
    members.apply(a.control(), Seq(4), &encode_entries(&[plain])).unwrap();
    assert!(!members.update_needed());
    // In the log of whom nobody listed, it waits; once somebody does, it counts. So it does when its author becomes one.
    members.apply(c.control(), Seq(1), &critical(&a, 8)).unwrap();
    apply(&mut members, &c.certificate(&vault)).unwrap();
    assert!(!members.update_needed());
    let listed = apply(&mut members, &a.adds(&vault, 5, &c, "c", DeviceRole::Admin)).unwrap();
    assert!(listed.update_needed && members.update_needed());
    assert_eq!(listed.devices_added, [c.public()]);
    let again = members.apply(a.control(), Seq(6), &critical(&a, 9)).unwrap();
    assert_eq!(again, MemberChanges::default(), "told once");
    let mut members = told(vault, &base[..1]);
    assert!(members.apply(a.control(), Seq(1), &critical(&a, 9)).unwrap().update_needed);
    let mut members = told(vault, &base);
    members.apply(a.control(), Seq(2), &critical(&b, 7)).unwrap();
    let admin = apply(&mut members, &a.adds(&vault, 3, &b, "b", DeviceRole::Admin)).unwrap();
    assert!(admin.update_needed, "its author is an admin now");
}

#[test]
fn a_certificate_that_is_not_understood_certifies_nothing_and_spoils_nothing() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let mut members = told(vault, &[first, a.adds(&vault, 1, &b, "b", DeviceRole::Admin)]);
    let (log, seq, data) = b.certificate(&vault);
    let [certificate] = <[_; 1]>::try_from(decode_entries(&data).unwrap()).unwrap();
    let later =
        |tag, author: &Actor| author.signs(&vault, 0, Entry::Unknown(UnknownEntry::new(tag, vec![7])));
    let unknown = encode_entries(&[later(3 + 64, &b)]);
    assert_eq!(members.apply(log, seq, &unknown), Ok(MemberChanges::default()));
    assert_eq!((members.certified(&log), members.has_certificate(&log)), (None, false));
    assert_eq!(members.held.weight(), 2);
    // Beside a certificate that is understood, it changes nothing.
    members.forget_from(&log, Seq(0));
    let both = encode_entries(&[certificate, later(3 + 64, &b)]);
    assert_eq!(members.apply(log, seq, &both).unwrap().logs_certified.len(), 2);
    // A critical one stops writing where it stands: its log is certified by nothing that is known here.
    let again = Actor::with_logs(2, 1);
    let critical = encode_entries(&[later(0x83, &again)]);
    assert!(members.apply(again.control(), Seq(0), &critical).unwrap().update_needed);
}

/// Certificates of the founder's further pairs of logs, by number.
fn further_pairs(vault: &VaultId, founder: &Actor, numbers: std::ops::Range<u64>) -> Vec<Applied> {
    let pair = |number: u64| {
        let key = SoftwareKey::generate(&SeededEntropy::dangerous_from_seed(1));
        let again = Actor { key, ..Actor::with_logs(7, number as u32) };
        assert_eq!(again.public(), founder.public());
        again.certificate_numbered(vault, number)
    };
    numbers.map(pair).collect()
}

#[test]
fn a_device_has_a_limited_number_of_certificates_and_none_gives_way_to_a_later_one() {
    let (vault, a, first) = founded();
    // The first one is the founder's own, of number 1; two more than count.
    let certificates = further_pairs(&vault, &a, 2..PAIRS_MAX as u64 + 3);
    let in_order = told(vault, &[vec![first.clone()], certificates.clone()].concat());
    assert_eq!(in_order.control_log_publics().len(), PAIRS_MAX);
    let [.., before, last, beyond] = &certificates[..] else { unreachable!() };
    assert!(in_order.certified(&before.0).is_some(), "the last one that counts");
    assert_eq!((in_order.certified(&last.0), in_order.certified(&beyond.0)), (None, None));
    assert_eq!(
        (in_order.held.weight(), in_order.roster.folds),
        (2, 0),
        "they wait, and nothing is looked at for them"
    );
    assert!(!in_order.roster.has_room(&a.public()));
    // Those that count go on counting when others of lower rank come, and when everything is folded.
    let mut members = Members::new(vault);
    apply(&mut members, &first).unwrap();
    let mut counted = BTreeSet::new();
    for certificate in certificates.iter().rev() {
        let changes = apply(&mut members, certificate).unwrap();
        counted.extend(changes.logs_certified);
        assert!(counted.iter().all(|log| members.certified(log).is_some()));
    }
    assert_eq!((members.control_log_publics().len(), members.held.weight()), (PAIRS_MAX, 2));
    assert_eq!((members.certified(&certificates[0].0), members.certified(&certificates[1].0)), (None, None));
    let b = Actor::new(2);
    assert_eq!(
        apply(&mut members, &a.adds(&vault, 1, &b, "b", DeviceRole::Writer)).unwrap().logs_certified,
        []
    );
    assert!(counted.iter().all(|log| members.certified(log).is_some()));
    assert_eq!(members.held.weight(), 2);
    // So it is after an opening, at which what counts is read before what waits.
    let mut opened = Members::new(vault);
    apply(&mut opened, &first).unwrap();
    let (counting, waiting): (Vec<_>, _) = certificates.iter().partition(|(log, ..)| counted.contains(log));
    for (log, seq, data) in counting.into_iter().chain::<Vec<_>>(waiting) {
        opened.apply_checked(*log, *seq, data).unwrap();
    }
    assert!(counted.iter().all(|log| opened.certified(log).is_some()));
}

#[test]
fn certificates_have_room_of_their_own_among_what_waits() {
    let (vault, a, first) = founded();
    let certificates = further_pairs(&vault, &a, 2..PAIRS_MAX as u64 + 2);
    let mut members = told(vault, &[vec![first], certificates].concat());
    let later = encode_entries(&[a.signs(&vault, 0, Entry::Unknown(UnknownEntry::new(77, vec![])))]);
    for seq in 0..CONTROL_WAITING_MAX as u64 / 2 {
        members.apply(LogId::from_bytes([1; 16]), Seq(seq + 1), &later).unwrap();
    }
    let [(log, seq, data)] = <[_; 1]>::try_from(further_pairs(&vault, &a, 1000..1001)).unwrap();
    let refused = members.apply(LogId::from_bytes([1; 16]), Seq(9000), &later);
    assert_eq!(refused, Err(ControlError::TooManyWaiting { log: LogId::from_bytes([1; 16]) }));
    assert_eq!(members.apply(log, seq, &data), Ok(MemberChanges::default()));
    assert!(members.has_certificate(&log) && members.certified(&log).is_none());
}

#[test]
fn bases_are_the_highest_that_a_certificate_of_a_listed_device_names() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let mut members = told(vault, std::slice::from_ref(&first));
    let base = |members: &mut Members, actor: &Actor, seq: u64| {
        let [plain] = <[_; 1]>::try_from(decode_entries(&actor.certificate(&vault).2).unwrap()).unwrap();
        let base = Base { seq: Seq(seq), chain: Chain::from_bytes([1; 32]) };
        let extensions = with_bases(Extensions::new(), &[(a.data(), base)]);
        let raised = SignedEntry::sign(&actor.key, &vault, plain.number, plain.entry, extensions).unwrap();
        members.apply(actor.control(), Seq(0), &encode_entries(&[raised])).unwrap();
        members.base(&a.data()).map(|base| base.seq.0)
    };
    assert_eq!(members.base(&a.data()), None);
    assert_eq!(base(&mut members, &b, 5), None, "nobody listed it");
    apply(&mut members, &a.adds(&vault, 1, &b, "b", DeviceRole::Writer)).unwrap();
    assert_eq!(members.base(&a.data()), Some(Base { seq: Seq(5), chain: Chain::from_bytes([1; 32]) }));
    assert_eq!(base(&mut members, &Actor::with_logs(2, 1), 3), Some(5));
    assert_eq!(base(&mut members, &Actor::with_logs(2, 2), 9), Some(9));
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
    let other = LogBirth {
        number: 9,
        prekey: &PrekeySecret::generate(&b.logs, &SeededEntropy::dangerous_from_seed(5)),
        vault: &vault,
        logs: &b.logs,
        admin: &b.admin,
    };
    let other = decode_entries(&other.entries(&b.key).unwrap()).unwrap();
    let twice = [decode_entries(&data).unwrap(), other].concat();
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
    let Entry::LogCertificate(certificate) = &mut entries[0].entry else { unreachable!() };
    certificate.vault = vault;
    let forged = members.apply(log, seq, &encode_entries(&entries));
    assert_eq!(forged, Err(ControlError::Forged { log, seq }));
}

#[test]
fn both_futures_of_a_control_log_count() {
    let (vault, a, first) = founded();
    let [b, c, d] = [2, 3, 4].map(Actor::new);
    let branches = [
        a.adds(&vault, 1, &b, "b", DeviceRole::Admin),
        a.adds(&vault, 1, &c, "c", DeviceRole::Admin),
        b.certificate(&vault),
        b.adds(&vault, 1, &c, "c", DeviceRole::Admin),
        b.adds(&vault, 1, &d, "d", DeviceRole::Admin),
    ];
    let members = told(vault, &[vec![first.clone()], branches.to_vec()].concat());
    assert_eq!(members.devices().len(), 4);
    let mut other = told(vault, &branches.iter().rev().cloned().collect::<Vec<_>>());
    apply(&mut other, &first).unwrap();
    assert_eq!(outcome(&members), outcome(&other));
}

#[test]
fn an_entry_that_waits_for_sealing_counts_as_if_it_stood_in_its_log_and_once() {
    let (vault, a, first) = founded();
    let [b, c, d] = [2, 3, 4].map(Actor::new);
    let [adds_b, adds_c, adds_d] = [(&a, &b), (&b, &c), (&b, &d)]
        .map(|(author, device)| author.adds(&vault, 5, device, "x", DeviceRole::Admin).2);
    let mut members = told(vault, std::slice::from_ref(&first));
    assert_eq!(members.apply_waiting(a.control(), &adds_b).unwrap().devices_added, [b.public()]);
    assert_eq!(members.apply_waiting(a.control(), &adds_b), Ok(MemberChanges::default()));
    assert_eq!((members.next_number(&a.public()), members.next_number(&b.public())), (6, 0));
    // Of a device without a log that counts, they wait for that.
    for data in [&adds_c, &adds_d] {
        assert_eq!(members.apply_waiting(b.control(), data), Ok(MemberChanges::default()));
    }
    assert_eq!(members.next_number(&b.public()), 6);
    assert_eq!(apply(&mut members, &b.certificate(&vault)).unwrap().devices_added.len(), 2);
    // Sealed, and repeated by others, they change nothing.
    let before = outcome(&members);
    for (log, data) in [(a.control(), &adds_b), (b.control(), &adds_c), (a.control(), &adds_d)] {
        assert_eq!(members.apply(log, Seq(1), data), Ok(MemberChanges::default()));
        assert_eq!(members.apply(log, Seq(2), data), Ok(MemberChanges::default()));
    }
    assert_eq!((outcome(&members), members.held.weight()), (before, 0));
    let story = [first, (a.control(), Seq(1), adds_b), b.certificate(&vault)];
    let mut sealed = told(vault, &story);
    sealed.apply(b.control(), Seq(1), &adds_c).unwrap();
    sealed.apply(b.control(), Seq(2), &adds_d).unwrap();
    assert_eq!(outcome(&members), outcome(&sealed));
}

#[test]
fn entries_of_later_kinds_are_taken_in_and_count_for_nothing() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let (log, seq, data) = a.adds(&vault, 1, &b, "b", DeviceRole::Admin);
    let mut entries = decode_entries(&data).unwrap();
    entries.insert(0, b.signs(&vault, 0, Entry::Unknown(UnknownEntry::new(77, vec![1, 2, 3]))));
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
    let later = stranger.signs(&vault, 0, Entry::Unknown(UnknownEntry::new(77, vec![])));
    let later = encode_entries(&[later]);
    for seq in 0..CONTROL_WAITING_MAX as u64 / 2 {
        members.apply(stranger.control(), Seq(seq + 1), &later).unwrap();
    }
    assert_eq!(members.checks, 3, "however often it stands");
    let (log, seq, data) = b.certificate(&vault);
    let refused = ControlError::TooManyWaiting { log: stranger.control() };
    assert_eq!(members.apply(stranger.control(), Seq(9000), &later), Err(refused));
    assert_eq!(members.apply(log, seq, &data), Ok(MemberChanges::default()), "a new device is not kept out");
    let listed = a.adds(&vault, 1, &b, "b", DeviceRole::Admin);
    let changes = apply(&mut members, &listed).unwrap();
    assert_eq!((&changes.devices_added[..], changes.logs_certified.len()), (&[b.public()][..], 2));
    let adds = b.signs(&vault, 1, Entry::Unknown(UnknownEntry::new(77, vec![])));
    assert!(members.apply(log, Seq(1), &encode_entries(&[adds])).is_ok(), "certified logs do not wait");
}

#[test]
fn certificates_are_taken_in_without_looking_at_all_others_again() {
    let (vault, a, first) = founded();
    let mut members = told(vault, &[first]);
    let before = members.roster.folds;
    let mut segments = Vec::new();
    for incarnation in 1..=40 {
        let again = Actor {
            key: SoftwareKey::generate(&SeededEntropy::dangerous_from_seed(1)),
            ..Actor::with_logs(7, incarnation)
        };
        assert_eq!(again.public(), a.public());
        segments.push(again.certificate(&vault));
    }
    for segment in &segments {
        let changes = apply(&mut members, segment).unwrap();
        assert_eq!((changes.devices_added.len(), changes.logs_certified.len()), (0, 2));
    }
    // Nor do those of a device that is not listed cost more, one by one or when it is.
    let stranger = Actor::new(2);
    for incarnation in 1..=40 {
        let waits = Actor::with_logs(2, incarnation).certificate(&vault);
        assert_eq!(apply(&mut members, &waits), Ok(MemberChanges::default()));
        segments.push(waits);
    }
    assert_eq!(members.roster.folds, before);
    let listed = a.adds(&vault, 1, &stranger, "b", DeviceRole::Writer);
    assert_eq!(apply(&mut members, &listed).unwrap().logs_certified.len(), 80);
    assert_eq!(members.roster.folds, before, "who comes last is put at its place");
    segments.push(listed);
    let (_, _, genesis) = founded();
    assert_eq!(outcome(&members), outcome(&told(vault, &[vec![genesis], segments].concat())));
}

#[test]
fn an_entry_that_comes_last_has_nothing_folded_anew() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let mut story = vec![first, a.adds(&vault, 1, &b, "b", DeviceRole::Admin), b.certificate(&vault)];
    // Those whom the founder adds come before those whom B adds.
    for n in 0..8u64 {
        let (device, adder) = (Actor::new(100 + n), if n % 2 == 0 { &a } else { &b });
        story.extend([
            adder.adds(&vault, 10 + n, &device, "x", DeviceRole::Admin),
            device.certificate(&vault),
        ]);
    }
    let mut members = told(vault, &story);
    assert_eq!((members.devices().len(), members.roster.folds), (10, 0));
    assert_eq!(outcome(&members), reference::fold(vault, &story));
    // Whom B has added is added by a more senior device.
    story.push(a.adds(&vault, 2, &Actor::new(101), "earlier", DeviceRole::Writer));
    apply(&mut members, &story[story.len() - 1]).unwrap();
    assert_eq!(members.roster.folds, 1);
    assert_eq!(outcome(&members), reference::fold(vault, &story));
    // What repeats it, or says less, has nothing folded.
    for (seq, number, role) in [(80, 2, DeviceRole::Writer), (81, 90, DeviceRole::Reader)] {
        let (_, _, data) = a.adds(&vault, number, &Actor::new(101), "earlier", role);
        assert_eq!(members.apply(b.control(), Seq(seq), &data), Ok(MemberChanges::default()));
    }
    assert_eq!(members.roster.folds, 1);
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
    assert_eq!(members.held.weight(), 3);
    members.forget_from(&b.control(), Seq(1));
    assert_eq!((members.held.weight(), members.has_certificate(&b.control())), (1, true));
    members.forget_from(&b.control(), Seq(0));
    assert_eq!((members.held.weight(), members.has_certificate(&b.control())), (0, false));
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

#[test]
fn a_log_that_begins_with_a_certificate_is_a_control_log_whoever_names_it_as_data() {
    let (vault, a, first) = founded();
    let again = |incarnation| {
        let key = SoftwareKey::generate(&SeededEntropy::dangerous_from_seed(1));
        Actor { key, ..Actor::with_logs(7, incarnation) }
    };
    let (mut naming, named) = (again(2), again(3));
    assert_eq!(naming.public(), a.public());
    naming.logs.data = again(3).logs.control;
    let [naming, named] = [naming.certificate_numbered(&vault, 2), named.certificate_numbered(&vault, 3)];
    let mut members = told(vault, &[first.clone(), naming.clone()]);
    assert_eq!(members.certified(&named.0).unwrap().class, Class::Data, "so far");
    let changes = apply(&mut members, &named).unwrap();
    assert!(changes.logs_certified.contains(&named.0), "told anew");
    assert_eq!(members.certified(&named.0).unwrap().class, Class::Control);
    assert_eq!(outcome(&members), outcome(&told(vault, &[first, named, naming])));
}
