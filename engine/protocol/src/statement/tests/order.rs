//! Which of two chains stays.

use proptest::sample::Index;

use super::*;

/// Founded by admin 1, who then lists 2 and 3 too.
fn three() -> Vec<Statement> {
    vec![first(), after(&first(), By::Admin(1), 23)]
}

fn follow(chain: &[Statement], more: impl IntoIterator<Item = Statement>) -> Vec<Statement> {
    chain.iter().cloned().chain(more).collect()
}

fn last(chain: &[Statement]) -> &Statement {
    chain.last().unwrap()
}

/// As [`after`], with another recovery key for the next ones.
fn reissued(before: &Statement, by: By, recovery: u8, write: u8) -> Statement {
    sign(Statement { recovery_commitment: commitment(recovery), ..after(before, by, write) }, by)
}

#[test]
fn nobody_drops_what_somebody_more_senior_signed() {
    let base = three();
    let junior = after(last(&base), By::Admin(2), 24);
    let removal = listing(&junior, By::Admin(1), &[1, 3], 25);
    let chain = follow(&base, [junior, removal.clone()]);
    for write in 30..90 {
        for by in [By::Admin(2), By::Admin(3)] {
            let again = after(last(&base), by, write);
            assert!(!offered(&chain, &again).1, "{by:?}, {write}: whatever its hash");
            let tail = [again.clone(), after(&again, By::Admin(3), 91), after(&again, By::Admin(2), 92)];
            assert_eq!(join(&chain, &tail).chain, chain, "nor with what follows");
        }
    }
    let behind = after(&removal, By::Admin(3), 26);
    let longer = follow(&chain, [behind]);
    assert!(!offered(&longer, &after(last(&base), By::Admin(2), 30)).1, "nor later");
    assert_eq!(offer(&chain, &after(&removal, By::Admin(2), 30)).map_err(|_| ()), Err(()), "it is removed");
    for by in [By::Admin(1), By::Recovery(11), By::Both(11, 3)] {
        let rival = after(last(&base), by, 27);
        assert_eq!(offered(&longer, &rival), (follow(&base, [rival]), true), "{by:?}");
    }
}

#[test]
fn a_tail_is_judged_by_all_that_follows_and_ends_alike_in_every_order() {
    let base = three();
    let middle = after(last(&base), By::Admin(2), 24);
    let least = after(last(&base), By::Admin(3), 25);
    let most = after(&least, By::Admin(1), 26);
    let one = follow(&base, [middle.clone()]);
    let other = follow(&base, [least.clone(), most.clone()]);
    assert_eq!(join(&one, &other).chain, other, "the most senior signer decides, wherever it stands");
    assert_eq!(join(&other, &one).chain, other);
    assert!(!offered(&one, &least).1, "alone it does not");
    let spoiled = Statement { signature: Signature::ZERO, ..most };
    let joined = join(&one, &[least, spoiled]);
    let refused = StatementError::BadSignature { generation: Generation(3) };
    assert_eq!((joined.chain, joined.kept, joined.refused), (one.clone(), one.len(), Some(refused)));
}

