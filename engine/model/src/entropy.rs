//! Randomness, as an argument.
//!
//! Nothing in this crate asks the operating system for random bytes behind the caller's back: every nonce, key
//! and token comes out of an [`Entropy`] that was handed in. An application uses [`OsEntropy`]; the simulator
//! uses [`SeededEntropy`], so that one seed replays one run byte for byte.
//!
//! This module must never mix time, addresses or counters of its own into what the operating system gives.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A source of random bytes, fit for keys and nonces.
///
/// It is shared (`&self`), so that one source serves all threads of a device; an implementation with a state
/// locks it. Filling cannot fail: a source that has run dry has nothing sensible to offer a caller that is
/// about to seal something.
pub trait Entropy: Send + Sync {
    /// Fills all of `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` random bytes that need not stay secret: nonces, ids, tokens.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// `N` random bytes that are a secret: wiped when they are dropped.
    pub fn secret<const N: usize>(&self) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        self.fill(&mut *out);
        out
    }
}

/// The operating system's generator (`getrandom(2)` and its like). What every application uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    ///
    /// When the operating system refuses to give random bytes. It does so on a broken system only, never
    /// because of an input, and going on would mean a key or a nonce that somebody can guess.
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system gives random bytes");
    }
}

/// A repeatable source for simulations and tests: SHA-256 over a seed and a counter.
///
/// Whoever knows the seed knows every key made from it. Never give one to a device that holds real data.
pub struct SeededEntropy {
    seed: u64,
    blocks: Mutex<u64>,
}

impl SeededEntropy {
    /// A source whose every byte follows from `seed`; the order of the calls matters, their split does not
    /// reach across calls (each call starts a new block).
    pub fn dangerous_from_seed(seed: u64) -> Self {
        Self { seed, blocks: Mutex::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in out.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(b"subrosa seeded entropy")
                .chain_update(self.seed.to_be_bytes())
                .chain_update(blocks.to_be_bytes())
                .finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
            *blocks = blocks.wrapping_add(1);
        }
    }
}

impl std::fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeededEntropy").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_never_repeats_itself() {
        let os: &dyn Entropy = &OsEntropy;
        assert_ne!(os.array::<32>(), os.array::<32>());
        assert_ne!(*os.secret::<32>(), [0; 32]);
    }

    #[test]
    fn one_seed_is_one_stream() {
        let draw = |seed| {
            let source = SeededEntropy::dangerous_from_seed(seed);
            let source: &dyn Entropy = &source;
            (source.array::<80>(), source.array::<7>())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let (long, short) = draw(7);
        assert_ne!(long[..32], long[32..64]);
        assert_ne!(long[..7], short);
    }
}
