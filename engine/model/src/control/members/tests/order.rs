//! What no order of arrival changes: whatever is signed, wherever it stands, all fold the same members.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Founder A, B added by A, C added by A as a reader and by B as an admin, D added by C as a reader and adding F in
/// vain, E added by nobody and adding F in vain, B's second pair of logs, and G and C, whom B adds there; an entry of B,
/// who adds H, that stands only in D's log; B's first entry once more in A's log, with something unknown.
fn story() -> (VaultId, Vec<Applied>) {
    use DeviceRole::{Admin, Reader, Writer};
    let (vault, a, first) = founded();
    let [b, c, d, e, f, g, h, i] = [2, 3, 4, 5, 6, 7, 8, 10].map(Actor::new);
    let again = Actor::with_logs(2, 1);
    assert_eq!(again.public(), b.public());
    let (_, _, b_adds_c) = b.adds(&vault, 1, &c, "c by b", Admin);
    let (_, _, b_adds_h) = b.adds(&vault, 3, &h, "h by b", Writer);
    let unknown = a.signs(&vault, 9, Entry::Unknown(UnknownEntry::new(77, vec![1])));
    let repeated = [decode_entries(&b_adds_c).unwrap(), vec![unknown]].concat();
    let story = vec![
        first,
        a.adds(&vault, 2, &b, "b", Admin),
        b.certificate(&vault),
        (b.control(), Seq(1), b_adds_c),
        a.adds(&vault, 3, &c, "c by a", Reader),
        c.certificate(&vault),
        c.adds(&vault, 1, &d, "d by c", Reader),
        d.certificate(&vault),
        d.adds(&vault, 1, &f, "f by d", Admin),
        (d.control(), Seq(2), b_adds_h),
        e.certificate(&vault),
        e.adds(&vault, 1, &f, "f by e", Admin),
        again.certificate_numbered(&vault, 4),
        again.adds(&vault, 2, &g, "g by b", Reader),
        (a.control(), Seq(4), encode_entries(&repeated)),
        h.certificate(&vault),
        listing::beside(&i.certificate(&vault), &c.adds(&vault, 2, &i, "i by c", Reader)),
    ];
    (vault, story)
}

