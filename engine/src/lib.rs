//! Subrosa: an embedded, end-to-end encrypted, local-first database with sync.

mod entropy;

pub use entropy::{Entropy, OsEntropy, SeededEntropy};
