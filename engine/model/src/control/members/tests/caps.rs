//! Caps that certificates set.

use super::*;
use crate::control::{CertifiedCaps, PrefixCap};
use crate::merge::{Cap, CapStep, Stamp};

#[test]
fn a_cap_is_the_least_that_a_logs_own_device_sets_in_whatever_order() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let listed = a.adds(&vault, 1, &b, "b", DeviceRole::Writer);
    let capping = |device: &Actor, incarnation: u32, caps: &[(LogId, u64)]| {
        let logs = Actor::with_logs(20 + u64::from(incarnation), incarnation).logs;
        let prekey = PrekeySecret::generate(&logs, &SeededEntropy::dangerous_from_seed(98));
        let number = u64::from(incarnation);
        let birth = LogBirth { vault: &vault, number, logs: &logs, admin: &device.admin, prekey: &prekey };
        let own = caps.iter().map(|(log, cap)| (*log, CapStep::of_all(Stamp(*cap)))).collect();
        let caps = CertifiedCaps { own, ..CertifiedCaps::default() };
        (id_of(&logs.control), Seq(0), birth.entries_with_caps(&device.key, &caps).unwrap())
    };
    let segments = [
        b.certificate(&vault),
        capping(&b, 1, &[(b.data(), 9)]),
        capping(&b, 2, &[(b.data(), 5)]),
        capping(&b, 3, &[(b.data(), 7)]),
        // Its author caps its own logs, and no control log.
        capping(&a, 4, &[(b.data(), 1)]),
        capping(&b, 5, &[(b.control(), 1)]),
        capping(&b, 6, &[(a.data(), 1)]),
        capping(&b, 7, &[(LogId::from_bytes([9; 16]), 1)]),
    ];
    let of_all = |cap| Cap::of([CapStep::of_all(Stamp(cap))]);
    let expected = [(b.data(), of_all(5))];
    for turn in 0..segments.len() {
        let mut members = told(vault, std::slice::from_ref(&first));
        let mut told = Vec::new();
        let (late, early) = segments.split_at(turn);
        for segment in early.iter().chain([&listed]).chain(late) {
            let before: Vec<_> = members.caps().collect();
            members.take_capped();
            apply(&mut members, segment).unwrap();
            let after: Vec<_> = members.caps().collect();
            assert!(before == after || members.has_capped(), "{turn}");
            told.extend(after);
        }
        assert_eq!(members.caps().collect::<Vec<_>>(), expected, "{turn}");
        assert_eq!(image::read_again(&members).caps().collect::<Vec<_>>(), expected, "as an image has it");
        assert_eq!((members.cap(&b.data()), members.cap(&b.control())), (Some(of_all(5)), None));
        assert_eq!((members.cap(&a.data()), members.cap(&LogId::from_bytes([9; 16]))), (None, None));
        assert!(told.iter().all(|(log, _)| *log == b.data()));
    }
}

fn named(members: &Members, log: &LogId) -> Vec<PrefixCap> {
    let caps = members.prefix_caps(log);
    assert_eq!(caps.lowest(), caps.not_before(Seq(0)).map(|(_, cap)| *cap).min());
    caps.not_before(Seq(0))
        .map(|((seq, chain), cap)| PrefixCap { seq: *seq, chain: *chain, cap: *cap })
        .collect()
}

#[test]
fn who_may_write_caps_what_he_had_merged_of_a_log_and_of_each_group_the_lowest_cap_counts() {
    let (vault, a, first) = founded();
    let [b, c] = [Actor::new(2), Actor::new(3)];
    let prefix = |seq, cap| PrefixCap { seq: Seq(seq), chain: Chain::from_bytes([7; 32]), cap: Stamp(cap) };
    let capping = |device: &Actor, incarnation: u32, prefixes: &[(LogId, PrefixCap)]| {
        let logs = Actor::with_logs(20 + u64::from(incarnation), incarnation).logs;
        let prekey = PrekeySecret::generate(&logs, &SeededEntropy::dangerous_from_seed(98));
        let number = u64::from(incarnation);
        let birth = LogBirth { vault: &vault, number, logs: &logs, admin: &device.admin, prekey: &prekey };
        let caps = CertifiedCaps { prefixes: prefixes.iter().copied().collect(), ..CertifiedCaps::default() };
        (id_of(&logs.control), Seq(0), birth.entries_with_caps(&device.key, &caps).unwrap())
    };
    let many: Vec<_> = (0..400).map(|n| (a.data(), prefix(n, 100 + n))).collect();
    let segments = [
        capping(&b, 1, &many),
        capping(&b, 2, &[(a.data(), prefix(9, 3)), (a.control(), prefix(9, 3))]),
        // A reader's do not count.
        a.adds(&vault, 1, &b, "b", DeviceRole::Writer),
        a.adds(&vault, 2, &c, "c", DeviceRole::Reader),
        capping(&c, 3, &[(a.data(), prefix(9, 1))]),
    ];
    let mut expected: Vec<_> = many.iter().map(|(_, prefix)| *prefix).collect();
    expected[9] = prefix(9, 3);
    let of = named;
    for turn in 0..segments.len() {
        let mut members = told(vault, std::slice::from_ref(&first));
        let (late, early) = segments.split_at(turn);
        for segment in early.iter().chain(late) {
            let before = of(&members, &a.data());
            members.take_capped();
            apply(&mut members, segment).unwrap();
            assert!(of(&members, &a.data()) == before || members.has_capped(), "{turn}");
        }
        assert_eq!(of(&members, &a.data()), expected, "{turn}");
        assert_eq!(of(&image::read_again(&members), &a.data()), expected, "as an image has it");
        assert_eq!((of(&members, &a.control()), members.cap(&a.data())), (vec![], None));
        assert!(members.logs_with_caps().contains(&a.data()));
        members.take_capped();
        apply(&mut members, &a.adds(&vault, 5, &c, "c", DeviceRole::Writer)).unwrap();
        assert_eq!((of(&members, &a.data())[9], members.has_capped()), (prefix(9, 1), true));
    }
}

