//! Carries links: frames between devices and relays, the store's work, the relay's; one step at a time, in any order that
//! streams and threads allow.

use std::collections::BTreeMap;

use bytes::Bytes;
use subrosa::testing::simulated::{SimLink, SimNews, SimOutput, SimPeer, connect};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::RelayFrame;
use subrosa_relay::testing::{SimRelay, SimSent};

use super::dice::Dice;
use super::failure::{Failure, Kind};
use super::lane::Lane;
use super::lies::Heard;
use super::sights::Sight;
use super::world::World;

/// Steps without which everything has long come to rest.
const STEPS_MAX: usize = 30_000;

/// A link between a site and a relay.
pub(super) struct Wire {
    pub(super) site: usize,
    pub(super) relay: usize,
    pub(super) link: SimLink,
    /// The relay's number of it.
    no: u64,
    /// Whether it is with the other database of a relay that has two.
    other: bool,
    up: Lane<Bytes>,
    down: Lane<Bytes>,
    feeds: BTreeMap<u64, Lane<Option<Bytes>>>,
    /// The relay's feeds may have something.
    stirred: bool,
    /// Acknowledgements are not delivered.
    unheard: bool,
    over: Option<String>,
    /// The relay has said its last word.
    closed: bool,
    pub(super) rests: Vec<SimNews>,
}

/// One step of one wire, or of a relay.
#[derive(Clone, Copy)]
enum Move {
    Up(usize),
    Down(usize),
    Feed(usize, u64),
    Work(usize),
    Answer(usize),
    Show(usize),
    Verify(usize, bool),
    Commit(usize, bool),
}

/// Whether acknowledgements arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acks {
    Heard,
    Unheard,
}

impl World {
    /// Makes a link, unless there is one.
    pub(super) fn connect(&mut self, site: usize, relay: usize, acks: Acks) -> Result<(), Failure> {
        self.open(site)?;
        self.open_relay(relay)?;
        if self.wire(site, relay).is_some() {
            return Ok(());
        }
        let peer = SimPeer { exporter: self.fresh(), ..self.relays[relay].peer };
        let (now, relay_now) = (self.instant(), self.relay_now(relay));
        self.sights.add(Sight::WrongRelayClock, u64::from(self.relays[relay].ahead_ms != 0));
        let other = self.relays[relay].shows_other_to(site);
        let (Some(device), Some(open)) = (&self.sites[site].device, self.relays[relay].database(other))
        else {
            return Ok(());
        };
        match connect(device, now, &peer) {
            Ok(link) => {
                let no = open.connect(relay_now, peer.exporter);
                self.wires.push(Wire {
                    site,
                    relay,
                    link,
                    no,
                    other,
                    up: Lane::default(),
                    down: Lane::default(),
                    feeds: BTreeMap::new(),
                    stirred: true,
                    unheard: acks == Acks::Unheard,
                    over: None,
                    closed: false,
                    rests: Vec::new(),
                });
                self.gather(self.wires.len() - 1);
            }
            Err(failure) => drop(self.ended.insert((site, relay), failure.to_string())),
        }
        Ok(())
    }

    pub(super) fn wire(&self, site: usize, relay: usize) -> Option<&Wire> {
        self.wires.iter().find(|wire| (wire.site, wire.relay) == (site, relay))
    }

    /// Loses links, with whatever is under way on them.
    pub(super) fn hang_up(&mut self, which: impl Fn(&Wire) -> bool) {
        for at in (0..self.wires.len()).rev().filter(|at| which(&self.wires[*at])).collect::<Vec<_>>() {
            let wire = self.wires.remove(at);
            self.sights.add(Sight::LinkCut, u64::from(wire.over.is_none() && wire.is_under_way()));
            self.sights.add(Sight::LinkEnds, u64::from(wire.over.is_some()));
            self.sights.add(
                Sight::Unheard,
                u64::from(wire.down.first().is_some_and(|frame| wire.keeps_back(frame))),
            );
            if let Some(relay) = self.relays[wire.relay].database(wire.other) {
                relay.disconnect(wire.no);
            }
            if let Some(why) = wire.over {
                self.ended.insert((wire.site, wire.relay), why);
            }
        }
    }

    /// Lets time pass for at most so long, and links do what they do, until `done` says so of a world in which nothing
    /// moves.
    pub(super) fn carry(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let until = self.truth.ms() + ms;
        self.tick()?;
        for _ in 0..STEPS_MAX {
            if self.step()? {
                continue;
            }
            if done(self) {
                return Ok(());
            }
            let deadlines = self.wires.iter().map(|wire| self.ms_of(wire.link.deadline()));
            let arrivals = self.wires.iter().flat_map(Wire::arrivals).filter(|ms| *ms > self.truth.ms());
            let next = deadlines.chain(arrivals).min().unwrap_or(u64::MAX).max(self.truth.ms() + 1);
            self.truth.set(next.min(until));
            if next > until {
                return Ok(());
            }
            self.tick()?;
        }
        Err(Failure::new(Kind::SyncEnds, "links do not come to rest"))
    }

