//! Where a segment stands: in its group, and in its log.

use crate::codec::DecodeError;

/// Where a segment stands in its group. So where a group begins and ends is known without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GroupPlace {
    /// Others of its group stand before and behind it.
    Middle = 0,
    /// The group begins with it.
    First = 1,
    /// The group ends with it.
    Last = 2,
    /// It is the whole group.
    Whole = 3,
}

impl GroupPlace {
    /// The place of segment `index` of a group of `count`.
    #[must_use]
    pub const fn of(index: usize, count: usize) -> Self {
        match (index == 0, index + 1 == count) {
            (true, true) => Self::Whole,
            (true, false) => Self::First,
            (false, true) => Self::Last,
            (false, false) => Self::Middle,
        }
    }

    /// Reads the wire value.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`].
    pub const fn from_wire(value: u8) -> Result<Self, DecodeError> {
        match value {
            0 => Ok(Self::Middle),
            1 => Ok(Self::First),
            2 => Ok(Self::Last),
            3 => Ok(Self::Whole),
            other => Err(DecodeError::Unknown { what: "place in a group", value: other as u64 }),
        }
    }

    /// The wire value.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    /// Whether its group begins with it.
    #[must_use]
    pub const fn is_first(self) -> bool {
        matches!(self, Self::First | Self::Whole)
    }

    /// Whether its group ends with it.
    #[must_use]
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Last | Self::Whole)
    }

    /// Whether it may stand behind a segment of this place; the first one of a log stands behind none.
    #[must_use]
    pub fn may_follow(self, before: Option<Self>) -> bool {
        self.is_first() == before.is_none_or(Self::is_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_wire_and_no_others() {
        for value in 0..=u8::MAX {
            match GroupPlace::from_wire(value) {
                Ok(place) => {
                    assert_eq!(place.to_wire(), value);
                    assert_eq!((place.is_first(), place.is_last()), (value & 1 != 0, value & 2 != 0));
                }
                Err(_) => assert!(value > 3),
            }
        }
        let of = |count| (0..count).map(|index| GroupPlace::of(index, count)).collect::<Vec<_>>();
        assert_eq!(of(1), [GroupPlace::Whole]);
        assert_eq!(of(3), [GroupPlace::First, GroupPlace::Middle, GroupPlace::Last]);
    }

    #[test]
    fn a_group_begins_behind_the_end_of_another_and_nowhere_else() {
        use GroupPlace::{First, Last, Middle, Whole};
        for (place, before, may) in [
            (Whole, None, true),
            (First, None, true),
            (Middle, None, false),
            (Last, None, false),
            (First, Some(Last), true),
            (Whole, Some(Whole), true),
            (First, Some(Middle), false),
            (Whole, Some(First), false),
            (Middle, Some(First), true),
            (Last, Some(Middle), true),
            (Middle, Some(Last), false),
            (Last, Some(Whole), false),
        ] {
            assert_eq!(place.may_follow(before), may, "{place:?} behind {before:?}");
        }
    }
}
