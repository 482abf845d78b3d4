//! What tests of both links make.

use crate::frame::ShortHead;
use crate::ids::{Base, LogId, Seq};

/// Heads of so many logs, by ascending log.
pub(crate) fn many_heads(count: usize) -> Vec<ShortHead> {
    let named = |n: usize| {
        let mut log = [0; 16];
        log[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
        ShortHead { log: LogId::from_bytes(log), seq: Seq(4), chain: [3; 16], base: Base::WHOLE }
    };
    (0..count).map(named).collect()
}
