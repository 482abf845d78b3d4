//! Keys of logs that a relay has introduced on a link. They are in memory only, and say nothing: not one byte about a
//! log is stored before a segment of it verifies.

use std::collections::{HashMap, VecDeque};

use subrosa_protocol::frame::LogKey;
use subrosa_protocol::ids::{LogId, VaultId};
use subrosa_protocol::limits::LINK_KEYS_MAX;

/// The keys that one link has introduced, without those of logs that are known here. Where there are too many, the vault
/// with the most gives up its oldest: what is made up in one vault pushes out no keys of the others.
#[derive(Debug, Default)]
pub(crate) struct LinkKeys {
    vaults: HashMap<VaultId, OfVault>,
    len: usize,
}

#[derive(Debug, Default)]
struct OfVault {
    keys: HashMap<LogId, LogKey>,
    order: VecDeque<LogId>,
}

impl LinkKeys {
    /// Keeps a key. That it is the log's is in the log's id.
    pub(crate) fn introduce(&mut self, vault: &VaultId, key: &LogKey) {
        let (log, of_vault) = (LogId::of(&key.public), self.vaults.entry(*vault).or_default());
        if of_vault.keys.insert(log, *key).is_none() {
            of_vault.order.push_back(log);
            self.len += 1;
        }
        while self.len > LINK_KEYS_MAX {
            let fullest = self.vaults.values_mut().max_by_key(|vault| vault.order.len());
            fullest.map(OfVault::forget_oldest);
            self.len -= 1;
        }
    }

    /// The key of a log of a vault, if it was introduced.
    pub(crate) fn of(&self, vault: &VaultId, log: &LogId) -> Option<LogKey> {
        self.vaults.get(vault)?.keys.get(log).copied()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let held = |vault: &OfVault| (vault.keys.len(), vault.order.len());
        assert!(self.vaults.values().map(held).all(|(keys, order)| keys == order));
        self.vaults.values().map(|vault| vault.keys.len()).sum()
    }
}

impl OfVault {
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.keys.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::ids::PublicKeyBytes;

    use super::*;

    fn made_up(n: usize) -> LogKey {
        let mut bytes = [4; 65];
        bytes[1..9].copy_from_slice(&n.to_be_bytes());
        PublicKeyBytes::from_bytes(bytes).into()
    }

    #[test]
    fn the_oldest_key_goes_first_and_no_more_than_the_limit_are_kept() {
        let (mut keys, vault) = (LinkKeys::default(), VaultId::from_bytes([1; 32]));
        for n in 0..LINK_KEYS_MAX + 2 {
            keys.introduce(&vault, &made_up(n));
            keys.introduce(&vault, &made_up(n));
        }
        assert_eq!(keys.len(), LINK_KEYS_MAX);
        let held = |n| keys.of(&vault, &LogId::of(&made_up(n).public)).is_some();
        assert_eq!([0, 1, 2, LINK_KEYS_MAX + 1].map(held), [false, false, true, true]);
        assert_eq!(
            keys.of(&VaultId::from_bytes([2; 32]), &LogId::of(&made_up(5).public)),
            None,
            "of its vault only"
        );
    }

    #[test]
    fn keys_of_one_vault_push_out_no_others_while_it_has_more_of_them() {
        let mut keys = LinkKeys::default();
        let [quiet, loud] = [1, 2].map(|n| VaultId::from_bytes([n; 32]));
        keys.introduce(&quiet, &made_up(0));
        for n in 0..2 * LINK_KEYS_MAX {
            keys.introduce(&loud, &made_up(n));
        }
        assert!(keys.of(&quiet, &LogId::of(&made_up(0).public)).is_some());
        assert_eq!(keys.len(), LINK_KEYS_MAX);
    }
}
