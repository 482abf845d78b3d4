//! Large frames under way: who may send one now, so that memory is bounded whatever all peers have begun.
//!
//! A frame above [`limits::FRAME_BYTES_MAX_UNAUTHENTICATED`] takes its announced length from what all may have
//! together, its vault, its network and its host have shares of that, and a link whose frame finds no room waits
//! with it in the transport. Buffers grow with what has arrived; the announced length bounds them. A frame that is
//! too slow loses its place when another waits.
//!
//! No I/O and no clock in here: [`crate::places`] carries out what [`Intake`] decides.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use subrosa_protocol::ids::VaultId;
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Origin, Tally};

/// Whose frames they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) origin: Origin,
    /// The vault of which the peer first proved a key, if any.
    pub(crate) vault: Option<VaultId>,
}

/// Bytes that all have together, with shares for each owner.
pub(crate) struct Shares {
    bytes_max: usize,
    by: Tally,
    vaults: HashMap<VaultId, usize>,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Whole,
    Vault,
    Network,
    Host,
}

impl Shares {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, by: Tally::default(), vaults: HashMap::new() }
    }

    /// Bytes taken, over all.
    pub(crate) const fn taken(&self) -> usize {
        self.by.whole()
    }

    fn vault(&self, owner: &Owner) -> usize {
        owner.vault.and_then(|vault| self.vaults.get(&vault)).copied().unwrap_or(0)
    }

    /// The narrowest share that has no room for so much more.
    fn full(&self, owner: &Owner, bytes: usize) -> Option<Full> {
        let share = self.bytes_max / limits::FRAMES_SHARE;
        if self.by.host(&owner.origin) + bytes > self.bytes_max / limits::FRAMES_SHARE_HOST {
            Some(Full::Host)
        } else if self.by.network(&owner.origin) + bytes > share {
            Some(Full::Network)
        } else if self.vault(owner) + bytes > share {
            Some(Full::Vault)
        } else if self.by.whole() + bytes > self.bytes_max {
            Some(Full::Whole)
        } else {
            None
        }
    }

    /// Takes `bytes` if there is room.
    pub(crate) fn take(&mut self, owner: &Owner, bytes: usize) -> bool {
        if self.full(owner, bytes).is_some() {
            return false;
        }
        self.by.add(&owner.origin, bytes);
        if let Some(vault) = owner.vault {
            *self.vaults.entry(vault).or_default() += bytes;
        }
        true
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&mut self, owner: &Owner, bytes: usize) {
        self.by.remove(&owner.origin, bytes);
        if let Some(vault) = owner.vault
            && let Some(held) = self.vaults.get_mut(&vault)
        {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.vaults.remove(&vault);
            }
        }
    }
}

/// One frame that has, or wants, a place. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FrameNo(u64);

/// What a frame is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has its place.
    Granted(FrameNo),
    /// It was too slow: its place is another's once it is given back.
    Lost(FrameNo),
}

enum Stage {
    /// Bytes arrive; the place is sure until then.
    Arriving { until: Duration },
    /// Told that it is lost, and not given back yet.
    Lost { told: Duration },
    /// All of it is there: it waits for us, not for its peer.
    Whole,
}

struct Held {
    owner: Owner,
    bytes: usize,
    since: Duration,
    stage: Stage,
}

/// See the module's documentation.
pub(crate) struct Intake {
    shares: Shares,
    next: u64,
    held: BTreeMap<FrameNo, Held>,
    waiting: BTreeMap<FrameNo, (Owner, usize)>,
    looked: Option<Duration>,
    lost: u64,
}

