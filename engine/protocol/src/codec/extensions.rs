//! Room to grow at the end of a layout: `(tag u8 | length u16 | bytes)*`, up to the end of what holds them.

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::EXTENSIONS_MAX;

/// What newer versions add to a layout. Tags ascend, each stands once; what this version does not know is kept byte for
/// byte, so that decoding and encoding give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<(u8, Vec<u8>)>);

impl Extensions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads everything that is left.
    ///
    /// # Errors
    /// A [`DecodeError`]: truncated, more than [`EXTENSIONS_MAX`], or tags that do not ascend.
    pub fn read(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let mut read: Vec<(u8, Vec<u8>)> = Vec::new();
        while reader.left() > 0 {
            if read.len() == EXTENSIONS_MAX {
                return Err(too_many());
            }
            let tag = reader.u8()?;
            if read.last().is_some_and(|(before, _)| *before >= tag) {
                return Err(DecodeError::NotCanonical { what: "extensions" });
            }
            let len = usize::from(reader.u16()?);
            read.push((tag, reader.bytes(len)?.to_vec()));
        }
        Ok(Self(read))
    }

    /// Appends them to a layout that they end.
    ///
    /// # Panics
    /// Never: [`Self::with`] and [`Self::read`] keep each below 65,536 bytes.
    pub fn write(&self, to: &mut Writer) {
        for (tag, bytes) in &self.0 {
            to.u8(*tag).count(bytes.len()).bytes(bytes);
        }
    }

    /// The same with one more, or with another one of its tag.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] beyond 65,535 bytes or [`EXTENSIONS_MAX`].
    pub fn with(mut self, tag: u8, bytes: Vec<u8>) -> Result<Self, DecodeError> {
        if bytes.len() > usize::from(u16::MAX) {
            return Err(DecodeError::TooLarge {
                what: "extension",
                announced: bytes.len() as u64,
                limit: u64::from(u16::MAX),
            });
        }
        match self.0.binary_search_by_key(&tag, |(tag, _)| *tag) {
            Ok(at) => self.0[at].1 = bytes,
            Err(_) if self.0.len() == EXTENSIONS_MAX => return Err(too_many()),
            Err(at) => self.0.insert(at, (tag, bytes)),
        }
        Ok(self)
    }

    /// The bytes of one.
    #[must_use]
    pub fn get(&self, tag: u8) -> Option<&[u8]> {
        let at = self.0.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        Some(&self.0[at].1)
    }

    /// All of them, by ascending tag.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|(tag, bytes)| (*tag, bytes.as_slice()))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const fn too_many() -> DecodeError {
    DecodeError::TooLarge {
        what: "extensions",
        announced: EXTENSIONS_MAX as u64 + 1,
        limit: EXTENSIONS_MAX as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Extensions, DecodeError> {
        Extensions::read(Reader::new(bytes))
    }

    fn written(extensions: &Extensions) -> Vec<u8> {
        let mut to = Writer::new();
        extensions.write(&mut to);
        to.finish()
    }

    #[test]
    fn refusals() {
        let truncated = |needed, left| DecodeError::Truncated { needed, left };
        let unordered = DecodeError::NotCanonical { what: "extensions" };
        let seventeen = || (0..17).flat_map(|tag: u8| [tag, 0, 0]).collect::<Vec<_>>();
        for (name, bytes, why) in [
            ("tag alone", vec![7], truncated(2, 0)),
            ("half a length", vec![7, 0], truncated(2, 1)),
            ("one byte short", vec![7, 0, 2, 1], truncated(2, 1)),
            ("twice", vec![7, 0, 0, 7, 0, 0], unordered),
            ("descending", vec![7, 0, 0, 6, 0, 0], unordered),
            ("seventeen", seventeen(), too_many()),
        ] {
            assert_eq!(read(&bytes), Err(why), "{name}");
        }
        assert_eq!(written(&read(&seventeen()[..48]).unwrap()), seventeen()[..48], "sixteen are taken");
        let full = read(&seventeen()[..48]).unwrap();
        assert_eq!(full.clone().with(16, vec![]), Err(too_many()));
        assert_eq!(full.with(3, vec![1]).unwrap().get(3), Some(&[1][..]), "another one of its tag");
        assert!(Extensions::new().with(0, vec![0; 65_536]).is_err());
        assert!(Extensions::new().with(0, vec![0; 65_535]).is_ok());
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(map in btree_map(any::<u8>(), vec(any::<u8>(), 0..300), 0..=16)) {
            let mut built = Extensions::new();
            for (tag, bytes) in map.iter().rev() {
                built = built.with(*tag, bytes.clone()).unwrap();
            }
            let back = read(&written(&built)).unwrap();
            prop_assert_eq!(&back, &built);
            let seen: BTreeMap<u8, Vec<u8>> = back.iter().map(|(tag, bytes)| (tag, bytes.to_vec())).collect();
            prop_assert_eq!(seen, map);
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in vec(any::<u8>(), 0..64)) {
            if let Ok(extensions) = read(&bytes) {
                prop_assert_eq!(written(&extensions), bytes);
            }
        }
    }
}
