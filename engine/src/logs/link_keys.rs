//! Keys of logs that a relay has introduced on a link. They are in memory only, and say nothing: not one byte about a
//! log is stored before a segment of it verifies.

use std::collections::{HashMap, VecDeque};

use subrosa_protocol::ids::{LogId, PublicKeyBytes, VaultId};
use subrosa_protocol::limits::LINK_KEYS_MAX;

/// The keys that one link has introduced, without those of logs that are known here; the oldest go first.
#[derive(Debug, Default)]
pub(crate) struct LinkKeys {
    keys: HashMap<(VaultId, LogId), PublicKeyBytes>,
    order: VecDeque<(VaultId, LogId)>,
}

impl LinkKeys {
    /// Keeps a key. That it is the log's is in the log's id.
    pub(crate) fn introduce(&mut self, vault: &VaultId, public: &PublicKeyBytes) {
        let place = (*vault, LogId::of(public));
        if self.keys.insert(place, *public).is_none() {
            self.order.push_back(place);
        }
        while self.order.len() > LINK_KEYS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }

    /// The key of a log of a vault, if it was introduced.
    pub(crate) fn of(&self, vault: &VaultId, log: &LogId) -> Option<PublicKeyBytes> {
        self.keys.get(&(*vault, *log)).copied()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(n: usize) -> PublicKeyBytes {
        let mut bytes = [4; 65];
        bytes[1..9].copy_from_slice(&n.to_be_bytes());
        PublicKeyBytes::from_bytes(bytes)
    }

    #[test]
    fn the_oldest_key_goes_first_and_no_more_than_the_limit_are_kept() {
        let (mut keys, vault) = (LinkKeys::default(), VaultId::from_bytes([1; 32]));
        for n in 0..LINK_KEYS_MAX + 2 {
            keys.introduce(&vault, &made_up(n));
            keys.introduce(&vault, &made_up(n));
        }
        assert_eq!((keys.len(), keys.order.len()), (LINK_KEYS_MAX, LINK_KEYS_MAX));
        let held = |n| keys.of(&vault, &LogId::of(&made_up(n))).is_some();
        assert_eq!([0, 1, 2, LINK_KEYS_MAX + 1].map(held), [false, false, true, true]);
        assert_eq!(
            keys.of(&VaultId::from_bytes([2; 32]), &LogId::of(&made_up(5))),
            None,
            "of its vault only"
        );
    }
}