    /// Tells all links the time, and what was written.
    pub(super) fn tick(&mut self) -> Result<(), Failure> {
        let now = self.instant();
        for at in 0..self.wires.len() {
            let relay_now = self.relay_now(self.wires[at].relay);
            let wire = &mut self.wires[at];
            if let Err(failure) = wire.link.tick(now) {
                wire.over = Some(failure.to_string());
            }
            let (relay, no, other) = (wire.relay, wire.no, wire.other);
            if let Some(relay) = self.relays[relay].database(other) {
                relay.tick(relay_now, no);
            }
            self.gather(at);
        }
        self.mind_all()
    }

    /// One step, if anything moves.
    pub(super) fn step(&mut self) -> Result<bool, Failure> {
        let moves = self.moves();
        if moves.is_empty() {
            return Ok(false);
        }
        let at = self.dice.below(moves.len() as u64);
        self.trace = Dice::of(&[self.trace, moves.len() as u64, at, self.truth.ms()]).throw();
        let chosen = moves[at as usize];
        self.make(chosen)?;
        self.mind_all()?;
        Ok(true)
    }

    fn moves(&self) -> Vec<Move> {
        let (mut moves, now) = (Vec::new(), self.truth.ms());
        for (at, wire) in self.wires.iter().enumerate() {
            let Some(relay) = self.relays[wire.relay].looked_at(wire.other) else { continue };
            if wire.up.arrived(now).is_some() && relay.accepts_frame(wire.no) {
                moves.push(Move::Up(at));
            }
            if wire.down.arrived(now).is_some_and(|frame| !wire.keeps_back(frame)) {
                moves.push(Move::Down(at));
            }
            if wire.link.reads_feeds() {
                let waiting = wire.feeds.iter().filter(|(_, lane)| lane.arrived(now).is_some());
                moves.extend(waiting.map(|(stream, _)| Move::Feed(at, *stream)));
            }
            if wire.link.has_work() {
                moves.push(Move::Work(at));
            }
            if wire.link.has_answer() {
                moves.push(Move::Answer(at));
            }
            if wire.stirred {
                moves.push(Move::Show(at));
            }
        }
        for (at, relay) in self.relays.iter().enumerate() {
            for other in [false, true] {
                let (verifies, commits) = relay.looked_at(other).map_or((false, false), SimRelay::waits);
                moves.extend(verifies.then_some(Move::Verify(at, other)));
                moves.extend(commits.then_some(Move::Commit(at, other)));
            }
        }
        moves
    }

    fn make(&mut self, chosen: Move) -> Result<(), Failure> {
        let (now, ms) = (self.instant(), self.truth.ms());
        let at = match chosen {
            Move::Up(at)
            | Move::Down(at)
            | Move::Feed(at, _)
            | Move::Work(at)
            | Move::Answer(at)
            | Move::Show(at) => at,
            Move::Verify(relay, other) => {
                let relay_now = self.relay_now(relay);
                if let Some(relay) = self.relays[relay].database(other) {
                    relay.verify(relay_now);
                }
                return Ok(());
            }
            Move::Commit(relay, other) => return self.commit(relay, other),
        };
        let relay_now = self.relay_now(self.wires[at].relay);
        if matches!(chosen, Move::Up(_)) {
            self.take_up(at);
            return Ok(());
        }
        let wire = &mut self.wires[at];
        let Some(relay) = self.relays[wire.relay].database(wire.other) else { return Ok(()) };
        let done = match chosen {
            Move::Down(_) => wire.down.take(ms).map_or(Ok(()), |frame| wire.link.frame(now, frame)),
            Move::Feed(_, stream) => {
                let frame = wire.feeds.get_mut(&stream).and_then(|lane| lane.take(ms));
                frame.map_or(Ok(()), |frame| wire.link.feed(now, stream, frame))
            }
            Move::Answer(_) => wire.link.answer(now),
            Move::Show(_) => {
                wire.stirred = relay.feed(relay_now, wire.no);
                Ok(())
            }
            _ => {
                if self.dice.percent(50) {
                    wire.link.look_ahead();
                }
                wire.link.work();
                Ok(())
            }
        };
        if let Err(failure) = done {
            wire.over = Some(failure.to_string());
        }
        self.gather(at);
        Ok(())
    }

    /// A relay gets a device's next frame, or whatever it takes it for.
    fn take_up(&mut self, at: usize) {
        let (ms, relay_now) = (self.truth.ms(), self.relay_now(self.wires[at].relay));
        let wire = &mut self.wires[at];
        let of = &mut self.relays[wire.relay];
        let Some(frame) = wire.up.take(ms) else { return };
        let heard = match of.liar_to(wire.site) {
            Some(liar) => liar.hear(&mut self.dice, frame),
            None => Heard { passed: Some(frame), answers: Vec::new() },
        };
        heard.answers.into_iter().for_each(|answer| wire.down.put(ms, answer));
        if let (Some(frame), Some(relay)) = (heard.passed, of.database(wire.other)) {
            relay.frame(relay_now, wire.no, frame);
        }
        wire.stirred = true;
        self.gather(at);
    }

