//! Where two devices meet to pair: in memory only, two links, few small messages, five minutes.

use std::collections::HashMap;
use std::time::Duration;

use super::Now;
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
    /// The link has ended: so do its meetings.
    Leave,
}

/// A frame for a link's peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
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
    joiner: Option<Side>,
}

/// All meetings of a relay.
#[derive(Debug, Default)]
pub struct Rendezvous {
    meetings: HashMap<RendezvousId, Meeting>,
    /// Joins permitted right now; refills with time.
    joins: f64,
    refilled: Duration,
}

impl Rendezvous {
    /// A table without meetings.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self { meetings: HashMap::new(), joins: limits::JOINS_BURST, refilled: now.mono }
    }

    /// Does what `link` asks; the deliveries may concern it, its counterpart, or both.
    pub fn handle(&mut self, now: Now, link: LinkNo, request: RendezvousRequest) -> Vec<Delivery> {
        self.meetings.retain(|_, meeting| now.mono < meeting.ends);
        match request {
            RendezvousRequest::Open(id) => self.open(now, link, id),
            RendezvousRequest::Join(id) => self.join(now, link, id),
            RendezvousRequest::Data(id, message) => self.data(link, id, message),
            RendezvousRequest::Leave => self.leave(link),
        }
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

    fn open(&mut self, now: Now, link: LinkNo, id: RendezvousId) -> Vec<Delivery> {
        let own = self.meetings.values().filter(|meeting| meeting.opener.link == link).count();
        if own >= limits::RENDEZVOUS_PER_LINK_MAX || self.meetings.len() >= limits::RENDEZVOUS_MAX {
            return error(link, ErrorCode::RateLimited);
        }
        if self.meetings.contains_key(&id) {
            return error(link, ErrorCode::NoRendezvous);
        }
        let ends = now.mono + Duration::from_secs(limits::RENDEZVOUS_SECONDS);
        self.meetings.insert(id, Meeting { ends, opener: Side { link, sent: 0 }, joiner: None });
        Vec::new()
    }

    fn join(&mut self, now: Now, link: LinkNo, id: RendezvousId) -> Vec<Delivery> {
        let passed = now.mono.saturating_sub(self.refilled).as_secs_f64();
        self.refilled = now.mono;
        self.joins = (self.joins + passed * limits::JOINS_PER_SEC).min(limits::JOINS_BURST);
        if self.joins < 1.0 {
            return error(link, ErrorCode::RateLimited);
        }
        self.joins -= 1.0;
        match self.meetings.get_mut(&id) {
            Some(meeting) if meeting.joiner.is_none() && meeting.opener.link != link => {
                meeting.joiner = Some(Side { link, sent: 0 });
                let ready = |link| Delivery { link, frame: RelayFrame::RendezvousReady { id } };
                vec![ready(meeting.opener.link), ready(link)]
            }
            Some(_) | None => error(link, ErrorCode::NoRendezvous),
        }
    }

    fn data(&mut self, link: LinkNo, id: RendezvousId, message: Vec<u8>) -> Vec<Delivery> {
        let sides = self.meetings.get_mut(&id).and_then(|meeting| match &mut meeting.joiner {
            Some(joiner) if meeting.opener.link == link => Some((&mut meeting.opener, joiner.link)),
            Some(joiner) if joiner.link == link => Some((joiner, meeting.opener.link)),
            Some(_) | None => None,
        });
        match sides {
            Some((from, to)) if from.sent < limits::RENDEZVOUS_MESSAGES_MAX => {
                from.sent += 1;
                vec![Delivery { link: to, frame: RelayFrame::RendezvousData { id, message } }]
            }
            Some(_) | None => error(link, ErrorCode::NoRendezvous),
        }
    }

    fn leave(&mut self, link: LinkNo) -> Vec<Delivery> {
        let mut told = Vec::new();
        self.meetings.retain(|_, meeting| {
            let joiner = meeting.joiner.as_ref().map(|side| side.link);
            let other = match joiner {
                _ if meeting.opener.link == link => joiner,
                Some(joiner) if joiner == link => Some(meeting.opener.link),
                Some(_) | None => return true,
            };
            told.extend(other.into_iter().flat_map(|other| error(other, ErrorCode::NoRendezvous)));
            false
        });
        told
    }
}

fn error(link: LinkNo, code: ErrorCode) -> Vec<Delivery> {
    let retry = if code == ErrorCode::RateLimited { limits::RETRY_SECS } else { 0 };
    vec![Delivery { link, frame: RelayFrame::Error(Refusal::link(code).retry_after(retry)) }]
}