#[test]
fn a_recovery_key_is_as_senior_as_who_put_it_there() {
    let base = three();
    let own = reissued(last(&base), By::Admin(2), 15, 24);
    let grab = follow(&base, [own.clone(), listing(&own, By::Recovery(15), &[2], 25)]);
    check_chain(&grab[0].vault, &grab).unwrap();
    for by in [By::Admin(1), By::Recovery(11)] {
        let rival = after(last(&base), by, 26);
        assert_eq!(offered(&grab, &rival), (follow(&base, [rival]), true), "{by:?} drops it");
    }
    for write in 30..60 {
        for by in [By::Admin(2), By::Admin(3)] {
            assert!(!offered(&grab, &after(last(&base), by, write)).1, "{by:?}: no more than it is");
        }
    }
    // Behind it the key stands before who made it, and behind whoever is before him; and it makes no other one greater.
    let held = follow(&base, [own.clone()]);
    let rivals = [
        after(&own, By::Admin(1), 27),
        after(&own, By::Both(15, 3), 27),
        reissued(&own, By::Recovery(15), 16, 27),
        after(&own, By::Admin(2), 27),
        after(&own, By::Admin(3), 27),
    ];
    for (i, there) in rivals.iter().enumerate() {
        for (j, new) in rivals.iter().enumerate() {
            let there = follow(&held, [there.clone()]);
            assert_eq!(offered(&there, new).1, j < i, "{j} for {i}");
        }
    }
    let greater = follow(&held, [rivals[2].clone(), after(&rivals[2], By::Both(16, 2), 28)]);
    assert!(offered(&greater, &rivals[0]).1, "nor its successor");
    // Once the most senior one has, it is before all of them.
    let all = reissued(last(&base), By::Admin(1), 15, 29);
    let removed = follow(&base, [all.clone(), listing(&all, By::Recovery(15), &[2, 3], 30)]);
    for write in 40..70 {
        assert!(!offered(&removed, &after(last(&base), By::Admin(1), write)).1, "{write}");
        assert!(!offered(&removed, &after(&all, By::Admin(1), write)).1, "{write}");
        let again = after(&all, By::Recovery(15), write);
        assert_eq!(offered(&removed, &again).1, again.hash() < removed[3].hash(), "{write}: it is no word");
    }
}

#[test]
fn the_words_are_the_users_again_when_they_are_put_back() {
    let base = three();
    let taken = reissued(last(&base), By::Admin(2), 15, 24);
    for by in [By::Admin(2), By::Admin(3), By::Recovery(15), By::Both(15, 1)] {
        let back = reissued(&taken, by, 11, 25);
        let again = reissued(&back, By::Admin(3), 11, 26);
        let base = follow(&base, [taken.clone(), back, again]);
        let words = follow(&base, [after(last(&base), By::Recovery(11), 27)]);
        for write in 30..60 {
            for other in [By::Admin(1), By::Admin(2), By::Admin(3)] {
                assert!(!offered(&words, &after(last(&base), other, write)).1, "{by:?}, {other:?}, {write}");
            }
        }
        let both = after(last(&base), By::Both(11, 3), 28);
        assert_eq!(offered(&words, &both), (follow(&base, [both]), true));
    }
    // Words that the user has replaced are nobody's but who puts them back.
    let base = follow(&base, [recovered(last(&base), 11, 23)]);
    let old = reissued(last(&base), By::Admin(2), 11, 24);
    let grab = follow(&base, [old.clone(), after(&old, By::Recovery(11), 25)]);
    assert!(offered(&grab, &after(last(&base), By::Admin(1), 26)).1);
    // Those before which an admin put others are not the last ones of the user, once his own words signed others.
    let back = reissued(&old, By::Admin(3), 12, 27);
    let newer = reissued(&back, By::Recovery(12), 13, 28);
    let old = reissued(&newer, By::Admin(2), 12, 29);
    let grab = follow(&base, [grab[3].clone(), back, newer, old.clone()]);
    check_chain(&grab[0].vault, &grab).unwrap();
    let grab = follow(&grab, [after(&old, By::Recovery(12), 30)]);
    assert!(offered(&grab, &after(&old, By::Admin(1), 31)).1);
}

#[test]
fn words_are_replaced_by_words_and_by_no_admin_alone() {
    let base = three();
    let rival = after(last(&base), By::Recovery(11), 24);
    for (by, stays) in
        [(By::Admin(1), false), (By::Admin(2), false), (By::Recovery(11), true), (By::Both(11, 2), true)]
    {
        let replaced = reissued(last(&base), by, 12, 25);
        let held = follow(&base, [replaced.clone(), after(&replaced, By::Recovery(12), 26)]);
        assert_eq!(offered(&held, &rival).1, !stays, "{by:?}");
    }
}

