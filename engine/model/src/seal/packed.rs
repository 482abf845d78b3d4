//! The data of a body as it is sealed: compressed where that pays.
//!
//! Compressing is most of the cost of a full body, so it happens once: what fills bodies measures the packed form, and
//! what waits for sealing waits in it.

use super::segment::{FLAG_ZSTD, OpenError, compress, decompress};
use crate::wiped::Wiped;

/// Data that goes into a segment as it is.
pub struct Packed {
    form: Form,
    data: Wiped,
}

/// How the data stands there. The numbers are those of a waiting row's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain = 0,
    Zstd = 1,
}

impl Packed {
    /// Compresses `data` if that saves at least 10 % of what padding would leave visible.
    pub fn new(data: Wiped) -> Self {
        match compress(&data) {
            Some(compressed) => Self { form: Form::Zstd, data: compressed },
            None => Self { form: Form::Plain, data },
        }
    }

    /// As [`Packed::new`], of data that stays with the caller.
    pub fn of(data: &[u8]) -> Self {
        Self::new(Wiped::new(data.to_vec()))
    }

    /// What it takes in a segment.
    #[expect(clippy::len_without_is_empty, reason = "a body without data has a length as well")]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// The data in its form, and the flag that says so.
    pub(super) fn parts(&self) -> (&[u8], u8) {
        let flag = match self.form {
            Form::Plain => 0,
            Form::Zstd => FLAG_ZSTD,
        };
        (&self.data, flag)
    }

    /// The form in which it waits for sealing: `form u8 | data`.
    pub fn to_row(&self) -> Wiped {
        let mut row = Wiped::new(Vec::with_capacity(1 + self.data.len()));
        row.push(self.form as u8);
        row.extend_from_slice(&self.data);
        row
    }

    /// What [`Packed::to_row`] wrote; `None` for anything else.
    pub fn from_row(row: &[u8]) -> Option<Self> {
        let (form, data) = row.split_first()?;
        let form = match form {
            0 => Form::Plain,
            1 => Form::Zstd,
            _ => return None,
        };
        Some(Self { form, data: Wiped::new(data.to_vec()) })
    }

    /// The data as it was before.
    ///
    /// # Errors
    /// [`OpenError::Compression`]: it was not made here.
    pub fn unpack(self) -> Result<Wiped, OpenError> {
        match self.form {
            Form::Plain => Ok(self.data),
            Form::Zstd => decompress(&self.data),
        }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("form", &self.form).field("len", &self.data.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_comes_back_as_it_was() {
        for data in [&b""[..], b"short", &[7; 5000]] {
            let packed = Packed::of(data);
            assert_eq!(packed.form == Form::Zstd, data.len() == 5000);
            let row = packed.to_row();
            let again = Packed::from_row(&row).unwrap();
            assert_eq!(again.parts(), packed.parts());
            assert_eq!(again.unpack().unwrap()[..], *data);
        }
        assert!(Packed::from_row(&[]).is_none());
        assert!(Packed::from_row(&[2, 1]).is_none());
        let torn = Packed::from_row(&[1, 1]).unwrap();
        assert_eq!(torn.unpack().err(), Some(OpenError::Compression));
    }
}
