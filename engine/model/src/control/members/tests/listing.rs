//! The word by which a device was let in, in its own log.

use super::*;

/// The beginning of a log, and beside it what another segment says.
pub(super) fn beside(birth: &Applied, word: &Applied) -> Applied {
    let mut entries = decode_entries(&birth.2).unwrap();
    entries.extend(decode_entries(&word.2).unwrap());
    (birth.0, birth.1, encode_entries(&entries))
}

#[test]
fn the_word_beside_a_certificate_lists_its_device_whatever_comes_first() {
    let (vault, a, first) = founded();
    let [b, c, stranger] = [2, 3, 9].map(Actor::new);
    let segments = [
        first,
        beside(&b.certificate(&vault), &a.adds(&vault, 1, &b, "b", DeviceRole::Admin)),
        // B's own log need not have come, either.
        beside(&c.certificate(&vault), &b.adds(&vault, 1, &c, "c", DeviceRole::Writer)),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let members = told(vault, &order.map(|at: usize| segments[at].clone()));
        let listed: Vec<_> = members.devices().iter().map(|device| device.public).collect();
        assert_eq!(listed, [&a, &b, &c].map(|actor| actor.key.public()), "{order:?}");
        assert!([&b, &c].iter().all(|actor| members.certified(&actor.data()).is_some()));
        assert_eq!(image::read_again(&members).devices(), members.devices());
    }
    // Nobody is listed by a word of somebody who is no member, of another device, or of a reader.
    let mut members = told(vault, &segments[..1]);
    let listed = |members: &Members| members.devices().len();
    let by_stranger = beside(&b.certificate(&vault), &stranger.adds(&vault, 1, &b, "b", DeviceRole::Admin));
    let of_another = beside(&stranger.certificate(&vault), &a.adds(&vault, 1, &b, "b", DeviceRole::Admin));
    for segment in [&by_stranger, &of_another] {
        apply(&mut members, segment).unwrap();
        assert_eq!(listed(&members), 1);
    }
    apply(&mut members, &segments[2]).unwrap();
    // What is forgotten counts no more, and does when it comes again.
    members.forget_from(&segments[2].0, Seq(0));
    apply(&mut members, &segments[1]).unwrap();
    assert_eq!(listed(&members), 2);
    apply(&mut members, &segments[2]).unwrap();
    assert_eq!(listed(&members), 3);
}
