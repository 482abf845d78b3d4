//! Where two devices meet to pair: in memory only, two links, few small messages, five minutes.

use std::collections::HashMap;
use std::time::Duration;

use super::Now;
use super::buckets::{Buckets, Rate, Rates};
use super::origin::{Origin, Tally};
use crate::error::{ErrorCode, Refusal};
use crate::frame::RelayFrame;
use crate::ids::RendezvousId;
use crate::limits;

/// Number of a link within one run of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkNo(pub u64);

/// What a link asks of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RendezvousRequest {
    /// Opens one; the link is a member of some vault.
    Open(RendezvousId),
    /// Joins one.
    Join(RendezvousId),
    /// Sends to the other side.
    Data(RendezvousId, Vec<u8>),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The link.
    pub link: LinkNo,
    /// Where it comes from.
    pub origin: Origin,
}

/// A frame for a link's peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFrame {
    /// Which link.
    pub link: LinkNo,
    /// What to send there.
    pub frame: RelayFrame,
}

#[derive(Debug)]
struct Side {
    link: LinkNo,
    sent: usize,
}

#[derive(Debug)]
struct Meeting {
    ends: Duration,
    opener: Side,
    /// Where the opener comes from: the meeting is of its share.
    origin: Origin,
    joiner: Option<Side>,
}

/// Joins that are permitted: by host first, so that one that joins without end keeps nobody else from pairing.
const JOINS: Rates = Rates {
    whole: Rate { per_sec: limits::JOINS_PER_SEC, burst: limits::JOINS_BURST },
    network: Rate { per_sec: limits::JOINS_PER_SEC_NETWORK, burst: limits::JOINS_BURST_NETWORK },
    host: Rate { per_sec: limits::JOINS_PER_SEC_HOST, burst: limits::JOINS_BURST_HOST },
};

/// All meetings of a relay.
#[derive(Debug)]
pub struct Rendezvous {
    meetings: HashMap<RendezvousId, Meeting>,
    /// Whose meetings they are.
    places: Tally,
    joins: Buckets,
    limited: u64,
}

impl Rendezvous {
    /// A table without meetings.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self {
            meetings: HashMap::new(),
            places: Tally::default(),
            joins: Buckets::new(now.mono, JOINS),
            limited: 0,
        }
    }

    /// Does what a link asks; the deliveries may concern it, its counterpart, or both.
    pub fn handle(&mut self, now: Now, asker: Asker, request: RendezvousRequest) -> Vec<PeerFrame> {
        self.end(|meeting| now.mono >= meeting.ends);
        match request {
            RendezvousRequest::Open(id) => self.open(now, asker, id),
            RendezvousRequest::Join(id) => self.join(now, asker, id),
            RendezvousRequest::Data(id, message) => self.data(asker.link, id, message),
        }
    }

    /// `link` has ended: so do its meetings.
    pub fn leave(&mut self, now: Now, link: LinkNo) -> Vec<PeerFrame> {
        let mut told = Vec::new();
        self.end(|meeting| {
            let joiner = meeting.joiner.as_ref().map(|side| side.link);
            let other = match joiner {
                _ if now.mono >= meeting.ends => return true,
                _ if meeting.opener.link == link => joiner,
                Some(joiner) if joiner == link => Some(meeting.opener.link),
                Some(_) | None => return false,
            };
            told.extend(other.into_iter().flat_map(|other| error(other, ErrorCode::NoRendezvous)));
            true
        });
        told
    }

    /// Ends the meetings that are over.
    fn end(&mut self, mut over: impl FnMut(&Meeting) -> bool) {
        let places = &mut self.places;
        self.meetings.retain(|_, meeting| {
            let over = over(meeting);
            if over {
                places.remove(&meeting.origin, 1);
            }
            !over
        });
    }

    /// Meetings under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meetings.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meetings.is_empty()
    }

    /// Openings and joins that were refused because there were too many.
    #[must_use]
    pub const fn limited(&self) -> u64 {
        self.limited
    }

    fn open(&mut self, now: Now, asker: Asker, id: RendezvousId) -> Vec<PeerFrame> {
        let Asker { link, origin } = asker;
        let own = self.meetings.values().filter(|meeting| meeting.opener.link == link).count();
        if own >= limits::RENDEZVOUS_PER_LINK_MAX
            || self.places.host(&origin) >= limits::RENDEZVOUS_PER_HOST_MAX
            || self.places.network(&origin) >= limits::RENDEZVOUS_PER_NETWORK_MAX
            || self.places.whole() >= limits::RENDEZVOUS_MAX
        {
            self.limited += 1;
            return error(link, ErrorCode::RateLimited);
        }
        if self.meetings.contains_key(&id) {
            return error(link, ErrorCode::NoRendezvous);
        }
        let ends = now.mono + Duration::from_secs(limits::RENDEZVOUS_SECONDS);
        self.meetings.insert(id, Meeting { ends, opener: Side { link, sent: 0 }, origin, joiner: None });
        self.places.add(&origin, 1);
        Vec::new()
    }

    fn join(&mut self, now: Now, asker: Asker, id: RendezvousId) -> Vec<PeerFrame> {
        let Asker { link, origin } = asker;
        if !self.joins.take(now.mono, &origin) {
            self.limited += 1;
            return error(link, ErrorCode::RateLimited);
        }
        match self.meetings.get_mut(&id) {
            Some(meeting) if meeting.joiner.is_none() && meeting.opener.link != link => {
                meeting.joiner = Some(Side { link, sent: 0 });
                let ready = |link| PeerFrame { link, frame: RelayFrame::RendezvousReady { id } };
                vec![ready(meeting.opener.link), ready(link)]
            }
            Some(_) | None => error(link, ErrorCode::NoRendezvous),
        }
    }

    fn data(&mut self, link: LinkNo, id: RendezvousId, message: Vec<u8>) -> Vec<PeerFrame> {
        let sides = self.meetings.get_mut(&id).and_then(|meeting| match &mut meeting.joiner {
            Some(joiner) if meeting.opener.link == link => Some((&mut meeting.opener, joiner.link)),
            Some(joiner) if joiner.link == link => Some((joiner, meeting.opener.link)),
            Some(_) | None => None,
        });
        match sides {
            Some((from, to)) if from.sent < limits::RENDEZVOUS_MESSAGES_MAX => {
                from.sent += 1;
                vec![PeerFrame { link: to, frame: RelayFrame::RendezvousData { id, message } }]
            }
            Some(_) | None => error(link, ErrorCode::NoRendezvous),
        }
    }
}

fn error(link: LinkNo, code: ErrorCode) -> Vec<PeerFrame> {
    let retry = if code == ErrorCode::RateLimited { limits::RETRY_SECS } else { 0 };
    vec![PeerFrame { link, frame: RelayFrame::Error(Refusal::link(code).retry_after(retry)) }]
}
