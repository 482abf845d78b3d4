//! One hash over all heads that a relay shows at a cursor: equal digests mean that nothing was dropped.

use sha2::{Digest as _, Sha256};

use crate::ids::{Digest, Head};
use crate::labels;

/// `SHA-256(label | (log, seq, chain)* sorted by log)`; `heads` holds each log once, in any order.
#[must_use]
pub fn digest(mut heads: Vec<Head>) -> Digest {
    heads.sort_unstable_by_key(|head| head.log);
    let mut hasher = Sha256::new();
    hasher.update(labels::DIGEST);
    for head in &heads {
        hasher.update(head.log.as_bytes());
        hasher.update(head.seq.0.to_be_bytes());
        hasher.update(head.chain.as_bytes());
    }
    Digest::from_bytes(hasher.finalize().into())
}
