//! What counts, written down and read again.

use super::*;

pub(super) fn read_again(members: &Members) -> Members {
    Members::decode(members.vault, &members.encode()).unwrap()
}

#[test]
fn members_go_on_from_their_image_as_if_nothing_had_been_forgotten() {
    let (vault, a, first) = founded();
    let [b, c, d] = [2, 3, 4].map(Actor::new);
    let later = a.signs(&vault, 30, Entry::Unknown(UnknownEntry::new(77, vec![])));
    let story = [
        first,
        a.adds(&vault, 3, &b, "b", DeviceRole::Writer),
        b.certificate(&vault),
        a.adds(&vault, 5, &b, "b, later", DeviceRole::Reader),
        (a.control(), Seq(9), encode_entries(&[later])),
        a.adds(&vault, 7, &c, "c", DeviceRole::Writer),
        b.adds(&vault, 1, &d, "d", DeviceRole::Writer),
        // From here on each ranks earlier, or makes an entry count that did not before.
        a.adds(&vault, 2, &c, "c, earlier", DeviceRole::Reader),
        a.adds(&vault, 8, &b, "b", DeviceRole::Admin),
        c.certificate(&vault),
        a.adds(&vault, 1, &d, "d by a", DeviceRole::Reader),
    ];
    let whole = told(vault, &story);
    assert_eq!(outcome(&whole), reference::fold(vault, &story));
    for cut in 0..story.len() {
        let mut members = read_again(&told(vault, &story[..cut]));
        let mut checks = 0;
        for segment in &story {
            apply(&mut members, segment).unwrap();
            checks = members.checks;
        }
        assert_eq!(outcome(&members), outcome(&whole), "{cut}");
        assert_eq!(members.next_number(&a.public()), 31);
        assert_eq!(members.admin_key(&b.public()), whole.admin_key(&b.public()));
        assert_eq!(members.encode(), whole.encode());
        // Of what was there only the genesis is not known any more, and entries that count for nothing beside others.
        assert!(checks <= story.len() + 1 - cut + 3, "{cut}: {checks}");
    }
}

#[test]
fn a_critical_entry_is_in_the_image_and_bases_are() {
    let (vault, a, first) = founded();
    let critical = a.signs(&vault, 9, Entry::Unknown(UnknownEntry::new(0x99, vec![])));
    let mut members = told(vault, &[first]);
    members.apply(a.control(), Seq(1), &encode_entries(&[critical])).unwrap();
    assert!(members.update_needed() && read_again(&members).update_needed());
}

#[test]
fn what_is_no_image_is_refused() {
    let (vault, a, first) = founded();
    let b = Actor::new(2);
    let members = told(vault, &[first, a.adds(&vault, 1, &b, "b", DeviceRole::Admin), b.certificate(&vault)]);
    let image = members.encode();
    for len in 0..image.len() {
        assert!(Members::decode(vault, &image[..len]).is_err(), "{len}");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = image.clone();
        bytes[at] = byte;
        Members::decode(vault, &bytes)
    };
    assert!(with(0, 1).is_err() && with(0, 3).is_err() && with(1, 0xff).is_err());
    assert!(Members::decode(vault, &[&image[..], &[0]].concat()).is_err());
    assert_eq!(members.encode(), image);
}
