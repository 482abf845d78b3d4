//! Reading and writing of fixed big-endian layouts. One encoding per value, no byte left over.

mod extensions;

pub use extensions::Extensions;

/// Bytes that do not parse. The peer or file that sent them is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than announced.
    #[error("truncated: {needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes that the layout asks for.
        needed: usize,
        /// Bytes that were there.
        left: usize,
    },
    /// More bytes than the layout has.
    #[error("{left} bytes after the end")]
    Trailing {
        /// Bytes left over.
        left: usize,
    },
    /// An announced length or count over its limit.
    #[error("{what}: {announced} is over the limit of {limit}")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// What was announced.
        announced: u64,
        /// The limit, from [`crate::limits`].
        limit: u64,
    },
    /// A tag or enumerated value that this version does not know.
    #[error("unknown {what} {value}")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A value that has another, shorter or sorted, encoding.
    #[error("{what} is not canonical")]
    NotCanonical {
        /// Which field.
        what: &'static str,
    },
    /// A value that no honest peer sends.
    #[error("invalid {what}")]
    Invalid {
        /// Which field.
        what: &'static str,
    },
}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.left.split_at_checked(len) else {
            return Err(DecodeError::Truncated { needed: len, left: self.left.len() });
        };
        self.left = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.left.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { needed: N, left: self.left.len() });
        };
        self.left = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A `u16` count, checked against `limit` and against the bytes left at `each` bytes an item.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] or [`DecodeError::Truncated`].
    pub fn count(&mut self, what: &'static str, limit: usize, each: usize) -> Result<usize, DecodeError> {
        let announced = usize::from(self.u16()?);
        self.check(what, announced, limit, announced.saturating_mul(each))?;
        Ok(announced)
    }

    /// `u32 length | bytes`, with the length checked against `limit` before anything is read.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] or [`DecodeError::Truncated`].
    pub fn prefixed(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()? as usize;
        self.check(what, len, limit, len)?;
        self.bytes(len)
    }

    /// Says that everything was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.left.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { left: self.left.len() }) }
    }

    const fn check(
        &self,
        what: &'static str,
        announced: usize,
        limit: usize,
        needed: usize,
    ) -> Result<(), DecodeError> {
        if announced > limit {
            return Err(DecodeError::TooLarge { what, announced: announced as u64, limit: limit as u64 });
        }
        if needed > self.left.len() {
            return Err(DecodeError::Truncated { needed, left: self.left.len() });
        }
        Ok(())
    }
}

/// Appends to a buffer.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty buffer with room.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Appends a big-endian integer.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a big-endian integer.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a big-endian integer.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a `u16` count.
    ///
    /// # Panics
    /// If there are more than 65,535: every list of the protocol has a lower limit.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u16(u16::try_from(count).expect("lists of the protocol are limited below 65,536"))
    }

    /// Appends `u32 length | bytes`.
    ///
    /// # Panics
    /// If there are 4 GiB or more: every field of the protocol has a lower limit.
    pub fn prefixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).expect("fields of the protocol are limited below 4 GiB"));
        self.bytes(bytes)
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}