#[test]
fn the_story_lists_whom_it_should() {
    let (vault, story) = story();
    let members = told(vault, &story);
    let [b, c, d, e, f, _, h] = [2, 3, 4, 5, 6, 7, 8].map(Actor::new);
    let names: Vec<_> = members.devices().iter().map(|device| device.name.as_str()).collect();
    let by_seniority = ["founder", "b", "c by a", "g by b", "h by b", "d by c", "i by c"];
    assert_eq!(names, by_seniority, "the senior author gives the name, wherever an entry stands");
    assert_eq!(members.device(&h.public()).unwrap().role, DeviceRole::Writer);
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
    assert_eq!(members.control_log_publics().len(), 7, "founder, B twice, C, D, H, I");
    assert_eq!(members.next_number(&b.public()), 5);
    assert_eq!(members.next_number(&Actor::new(9).public()), 0);
    assert_eq!(members.admin_key(&b.public()), Some(b.admin.public().into()));
    assert_eq!(members.admin_key(&e.public()), None, "not listed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_order_and_any_repetition_gives_the_same(
        order in Just((0..17usize).collect::<Vec<_>>()).prop_shuffle(),
        repeats in prop::collection::vec(0..17usize, 0..6),
        opened_again in prop::option::of(0..17usize),
    ) {
        static STORY: LazyLock<(VaultId, Vec<Applied>)> = LazyLock::new(story);
        let (vault, story) = &*STORY;
        let mut members = Members::new(*vault);
        let (mut devices, mut logs) = (BTreeSet::new(), BTreeSet::new());
        for (step, at) in order.iter().copied().chain(repeats).enumerate() {
            if opened_again == Some(step) {
                // What was taken in is read again at an opening, log by log; each is checked no second time.
                let held: BTreeSet<_> = order[..step].iter().copied().collect();
                members = Members::new(*vault);
                for at in held {
                    let (log, seq, data) = &story[at];
                    members.apply_checked(*log, *seq, data).unwrap();
                }
            }
            let changes = apply(&mut members, &story[at]).unwrap();
            for device in changes.devices_added {
                prop_assert!(devices.insert(device), "told twice");
            }
            for log in changes.logs_certified {
                prop_assert!(logs.insert(log), "told twice");
            }
        }
        prop_assert_eq!(outcome(&members), outcome(&told(*vault, story)));
        prop_assert_eq!(outcome(&members), reference::fold(*vault, story));
        prop_assert_eq!(members.held.weight(), 3, "E's certificate and its entry wait");
        prop_assert_eq!(outcome(&image::read_again(&members)), outcome(&members));
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
            prop_assert_eq!(apply(&mut members, segment).is_err(), i == which);
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
fn numbers_and_not_places_order_the_entries_of_an_author() {
    let (vault, a, first) = founded();
    let [b, c] = [2, 3].map(Actor::new);
    let adds = |place: u64, number, other: &Actor, name: &str| {
        let entry = a.signs(&vault, number, Entry::DeviceAdded(other.as_added(name, DeviceRole::Writer)));
        (a.control(), Seq(place), encode_entries(&[entry]))
    };
    let later = adds(1, 9, &b, "b later");
    let other = adds(2, 5, &c, "c");
    let earlier = adds(3, 4, &b, "b earlier");
    for order in [[&later, &other, &earlier], [&earlier, &later, &other], [&other, &earlier, &later]] {
        let mut members = told(vault, std::slice::from_ref(&first));
        order.into_iter().for_each(|segment| drop(apply(&mut members, segment).unwrap()));
        let names: Vec<_> = members.devices().iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["founder", "b earlier", "c"]);
    }
}

#[test]
fn a_full_vault_lists_the_same_devices_in_any_order() {
    testing::DEVICES_MAX.set(Some(DEVICES_MAX));
    let (vault, a, first) = founded();
    let base = told(vault, std::slice::from_ref(&first));
    let known = Actor::new(2);
    let crowd: Vec<_> =
        (0..DEVICES_MAX as u64 + 2).map(|number| (number, Actor::new(100 + number))).collect();
    let segments: Vec<_> = crowd
        .chunks(8)
        .zip(1..)
        .map(|(chunk, seq)| {
            let added = chunk.iter().map(|(number, device)| {
                let added = Entry::DeviceAdded(device.as_added("x", DeviceRole::Writer));
                a.signs(&vault, 10 + number, added)
            });
            (a.control(), Seq(seq), encode_entries(&added.collect::<Vec<_>>()))
        })
        .collect();
    let first_of_all = {
        let added = a.signs(&vault, 2, Entry::DeviceAdded(known.as_added("first", DeviceRole::Writer)));
        (a.control(), Seq(90), encode_entries(&[added]))
    };
    let mut orders = [base, told(vault, std::slice::from_ref(&first))];
    apply(&mut orders[0], &first_of_all).unwrap();
    for at in 0..segments.len() {
        apply(&mut orders[0], &segments[at]).unwrap();
        apply(&mut orders[1], &segments[segments.len() - 1 - at]).unwrap();
    }
    assert!(orders[1].device(&known.public()).is_none());
    apply(&mut orders[1], &first_of_all).unwrap();
    assert_eq!(outcome(&orders[0]), outcome(&orders[1]));
    assert_eq!(orders[0].devices().len(), DEVICES_MAX);
    assert!(orders[0].device(&known.public()).is_some());
}

/// What a random story is made of: who writes, in whose log, at which place, with which number, about whom.
#[derive(Clone, Debug)]
struct Step {
    author: usize,
    log: usize,
    number: u64,
    about: usize,
    role: DeviceRole,
    critical: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![Just(DeviceRole::Admin), Just(DeviceRole::Writer), Just(DeviceRole::Reader)];
    (0..5usize, 0..5usize, 2..6u64, 1..5usize, role, prop::bool::weighted(0.1)).prop_map(
        |(author, log, number, about, role, critical)| Step { author, log, number, about, role, critical },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_entries_in_random_logs_give_the_same_members_in_any_order_and_batches(
        steps in prop::collection::vec(step(), 1..14),
        cuts in prop::collection::vec(1..4usize, 14),
        seed in any::<prop::sample::Index>(),
        shuffled in Just((0..24usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (vault, founder, first) = founded();
        let actors: Vec<_> = std::iter::once(founder).chain((2..6).map(Actor::new)).collect();
        let mut segments = vec![first];
        segments.extend(actors[1..].iter().map(|actor| actor.certificate(&vault)));
        // Entries in batches of one to three, each in a log of somebody.
        let mut next = [1u64; 5];
        let mut left = &steps[..];
        for cut in cuts {
            let (batch, rest) = left.split_at(cut.min(left.len()));
            let Some(log) = batch.first().map(|step| step.log) else { break };
            let entries: Vec<_> = batch.iter().map(|step| {
                let entry = if step.critical {
                    Entry::Unknown(UnknownEntry::new(0x91, vec![]))
                } else {
                    Entry::DeviceAdded(actors[step.about].as_added("x", step.role))
                };
                actors[step.author].signs(&vault, step.number, entry)
            }).collect();
            segments.push((actors[log].control(), Seq(next[log]), encode_entries(&entries)));
            next[log] += 1;
            left = rest;
        }
        let in_order = told(vault, &segments);
        let mut members = Members::new(vault);
        let (mut devices, mut logs, mut updates) = (BTreeSet::new(), BTreeSet::new(), 0);
        let order: Vec<_> = shuffled.into_iter().filter(|at| *at < segments.len()).collect();
        // One of them comes again at the end.
        for at in order.iter().copied().chain([order[seed.index(order.len())]]) {
            let changes = apply(&mut members, &segments[at]).unwrap();
            devices.extend(changes.devices_added);
            logs.extend(changes.logs_certified);
            updates += usize::from(changes.update_needed);
        }
        prop_assert_eq!(outcome(&members), outcome(&in_order));
        prop_assert_eq!(members.update_needed(), in_order.update_needed());
        prop_assert_eq!(updates, usize::from(members.update_needed()));
        prop_assert_eq!(members.roster.overflows, in_order.roster.overflows);
        prop_assert_eq!(members.held.weight(), in_order.held.weight());
        prop_assert_eq!(&members.verified, &in_order.verified);
        prop_assert_eq!(devices.len(), members.devices().len());
        prop_assert_eq!(logs.len(), members.roster.logs.len());
        prop_assert_eq!(outcome(&members), reference::fold(vault, &segments));
        let again = image::read_again(&members);
        prop_assert_eq!(outcome(&again), outcome(&members));
        prop_assert_eq!(again.encode(), members.encode());
        for actor in &actors {
            prop_assert_eq!(members.admin_key(&actor.public()), in_order.admin_key(&actor.public()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Two admins add more devices than a vault lists, in every order; each device has logs.
    #[test]
    fn the_logs_of_all_members_count_in_any_order_also_of_those_beyond_the_list(
        order in Just((0..62usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        static SEGMENTS: LazyLock<(VaultId, Vec<Applied>)> = LazyLock::new(|| {
            let (vault, a, first) = founded();
            let b = Actor::new(2);
            let mut segments = vec![first, a.adds(&vault, 1, &b, "b", DeviceRole::Admin)];
            segments.push(b.certificate(&vault));
            for n in 0..28u64 {
                let device = Actor::new(100 + n);
                let adder = if n % 2 == 0 { &a } else { &b };
                // Who is added last has the lowest number.
                segments.push(adder.adds(&vault, 40 - n, &device, "x", DeviceRole::Writer));
                segments.push(device.certificate(&vault));
            }
            segments.extend(further_pairs(&vault, &a, 60..63));
            (vault, segments)
        });
        testing::DEVICES_MAX.set(Some(DEVICES_MAX));
        let (vault, segments) = &*SEGMENTS;
        prop_assert_eq!(segments.len(), order.len());
        let mut members = Members::new(*vault);
        let mut counted = BTreeSet::new();
        for at in order {
            let changes = apply(&mut members, &segments[at]).unwrap();
            counted.extend(changes.logs_certified);
            prop_assert!(counted.iter().all(|log| members.certified(log).is_some()), "what counts goes on counting");
        }
        prop_assert!(members.roster.overflows);
        prop_assert_eq!(members.devices().len(), DEVICES_MAX);
        let in_order = told(*vault, segments);
        prop_assert_eq!(outcome(&members), outcome(&in_order));
        prop_assert_eq!(counted.len(), 2 * (2 + 28 + 3));
    }
}
