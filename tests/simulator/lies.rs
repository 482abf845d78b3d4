//! A relay that lies: it does all that it should, and then something else. What its links say passes through here, in both
//! directions; what it holds, it holds.

mod alter;

use std::collections::VecDeque;

use bytes::Bytes;
use subrosa::SeededEntropy;
use subrosa::testing::forging::Stranger;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{ClientFrame, FeedFrame, RelayFrame};
use subrosa_protocol::ids::{Base, Digest, Head, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use subrosa_protocol::segment::{Kind, SealedSegment};
use subrosa_relay::testing::SimSent;

use super::dice::Dice;

/// How a relay lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// It says that it has what it throws away.
    Forgets,
    /// It acknowledges nothing.
    Mute,
    /// It shows nothing of a log.
    Hides,
    /// It feeds nothing any more, and says that this is all.
    Freezes,
    /// It shows some devices one database and others another.
    Worlds,
    /// It alters what it says, field by field.
    Alters,
    /// It flips and cuts bytes.
    Garbles,
    /// It says again what it has said before, to whomever.
    Repeats,
    /// It loses frames.
    Drops,
    /// It makes up logs, with segments that verify.
    Invents,
    /// It refuses, for any reason.
    Refuses,
    /// It says that logs have other futures, and shows none.
    Claims,
}

/// All of them, with their names.
pub const LIES: [(&str, Lie); 12] = [
    ("forgets", Lie::Forgets),
    ("mute", Lie::Mute),
    ("hides", Lie::Hides),
    ("freezes", Lie::Freezes),
    ("worlds", Lie::Worlds),
    ("alters", Lie::Alters),
    ("garbles", Lie::Garbles),
    ("repeats", Lie::Repeats),
    ("drops", Lie::Drops),
    ("invents", Lie::Invents),
    ("refuses", Lie::Refuses),
    ("claims", Lie::Claims),
];

/// Frames that are kept to be said again.
const KEPT_MAX: usize = 64;
/// Of a hundred frames, how many it lies about: often enough that something happens, seldom enough that much is said before.
const OFTEN: [u64; 4] = [2, 8, 25, 60];

/// See the module.
pub(super) struct Liar {
    pub(super) lie: Lie,
    often: u64,
    vault: VaultId,
    /// The log that is hidden; the first one that is fed, or another.
    hidden: Option<LogId>,
    hidden_key: Option<PublicKeyBytes>,
    /// What was said: frames of feeds, and others.
    kept: VecDeque<(bool, Bytes)>,
    /// What was pushed and thrown away.
    forgotten: Vec<Head>,
    strangers: Vec<Stranger>,
    /// How often it has lied.
    pub(super) told: u64,
}

/// What becomes of a frame that a device has sent.
pub(super) struct Heard {
    /// What the relay gets of it.
    pub(super) passed: Option<Bytes>,
    /// What the device is told at once.
    pub(super) answers: Vec<Bytes>,
}

impl Liar {
    pub(super) fn new(lie: Lie, vault: VaultId, dice: &mut Dice) -> Self {
        Self {
            lie,
            often: dice.pick(&OFTEN),
            vault,
            hidden: None,
            hidden_key: None,
            kept: VecDeque::new(),
            forgotten: Vec::new(),
            strangers: Vec::new(),
            told: 0,
        }
    }

    /// A frame that a device has sent.
    pub(super) fn hear(&mut self, dice: &mut Dice, frame: Bytes) -> Heard {
        let passes = |frame| Heard { passed: Some(frame), answers: Vec::new() };
        let Ok(ClientFrame::Push { vault, segments }) = ClientFrame::decode(&frame) else {
            return passes(frame);
        };
        let answers = match self.lie {
            Lie::Forgets => vec![self.acknowledge(vault, &segments)],
            Lie::Refuses => segments.iter().map(|segment| refusal(dice, vault, segment)).collect(),
            Lie::Claims if dice.percent(self.often) => {
                segments.iter().map(|one| conflict(vault, one)).collect()
            }
            _ => return passes(frame),
        };
        self.told += 1;
        Heard { passed: None, answers: answers.iter().map(bare).collect() }
    }

    /// Says that all of it is durable.
    fn acknowledge(&mut self, vault: VaultId, segments: &[SealedSegment]) -> RelayFrame {
        let head = |segment: &SealedSegment| Head {
            log: segment.header().log,
            seq: segment.header().seq,
            chain: segment.preimage(&vault).chain(),
        };
        let entries: Vec<Head> = segments.iter().map(head).collect();
        self.forgotten.extend(&entries);
        RelayFrame::Ack { vault, rseq: Rseq(1_000_000 + self.forgotten.len() as u64), entries }
    }

