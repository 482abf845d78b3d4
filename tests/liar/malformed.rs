//! Frames that do not parse.

use bytes::Bytes;
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{FeedFrame, RelayFrame, RelayLimits, StatementsPart, VERSION};
use subrosa_protocol::ids::{Base, Digest, Incarnation, RendezvousId, Rseq, VaultId};
use subrosa_protocol::limits;

use super::forge::Forger;
use super::lie::How;

/// Whether frames with this tag travel on feeds.
pub(super) const fn is_of_feeds(tag: u8) -> bool {
    tag >= 0xc0
}

/// A frame of that kind about a vault, whole and in order, length prefix included.
fn sound(tag: u8, vault: VaultId, forger: &Forger) -> Bytes {
    let id = RendezvousId::from_bytes([1; 16]);
    let segment = || forger.segment(&vault, 0, 64);
    let (public, base, incarnation) = (*forger.public(), Base::WHOLE, Incarnation::from_bytes([7; 16]));
    let relay = |frame: RelayFrame| frame.encode();
    let feed = |frame: FeedFrame| frame.encode();
    match tag {
        0x81 => relay(hello(incarnation)),
        0x82 => relay(RelayFrame::Vault { vault, quota_bytes: 1, used_bytes: 0 }),
        0x83 => relay(RelayFrame::Grant { grant: Forger::grant(vault) }),
        0x84 => relay(RelayFrame::Ack { vault, rseq: Rseq(1), entries: vec![forger.head(&vault)] }),
        0x88 => relay(RelayFrame::Heads { vault, last: true, heads: vec![forger.head(&vault).into()] }),
        0x8a => relay(RelayFrame::RendezvousReady { id }),
        0x8c => relay(RelayFrame::RendezvousData { id, message: vec![1; 8] }),
        0x8e => {
            relay(RelayFrame::Statements(StatementsPart { vault, last: true, statements: vec![vec![1]] }))
        }
        0xc0 => feed(FeedFrame::Start { vault, incarnation }),
        0xc1 => feed(FeedFrame::Log { public, base }),
        0xc2 => feed(FeedFrame::Segment { rseq: Rseq(1), segment: segment() }),
        0xc3 => feed(FeedFrame::Ahead { segment: segment() }),
        0xc4 => feed(FeedFrame::CaughtUp { rseq: Rseq(1), digest: Digest::from_bytes([1; 32]) }),
        0xc5 => feed(FeedFrame::Answer { number: 1 }),
        _ => relay(RelayFrame::Error(Refusal::vault(ErrorCode::RateLimited, vault))),
    }
}

fn hello(incarnation: Incarnation) -> RelayFrame {
    RelayFrame::Hello {
        version: VERSION,
        incarnation,
        limits: RelayLimits { segment_bytes_max: 2 << 20, vaults_max: 64 },
        now_ms: 0,
        caps: 0,
        extensions: Extensions::new(),
    }
}

/// A frame of that kind with that fault, length prefix included.
pub(super) fn malformed(tag: u8, how: How, vault: VaultId, forger: &Forger) -> Bytes {
    let mut payload = sound(tag, vault, forger).slice(4..).to_vec();
    match how {
        How::Short => drop(payload.pop()),
        How::Long => payload.push(0),
        How::Empty => payload.truncate(1),
        How::UnknownTag => payload[0] = if is_of_feeds(tag) { 0xdf } else { 0x9f },
        How::Oversized => {
            let len = u32::try_from(limits::FRAME_BYTES_MAX + 1).expect("frames are far below 4 GiB");
            return [&len.to_be_bytes(), payload.as_slice()].concat().into();
        }
    }
    let len = u32::try_from(payload.len()).expect("frames are far below 4 GiB");
    [&len.to_be_bytes(), payload.as_slice()].concat().into()
}

/// A frame of the greatest length that whoever does not know its tag passes over, length prefix included.
pub(super) fn ignorable(tag: u8) -> Bytes {
    let mut frame = vec![0; 4 + limits::FRAME_BYTES_MAX];
    let len = u32::try_from(limits::FRAME_BYTES_MAX).expect("frames are far below 4 GiB");
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame[4] = tag;
    frame.into()
}
