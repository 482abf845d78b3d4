//! What links have to do with each other: live push, changed statements, rendezvous, draining.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subrosa_protocol::ids::VaultId;
use subrosa_protocol::relay_link::{
    Asker, Delivery, Input, LinkNo, Now, Rendezvous, RendezvousRequest, VaultState,
};
use tokio::sync::mpsc;

use crate::feed::FeedHandle;

/// Where a link takes its inputs. Bounded; a link whose inbox is full when another link has something for it
/// is cut off, since its peer does not keep up with its own answers.
pub(crate) type Inbox = mpsc::Sender<Box<Input>>;

/// A member's link, with its feed once it has one.
type Membership = (LinkNo, Option<Arc<FeedHandle>>);

#[derive(Default)]
struct Registry {
    links: HashMap<LinkNo, Inbox>,
    /// The members' links of each vault, with their feeds.
    vaults: HashMap<VaultId, Vec<Membership>>,
    draining: bool,
}

/// See the module's documentation. Its locks are held for moments, never across an await.
pub(crate) struct Hub {
    registry: Mutex<Registry>,
    rendezvous: Mutex<Rendezvous>,
    next: AtomicU64,
}

/// Counts for `status`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) links: usize,
    pub(crate) members: usize,
    pub(crate) feeds: usize,
    pub(crate) rendezvous: usize,
    /// Openings and joins refused because there were too many.
    pub(crate) rendezvous_limited: u64,
}

impl Hub {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            registry: Mutex::default(),
            rendezvous: Mutex::new(Rendezvous::new(now)),
            next: AtomicU64::new(1),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, inbox: Inbox) -> LinkNo {
        let link = LinkNo(self.next.fetch_add(1, Ordering::Relaxed));
        let mut registry = self.registry();
        if registry.draining {
            let _ = inbox.try_send(Box::new(Input::Drain)); // a new inbox has room
        }
        registry.links.insert(link, inbox);
        link
    }

    pub(crate) fn unregister(&self, now: Now, link: LinkNo) {
        {
            let mut registry = self.registry();
            registry.links.remove(&link);
            registry.vaults.retain(|_, links| {
                links.retain(|(member, _)| *member != link);
                !links.is_empty()
            });
        }
        let deliveries = self.table().leave(now, link);
        self.deliver(deliveries);
    }

    /// The link is a member; with a feed once it has one.
    pub(crate) fn join(&self, vault: VaultId, link: LinkNo, feed: Option<Arc<FeedHandle>>) {
        let mut registry = self.registry();
        let links = registry.vaults.entry(vault).or_default();
        match links.iter_mut().find(|(member, _)| *member == link) {
            Some((_, slot)) => *slot = feed,
            None => links.push((link, feed)),
        }
    }

    pub(crate) fn leave(&self, vault: &VaultId, link: LinkNo) {
        let mut registry = self.registry();
        if let Some(links) = registry.vaults.get_mut(vault) {
            links.retain(|(member, _)| *member != link);
            if links.is_empty() {
                registry.vaults.remove(vault);
            }
        }
    }

    /// The vault has new segments: wakes its feeds.
    pub(crate) fn grown(&self, vault: &VaultId) {
        for (_, feed) in self.registry().vaults.get(vault).into_iter().flatten() {
            if let Some(feed) = feed {
                feed.grown();
            }
        }
    }

    /// Tells the vault's other links that its statements changed.
    pub(crate) fn statements_changed(&self, vault: VaultId, state: &VaultState, by: LinkNo) {
        let mut registry = self.registry();
        let links = registry.vaults.get(&vault).into_iter().flatten();
        let others: Vec<LinkNo> = links.map(|(link, _)| *link).filter(|link| *link != by).collect();
        for link in others {
            registry.tell(link, Input::StatementsChanged(vault, state.clone()));
        }
    }

    fn table(&self) -> MutexGuard<'_, Rendezvous> {
        self.rendezvous.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rendezvous(&self, now: Now, asker: Asker, request: RendezvousRequest) {
        let deliveries = self.table().handle(now, asker, request);
        self.deliver(deliveries);
    }

    fn deliver(&self, deliveries: Vec<Delivery>) {
        let mut registry = self.registry();
        for Delivery { link, frame } in deliveries {
            registry.tell(link, Input::Deliver(frame));
        }
    }

    /// Tells every link, and each that still comes, to finish.
    pub(crate) fn drain(&self) {
        let mut registry = self.registry();
        registry.draining = true;
        let links: Vec<LinkNo> = registry.links.keys().copied().collect();
        for link in links {
            registry.tell(link, Input::Drain);
        }
    }

    pub(crate) fn census(&self) -> Census {
        let (rendezvous, rendezvous_limited) = {
            let table = self.table();
            (table.len(), table.limited())
        };
        let registry = self.registry();
        let members: std::collections::HashSet<LinkNo> =
            registry.vaults.values().flatten().map(|(link, _)| *link).collect();
        Census {
            links: registry.links.len(),
            members: members.len(),
            feeds: registry.vaults.values().flatten().filter(|(_, feed)| feed.is_some()).count(),
            rendezvous,
            rendezvous_limited,
        }
    }
}

impl Registry {
    /// Hands an input to a link. One whose inbox is full is forgotten: its inbox closes, and so does the link.
    fn tell(&mut self, link: LinkNo, input: Input) {
        if let Some(inbox) = self.links.get(&link)
            && inbox.try_send(Box::new(input)).is_err()
        {
            self.links.remove(&link);
        }
    }
}