#[test]
fn branches_with_recovery_keys_that_an_admin_made_end_alike() {
    let base = three();
    let [one, other] = [15, 16].map(|key| {
        let own = reissued(last(&base), By::Admin(2), key, key + 10);
        follow(&base, [own.clone(), after(&own, By::Recovery(key), key + 20)])
    });
    let best = if one[2].hash() < other[2].hash() { &one } else { &other };
    assert_eq!((&join(&one, &other).chain, &join(&other, &one).chain), (best, best));
}

#[test]
fn who_comes_again_is_behind_all_who_were_there() {
    let base = three();
    let without = listing(last(&base), By::Admin(2), &[2, 3], 24);
    let again = listing(&without, By::Admin(2), &[2, 3, 1], 25);
    let chain = follow(&base, [without, again.clone(), listing(&again, By::Admin(1), &[2, 3, 1], 26)]);
    assert!(offered(&chain, &listing(&again, By::Admin(2), &[2, 3, 1], 27)).1);
    assert!(
        offered(&chain, &after(last(&base), By::Admin(1), 27)).1,
        "where it stood before all it stands so"
    );
}

#[test]
fn admins_that_stay_keep_their_order() {
    let chain = three();
    let refused = Err(StatementError::Seniority { generation: Generation(2) });
    for (numbers, expected) in [
        (&[1, 2, 3][..], Ok(())),
        (&[1, 3], Ok(())),
        (&[3], Ok(())),
        (&[4], Ok(())),
        (&[2, 3, 4, 5], Ok(())),
        (&[3, 5, 4], Ok(())),
        (&[2, 1, 3], refused),
        (&[1, 3, 2], refused),
        (&[4, 1, 2, 3], refused),
        (&[1, 4, 2], refused),
    ] {
        for by in [By::Admin(3), By::Recovery(11), By::Both(11, 1)] {
            let next = listing(last(&chain), by, numbers, 24);
            assert_eq!(next.check_follows(last(&chain)), expected, "{numbers:?}, {by:?}");
        }
    }
}

#[test]
fn a_chain_grows_by_what_is_permitted_and_recovery_and_what_leads_to_it_do_not_count() {
    let mut chain = three();
    for write in 24..30 {
        chain.push(after(last(&chain), By::Admin(2), write));
    }
    let held = &chain[..3];
    let joined = join_within(held, &chain, 2);
    let refused = Some(StatementError::TooManyToday { generation: Generation(5) });
    assert_eq!((&joined.chain[..], joined.grown, joined.refused), (&chain[..5], 2, refused));
    let none = join_within(held, &chain, 0);
    assert_eq!(
        (none.kept, none.refused),
        (3, Some(StatementError::TooManyToday { generation: Generation(3) }))
    );
    // In the place of others a chain does not grow, and what is in it in vain is gone.
    let rival = after(&chain[2], By::Admin(1), 30);
    let tail = [rival.clone(), after(&rival, By::Admin(1), 31)];
    let joined = join_within(&chain, &tail, 0);
    assert_eq!((joined.chain.len(), joined.grown, joined.refused), (5, 0, None));
    let recovered = after(last(&chain), By::Recovery(11), 32);
    let more = [&chain[..], &[recovered.clone(), after(&recovered, By::Admin(1), 33)]].concat();
    let joined = join_within(held, &more, 1);
    assert_eq!((joined.chain.len(), joined.grown, joined.refused), (more.len(), 1, None));
    let joined = join_within(held, &more, 0);
    assert_eq!((joined.chain.len(), joined.grown), (more.len() - 1, 0));
    // A recovery key of an admin's own counts as he does, and so does one that did not sign.
    let own = reissued(held.last().unwrap(), By::Admin(2), 15, 34);
    let tail = [own.clone(), after(&own, By::Recovery(15), 35)];
    assert_eq!(join_within(held, &tail, 1).chain.len(), 4);
    let unsigned = Statement { signature: Signature::ZERO, ..recovered };
    assert_eq!(join_within(held, &follow(&chain, [unsigned]), 1).chain.len(), 4);
}