/// An admin's entries that come at once make of a reader a writer.
#[test]
fn caps_of_who_becomes_a_writer_are_told_of() {
    let (vault, a, first) = founded();
    let [b, c] = [Actor::new(2), Actor::new(3)];
    let prefix = PrefixCap { seq: Seq(1), chain: Chain::from_bytes([7; 32]), cap: Stamp(5) };
    let caps = CertifiedCaps { prefixes: [(a.data(), prefix)].into(), ..CertifiedCaps::default() };
    let prekey = PrekeySecret::generate(&c.logs, &SeededEntropy::dangerous_from_seed(98));
    let birth = LogBirth { vault: &vault, number: 0, logs: &c.logs, admin: &c.admin, prekey: &prekey };
    let certified = (id_of(&c.logs.control), Seq(0), birth.entries_with_caps(&c.key, &caps).unwrap());
    let mut members = told(vault, std::slice::from_ref(&first));
    let listed = [
        a.adds(&vault, 1, &c, "c", DeviceRole::Reader),
        a.adds(&vault, 2, &b, "b", DeviceRole::Writer),
        certified,
        b.certificate(&vault),
        b.adds(&vault, 1, &c, "c", DeviceRole::Reader),
        b.adds(&vault, 2, &c, "c", DeviceRole::Writer),
    ];
    listed.iter().for_each(|segment| drop(apply(&mut members, segment).unwrap()));
    members.take_capped();
    assert!(named(&members, &a.data()).is_empty());
    apply(&mut members, &a.adds(&vault, 3, &b, "b", DeviceRole::Admin)).unwrap();
    assert_eq!((named(&members, &a.data()), members.has_capped()), (vec![prefix], true));
}

/// A device gives its log key to a more senior one, whose log that is from then on.
#[test]
fn a_cap_that_counts_does_not_cease_to_when_its_log_becomes_that_of_another() {
    let (vault, a, first) = founded();
    let [b, c, again] = [Actor::new(2), Actor::new(3), Actor::with_logs(3, 1)];
    let of_b = Actor {
        logs: OwnLogs {
            data: KeyPair::from_stored(&c.logs.data.dangerous_to_pkcs8_der()).unwrap(),
            ..Actor::with_logs(2, 1).logs
        },
        ..Actor::new(2)
    };
    let caps =
        CertifiedCaps { own: [(c.data(), CapStep::of_all(Stamp(5)))].into(), ..CertifiedCaps::default() };
    let prekey = PrekeySecret::generate(&again.logs, &SeededEntropy::dangerous_from_seed(98));
    let birth = LogBirth { vault: &vault, number: 1, logs: &again.logs, admin: &c.admin, prekey: &prekey };
    let capping = (id_of(&again.logs.control), Seq(0), birth.entries_with_caps(&c.key, &caps).unwrap());
    let segments = [
        a.adds(&vault, 1, &b, "b", DeviceRole::Writer),
        a.adds(&vault, 2, &c, "c", DeviceRole::Writer),
        c.certificate(&vault),
        capping,
    ];
    let mut members = told(vault, std::slice::from_ref(&first));
    segments.iter().for_each(|segment| drop(apply(&mut members, segment).unwrap()));
    let cap = members.cap(&c.data());
    assert!(cap.is_some());
    apply(&mut members, &of_b.certificate(&vault)).unwrap();
    assert_eq!(members.certified(&c.data()).map(|log| log.device), Some(b.key.public()));
    assert_eq!(members.cap(&c.data()), cap);
}
