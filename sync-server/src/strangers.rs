//! Whom the relay lets in: decided by where they come from, before anything is known of them.
//!
//! A peer is a stranger from its first packet until it proves a key. Strangers are limited by host first, then by
//! network, then over all; a newcomer that finds no place takes that of the oldest silent stranger of whoever
//! crowds the relay most, unless that is himself. A part of the places is kept for networks from which a key was
//! proved before. All links, members' too, are limited by host and network as well, and so are handshakes.
//!
//! No I/O and no clock in here: [`crate::lobby`] carries out what [`Door`] decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Buckets, Origin, Prefix, Rate, Rates, Tally};

/// Strangers beyond which each newcomer has to show its address first (Retry).
const RETRY_ABOVE: usize = 64;

const HANDSHAKES: Rates = Rates {
    whole: Rate { per_sec: limits::HANDSHAKES_PER_SEC, burst: limits::HANDSHAKES_BURST },
    network: Rate { per_sec: limits::HANDSHAKES_PER_SEC_NETWORK, burst: limits::HANDSHAKES_BURST_NETWORK },
    host: Rate { per_sec: limits::HANDSHAKES_PER_SEC_HOST, burst: limits::HANDSHAKES_BURST_HOST },
};

/// One link, from its first packet on. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// Whether a newcomer is known to receive what is sent to its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Shown,
    /// It may be anybody's: who forges it must not use up what is its owner's.
    Claimed,
}

/// What becomes of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It comes in; `instead_of` has to go.
    Enter { ticket: Ticket, instead_of: Option<Ticket> },
    /// It has to show its address first.
    ShowAddress,
    /// It stays out.
    Refused,
}

/// Decisions, for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Newcomers that stayed out.
    pub(crate) refused: u64,
    /// Strangers that gave their place to newcomers.
    pub(crate) evicted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stranger {
    origin: Origin,
    since: Duration,
    /// Nobody of its network had proved a key when it came.
    unknown: bool,
    /// It has met a member in a rendezvous: it goes last.
    met: bool,
}

/// See the module's documentation.
pub(crate) struct Door {
    links_max: usize,
    next: u64,
    links: HashMap<Ticket, Origin>,
    links_by: Tally,
    strangers: BTreeMap<Ticket, Stranger>,
    strangers_by: Tally,
    /// How many of them are of unknown networks.
    unknown: usize,
    known: Known,
    shown: Buckets,
    claimed: Buckets,
    tried: Tried,
}

impl Door {
    pub(crate) fn new(now: Duration, links_max: usize) -> Self {
        Self {
            links_max,
            next: 0,
            links: HashMap::new(),
            links_by: Tally::default(),
            strangers: BTreeMap::new(),
            strangers_by: Tally::default(),
            unknown: 0,
            known: Known::default(),
            shown: Buckets::new(now, HANDSHAKES),
            claimed: Buckets::new(now, HANDSHAKES),
            tried: Tried::default(),
        }
    }

