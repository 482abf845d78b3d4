//! Heads as HEADS compares them, with where their logs begin, and the same beginning in LOG and FEED LOG.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{Base, Chain, Head, LogId, PublicKeyBytes, Seq};
use crate::limits;

/// What LOG and FEED LOG say of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// Its key.
    pub public: PublicKeyBytes,
    /// Its first segment that is pushed or fed.
    pub base: Base,
}

/// Of a whole log.
impl From<PublicKeyBytes> for LogKey {
    fn from(public: PublicKeyBytes) -> Self {
        Self { public, base: Base::WHOLE }
    }
}

/// How much of a chain HEADS compares. The signed segments decide.
pub const SHORT_CHAIN_LEN: usize = 16;

/// Head of a log, its chain shortened, and where the log begins for whoever names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHead {
    /// The log.
    pub log: LogId,
    /// Its last segment.
    pub seq: Seq,
    /// First bytes of the chain.
    pub chain: [u8; SHORT_CHAIN_LEN],
    /// Its first segment that is held.
    pub base: Base,
}

impl ShortHead {
    /// Of a log that begins there.
    #[must_use]
    pub fn new(head: Head, base: Base) -> Self {
        Self { log: head.log, seq: head.seq, chain: shortened(&head.chain), base }
    }

    /// Whether this is the chain that it names.
    #[must_use]
    pub fn names(&self, chain: &Chain) -> bool {
        self.chain == shortened(chain)
    }
}

/// Of a whole log.
impl From<Head> for ShortHead {
    fn from(head: Head) -> Self {
        Self::new(head, Base::WHOLE)
    }
}

fn shortened(chain: &Chain) -> [u8; SHORT_CHAIN_LEN] {
    let mut short = [0; SHORT_CHAIN_LEN];
    short.copy_from_slice(&chain.as_bytes()[..SHORT_CHAIN_LEN]);
    short
}

/// `last u8 | heads | bases of those among them that are not whole`.
pub(super) fn write_heads(w: &mut Writer, last: bool, heads: &[ShortHead]) {
    w.u8(u8::from(last)).count(heads.len());
    for head in heads {
        w.bytes(head.log.as_bytes()).u64(head.seq.0).bytes(&head.chain);
    }
    w.count(heads.iter().filter(|head| !head.base.is_whole()).count());
    for head in heads.iter().filter(|head| !head.base.is_whole()) {
        w.bytes(head.log.as_bytes()).u64(head.base.seq.0).bytes(head.base.chain.as_bytes());
    }
}

pub(super) fn read_heads(r: &mut Reader<'_>) -> Result<(bool, Vec<ShortHead>), DecodeError> {
    let last = read_flag(r, "last part")?;
    let count = r.count("heads", limits::HEADS_PART_MAX, 40)?;
    let mut heads = Vec::with_capacity(count);
    for _ in 0..count {
        let (log, seq, chain) = (LogId::from_bytes(r.array()?), Seq(r.u64()?), r.array()?);
        heads.push(ShortHead { log, seq, chain, base: Base::WHOLE });
    }
    let count = r.count("bases", count, 56)?;
    let mut at = 0;
    for _ in 0..count {
        let (log, base) = (LogId::from_bytes(r.array()?), read_some_base(r)?);
        let skipped = heads[at..].iter().position(|head| head.log == log);
        at += skipped.ok_or(DecodeError::NotCanonical { what: "bases" })?;
        if base.seq > heads[at].seq {
            return Err(DecodeError::Invalid { what: "base beyond its head" });
        }
        heads[at].base = base;
        at += 1;
    }
    Ok((last, heads))
}

/// `0`, or `1 | seq | chain` of one that is not whole.
pub(super) fn write_base(w: &mut Writer, base: &Base) {
    if base.is_whole() {
        w.u8(0);
    } else {
        w.u8(1).u64(base.seq.0).bytes(base.chain.as_bytes());
    }
}

pub(super) fn read_base(r: &mut Reader<'_>) -> Result<Base, DecodeError> {
    if read_flag(r, "base")? { read_some_base(r) } else { Ok(Base::WHOLE) }
}

fn read_some_base(r: &mut Reader<'_>) -> Result<Base, DecodeError> {
    let base = Base { seq: Seq(r.u64()?), chain: Chain::from_bytes(r.array()?) };
    if base.seq == Seq(0) { Err(DecodeError::NotCanonical { what: "base" }) } else { Ok(base) }
}

fn read_flag(r: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::Unknown { what, value: u64::from(other) }),
    }
}