    /// What a link puts on its connection instead of what it should.
    pub(super) fn tell(&mut self, dice: &mut Dice, sent: SimSent) -> Vec<SimSent> {
        self.keep(&sent);
        let told = match self.lie {
            Lie::Forgets | Lie::Refuses | Lie::Worlds => vec![sent],
            Lie::Claims => vec![claim(dice, sent)],
            Lie::Mute => keep_if(sent, |sent| !is_ack(sent)),
            Lie::Hides => self.hide(dice, sent),
            Lie::Freezes => keep_if(sent, |sent| !is_news(sent)),
            Lie::Drops => keep_if(sent, |_| !dice.percent(self.often)),
            Lie::Alters if dice.percent(self.often) => self.alter(dice, sent),
            Lie::Garbles if dice.percent(self.often) => vec![garbled(dice, sent)],
            Lie::Repeats if dice.percent(self.often) => self.repeat(dice, sent),
            Lie::Invents if dice.percent(self.often) => self.invent(dice, sent),
            Lie::Alters | Lie::Garbles | Lie::Repeats | Lie::Invents => return vec![sent],
        };
        self.told += 1;
        told
    }

    fn keep(&mut self, sent: &SimSent) {
        let (is_feed, frame) = match sent {
            SimSent::Frame(frame) => (false, frame),
            SimSent::Feed(_, frame) => (true, frame),
            SimSent::FeedEnd(_) | SimSent::Closed => return,
        };
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((is_feed, frame.clone()));
    }

    /// Leaves out one log: its key, its segments, its heads.
    fn hide(&mut self, dice: &mut Dice, sent: SimSent) -> Vec<SimSent> {
        match &sent {
            SimSent::Feed(_, frame) => match FeedFrame::decode(frame) {
                Ok(FeedFrame::Log { public, .. }) => {
                    if self.hidden.is_none() && dice.percent(50) {
                        (self.hidden, self.hidden_key) = (Some(LogId::of(&public)), Some(public));
                    }
                    keep_if(sent, |_| self.hidden_key != Some(public))
                }
                Ok(FeedFrame::Segment { segment, .. } | FeedFrame::Ahead { segment }) => {
                    keep_if(sent, |_| self.hidden != Some(segment.header().log))
                }
                _ => vec![sent],
            },
            SimSent::Frame(frame) => match RelayFrame::decode(frame) {
                Ok(RelayFrame::Heads { vault, last, mut heads }) => {
                    heads.retain(|head| Some(head.log) != self.hidden);
                    vec![SimSent::Frame(bare(&RelayFrame::Heads { vault, last, heads }))]
                }
                _ => vec![sent],
            },
            SimSent::FeedEnd(_) | SimSent::Closed => vec![sent],
        }
    }

    fn alter(&mut self, dice: &mut Dice, sent: SimSent) -> Vec<SimSent> {
        match sent {
            SimSent::Frame(frame) => {
                let altered = RelayFrame::decode(&frame).map(|one| alter::control(dice, one));
                vec![SimSent::Frame(altered.map_or(frame, |one| bare(&one)))]
            }
            SimSent::Feed(stream, frame) => {
                let altered = FeedFrame::decode(&frame).map(|one| bare_feed(&alter::feed(dice, one)));
                vec![SimSent::Feed(stream, altered.unwrap_or(frame))]
            }
            other => vec![other],
        }
    }

    /// Something that was said before, in front, behind, or instead.
    fn repeat(&self, dice: &mut Dice, sent: SimSent) -> Vec<SimSent> {
        let at = dice.below(self.kept.len().max(1) as u64) as usize;
        let Some((is_feed, before)) = self.kept.get(at).cloned() else { return vec![sent] };
        let again = match (&sent, is_feed) {
            (SimSent::Feed(stream, _), true) => SimSent::Feed(*stream, before),
            (_, true) => return vec![sent],
            (_, false) => SimSent::Frame(before),
        };
        match dice.below(3) {
            0 => vec![again, sent],
            1 => vec![sent, again],
            _ => vec![again],
        }
    }

