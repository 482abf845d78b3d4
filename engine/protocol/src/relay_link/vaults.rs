//! The vaults of one link: few, and mostly one, so a vector of exact size instead of a tree whose first node
//! has room for eleven.

use crate::ids::VaultId;

pub(super) struct LinkVaults<V>(Vec<(VaultId, V)>);

impl<V> LinkVaults<V> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, vault: &VaultId) -> bool {
        self.get(vault).is_some()
    }

    pub(super) fn get(&self, vault: &VaultId) -> Option<&V> {
        self.0.iter().find(|(id, _)| id == vault).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, vault: &VaultId) -> Option<&mut V> {
        self.0.iter_mut().find(|(id, _)| id == vault).map(|(_, value)| value)
    }

    pub(super) fn insert(&mut self, vault: VaultId, value: V) {
        match self.get_mut(&vault) {
            Some(slot) => *slot = value,
            None => {
                self.0.reserve_exact(1);
                self.0.push((vault, value));
            }
        }
    }

    pub(super) fn remove(&mut self, vault: &VaultId) -> Option<V> {
        let at = self.0.iter().position(|(id, _)| id == vault)?;
        Some(self.0.swap_remove(at).1)
    }
}
