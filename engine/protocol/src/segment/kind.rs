//! What a segment carries, and which log may hold it.

use std::fmt;

use crate::codec::DecodeError;

/// The bits that say the class.
const CLASS_BITS: u8 = 0xc0;
const CONTROL_CLASS: u8 = 0x40;
/// Set in kinds that carry no ops: who does not know one may go on behind it.
const WITHOUT_OPS: u8 = 0x20;

/// What a segment carries. Kinds that this version does not know are kept: they belong to newer ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

/// Whether a log holds control segments, or all others; fixed by its first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Ops on records, and what belongs to them.
    Data,
    /// Control entries.
    Control,
}

impl Kind {
    /// Ops on records.
    pub const DATA: Self = Self(0x01);
    /// A segment of another data log, whole.
    pub const CARRIED: Self = Self(0x02);
    /// The end of a data log.
    pub const CLOSING: Self = Self(0x03);
    /// Control entries: devices, certificates, epochs.
    pub const CONTROL: Self = Self(0x41);
    /// The end of a control log.
    pub const CONTROL_CLOSING: Self = Self(0x43);

    /// Every kind that this version knows, with its name.
    pub const KNOWN: [(Self, &'static str); 5] = [
        (Self::DATA, "data"),
        (Self::CARRIED, "carried"),
        (Self::CLOSING, "closing"),
        (Self::CONTROL, "control"),
        (Self::CONTROL_CLOSING, "closing of a control log"),
    ];

    /// Reads the wire value.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] when it is of a class that this version does not know.
    pub const fn from_wire(value: u8) -> Result<Self, DecodeError> {
        match value & CLASS_BITS {
            0 | CONTROL_CLASS => Ok(Self(value)),
            _ => Err(DecodeError::Unknown { what: "class of a segment", value: value as u64 }),
        }
    }

    /// The wire value.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self.0
    }

    /// The class of log that may hold it.
    #[must_use]
    pub const fn class(self) -> Class {
        if self.0 & CLASS_BITS == CONTROL_CLASS { Class::Control } else { Class::Data }
    }

    /// Whether this version knows it.
    #[must_use]
    pub fn is_known(self) -> bool {
        Self::KNOWN.iter().any(|(known, _)| *known == self)
    }

    /// Whether it ends its log: nothing stands behind it.
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self, Self::CLOSING | Self::CONTROL_CLOSING)
    }

    /// Whether it may carry ops or entries, so that who does not know it must wait in front of it.
    #[must_use]
    pub const fn may_carry_ops(self) -> bool {
        self.0 & WITHOUT_OPS == 0
    }

    /// Whether such a segment is always the first and the last of its group: all but those that carry a group's ops.
    #[must_use]
    pub const fn is_group_of_its_own(self) -> bool {
        matches!(self.class(), Class::Control)
            || matches!(self, Self::CARRIED | Self::CLOSING)
            || !self.may_carry_ops()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::KNOWN.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "kind {:#04x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_a_known_class_is_kept_as_it_is() {
        for value in 0..=u8::MAX {
            match Kind::from_wire(value) {
                Ok(kind) => {
                    assert!(value < 0x80);
                    assert_eq!(kind.to_wire(), value);
                    assert_eq!(kind.class() == Class::Control, value >= 0x40);
                    assert_eq!(kind.is_known(), [0x01, 0x02, 0x03, 0x41, 0x43].contains(&value));
                    assert_eq!(kind.may_carry_ops(), value & 0x20 == 0);
                    assert_eq!(kind.closes(), [0x03, 0x43].contains(&value));
                    let may_go_on = value < 0x40 && value & 0x20 == 0 && value != 2 && value != 3;
                    assert_eq!(kind.is_group_of_its_own(), !may_go_on, "{value}");
                }
                Err(error) => {
                    assert!(value >= 0x80);
                    let what = "class of a segment";
                    assert_eq!(error, DecodeError::Unknown { what, value: value.into() });
                }
            }
        }
    }
}