#[test]
fn a_rival_is_taken_as_far_as_its_deciding_signature_whatever_the_day_has_left() {
    let base = three();
    let mut honest = base.clone();
    for write in 24..90 {
        honest.push(after(last(&honest), By::Admin(3), write));
    }
    honest.push(listing(last(&honest), By::Admin(1), &[1, 3], 90));
    let decided = honest.len();
    for write in 91..94 {
        honest.push(listing(last(&honest), By::Admin(3), &[1, 3], write));
    }
    let removed = after(last(&base), By::Admin(2), 94);
    let held = follow(&base, [removed.clone(), after(&removed, By::Admin(2), 95)]);
    for (today, more) in [(0, 0), (2, 2), (64, 3)] {
        let joined = join_within(&held, &honest, today);
        assert_eq!((&joined.chain[..], joined.grown), (&honest[..decided + more], more), "{today}");
        let generation = Generation((decided + more) as u64);
        let cut = (more < 3).then_some(StatementError::TooManyToday { generation });
        assert_eq!((joined.kept, joined.refused), (base.len(), cut), "{today}");
        assert_eq!(join_within(&joined.chain, &held, 64).chain, joined.chain, "nor back");
    }
    // What only follows counts, and so do those that the same signer puts in the place of one.
    assert_eq!(join_within(&base, &honest, 5).grown, 5);
    let lower = (100..=255).map(|write| after(last(&base), By::Admin(2), write));
    let mut tail = vec![lower.clone().find(|lower| lower.hash() < removed.hash()).unwrap()];
    for write in 30..60 {
        tail.push(after(last(&tail), By::Admin(2), write));
    }
    let joined = join_within(&held, &tail, 5);
    assert_eq!((joined.chain.len(), joined.grown), (held.len() + 5, 5));
    // It is decided by signatures that hold.
    honest[decided - 1].signature = Signature::ZERO;
    assert_eq!(join_within(&held, &honest[..decided], 64).chain, held);
}

/// One statement of a random tree: whom it follows, and who signs it, for what.
#[derive(Clone, Debug)]
struct Shape {
    parent: Index,
    signer: Index,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Nothing,
    Remove(Index),
    Add(u8),
    /// The user's words give way to others of theirs, and what else signs puts a key of its own there.
    Reissue(u8),
    /// The last words of the user are put back.
    Restore,
}

/// The user's, which founded the vault and those that they put in their place; 15 to 17 are of who else puts one there.
const WORDS: [u8; 4] = [11, 12, 13, 14];
const RECOVERY: [u8; 7] = [11, 12, 13, 14, 15, 16, 17];

const fn by_recovery(by: By) -> bool {
    matches!(by, By::Recovery(_) | By::Both(..))
}

fn by_words(statement: &Statement) -> bool {
    let signer = statement.signer.recovery();
    signer.is_some_and(|(public, _)| WORDS.map(|key| Key::new(key).public()).contains(public))
}

/// With how many statements of recovery in ten.
fn shapes(recovery: u32) -> impl Strategy<Value = Vec<(Shape, bool)>> {
    let act = prop_oneof![
        3 => Just(Act::Nothing),
        2 => any::<Index>().prop_map(Act::Remove),
        2 => (4..=6u8).prop_map(Act::Add),
        1 => (0..3u8).prop_map(Act::Reissue),
        1 => Just(Act::Restore),
    ];
    let shape = (any::<Index>(), any::<Index>(), act);
    let shape = shape.prop_map(|(parent, signer, act)| Shape { parent, signer, act });
    let recovers = prop::bool::weighted(f64::from(recovery) / 10.0);
    vec((shape, recovers), 2..12)
}

/// Whole chains to each statement of a tree that begins with three admins. Only keys in `signers` sign, and only recovery
/// keys in `recovery`.
fn tree(shapes: &[(Shape, bool)], signers: &[u8], recovery: &[u8]) -> Vec<Vec<Statement>> {
    grown(vec![three()], shapes, signers, recovery)
}