    /// A log that nobody certified, and some of its segments.
    fn invent(&mut self, dice: &mut Dice, sent: SimSent) -> Vec<SimSent> {
        let SimSent::Feed(stream, frame) = &sent else { return vec![sent] };
        if matches!(FeedFrame::decode(frame), Ok(FeedFrame::Start { .. }) | Err(_)) {
            return vec![sent];
        }
        let entropy = SeededEntropy::dangerous_from_seed(dice.throw());
        if self.strangers.is_empty() || dice.percent(50) {
            self.strangers.push(Stranger::new(self.vault, &entropy));
        }
        let at = dice.below(self.strangers.len() as u64) as usize;
        let stranger = &mut self.strangers[at];
        let mut frames = vec![FeedFrame::Log { public: stranger.public(), base: Base::WHOLE }];
        for _ in 0..=dice.below(4) {
            let kind = dice.pick(&[Kind::DATA, Kind::CONTROL, Kind::CARRIED, Kind::CLOSING]);
            let segment = stranger.next(kind, &[1; 40], &entropy);
            frames.push(match dice.percent(80) {
                true => FeedFrame::Ahead { segment },
                false => FeedFrame::Segment { rseq: Rseq(dice.below(100)), segment },
            });
        }
        let mut told: Vec<SimSent> =
            frames.iter().map(|frame| SimSent::Feed(*stream, bare_feed(frame))).collect();
        told.push(sent);
        told
    }
}

/// The bytes of a frame without their length.
fn bare(frame: &RelayFrame) -> Bytes {
    frame.encode().slice(4..)
}

fn bare_feed(frame: &FeedFrame) -> Bytes {
    frame.encode().slice(4..)
}

fn keep_if(sent: SimSent, keeps: impl FnOnce(&SimSent) -> bool) -> Vec<SimSent> {
    if keeps(&sent) { vec![sent] } else { Vec::new() }
}

fn is_ack(sent: &SimSent) -> bool {
    matches!(sent, SimSent::Frame(frame) if matches!(RelayFrame::decode(frame), Ok(RelayFrame::Ack { .. })))
}

/// Whether it is a segment, or the key of a log.
fn is_news(sent: &SimSent) -> bool {
    let SimSent::Feed(_, frame) = sent else { return false };
    matches!(
        FeedFrame::decode(frame),
        Ok(FeedFrame::Log { .. } | FeedFrame::Segment { .. } | FeedFrame::Ahead { .. })
    )
}

fn garbled(dice: &mut Dice, sent: SimSent) -> SimSent {
    let mut garble = |frame: Bytes| {
        let mut bytes = frame.to_vec();
        let at = dice.below(bytes.len().max(1) as u64) as usize;
        match dice.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(&[0; 3]),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
        }
        Bytes::from(bytes)
    };
    match sent {
        SimSent::Frame(frame) => SimSent::Frame(garble(frame)),
        SimSent::Feed(stream, frame) => SimSent::Feed(stream, garble(frame)),
        other => other,
    }
}

/// Has the heads compared, and names others.
fn claim(dice: &mut Dice, sent: SimSent) -> SimSent {
    match &sent {
        SimSent::Frame(frame) => match RelayFrame::decode(frame) {
            Ok(RelayFrame::Heads { vault, last, mut heads }) => {
                for head in &mut heads {
                    if dice.percent(50) {
                        head.chain[0] ^= 1;
                        head.seq = Seq(head.seq.0 + dice.below(2));
                    }
                }
                SimSent::Frame(bare(&RelayFrame::Heads { vault, last, heads }))
            }
            _ => sent,
        },
        SimSent::Feed(stream, frame) => match FeedFrame::decode(frame) {
            Ok(FeedFrame::CaughtUp { rseq, .. }) => {
                let digest = Digest::from_bytes([9; 32]);
                SimSent::Feed(*stream, bare_feed(&FeedFrame::CaughtUp { rseq, digest }))
            }
            _ => sent,
        },
        SimSent::FeedEnd(_) | SimSent::Closed => sent,
    }
}

fn conflict(vault: VaultId, segment: &SealedSegment) -> RelayFrame {
    let header = segment.header();
    RelayFrame::Error(Refusal::segment(ErrorCode::Conflict, vault, header.log, header.seq))
}

/// A refusal of a pushed segment, or of more.
fn refusal(dice: &mut Dice, vault: VaultId, segment: &SealedSegment) -> RelayFrame {
    let at = dice.below(ErrorCode::TABLE.len() as u64 + 1) as usize;
    let code = ErrorCode::TABLE.get(at).map_or(ErrorCode::Other(999), |(code, ..)| *code);
    let header = segment.header();
    let refusal = match dice.below(10) {
        0 => Refusal::link(code),
        1..=2 => Refusal::vault(code, vault),
        _ => Refusal::segment(code, vault, header.log, header.seq),
    };
    RelayFrame::Error(refusal.retry_after(dice.pick(&[0, 0, 1, 60, u32::MAX])))
}
