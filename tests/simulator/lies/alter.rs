//! One field of a frame of a relay, said otherwise.

use bytes::Bytes;
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{FeedFrame, RelayFrame, ShortHead};
use subrosa_protocol::ids::{
    Base, Chain, Digest, Head, Incarnation, LogId, PublicKeyBytes, RendezvousId, Rseq, Seq, VaultId,
};
use subrosa_protocol::segment::SealedSegment;

use super::super::dice::Dice;

/// Milliseconds of a year.
const YEAR_MS: u64 = 365 * 86_400_000;

fn random<const N: usize>(dice: &mut Dice) -> [u8; N] {
    std::array::from_fn(|_| dice.throw() as u8)
}

/// Another number, near or far.
fn number(dice: &mut Dice, number: u64) -> u64 {
    match dice.below(6) {
        0 => 0,
        1 => number.saturating_add(1),
        2 => number.saturating_sub(1),
        3 => number.saturating_add(dice.below(1_000)),
        4 => u64::MAX,
        _ => dice.throw(),
    }
}

fn vault(dice: &mut Dice, is: VaultId) -> VaultId {
    match dice.below(3) {
        0 => VaultId::ZERO,
        1 => VaultId::from_bytes(random(dice)),
        _ => is,
    }
}

/// A frame of the control stream, altered.
pub(super) fn control(dice: &mut Dice, frame: RelayFrame) -> RelayFrame {
    match frame {
        RelayFrame::Hello { version, incarnation, mut limits, now_ms, .. } => {
            let (mut said, mut told_ms, mut version) = (incarnation, now_ms, version);
            match dice.below(6) {
                0 => said = Incarnation::from_bytes(random(dice)),
                1 => said = Incarnation::ZERO,
                2 => limits.segment_bytes_max = number(dice, limits.segment_bytes_max.into()) as u32,
                3 => limits.vaults_max = number(dice, limits.vaults_max.into()) as u16,
                // Never late: with a late clock of a device that is one which ran ahead, for all that it can know.
                4 => told_ms += dice.below(2 * YEAR_MS),
                _ => version = number(dice, version.into()) as u16,
            }
            let caps = dice.throw();
            let extensions = Extensions::new();
            RelayFrame::Hello { version, incarnation: said, limits, now_ms: told_ms, caps, extensions }
        }
        RelayFrame::Vault { vault: is, quota_bytes, used_bytes } => RelayFrame::Vault {
            vault: vault(dice, is),
            quota_bytes: number(dice, quota_bytes),
            used_bytes: number(dice, used_bytes),
        },
        RelayFrame::Grant { mut grant } => {
            let at = dice.below(grant.len().max(1) as u64) as usize;
            grant.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
            RelayFrame::Grant { grant }
        }
        RelayFrame::Ack { vault: is, rseq, mut entries } => {
            match dice.below(4) {
                0 => drop(entries.pop()),
                1 => entries.iter_mut().take(1).for_each(|head| *head = alter_head(dice, *head)),
                2 => entries.push(Head {
                    log: LogId::from_bytes(random(dice)),
                    seq: Seq(number(dice, 3)),
                    chain: Chain::from_bytes(random(dice)),
                }),
                _ => {}
            }
            RelayFrame::Ack { vault: vault(dice, is), rseq: Rseq(number(dice, rseq.0)), entries }
        }
        RelayFrame::Statements(mut part) => {
            match dice.below(4) {
                0 => part.last = !part.last,
                1 => drop(part.statements.pop()),
                2 => part.statements.extend(part.statements.first().cloned()),
                _ => part.statements.iter_mut().take(1).for_each(|one| {
                    let at = dice.below(one.len().max(1) as u64) as usize;
                    one.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
                }),
            }
            RelayFrame::Statements(part)
        }
        RelayFrame::Heads { vault, last, heads } => alter_heads(dice, vault, last, heads),
        RelayFrame::RendezvousReady { .. } | RelayFrame::RendezvousData { .. } => {
            RelayFrame::RendezvousReady { id: RendezvousId::from_bytes(random(dice)) }
        }
        RelayFrame::Error(refusal) => {
            let code = ErrorCode::from_wire(dice.below(30) as u16);
            let secs = number(dice, refusal.retry_after_secs.into()) as u32;
            let log = if dice.percent(50) { refusal.log } else { LogId::from_bytes(random(dice)) };
            let (vault, seq) = (vault(dice, refusal.vault), Seq(number(dice, refusal.seq.0)));
            RelayFrame::Error(Refusal::segment(code, vault, log, seq).retry_after(secs))
        }
    }
}