fn grown(
    mut chains: Vec<Vec<Statement>>,
    shapes: &[(Shape, bool)],
    signers: &[u8],
    recovery: &[u8],
) -> Vec<Vec<Statement>> {
    for (n, (shape, recovers)) in shapes.iter().enumerate() {
        let chain = shape.parent.get(&chains).clone();
        let before = last(&chain);
        let listed: Vec<u8> = (1..=6).filter(|n| before.admins.contains(&Key::new(*n).public())).collect();
        let may: Vec<u8> = listed.iter().copied().filter(|n| signers.contains(n)).collect();
        let opens = recovery.iter().copied().find(|key| commitment(*key) == before.recovery_commitment);
        let admin = (!may.is_empty()).then(|| *shape.signer.get(&may));
        let by = match (opens.filter(|_| *recovers), admin) {
            (Some(key), Some(admin)) if n.is_multiple_of(2) => By::Both(key, admin),
            (Some(key), _) => By::Recovery(key),
            (None, Some(admin)) => By::Admin(admin),
            (None, None) => continue,
        };
        let mut next = after(before, by, 30 + n as u8);
        next.admins.clone_from(&before.admins);
        match &shape.act {
            Act::Remove(which) if listed.len() > 1 => {
                next.admins.remove(which.index(listed.len()));
            }
            Act::Add(key) if !listed.contains(key) => next.admins.push(Key::new(*key).public()),
            Act::Reissue(key) => {
                let users = opens.is_some_and(|key| WORDS.contains(&key)) && by_recovery(by);
                next.recovery_commitment = commitment(key + if users { 12 } else { 15 });
            }
            Act::Restore => {
                let words = |one: &&Statement| WORDS.map(commitment).contains(&one.recovery_commitment);
                next.recovery_commitment = chain.iter().rfind(words).unwrap().recovery_commitment;
            }
            Act::Nothing | Act::Remove(_) | Act::Add(_) => {}
        }
        chains.push(follow(&chain, [sign(next, by)]));
    }
    chains
}

/// Whether in both the user's words are the most senior signer behind what they share, and no admin signed with them.
fn words_alone_behind(a: &[Statement], b: &[Statement]) -> bool {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    [a, b].iter().all(|chain| {
        let words: Vec<_> = chain[shared..].iter().filter(|one| by_words(one)).collect();
        !words.is_empty() && words.iter().all(|one| matches!(one.signer, Signer::Recovery { .. }))
    })
}

/// What a relay or a device has when all of `chains` came to it in this order, each as a tail from some place on, or
/// statement by statement.
fn learned(chains: &[Vec<Statement>], order: &[usize], from: usize) -> Vec<Vec<Statement>> {
    let mut history = vec![three()];
    for n in order {
        let held = history.last().unwrap();
        let now = if (n + from).is_multiple_of(3) {
            chains[*n].iter().fold(held.clone(), |held, one| offered(&held, one).0)
        } else {
            held.clone()
        };
        history.push(now);
        let shared = history.last().unwrap().iter().zip(&chains[*n]).take_while(|(a, b)| a == b).count();
        let tail = &chains[*n][(n + from) % (shared + 1)..];
        history.push(join(history.last().unwrap(), tail).chain);
    }
    history
}

fn orders(recovery: u32) -> impl Strategy<Value = (Vec<(Shape, bool)>, Vec<usize>, Vec<usize>)> {
    shapes(recovery).prop_flat_map(|shapes| {
        let order = || Just((0..shapes.len() + 3).collect::<Vec<_>>()).prop_shuffle();
        (Just(shapes.clone()), order(), order())
    })
}

