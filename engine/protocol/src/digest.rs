//! One number over all heads that a relay shows: equal ones mean that nothing was dropped.
//!
//! It is a sum, so that a new head costs one subtraction and one addition, however many logs there are. Who adds and
//! takes away the same heads in any order has the same sum. It finds accidents; a relay computes it itself, and needs no
//! collision to lie.

use sha2::{Digest as _, Sha256};

use crate::ids::{Digest, Head};
use crate::labels;

/// `SHA-256(label)` plus, for each head, `SHA-256(label | log | seq | chain)`, modulo 2^256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadsDigest {
    /// Least significant first.
    limbs: [u64; 4],
}

impl HeadsDigest {
    /// Of no heads.
    #[must_use]
    pub fn new() -> Self {
        Self::of_bytes(Sha256::digest(labels::DIGEST).into())
    }

    /// Goes on from a sum that was kept.
    #[must_use]
    pub fn resume(kept: &Digest) -> Self {
        Self::of_bytes(*kept.as_bytes())
    }

    /// A log has this head now, and had none that was counted.
    pub fn add(&mut self, head: &Head) {
        let mut carry = false;
        for (limb, other) in self.limbs.iter_mut().zip(term(head).limbs) {
            let (sum, over) = limb.overflowing_add(other);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || again);
        }
    }

    /// A head that was counted counts no more.
    pub fn take_away(&mut self, head: &Head) {
        let mut borrow = false;
        for (limb, other) in self.limbs.iter_mut().zip(term(head).limbs) {
            let (rest, under) = limb.overflowing_sub(other);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under || again);
        }
    }

    /// A log's head moves.
    pub fn replace(&mut self, before: Option<&Head>, after: &Head) {
        if let Some(before) = before {
            self.take_away(before);
        }
        self.add(after);
    }

    /// The sum.
    #[must_use]
    pub fn value(&self) -> Digest {
        let mut bytes = [0; 32];
        for (bytes, limb) in bytes.chunks_exact_mut(8).zip(self.limbs.iter().rev()) {
            bytes.copy_from_slice(&limb.to_be_bytes());
        }
        Digest::from_bytes(bytes)
    }

    fn of_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
            let mut number = [0; 8];
            number.copy_from_slice(bytes);
            *limb = u64::from_be_bytes(number);
        }
        Self { limbs }
    }
}

impl Default for HeadsDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl<'h> FromIterator<&'h Head> for HeadsDigest {
    fn from_iter<I: IntoIterator<Item = &'h Head>>(heads: I) -> Self {
        let mut sum = Self::new();
        heads.into_iter().for_each(|head| sum.add(head));
        sum
    }
}

/// The digest of these heads, each log once, in any order.
#[must_use]
pub fn digest(heads: &[Head]) -> Digest {
    heads.iter().collect::<HeadsDigest>().value()
}

fn term(head: &Head) -> HeadsDigest {
    let mut hasher = Sha256::new();
    hasher.update(labels::DIGEST);
    hasher.update(head.log.as_bytes());
    hasher.update(head.seq.0.to_be_bytes());
    hasher.update(head.chain.as_bytes());
    HeadsDigest::of_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Chain, LogId, Seq};

    /// The definition, on big-endian bytes with a carry from one to the next.
    fn defined(heads: &[Head]) -> Digest {
        let mut sum: [u8; 32] = Sha256::digest(labels::DIGEST).into();
        for head in heads {
            let parts: [&[u8]; 4] =
                [labels::DIGEST, head.log.as_bytes(), &head.seq.0.to_be_bytes(), head.chain.as_bytes()];
            let term: [u8; 32] = Sha256::digest(parts.concat()).into();
            let mut carry = 0;
            for at in (0..32).rev() {
                let byte = u16::from(sum[at]) + u16::from(term[at]) + carry;
                (sum[at], carry) = (byte.to_be_bytes()[1], byte >> 8);
            }
        }
        Digest::from_bytes(sum)
    }

    fn head(log: u8, seq: u64) -> Head {
        let mut chain = [log; 32];
        chain[..8].copy_from_slice(&seq.to_be_bytes());
        Head { log: LogId::from_bytes([log; 16]), seq: Seq(seq), chain: Chain::from_bytes(chain) }
    }

    proptest! {
        #[test]
        fn kept_from_edit_to_edit_it_is_what_the_definition_says(
            edits in proptest::collection::vec((0u8..6, 0u64..4, any::<bool>()), 0..60),
        ) {
            let mut sum = HeadsDigest::new();
            let mut heads = BTreeMap::new();
            for (log, seq, goes) in edits {
                let next = head(log, seq);
                if goes {
                    if let Some(gone) = heads.remove(&log) {
                        sum.take_away(&gone);
                    }
                } else {
                    sum.replace(heads.get(&log), &next);
                    heads.insert(log, next);
                }
                let now: Vec<Head> = heads.values().copied().collect();
                prop_assert_eq!(sum.value(), defined(&now));
                prop_assert_eq!(HeadsDigest::resume(&sum.value()), sum);
                let backwards: Vec<Head> = now.into_iter().rev().collect();
                prop_assert_eq!(digest(&backwards), sum.value());
            }
        }
    }

    #[test]
    fn sums_carry_and_borrow_through_every_limb() {
        let all = HeadsDigest::resume(&Digest::from_bytes([0xff; 32]));
        let (mut up, one) = (all, head(1, 0));
        up.add(&one);
        let mut less = [0; 32]; // 2^256 - 1 + x is x - 1
        less.copy_from_slice(term(&one).value().as_bytes());
        for byte in less.iter_mut().rev() {
            let (next, under) = byte.overflowing_sub(1);
            *byte = next;
            if !under {
                break;
            }
        }
        assert_eq!(up.value(), Digest::from_bytes(less));
        up.take_away(&one);
        assert_eq!(up, all);
    }
}