/// Least time between two looks for slow frames, and for one that lost its place to give it back.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Intake {
    /// For frames of `bytes_max` together; one may be as long as a host's share.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            shares: Shares::new(bytes_max),
            next: 0,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            looked: None,
            lost: 0,
        }
    }

    /// A frame of `bytes` was announced.
    pub(crate) fn ask(&mut self, now: Duration, owner: Owner, bytes: usize) -> (FrameNo, Vec<Verdict>) {
        let no = FrameNo(self.next);
        self.next += 1;
        if self.shares.full(&owner, bytes).is_none() && !self.is_promised() {
            self.grant(now, no, owner, bytes);
            return (no, vec![Verdict::Granted(no)]);
        }
        self.waiting.insert(no, (owner, bytes));
        (no, Vec::new())
    }

    /// So much of a frame has arrived.
    pub(crate) fn arrived(&mut self, no: FrameNo, bytes: usize) {
        if let Some(Held { bytes: announced, since, stage, .. }) = self.held.get_mut(&no)
            && let Stage::Arriving { until } = stage
        {
            if bytes >= *announced {
                *stage = Stage::Whole;
            } else {
                let earned = (bytes / limits::FRAME_BYTES_PER_SEC_MIN) as u64;
                *until = *since + limits::FRAME_PATIENCE + Duration::from_secs(earned);
            }
        }
    }

    /// A frame has been handed over, or its link has ended.
    pub(crate) fn gone(&mut self, now: Duration, no: FrameNo) -> Vec<Verdict> {
        self.waiting.remove(&no);
        if let Some(held) = self.held.remove(&no) {
            self.shares.give_back(&held.owner, held.bytes);
        }
        self.settle(now)
    }

    /// To be called now and then while a frame waits: some may have become too slow.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Verdict> {
        if self.looked.is_some_and(|looked| now < looked + LOOK_EVERY) {
            return Vec::new(); // whoever waits calls, and each call is work for all
        }
        self.looked = Some(now);
        self.lose_one(now).map(Verdict::Lost).into_iter().collect()
    }

    /// Bytes announced by frames that have a place.
    pub(crate) const fn taken(&self) -> usize {
        self.shares.taken()
    }

    /// Frames that lost their place.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Grants what fits.
    fn settle(&mut self, now: Duration) -> Vec<Verdict> {
        let mut told = Vec::new();
        while !self.is_promised()
            && let Some(no) = self.first_waiting(|owner, bytes| self.shares.full(owner, bytes).is_none())
            && let Some((owner, bytes)) = self.waiting.remove(&no)
        {
            self.grant(now, no, owner, bytes);
            told.push(Verdict::Granted(no));
        }
        told
    }

    fn grant(&mut self, now: Duration, no: FrameNo, owner: Owner, bytes: usize) {
        self.shares.take(&owner, bytes);
        let stage = Stage::Arriving { until: now + limits::FRAME_PATIENCE };
        self.held.insert(no, Held { owner, bytes, since: now, stage });
    }

    /// Whether the room that is left is for the frame whose turn it is: small ones must not pass it for ever.
    fn is_promised(&self) -> bool {
        self.shares.taken() + limits::FRAME_BYTES_MAX + 4 > self.shares.bytes_max
            && self
                .first_waiting(|_, _| true)
                .and_then(|no| self.waiting.get(&no))
                .is_some_and(|(owner, bytes)| self.shares.full(owner, *bytes) == Some(Full::Whole))
    }

    /// Of the waiting frames that `may`, the one whose owner has least under way, and of those the oldest.
    fn first_waiting(&self, may: impl Fn(&Owner, usize) -> bool) -> Option<FrameNo> {
        let under_way = |owner: &Owner| self.shares.vault(owner) + self.shares.by.host(&owner.origin);
        let some = self.waiting.iter().filter(|(_, (owner, bytes))| may(owner, *bytes));
        some.min_by_key(|(no, (owner, _))| (under_way(owner), **no)).map(|(no, _)| *no)
    }

    /// If a frame waits for what slow ones hold, the one longest over its time loses its place. One after the
    /// other, for each frees room when its link notices.
    fn lose_one(&mut self, now: Duration) -> Option<FrameNo> {
        let (owner, bytes) = self.waiting.get(&self.first_waiting(|_, _| true)?)?;
        let full = self.shares.full(owner, *bytes)?;
        let told = self.held.values().filter_map(|held| match held.stage {
            Stage::Lost { told } => Some(told),
            Stage::Arriving { .. } | Stage::Whole => None,
        });
        if told.max().is_some_and(|told| now < told + LOOK_EVERY) {
            return None;
        }
        let helps = |held: &Owner| match full {
            Full::Whole => true,
            Full::Vault => held.vault == owner.vault,
            Full::Network => held.origin.network() == owner.origin.network(),
            Full::Host => held.origin.host() == owner.origin.host(),
        };
        let overdue = self.held.iter().filter_map(|(no, held)| match held.stage {
            Stage::Arriving { until } if until <= now && helps(&held.owner) => Some((until, *no)),
            Stage::Arriving { .. } | Stage::Lost { .. } | Stage::Whole => None,
        });
        let (_, no) = overdue.min()?;
        self.held.get_mut(&no)?.stage = Stage::Lost { told: now };
        self.lost += 1;
        Some(no)
    }
}

// Every frame finds room in an empty table.
const _: () = assert!(limits::FRAME_BYTES_MAX + 4 <= limits::FRAMES_BYTES_MAX / limits::FRAMES_SHARE_HOST);
// And every chain.
const _: () = assert!(
    limits::STATEMENTS_MAX * limits::STATEMENT_BYTES_MAX
        <= limits::CHAINS_BYTES_MAX / limits::FRAMES_SHARE_HOST
);

#[cfg(test)]
mod tests;