fn present(order: &[usize], chains: &[Vec<Statement>]) -> Vec<usize> {
    order.iter().copied().filter(|n| *n < chains.len()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_chains_is_strict_and_total_but_for_the_words_alone(shapes in shapes(3)) {
        let chains = tree(&shapes, &[1, 2, 3, 4, 5, 6], &RECOVERY);
        for a in &chains {
            prop_assert!(check_chain(&a[0].vault, a).is_ok());
            for b in &chains {
                let (there, back) = (prefers(a, b), prefers(b, a));
                prop_assert!(!(there && back), "never both");
                prop_assert_eq!(a != b && !there && !back, words_alone_behind(a, b));
                for c in chains.iter().filter(|c| there && prefers(b, c)) {
                    prop_assert!(prefers(a, c), "no circles");
                }
            }
        }
    }

    /// Relays and devices agree, whatever came first and however, also on what is signed by recovery keys that admins made.
    #[test]
    fn what_admins_sign_ends_alike_in_every_order((shapes, one, other) in orders(3)) {
        let chains = tree(&shapes, &[1, 2, 3, 4, 5, 6], &RECOVERY[WORDS.len()..]);
        let best = chains.iter().find(|a| chains.iter().all(|b| a == &b || prefers(a, b))).unwrap();
        for (from, order) in [one, other].iter().enumerate() {
            prop_assert_eq!(learned(&chains, &present(order, &chains), from).pop().unwrap(), best.clone());
        }
    }

    /// With the user's words too, unless two statements that they signed alone are rivals.
    #[test]
    fn what_recovery_signs_ends_alike_where_something_decides((shapes, one, other) in orders(3)) {
        let chains = tree(&shapes, &[1, 2, 3, 4, 5, 6], &RECOVERY);
        let best = chains.iter().find(|a| chains.iter().all(|b| a == &b || prefers(a, b)));
        for (from, order) in [one, other].iter().enumerate() {
            let history = learned(&chains, &present(order, &chains), from);
            let end = history.last().unwrap();
            prop_assert!(best.is_none_or(|best| best == end));
            prop_assert!(!chains.iter().any(|chain| prefers(chain, end)));
        }
    }

    /// Of the key that the vault began with, and those that it put in its place, whatever others put there meanwhile: junior 2
    /// put one there, and then the user's again.
    #[test]
    fn what_recovery_signed_is_dropped_by_nothing_but_recovery_and_an_admin((shapes, order, _) in orders(4)) {
        let taken = reissued(last(&three()), By::Admin(2), 15, 24);
        let back = reissued(&taken, By::Admin(2), 11, 25);
        let taken = follow(&three(), [taken]);
        let begun = vec![three(), taken.clone(), follow(&taken, [back])];
        let chains = grown(begun, &shapes, &[1, 2, 3, 4, 5, 6], &RECOVERY);
        for step in learned(&chains, &present(&order, &chains), 1).windows(2) {
            let both = |one: &&Statement| matches!(one.signer, Signer::RecoveryAndAdmin { .. });
            let new: Vec<_> = step[1].iter().filter(|new| !step[0].contains(new)).collect();
            for dropped in step[0].iter().filter(|old| !step[1].contains(old)) {
                prop_assert!(!by_words(dropped)
                    || new.iter().any(|new| both(new) && by_words(new)));
            }
        }
    }

    /// Admin 1 removed 2; 2 and 3, and whom they let in, sign as much as they like, with recovery keys of their own.
    #[test]
    fn a_removed_junior_never_comes_back_by_rivals(
        shapes in shapes(3), order in Just((0..16usize).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let base = three();
        let junior = after(last(&base), By::Admin(2), 24);
        let removal = listing(&junior, By::Admin(1), &[1, 3], 25);
        let honest = follow(&base, [junior.clone(), removal.clone()]);
        let hostile = grown(
            vec![base.clone(), follow(&base, [junior])], &shapes, &[2, 3, 4, 5, 6], &RECOVERY[1..]);
        let mut held = honest.clone();
        for chain in &hostile {
            held = join(&held, chain).chain;
            prop_assert_eq!(&held, &honest);
        }
        // And whoever met the others first comes to it.
        let mut late = base;
        for n in present(&order, &hostile) {
            late = join(&late, &hostile[n]).chain;
        }
        prop_assert_eq!(join(&late, &honest).chain, honest);
    }
}
