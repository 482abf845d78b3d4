//! What links have to do with each other: live push, changed statements, rendezvous, draining.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subrosa_protocol::ids::VaultId;
use subrosa_protocol::relay_link::{
    Asker, Input, KnownVault, LinkNo, Now, PeerFrame, Rendezvous, RendezvousRequest,
};
use tokio::sync::mpsc;

use self::members::Members;
use crate::feed::FeedHandle;

pub(crate) mod members;

/// Where a link takes its inputs. Bounded; a link whose inbox is full when another link has something for it
/// is cut off, since its peer does not keep up with its own answers.
pub(crate) type Inbox = mpsc::Sender<Box<Input>>;

#[derive(Default)]
struct Registry {
    links: HashMap<LinkNo, Inbox>,
    members: Members<Arc<FeedHandle>>,
    draining: bool,
    abandoned: bool,
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
        if !registry.abandoned {
            registry.links.insert(link, inbox); // without its inbox, a link ends
        }
        link
    }

    pub(crate) fn unregister(&self, now: Now, link: LinkNo) {
        {
            let mut registry = self.registry();
            registry.links.remove(&link);
            registry.members.forget(link);
        }
        let deliveries = self.table().leave(now, link);
        self.deliver(deliveries);
    }

    /// Ends a link without a word to it.
    pub(crate) fn cut(&self, link: LinkNo) {
        self.registry().links.remove(&link);
    }

    /// The link is a member; with a feed once it has one.
    pub(crate) fn join(&self, vault: VaultId, link: LinkNo, feed: Option<Arc<FeedHandle>>) {
        self.registry().members.join(vault, link, feed);
    }

    pub(crate) fn leave(&self, vault: &VaultId, link: LinkNo) {
        self.registry().members.leave(vault, link);
    }

    /// The vault has new segments: wakes its feeds.
    pub(crate) fn grown(&self, vault: &VaultId) {
        for feed in self.registry().members.feeds(vault) {
            feed.grown();
        }
    }

    /// Tells the vault's other links that its statements changed.
    pub(crate) fn statements_changed(&self, vault: VaultId, state: &KnownVault, by: LinkNo) {
        let mut registry = self.registry();
        for link in registry.members.others(&vault, by) {
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

    fn deliver(&self, deliveries: Vec<PeerFrame>) {
        let mut registry = self.registry();
        for PeerFrame { link, frame } in deliveries {
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

    /// Ends every link, and each that still comes, without a word to it: the relay cannot go on.
    pub(crate) fn abandon(&self) {
        let mut registry = self.registry();
        registry.abandoned = true;
        registry.links.clear();
    }

    pub(crate) fn census(&self) -> Census {
        let (rendezvous, rendezvous_limited) = {
            let table = self.table();
            (table.len(), table.limited())
        };
        let registry = self.registry();
        Census {
            links: registry.links.len(),
            members: registry.members.links(),
            feeds: registry.members.feeds_open(),
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
