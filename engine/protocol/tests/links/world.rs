//! Devices, a relay, and chance.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use subrosa_protocol::client_link::{ClientLink, Event, Input, Output, Purpose};
use subrosa_protocol::relay_link;

use crate::device::Device;
use crate::keys::statement;
use crate::relay::{Serving, Store};

/// Disturbed steps, then undisturbed ones until all is quiet.
const DISTURBED: u32 = 600;
const STEPS_MAX: u32 = 60_000;

pub(crate) struct World {
    seed: u64,
    random: u64,
    base: Instant,
    now: Duration,
    store: Store,
    nodes: Vec<Node>,
    written: u64,
    fresh: u64,
    log: VecDeque<String>,
}

struct Node {
    device: Device,
    link: Option<Ends>,
    accused: bool,
    /// The last question.
    asked: u64,
    /// Questions without an answer, and what the relay had when each was asked.
    open: VecDeque<(u64, BTreeSet<u64>)>,
}

impl Node {
    fn new(device: Device) -> Self {
        Self { device, link: None, accused: false, asked: 0, open: VecDeque::new() }
    }
}

/// Both ends of a link, and what is between them.
struct Ends {
    client: ClientLink,
    serving: Serving,
    to_relay: VecDeque<Bytes>,
    jobs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Connect(usize),
    ToRelay(usize),
    ToClient(usize),
    Feed(usize, u64),
    Job(usize),
    Commit(usize),
    Pump(usize),
    Timeout(usize),
    // Disturbances.
    Write(usize),
    Break(usize),
    Copy(usize),
    Ask(usize),
    Lose,
    Wait,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a base for times that the world then moves itself")]
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            base: Instant::now(),
            now: Duration::ZERO,
            store: Store::new(1),
            nodes: [100, 101].map(|key| Node::new(Device::new(key))).into(),
            written: 0,
            fresh: 1_000,
            log: VecDeque::new(),
        }
    }

    pub(crate) fn run(mut self) {
        for _ in 0..DISTURBED {
            let disturbance = self.disturbance();
            let act = disturbance.unwrap_or_else(|| self.choose().unwrap_or(Act::Wait));
            self.perform(act);
        }
        let mut steps = 0;
        while !self.is_quiet() {
            steps += 1;
            assert!(steps < STEPS_MAX, "{}: no end in sight", self.report());
            match self.choose() {
                Some(act) => self.perform(act),
                None => self.advance(),
            }
        }
        let all: BTreeSet<u64> = (0..self.written).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            assert!(node.device.pending.is_empty());
            let missing: Vec<_> = all.difference(&node.device.holds()).copied().collect();
            assert!(missing.is_empty(), "{}: device {index} lacks {missing:?}", self.report());
        }
    }

    fn is_quiet(&self) -> bool {
        self.nodes.iter().all(|node| {
            node.link.as_ref().is_some_and(|ends| {
                ends.client.is_synced()
                    && ends.client.answered() == node.asked
                    && node.device.pending.is_empty()
                    && !ends.serving.feeds()
                    && ends.serving.streams.values().all(VecDeque::is_empty)
            })
        })
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) as usize % below
    }

    fn disturbance(&mut self) -> Option<Act> {
        let node = self.draw(self.nodes.len());
        match self.draw(200) {
            0..12 => Some(Act::Write(node)),
            12..14 => Some(Act::Break(node)),
            // Not both in one world: a copy and an emptied relay together can make a log with two futures, which
            // is for the core to keep apart, not for links.
            14 if self.seed.is_multiple_of(2) && self.nodes.len() < 4 => Some(Act::Copy(node)),
            15 if self.seed % 2 == 1 && self.draw(3) == 0 => Some(Act::Lose),
            16..20 => Some(Act::Wait),
            20..26 => Some(Act::Ask(node)),
            _ => None,
        }
    }

    /// One of the things that can happen now.
    fn choose(&mut self) -> Option<Act> {
        let mut acts = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(ends) = &node.link else {
                acts.push(Act::Connect(index));
                continue;
            };
            let mut add = |possible: bool, act| {
                if possible {
                    acts.push(act);
                }
            };
            add(!ends.to_relay.is_empty() && ends.serving.machine.accepts_frame(), Act::ToRelay(index));
            add(!ends.serving.control.is_empty(), Act::ToClient(index));
            add(!ends.jobs.is_empty(), Act::Job(index));
            add(!ends.serving.appends.is_empty(), Act::Commit(index));
            add(ends.serving.feeds(), Act::Pump(index));
            add(ends.client.deadline().is_some_and(|at| at <= self.base + self.now), Act::Timeout(index));
            for (stream, frames) in &ends.serving.streams {
                add(!frames.is_empty() && ends.client.reads_feeds(), Act::Feed(index, *stream));
            }
        }
        if acts.is_empty() {
            return None;
        }
        let at = self.draw(acts.len());
        Some(acts[at])
    }

    /// Nothing can happen before the next deadline.
    fn advance(&mut self) {
        let ends = self.nodes.iter().filter_map(|node| node.link.as_ref());
        let next = ends.filter_map(|ends| ends.client.deadline()).min();
        let next = next.unwrap_or_else(|| panic!("{}: stuck, with nothing to wait for", self.report()));
        self.now = self.now.max(next - self.base);
        assert!(self.now < Duration::from_secs(36_000), "{}: hours went by", self.report());
    }

    fn perform(&mut self, act: Act) {
        self.log.push_back(format!("{act:?}"));
        if self.log.len() > 60 {
            self.log.pop_front();
        }
        match act {
            Act::Connect(index) => self.connect(index),
            Act::Wait => self.now += Duration::from_millis(7),
            Act::Write(index) => {
                self.nodes[index].device.pending.push(self.written);
                self.written += 1;
                self.give(index, Input::Written { vault: statement().vault });
            }
            Act::Break(index) => self.nodes[index].link = None,
            Act::Copy(index) => {
                // As `cp -r` of a closed store: the original is opened again beside its copy.
                self.nodes[index].link = None;
                let device = self.nodes[index].device.clone();
                self.nodes.push(Node::new(device));
            }
            Act::Ask(index) => {
                let node = &mut self.nodes[index];
                node.asked += 1;
                node.open.push_back((node.asked, self.store.writes()));
                let number = node.asked;
                self.give(index, Input::Ask { number });
            }
            Act::Lose => {
                for node in &mut self.nodes {
                    node.link = None;
                    node.open.iter_mut().for_each(|(_, had)| had.clear());
                }
                self.store.lose();
            }
            Act::Timeout(index) => self.give(index, Input::Timeout),
            Act::Job(index) => {
                let Node { device, link: Some(ends), .. } = &mut self.nodes[index] else { return };
                let Some(job) = ends.jobs.pop_front() else { return };
                self.fresh += 1;
                if let Some(answer) = device.perform(job, self.fresh) {
                    self.give(index, answer);
                }
            }
            Act::ToClient(index) => {
                let frame = self.nodes[index].link.as_mut().and_then(|ends| ends.serving.control.pop_front());
                self.give(index, Input::Frame(frame.unwrap()));
            }
            Act::Feed(index, stream) => {
                let ends = self.nodes[index].link.as_mut().unwrap();
                let input = match ends.serving.streams.get_mut(&stream).unwrap().pop_front().unwrap() {
                    Some(frame) => Input::Feed { stream, frame },
                    None => {
                        ends.serving.streams.remove(&stream);
                        Input::FeedClosed { stream }
                    }
                };
                self.give(index, input);
            }
            Act::ToRelay(_) | Act::Commit(_) | Act::Pump(_) => self.serve(act),
        }
    }

    fn serve(&mut self, act: Act) {
        let (Act::ToRelay(index) | Act::Commit(index) | Act::Pump(index)) = act else { return };
        let ends = self.nodes[index].link.as_mut().unwrap();
        match act {
            Act::ToRelay(_) => {
                let frame = ends.to_relay.pop_front().unwrap();
                ends.serving.give(self.now, &mut self.store, relay_link::Input::Frame(frame));
            }
            Act::Commit(_) => {
                ends.serving.commit(self.now, &mut self.store);
                let links = self.nodes.iter_mut().filter_map(|node| node.link.as_mut());
                links.for_each(|ends| ends.serving.wake());
            }
            _ => ends.serving.pump(&self.store),
        }
    }

    fn connect(&mut self, index: usize) {
        let serving = Serving::new(self.now, &self.store);
        let client = ClientLink::new(self.base + self.now, None);
        let ends = Ends { client, serving, to_relay: VecDeque::new(), jobs: VecDeque::new() };
        self.nodes[index].link = Some(ends);
        self.give(index, Input::Add { vault: statement().vault, purpose: Purpose::Sync });
        self.give(index, Input::Ask { number: self.nodes[index].asked });
    }

    fn give(&mut self, index: usize, input: Input) {
        let now = self.base + self.now;
        let Node { device, link: Some(ends), accused, open, .. } = &mut self.nodes[index] else { return };
        let result = ends.client.handle(now, input);
        let mut found = None;
        while let Some(output) = ends.client.poll() {
            match output {
                Output::Send(bytes) => ends.to_relay.push_back(bytes.slice(4..)),
                Output::Event(Event::Disagrees { .. } | Event::Disputed { .. }) => *accused = true,
                Output::Event(Event::Rests { fault, .. }) => found = Some(fault),
                Output::Event(_) | Output::StopFeed { .. } => {}
                output => ends.jobs.push_back(output),
            }
        }
        let mut missing = BTreeSet::new();
        let answered = ends.client.answered();
        for (_, had) in open.iter().filter(|(number, _)| *number <= answered) {
            missing.extend(had - &device.holds());
        }
        open.retain(|(number, _)| *number > answered);
        assert!(missing.is_empty(), "{}: device {index} lacks {missing:?}, answered for", self.report());
        if let Err(error) = result {
            panic!("{}: device {index} ends its link: {error}", self.report());
        }
        if let Some(fault) = found {
            panic!("{}: device {index} finds fault with an honest relay: {fault}", self.report());
        }
        assert!(!self.nodes[index].accused, "{}: device {index} accuses an honest relay", self.report());
    }

    fn report(&self) -> String {
        let trail: Vec<&str> = self.log.iter().map(String::as_str).collect();
        format!("SUBROSA_LINK_SEED={} (after {})", self.seed, trail.join(", "))
    }
}
