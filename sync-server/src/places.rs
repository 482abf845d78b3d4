//! Carries out what [`Intake`] decides: a [`Place`] for each large frame under way, and a [`Lease`] of a larger
//! window for each link that sends such frames. Chunks of feeds, which the relay sends, take places of the same kind; and
//! chains of statements that come in parts have their room here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subrosa_protocol::limits;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::intake::{FrameNo, Intake, Owner, Shares, Verdict};

/// How often a waiting frame looks whether others have become too slow.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Places for large frames of one kind of peers. Its lock is held for moments, never across an await.
pub(crate) struct Places {
    clock: Clock,
    inside: Mutex<Inside>,
}

struct Inside {
    intake: Intake,
    signals: HashMap<FrameNo, Arc<Signal>>,
}

/// What a place is told, which may be waited for beside its use.
#[derive(Default)]
pub(crate) struct Signal {
    granted: AtomicBool,
    lost: AtomicBool,
    changed: Notify,
}

impl Signal {
    /// Waits until the place is lost.
    ///
    /// # Cancel safety
    /// Safe: a place that is lost stays so.
    pub(crate) async fn lost(&self) {
        while !self.lost.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }
}

impl Inside {
    fn tell(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            let (Verdict::Granted(no) | Verdict::Lost(no)) = verdict;
            if let Some(signal) = self.signals.get(&no) {
                let flag = if verdict == Verdict::Granted(no) { &signal.granted } else { &signal.lost };
                flag.store(true, Ordering::Release);
                signal.changed.notify_one();
            }
        }
    }
}

impl Places {
    pub(crate) fn new(clock: Clock, bytes_max: usize) -> Self {
        let inside = Inside { intake: Intake::new(bytes_max), signals: HashMap::new() };
        Self { clock, inside: Mutex::new(inside) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a place; [`Place::granted`] waits for it.
    pub(crate) fn ask(self: &Arc<Self>, owner: Owner, bytes: usize) -> Place {
        let mut inside = self.inside();
        let (no, verdicts) = inside.intake.ask(self.clock.now().mono, owner, bytes);
        let signal = Arc::new(Signal::default());
        inside.signals.insert(no, Arc::clone(&signal));
        inside.tell(verdicts);
        Place { places: Arc::clone(self), no, signal, noted: 0 }
    }

    /// Bytes announced by frames that have a place.
    pub(crate) fn taken(&self) -> usize {
        self.inside().intake.taken()
    }

    /// Frames that lost their place.
    pub(crate) fn lost(&self) -> u64 {
        self.inside().intake.lost()
    }

    fn tick(&self) {
        let mut inside = self.inside();
        let verdicts = inside.intake.tick(self.clock.now().mono);
        inside.tell(verdicts);
    }
}

/// One frame's place, had or wanted; given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    no: FrameNo,
    signal: Arc<Signal>,
    noted: usize,
}

impl Place {
    /// Waits until the frame may be read.
    ///
    /// # Cancel safety
    /// Safe: the place in the queue stays.
    pub(crate) async fn granted(&self) {
        while !self.signal.granted.load(Ordering::Acquire) {
            if tokio::time::timeout(LOOK_EVERY, self.signal.changed.notified()).await.is_err() {
                self.places.tick();
            }
        }
    }

    /// Waits until the place is lost.
    ///
    /// # Cancel safety
    /// Safe: a place that is lost stays so.
    pub(crate) async fn lost(&self) {
        self.signal.lost().await;
    }

    pub(crate) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// So much of the frame has arrived; `whole` if that is all.
    pub(crate) fn arrived(&mut self, bytes: usize, whole: bool) {
        if whole || bytes >= self.noted + limits::FRAME_BYTES_PER_SEC_MIN {
            self.noted = bytes;
            self.places.inside().intake.arrived(self.no, bytes);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.places.inside();
        inside.signals.remove(&self.no);
        let verdicts = inside.intake.gone(self.places.clock.now().mono, self.no);
        inside.tell(verdicts);
    }
}

/// Larger windows, of all links together.
pub(crate) struct Windows {
    shares: Mutex<Shares>,
    /// What one link's window is larger than the least.
    pub(crate) lease_bytes: usize,
}

impl Windows {
    pub(crate) fn new(bytes_max: usize, lease_bytes: u32) -> Self {
        Self { shares: Mutex::new(Shares::new(bytes_max)), lease_bytes: lease_bytes as usize }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A larger window for a link, if there is room.
    pub(crate) fn lease(self: &Arc<Self>, owner: Owner) -> Option<Lease> {
        let taken = self.shares().take(&owner, self.lease_bytes);
        taken.then(|| Lease { windows: Arc::clone(self), owner })
    }
}

/// One link's larger window; given back when dropped.
pub(crate) struct Lease {
    windows: Arc<Windows>,
    owner: Owner,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.windows.shares().give_back(&self.owner, self.windows.lease_bytes);
    }
}

/// Chains that come in parts, of all links together.
pub(crate) struct Chains(Mutex<Shares>);

impl Chains {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Mutex::new(Shares::new(bytes_max)))
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of chains under way.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.shares().taken()
    }

    /// Room for what one link gathers: nothing yet.
    pub(crate) const fn room(self: Arc<Self>, owner: Owner) -> ChainRoom {
        ChainRoom { chains: self, owner, bytes: 0 }
    }
}

/// What one link has gathered of chains; given back when dropped.
pub(crate) struct ChainRoom {
    chains: Arc<Chains>,
    owner: Owner,
    bytes: usize,
}

impl ChainRoom {
    /// Takes or gives back what it takes to hold `bytes`. `false` when there is no room: what was had stays.
    pub(crate) fn fit(&mut self, bytes: usize) -> bool {
        let fits = match bytes.checked_sub(self.bytes) {
            Some(0) => true,
            Some(more) => self.chains.shares().take(&self.owner, more),
            None => {
                self.chains.shares().give_back(&self.owner, self.bytes - bytes);
                true
            }
        };
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

impl Drop for ChainRoom {
    fn drop(&mut self) {
        self.fit(0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use subrosa_protocol::relay_link::Origin;

    use super::*;

    #[test]
    fn chains_of_all_links_have_one_bound_and_a_host_its_share_of_it() {
        let chains = Arc::new(Chains::new(400));
        let room = |n: u8| {
            let origin = Origin::of(IpAddr::V4(Ipv4Addr::new(n, 1, 1, 1)));
            Arc::clone(&chains).room(Owner { origin, vault: None })
        };
        let (mut one, mut same) = (room(1), room(1));
        assert!(one.fit(60) && one.fit(100) && !one.fit(101), "a quarter");
        assert!(!same.fit(1), "for all links of the host");
        assert!(one.fit(70) && same.fit(30) && !same.fit(31));
        let mut others: Vec<_> = (2..=4).map(room).collect();
        assert!(others.iter_mut().all(|room| room.fit(100)));
        assert!(!room(5).fit(1), "the whole");
        drop(one);
        assert!(room(5).fit(70));
        assert_eq!(chains.taken(), 330, "what is dropped is given back");
    }
}
