//! What newer versions write, of which this one knows the slot alone.
//!
//! Every cell but register and unset, and every op but puts and deletes, begins with a slot. Of one slot the latest stays,
//! whoever merges it: so a version that does not know a cell merges it exactly, and keeps no more of it than it must.

use subrosa_protocol::codec::{DecodeError, Reader};

/// Content that begins with its whole slot, `length u8 | slot`. Only [`Slotted::check`] makes one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slotted<'a>(&'a [u8]);

impl<'a> Slotted<'a> {
    /// Content from outside.
    ///
    /// # Errors
    /// [`DecodeError`]: it has no whole slot.
    pub fn check(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let length = reader.u8()?;
        reader.bytes(length.into())?;
        Ok(Self(bytes))
    }

    /// Its slot.
    pub fn slot(self) -> &'a [u8] {
        let length = self.0.first().map_or(0, |length| usize::from(*length));
        self.0.get(1..1 + length).unwrap_or_default()
    }

    /// All of it, the slot included.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_whole_slot_is_refused() {
        type Case<'a> = (&'a [u8], Result<&'a [u8], DecodeError>);
        let rows: [Case<'_>; 6] = [
            (&[], Err(DecodeError::Truncated { needed: 1, left: 0 })),
            (&[1], Err(DecodeError::Truncated { needed: 1, left: 0 })),
            (&[3, 7, 7], Err(DecodeError::Truncated { needed: 3, left: 2 })),
            (&[0], Ok(&[])),
            (&[0, 9], Ok(&[])),
            (&[2, 7, 8, 9], Ok(&[7, 8])),
        ];
        for (bytes, slot) in rows {
            assert_eq!(Slotted::check(bytes).map(Slotted::slot), slot);
            assert!(Slotted::check(bytes).is_ok_and(|slotted| slotted.as_bytes() == bytes) == slot.is_ok());
        }
    }
}