    /// Somebody wants in.
    pub(crate) fn knock(&mut self, now: Duration, origin: Origin, address: Address) -> Answer {
        if address == Address::Claimed
            && (self.strangers.len() >= RETRY_ABOVE || !self.claimed.take(now, &origin))
        {
            return Answer::ShowAddress;
        }
        if self.links_are_full(&origin) || (address == Address::Shown && !self.shown.take(now, &origin)) {
            self.tried.refused += 1;
            return Answer::Refused;
        }
        let instead_of = match self.place(now, &origin) {
            Place::Free => None,
            Place::Of(ticket) => Some(ticket),
            Place::None if address == Address::Claimed => return Answer::ShowAddress,
            Place::None => {
                self.tried.refused += 1;
                return Answer::Refused;
            }
        };
        if let Some(ticket) = instead_of {
            self.tried.evicted += 1;
            self.gone(ticket);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.links.insert(ticket, origin);
        self.links_by.add(&origin, 1);
        let unknown = !self.known.has(&origin.network());
        self.strangers.insert(ticket, Stranger { origin, since: now, unknown, met: false });
        self.strangers_by.add(&origin, 1);
        self.unknown += usize::from(unknown);
        Answer::Enter { ticket, instead_of }
    }

    /// A stranger is in a meeting that a member opened: it is not silent any more.
    pub(crate) fn met(&mut self, ticket: Ticket) {
        if let Some(stranger) = self.strangers.get_mut(&ticket) {
            stranger.met = true;
        }
    }

    /// A stranger has proved a key: it is one no longer.
    pub(crate) fn proved(&mut self, now: Duration, ticket: Ticket) {
        if let Some(origin) = self.no_stranger(ticket) {
            self.known.add(now, origin.network());
        }
    }

    /// A link has ended; it may have gone before.
    pub(crate) fn gone(&mut self, ticket: Ticket) {
        if let Some(origin) = self.links.remove(&ticket) {
            self.links_by.remove(&origin, 1);
        }
        self.no_stranger(ticket);
    }

    fn no_stranger(&mut self, ticket: Ticket) -> Option<Origin> {
        let Stranger { origin, unknown, .. } = self.strangers.remove(&ticket)?;
        self.strangers_by.remove(&origin, 1);
        self.unknown -= usize::from(unknown);
        Some(origin)
    }

    pub(crate) const fn tried(&self) -> Tried {
        self.tried
    }

    fn links_are_full(&self, origin: &Origin) -> bool {
        // A relay for few links needs no shares: its owner knows them all.
        let share = |part: usize| (self.links_max / part).max(RETRY_ABOVE).min(self.links_max);
        self.links.len() >= self.links_max
            || self.links_by.host(origin) >= share(limits::LINKS_SHARE_HOST)
            || self.links_by.network(origin) >= share(limits::LINKS_SHARE_NETWORK)
    }

    /// A stranger's place for `origin`.
    fn place(&self, now: Duration, origin: &Origin) -> Place {
        let by = &self.strangers_by;
        if by.host(origin) >= limits::UNAUTHENTICATED_PER_HOST_MAX {
            return match self.crowding(|stranger| stranger.origin.host() == origin.host()) {
                Some((ticket, oldest)) if oldest.has_had_its_time(now) => Place::Of(ticket),
                Some(_) | None => Place::None,
            };
        }
        if by.network(origin) >= limits::UNAUTHENTICATED_PER_NETWORK_MAX {
            let crowding = self.crowding(|stranger| stranger.origin.network() == origin.network());
            return taken_from(now, crowding, |of| by.host(of), origin);
        }
        // Who is unknown takes from the unknown: the reserve stays for networks of members.
        let unreserved = limits::UNAUTHENTICATED_LINKS_MAX - limits::MEMBERS_RESERVE;
        if self.unknown >= unreserved && !self.known.has(&origin.network()) {
            taken_from(now, self.crowding(|stranger| stranger.unknown), |of| by.network(of), origin)
        } else if by.whole() >= limits::UNAUTHENTICATED_LINKS_MAX {
            taken_from(now, self.crowding(|_| true), |of| by.network(of), origin)
        } else {
            Place::Free
        }
    }

    /// Of those that count, one of the fullest network, in it of the fullest host; first one that has met nobody,
    /// then the oldest.
    fn crowding(&self, counts: impl Fn(&Stranger) -> bool) -> Option<(Ticket, &Stranger)> {
        let by = &self.strangers_by;
        let some = self.strangers.iter().filter(|(_, stranger)| counts(stranger));
        let crowding = some.max_by_key(|(ticket, Stranger { origin, met, .. })| {
            (by.network(origin), by.host(origin), !met, Reverse(**ticket))
        });
        crowding.map(|(ticket, stranger)| (*ticket, stranger))
    }
}

impl Stranger {
    fn has_had_its_time(&self, now: Duration) -> bool {
        now >= self.since + limits::STRANGER_GRACE
    }
}

/// The place of somebody whose crowd is larger than the newcomer's own would be; at once if by far.
fn taken_from(
    now: Duration,
    crowding: Option<(Ticket, &Stranger)>,
    count: impl Fn(&Origin) -> usize,
    newcomer: &Origin,
) -> Place {
    let Some((ticket, stranger)) = crowding else { return Place::None };
    let (theirs, own) = (count(&stranger.origin), count(newcomer));
    if theirs > own + 1 || (theirs > own && stranger.has_had_its_time(now)) {
        Place::Of(ticket)
    } else {
        Place::None
    }
}

enum Place {
    Free,
    Of(Ticket),
    None,
}

/// Networks from which a key was proved, with when that was last.
#[derive(Default)]
struct Known {
    last: HashMap<Prefix, Duration>,
    by_age: BTreeSet<(Duration, Prefix)>,
}

impl Known {
    fn has(&self, network: &Prefix) -> bool {
        self.last.contains_key(network)
    }

    fn add(&mut self, now: Duration, network: Prefix) {
        if let Some(before) = self.last.insert(network, now) {
            self.by_age.remove(&(before, network));
        }
        self.by_age.insert((now, network));
        if self.last.len() > limits::KNOWN_NETWORKS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.last.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