fn alter_head(dice: &mut Dice, head: Head) -> Head {
    match dice.below(3) {
        0 => Head { log: LogId::from_bytes(random(dice)), ..head },
        1 => Head { seq: Seq(number(dice, head.seq.0)), ..head },
        _ => Head { chain: Chain::from_bytes(random(dice)), ..head },
    }
}

fn alter_heads(dice: &mut Dice, vault: VaultId, last: bool, mut heads: Vec<ShortHead>) -> RelayFrame {
    let (at, mut last) = (dice.below(heads.len().max(1) as u64) as usize, last);
    match dice.below(6) {
        0 => last = !last,
        1 if at < heads.len() => drop(heads.remove(at)),
        2 => heads.iter_mut().skip(at).take(1).for_each(|head| head.seq = Seq(number(dice, head.seq.0))),
        3 => heads.iter_mut().skip(at).take(1).for_each(|head| head.chain = random(dice)),
        4 => heads.iter_mut().skip(at).take(1).for_each(|head| {
            head.base = Base { seq: Seq(dice.below(4)), chain: Chain::from_bytes(random(dice)) };
        }),
        _ => {
            let log = LogId::from_bytes(random(dice));
            let seq = Seq(number(dice, 2));
            heads.push(ShortHead { log, seq, chain: random(dice), base: Base::WHOLE });
            heads.sort_by_key(|head| head.log);
        }
    }
    RelayFrame::Heads { vault, last, heads }
}

/// A frame of a feed, altered.
pub(super) fn feed(dice: &mut Dice, frame: FeedFrame) -> FeedFrame {
    match frame {
        FeedFrame::Start { vault: is, incarnation } => {
            let other = Incarnation::from_bytes(random(dice));
            let incarnation = if dice.percent(50) { incarnation } else { other };
            FeedFrame::Start { vault: vault(dice, is), incarnation }
        }
        FeedFrame::Log { public, base } => match dice.below(2) {
            0 => FeedFrame::Log { public: PublicKeyBytes::from_bytes(random(dice)), base },
            _ => {
                let base = Base { seq: Seq(dice.below(5)), chain: Chain::from_bytes(random(dice)) };
                FeedFrame::Log { public, base }
            }
        },
        FeedFrame::Segment { rseq, segment } => match dice.below(3) {
            0 => FeedFrame::Segment { rseq: Rseq(number(dice, rseq.0)), segment },
            1 => FeedFrame::Ahead { segment },
            _ => FeedFrame::Segment { rseq, segment: flipped(dice, &segment) },
        },
        FeedFrame::Ahead { segment } => FeedFrame::Ahead { segment: flipped(dice, &segment) },
        FeedFrame::CaughtUp { rseq, digest } => {
            let digest = if dice.percent(50) { digest } else { Digest::from_bytes(random(dice)) };
            FeedFrame::CaughtUp { rseq: Rseq(number(dice, rseq.0)), digest }
        }
        FeedFrame::Answer { number: asked } => FeedFrame::Answer { number: number(dice, asked) },
    }
}

/// With one bit turned over, if that leaves a segment.
fn flipped(dice: &mut Dice, segment: &SealedSegment) -> SealedSegment {
    let mut bytes = segment.bytes().to_vec();
    let at = dice.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << dice.below(8);
    SealedSegment::parse(Bytes::from(bytes)).unwrap_or_else(|_| segment.clone())
}
