//! Which links are members of which vaults, and the feeds that they have of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use subrosa_protocol::ids::VaultId;
use subrosa_protocol::relay_link::LinkNo;

/// `F` stands for a feed: what the relay runs, or what a test without a runtime has in its place.
#[derive(Debug)]
pub(crate) struct Members<F> {
    /// The members' links of each vault, with their feeds. Never an empty one.
    vaults: HashMap<VaultId, BTreeMap<LinkNo, Option<F>>>,
    /// The same the other way round, so that a link leaves without a walk over all vaults.
    links: HashMap<LinkNo, BTreeSet<VaultId>>,
}

impl<F> Default for Members<F> {
    fn default() -> Self {
        Self { vaults: HashMap::new(), links: HashMap::new() }
    }
}

impl<F> Members<F> {
    /// The link is a member; with a feed once it has one.
    pub(crate) fn join(&mut self, vault: VaultId, link: LinkNo, feed: Option<F>) {
        self.vaults.entry(vault).or_default().insert(link, feed);
        self.links.entry(link).or_default().insert(vault);
    }

    /// The link is a member no longer.
    pub(crate) fn leave(&mut self, vault: &VaultId, link: LinkNo) {
        if let Some(vaults) = self.links.get_mut(&link) {
            vaults.remove(vault);
            if vaults.is_empty() {
                self.links.remove(&link);
            }
        }
        self.drop_from(vault, link);
    }

    /// The link is gone. Returns how many vaults were looked at: those that it was a member of.
    pub(crate) fn forget(&mut self, link: LinkNo) -> usize {
        let vaults = self.links.remove(&link).unwrap_or_default();
        for vault in &vaults {
            self.drop_from(vault, link);
        }
        vaults.len()
    }

    fn drop_from(&mut self, vault: &VaultId, link: LinkNo) {
        if let Some(links) = self.vaults.get_mut(vault) {
            links.remove(&link);
            if links.is_empty() {
                self.vaults.remove(vault);
            }
        }
    }

    /// The vault's feeds.
    pub(crate) fn feeds(&self, vault: &VaultId) -> impl Iterator<Item = &F> {
        self.vaults.get(vault).into_iter().flat_map(BTreeMap::values).flatten()
    }

    /// The vault's links but one.
    pub(crate) fn others(&self, vault: &VaultId, by: LinkNo) -> Vec<LinkNo> {
        let links = self.vaults.get(vault).into_iter().flat_map(BTreeMap::keys);
        links.copied().filter(|link| *link != by).collect()
    }

    /// Links that are members of a vault.
    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    /// Feeds of all vaults.
    pub(crate) fn feeds_open(&self) -> usize {
        self.vaults.values().flat_map(BTreeMap::values).flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(n: u16) -> VaultId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        VaultId::from_bytes(id)
    }

    #[test]
    fn a_link_that_leaves_looks_at_its_own_vaults_only() {
        let mut members: Members<u8> = Members::default();
        for n in 0..1000 {
            members.join(vault(n), LinkNo(u64::from(n % 100)), None);
        }
        members.join(vault(7), LinkNo(500), Some(1));
        members.join(vault(8), LinkNo(500), None);
        members.join(vault(8), LinkNo(500), Some(2));
        assert_eq!((members.links(), members.feeds_open()), (101, 2));
        assert_eq!(members.feeds(&vault(8)).collect::<Vec<_>>(), [&2], "the later one");
        assert_eq!(members.forget(LinkNo(500)), 2, "of a thousand");
        assert_eq!(members.forget(LinkNo(500)), 0);
        members.leave(&vault(7), LinkNo(7));
        assert_eq!(members.forget(LinkNo(7)), 9);
        assert_eq!((members.links(), members.feeds_open()), (99, 0));
        assert_eq!(members.others(&vault(8), LinkNo(1)), [LinkNo(8)]);
    }
}
