//! Plaintext of records on its way, wiped when it is dropped.
//!
//! As `Zeroizing<Vec<u8>>`, which wipes a byte at a time; at the lengths of bodies and rows that costs more than
//! encrypting them. Keys stay with `Zeroizing`.

use std::ops::{Deref, DerefMut};

use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// Bytes that are overwritten when they are dropped. Growing may leave a copy behind, as any vector does.
#[derive(Default)]
pub struct Wiped(Vec<u8>);

impl Wiped {
    /// Wipes `bytes` when dropped.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn wipe(&mut self) {
        self.0.clear();
        // All that was ever allocated, what lies behind the end included; this does not allocate.
        self.0.resize(self.0.capacity(), 0);
        optimization_barrier(&self.0[..]);
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl ZeroizeOnDrop for Wiped {}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Wiped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wiped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_reaches_everything_that_is_allocated_and_moves_nothing() {
        let mut bytes = Vec::with_capacity(1000);
        bytes.resize(700, 7);
        let mut wiped = Wiped::new(bytes);
        wiped.truncate(10);
        let place = wiped.as_ptr();
        wiped.wipe();
        assert_eq!((wiped.as_ptr(), wiped.len()), (place, wiped.capacity()));
        assert!(wiped.iter().all(|byte| *byte == 0));
    }
}
