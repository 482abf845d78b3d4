//! Carries links: frames between devices and relays, the store's work, the relay's; one step at a time, in any order that
//! streams and threads allow.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use subrosa::testing::simulated::{SimLink, SimNews, SimOutput, SimPeer, connect};
use subrosa_protocol::frame::RelayFrame;
use subrosa_relay::testing::SimSent;

use super::dice::Dice;
use super::failure::{Failure, Kind};
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
    up: VecDeque<Bytes>,
    down: VecDeque<Bytes>,
    feeds: BTreeMap<u64, VecDeque<Option<Bytes>>>,
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
    Verify(usize),
    Commit(usize),
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
        let (now, relay_now) = (self.instant(), self.relay_now());
        let (Some(device), Some(open)) = (&self.sites[site].device, &mut self.relays[relay].relay) else {
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
                    up: VecDeque::new(),
                    down: VecDeque::new(),
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
            if let Some(relay) = &mut self.relays[wire.relay].relay {
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
            let next = deadlines.min().unwrap_or(u64::MAX).max(self.truth.ms() + 1);
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
        let (now, relay_now) = (self.instant(), self.relay_now());
        for at in 0..self.wires.len() {
            let wire = &mut self.wires[at];
            if let Err(failure) = wire.link.tick(now) {
                wire.over = Some(failure.to_string());
            }
            let (relay, no) = (wire.relay, wire.no);
            if let Some(relay) = &mut self.relays[relay].relay {
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
        let mut moves = Vec::new();
        for (at, wire) in self.wires.iter().enumerate() {
            let Some(relay) = &self.relays[wire.relay].relay else { continue };
            if !wire.up.is_empty() && relay.accepts_frame(wire.no) {
                moves.push(Move::Up(at));
            }
            if wire.down.front().is_some_and(|frame| !(wire.unheard && is_ack(frame))) {
                moves.push(Move::Down(at));
            }
            if wire.link.reads_feeds() {
                let waiting = wire.feeds.iter().filter(|(_, frames)| !frames.is_empty());
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
            let (verifies, commits) = relay.relay.as_ref().map_or((false, false), |relay| relay.waits());
            moves.extend(verifies.then_some(Move::Verify(at)));
            moves.extend(commits.then_some(Move::Commit(at)));
        }
        moves
    }

    fn make(&mut self, chosen: Move) -> Result<(), Failure> {
        let (now, relay_now) = (self.instant(), self.relay_now());
        let at = match chosen {
            Move::Up(at)
            | Move::Down(at)
            | Move::Feed(at, _)
            | Move::Work(at)
            | Move::Answer(at)
            | Move::Show(at) => at,
            Move::Verify(relay) => {
                if let Some(relay) = &mut self.relays[relay].relay {
                    relay.verify(relay_now);
                }
                return Ok(());
            }
            Move::Commit(relay) => return self.commit(relay),
        };
        let wire = &mut self.wires[at];
        let Some(relay) = &mut self.relays[wire.relay].relay else { return Ok(()) };
        let done = match chosen {
            Move::Up(_) => {
                if let Some(frame) = wire.up.pop_front() {
                    relay.frame(relay_now, wire.no, frame);
                    wire.stirred = true;
                }
                Ok(())
            }
            Move::Down(_) => wire.down.pop_front().map_or(Ok(()), |frame| wire.link.frame(now, frame)),
            Move::Feed(_, stream) => {
                let frame = wire.feeds.get_mut(&stream).and_then(VecDeque::pop_front);
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

    fn commit(&mut self, at: usize) -> Result<(), Failure> {
        let (now, vault) = (self.relay_now(), self.vault);
        let of = &mut self.relays[at];
        let Some(relay) = &mut of.relay else { return Ok(()) };
        relay.commit(now);
        if !of.disk.is_dead()
            && let Some(Ok(heads)) = vault.map(|vault| relay.heads(&vault))
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
            if self.wires[wire].relay == at {
                self.wires[wire].stirred = true;
                self.gather(wire);
            }
        }
        Ok(())
    }

    /// Takes what a wire's two ends want carried.
    fn gather(&mut self, at: usize) {
        let wire = &mut self.wires[at];
        let Some(relay) = &mut self.relays[wire.relay].relay else { return };
        while let Some(output) = wire.link.poll() {
            match output {
                SimOutput::Send(frame) => wire.up.push_back(frame),
                SimOutput::StopFeed(stream) => relay.stop_feed(wire.no, stream),
                SimOutput::Probe => wire.link.answered(),
            }
        }
        while let Some(sent) = relay.sent(wire.no) {
            match sent {
                SimSent::Frame(frame) => wire.down.push_back(frame),
                SimSent::Feed(stream, frame) => wire.feeds.entry(stream).or_default().push_back(Some(frame)),
                SimSent::FeedEnd(stream) => wire.feeds.entry(stream).or_default().push_back(None),
                SimSent::Closed => wire.closed = true,
            }
        }
        for news in wire.link.take_news() {
            if !wire.rests.contains(&news) {
                wire.rests.push(news);
            }
        }
    }

    /// Ends what is over, and starts again what has stopped.
    fn mind_all(&mut self) -> Result<(), Failure> {
        // What was sent before the end arrives all the same.
        for wire in self.wires.iter_mut().filter(|wire| wire.closed && wire.down.is_empty()) {
            wire.over.get_or_insert_with(|| "closed by the relay".to_owned());
        }
        self.hang_up(|wire| wire.over.is_some());
        for site in 0..self.sites.len() {
            self.mind_stop(site)?;
        }
        (0..self.relays.len()).try_for_each(|relay| self.mind_relay_stop(relay))
    }

    /// Whether a site has nothing left to do with a relay.
    pub(super) fn is_synced(&self, site: usize, relay: usize) -> bool {
        self.wire(site, relay).is_some_and(|wire| wire.link.is_synced())
    }

    /// A site syncs with a relay for at most so long. What the relay has of it then is noted.
    pub(super) fn sync(&mut self, site: usize, relay: usize, ms: u64) -> Result<(), Failure> {
        let was_connected = self.wire(site, relay).is_some();
        self.connect(site, relay, Acks::Heard)?;
        self.carry(ms, |world| world.is_synced(site, relay) || world.wire(site, relay).is_none())?;
        self.note_held()?;
        if !was_connected {
            self.hang_up(|wire| (wire.site, wire.relay) == (site, relay));
        }
        Ok(())
    }

    /// Notes what relays have, of whoever is in sync with them.
    pub(super) fn note_held(&mut self) -> Result<(), Failure> {
        for at in 0..self.wires.len() {
            let (site, relay) = (self.wires[at].site, self.wires[at].relay);
            if self.wires[at].link.is_synced() && self.sites[site].device.is_some() {
                let seen = self.seen(site)?;
                self.relays[relay].held = self.relays[relay].held.plus(seen);
            }
        }
        Ok(())
    }
}

fn is_ack(frame: &[u8]) -> bool {
    matches!(RelayFrame::decode(frame), Ok(RelayFrame::Ack { .. }))
}
