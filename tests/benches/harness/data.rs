//! What is stored: records of 256 B, and the same as plain rows.
//!
//! Text is drawn from 64 characters, so that it compresses by a quarter: compressing is paid for, and gains little.

use serde::{Deserialize, Serialize};

/// Bytes of values in one record.
pub(crate) const RECORD_BYTES: usize = 256;
/// Bytes of a plain row's key: as long as ours (vault, collection, id).
pub(crate) const KEY_BYTES: usize = 24;

/// A record with four fields whose values make up 256 B.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) body: String,
}

impl Note {
    /// The record of this number, always the same.
    pub(crate) fn new(number: u64) -> Self {
        let mut random = Random::new(number);
        Self {
            number: number.cast_signed(),
            kind: random.text(8),
            title: random.text(40),
            body: random.text(RECORD_BYTES - 8 - 8 - 40),
        }
    }
}

/// The value of a plain row.
pub(crate) fn row(number: u64) -> [u8; RECORD_BYTES] {
    let mut row = [0; RECORD_BYTES];
    Random::new(number).fill_text(&mut row);
    row
}

/// The key of a plain row; keys of consecutive numbers are in order, as ours are.
pub(crate) fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[8..16].copy_from_slice(&number.to_be_bytes());
    key[16..].copy_from_slice(&Random::new(number).next().to_be_bytes());
    key
}

/// Numbers that look random and are the same every time (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5ab0_05a0)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn fill_text(&mut self, out: &mut [u8]) {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
        for part in out.chunks_mut(10) {
            let mut bits = self.next();
            for byte in part {
                *byte = LETTERS[(bits & 63) as usize];
                bits >>= 6;
            }
        }
    }

    fn text(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.fill_text(&mut bytes);
        String::from_utf8(bytes).expect("letters are ASCII")
    }
}