    fn commit(&mut self, at: usize, other: bool) -> Result<(), Failure> {
        let (now, vault) = (self.relay_now(at), self.vault);
        let of = &mut self.relays[at];
        let Some(relay) = of.database(other) else { return Ok(()) };
        relay.commit(now);
        let heads = vault.map(|vault| relay.heads(&vault));
        if !other
            && !of.disk.is_dead()
            && let Some(Ok(heads)) = heads
        {
            let shrunk = of.heads.iter().find(|(log, seq)| heads.get(*log).is_none_or(|now| now < *seq));
            if let Some((log, seq)) = shrunk {
                return Err(Failure::new(
                    Kind::HeadsShrink,
                    format!("relay {at}: log {log} below {}", seq.0),
                ));
            }
            of.heads = heads;
        }
        for wire in 0..self.wires.len() {
            if (self.wires[wire].relay, self.wires[wire].other) == (at, other) {
                self.wires[wire].stirred = true;
                self.gather(wire);
            }
        }
        Ok(())
    }

    /// Takes what a wire's two ends want carried.
    pub(super) fn gather(&mut self, at: usize) {
        let (wire, now_ms) = (&mut self.wires[at], self.truth.ms());
        let of = &mut self.relays[wire.relay];
        let (latency_ms, sights) = (of.latency_ms, &mut self.sights);
        let Some(relay) = of.database(wire.other) else { return };
        let mut arrives = |dice: &mut Dice| {
            let takes_ms = if latency_ms == 0 { 0 } else { dice.below(latency_ms + 1) };
            sights.add(Sight::Late, u64::from(takes_ms > 0));
            now_ms + takes_ms
        };
        while let Some(output) = wire.link.poll() {
            match output {
                SimOutput::Send(frame) => wire.up.put(arrives(&mut self.dice), frame),
                SimOutput::StopFeed(stream) => relay.stop_feed(wire.no, stream),
                SimOutput::Probe => wire.link.answered(),
            }
        }
        let mut all = Vec::new();
        while let Some(sent) = relay.sent(wire.no) {
            all.push(sent);
        }
        for sent in all {
            let told = match of.liar_to(wire.site) {
                Some(liar) => liar.tell(&mut self.dice, sent),
                None => vec![sent],
            };
            for sent in told {
                match sent {
                    SimSent::Frame(frame) => wire.down.put(arrives(&mut self.dice), frame),
                    SimSent::Feed(stream, frame) => {
                        let at_ms = arrives(&mut self.dice);
                        wire.feeds.entry(stream).or_default().put(at_ms, Some(frame));
                    }
                    SimSent::FeedEnd(stream) => {
                        wire.feeds.entry(stream).or_default().put(arrives(&mut self.dice), None);
                    }
                    SimSent::Closed => wire.closed = true,
                }
            }
        }
        for news in wire.link.take_news() {
            if !wire.rests.contains(&news) {
                self.sights.note(sight_of(&news));
                wire.rests.push(news);
            }
        }
    }

    /// Ends links that are over.
    pub(super) fn end_wires(&mut self) {
        // What was sent before the end arrives all the same.
        for wire in self.wires.iter_mut().filter(|wire| wire.closed && wire.down.is_empty()) {
            wire.over.get_or_insert_with(|| "closed by the relay".to_owned());
        }
        self.hang_up(|wire| wire.over.is_some());
    }

    /// Whether a site has nothing left to do with a relay.
    pub(super) fn is_synced(&self, site: usize, relay: usize) -> bool {
        self.wire(site, relay).is_some_and(|wire| wire.link.is_synced())
    }
}

impl Wire {
    /// When the next frame of each stream arrives.
    fn arrivals(&self) -> impl Iterator<Item = u64> {
        let feeds = self.feeds.values().filter_map(Lane::arrives_ms);
        feeds.chain(self.up.arrives_ms()).chain(self.down.arrives_ms())
    }

    fn is_under_way(&self) -> bool {
        let feeds_wait = self.feeds.values().any(|lane| !lane.is_empty());
        feeds_wait || !self.up.is_empty() || !self.down.is_empty() || self.link.has_work()
    }

    /// Whether a frame of the relay is not delivered.
    fn keeps_back(&self, frame: &[u8]) -> bool {
        self.unheard && is_ack(frame)
    }
}

const fn sight_of(news: &SimNews) -> Sight {
    match news {
        SimNews::Rests(_) => Sight::Rests,
        SimNews::Disagrees => Sight::Disagrees,
        SimNews::Disputed => Sight::Disputed,
        SimNews::Refused(ErrorCode::QuotaBytes) => Sight::RefusedQuota,
        SimNews::Refused(ErrorCode::RelayFull) => Sight::RefusedFull,
        SimNews::Refused(ErrorCode::Internal) => Sight::RefusedInternal,
        SimNews::Refused(_) => Sight::Refused,
    }
}

fn is_ack(frame: &[u8]) -> bool {
    matches!(RelayFrame::decode(frame), Ok(RelayFrame::Ack { .. }))
}
