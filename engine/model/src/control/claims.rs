//! What a certificate says about logs in its extensions (`docs/FORMAT.md`, "Control entries").

use std::collections::{BTreeMap, BTreeSet};

use subrosa_protocol::codec::{DecodeError, Extensions, Reader, Writer};
use subrosa_protocol::ids::{Base, Chain, LogId, Seq};
use subrosa_protocol::limits::CAPS_PER_CERTIFICATE_MAX;

use crate::merge::{CapStep, Stamp};

/// A cap on what somebody had merged of a log: on the stamps of all groups up to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrefixCap {
    /// A segment of the last of these groups.
    pub seq: Seq,
    /// Its chain, which tells it from those of other branches.
    pub chain: Chain,
    /// What their stamps count as at most.
    pub cap: Stamp,
}

/// The caps that a certificate sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertifiedCaps {
    /// On data logs of its author, whatever is in them or will be: on the stamps up to one.
    pub own: BTreeMap<LogId, CapStep>,
    /// On what its author had merged of data logs of anybody.
    pub prefixes: BTreeSet<(LogId, PrefixCap)>,
}

/// Checks the shape of those extensions of a certificate that this version knows.
pub(super) fn check(extensions: &Extensions) -> Result<(), DecodeError> {
    caps(extensions)?;
    prefix_caps(extensions)?;
    if BASES_COUNT {
        bases(extensions)?;
    }
    Ok(())
}

/// The caps that a certificate sets on stamps of its author's data logs, whatever is in them, by ascending log.
///
/// # Errors
/// [`DecodeError`]; never of a decoded certificate.
pub fn caps(extensions: &Extensions) -> Result<Vec<(LogId, CapStep)>, DecodeError> {
    of_each_log(read(extensions, CAPS, "caps", read_cap)?, "caps")
}

/// A certificate's extensions with caps.
///
/// # Errors
/// [`DecodeError`] if they do not fit, or do not ascend.
pub fn with_caps(extensions: Extensions, caps: &[(LogId, CapStep)]) -> Result<Extensions, DecodeError> {
    let mut w = Writer::new();
    caps.iter().for_each(|cap| write_cap(cap, &mut w));
    let extensions = extensions.with(CAPS, w.finish())?;
    check(&extensions).map(|()| extensions)
}

/// The caps that a certificate sets on what its author had merged of data logs of anybody, by ascending log, segment and cap.
///
/// # Errors
/// [`DecodeError`]; never of a decoded certificate.
pub fn prefix_caps(extensions: &Extensions) -> Result<Vec<(LogId, PrefixCap)>, DecodeError> {
    read(extensions, PREFIX_CAPS, "prefix caps", read_prefix_cap)
}

/// A certificate's extensions with such caps.
///
/// # Errors
/// [`DecodeError`] if they do not fit, or do not ascend.
pub fn with_prefix_caps(
    extensions: Extensions,
    caps: &[(LogId, PrefixCap)],
) -> Result<Extensions, DecodeError> {
    let mut w = Writer::new();
    caps.iter().for_each(|cap| write_prefix_cap(cap, &mut w));
    let extensions = extensions.with(PREFIX_CAPS, w.finish())?;
    check(&extensions).map(|()| extensions)
}

/// Where logs begin, in a certificate as tests make it, by ascending log: what stands before is not needed any more.
/// Nothing certifies that yet outside of tests.
///
/// # Errors
/// [`DecodeError`]; never of a decoded certificate.
pub(super) fn bases(extensions: &Extensions) -> Result<Vec<(LogId, Base)>, DecodeError> {
    if !BASES_COUNT {
        return Ok(Vec::new());
    }
    let bases = read(extensions, BASES, "bases", |r| {
        let log = LogId::from_bytes(r.array()?);
        Ok((log, Base { seq: Seq(r.u64()?), chain: Chain::from_bytes(r.array()?) }))
    })?;
    of_each_log(bases, "bases")
}

/// A certificate's extensions with bases: for tests.
///
/// # Panics
/// If they do not fit.
#[cfg(any(test, feature = "testing"))]
pub fn with_bases(extensions: Extensions, bases: &[(LogId, Base)]) -> Extensions {
    let mut w = Writer::new();
    for (log, base) in bases {
        w.bytes(log.as_bytes()).u64(base.seq.0).bytes(base.chain.as_bytes());
    }
    extensions.with(BASES, w.finish()).expect("a test names few bases")
}

pub(super) fn write_cap((log, step): &(LogId, CapStep), w: &mut Writer) {
    w.bytes(log.as_bytes()).u64(step.to.0).u64(step.cap.0);
}

pub(super) fn read_cap(r: &mut Reader<'_>) -> Result<(LogId, CapStep), DecodeError> {
    let (log, to) = (LogId::from_bytes(r.array()?), Stamp(r.u64()?));
    Ok((log, CapStep { cap: Stamp(r.u64()?), to }))
}

pub(super) fn write_prefix_cap((log, prefix): &(LogId, PrefixCap), w: &mut Writer) {
    w.bytes(log.as_bytes()).u64(prefix.seq.0).bytes(prefix.chain.as_bytes()).u64(prefix.cap.0);
}

pub(super) fn read_prefix_cap(r: &mut Reader<'_>) -> Result<(LogId, PrefixCap), DecodeError> {
    let (log, seq, chain) = (LogId::from_bytes(r.array()?), Seq(r.u64()?), Chain::from_bytes(r.array()?));
    Ok((log, PrefixCap { seq, chain, cap: Stamp(r.u64()?) }))
}

/// One or more items, ascending.
fn read<T: Ord>(
    extensions: &Extensions,
    tag: u8,
    what: &'static str,
    item: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let Some(bytes) = extensions.get(tag) else { return Ok(Vec::new()) };
    let mut r = Reader::new(bytes);
    let mut items = vec![item(&mut r)?];
    while r.left() > 0 {
        if items.len() == CAPS_PER_CERTIFICATE_MAX {
            let limit = CAPS_PER_CERTIFICATE_MAX as u64;
            return Err(DecodeError::TooLarge { what, announced: limit + 1, limit });
        }
        items.push(item(&mut r)?);
    }
    if items.is_sorted_by(|a, b| a < b) { Ok(items) } else { Err(DecodeError::NotCanonical { what }) }
}

/// Items of which each log has one.
fn of_each_log<T>(items: Vec<(LogId, T)>, what: &'static str) -> Result<Vec<(LogId, T)>, DecodeError> {
    if items.is_sorted_by(|a, b| a.0 < b.0) { Ok(items) } else { Err(DecodeError::NotCanonical { what }) }
}

/// Extensions of a certificate; the numbers never change their meaning.
const CAPS: u8 = 1;
const BASES: u8 = 2;
const PREFIX_CAPS: u8 = 3;
/// Whether bases in certificates count.
const BASES_COUNT: bool = cfg!(any(test, feature = "testing"));

#[cfg(test)]
mod tests {
    use super::*;

    fn log(byte: u8) -> LogId {
        LogId::from_bytes([byte; 16])
    }

    #[test]
    fn claims_come_back_and_ascend() {
        let step = |to, cap| CapStep { cap: Stamp(cap), to: Stamp(to) };
        let caps_of = [(log(1), step(9, 7)), (log(2), CapStep::of_all(CapStep::ALL))];
        let with = with_caps(Extensions::new(), &caps_of).unwrap();
        assert_eq!(caps(&with), Ok(caps_of.to_vec()));
        assert_eq!(bases(&with), Ok(vec![]));
        let base = Base { seq: Seq(9), chain: Chain::from_bytes([3; 32]) };
        let with = with_bases(with, &[(log(3), base)]);
        assert_eq!(bases(&with), Ok(vec![(log(3), base)]));
        assert_eq!(check(&with), Ok(()));
        let unsorted = DecodeError::NotCanonical { what: "caps" };
        assert_eq!(with_caps(Extensions::new(), &[caps_of[1], caps_of[0]]), Err(unsorted));
        assert_eq!(with_caps(Extensions::new(), &[caps_of[0], caps_of[0]]), Err(unsorted));
        let empty = Extensions::new().with(CAPS, vec![]).unwrap();
        assert_eq!(check(&empty), Err(DecodeError::Truncated { needed: 16, left: 0 }));
        let up_to = |seq, chain, cap| PrefixCap {
            seq: Seq(seq),
            chain: Chain::from_bytes([chain; 32]),
            cap: Stamp(cap),
        };
        let prefixes = [(log(1), up_to(7, 1, 9)), (log(1), up_to(7, 2, 3)), (log(2), up_to(0, 0, 0))];
        let with = with_prefix_caps(Extensions::new(), &prefixes).unwrap();
        assert_eq!((prefix_caps(&with), caps(&with)), (Ok(prefixes.to_vec()), Ok(vec![])));
        let unsorted = DecodeError::NotCanonical { what: "prefix caps" };
        assert_eq!(with_prefix_caps(Extensions::new(), &[prefixes[1], prefixes[0]]), Err(unsorted));
        let too_many: Vec<_> =
            (0..=CAPS_PER_CERTIFICATE_MAX as u64).map(|seq| (log(1), up_to(seq, 0, 0))).collect();
        assert!(with_prefix_caps(Extensions::new(), &too_many[1..]).is_ok());
        let refused = with_prefix_caps(Extensions::new(), &too_many);
        assert!(matches!(refused, Err(DecodeError::TooLarge { announced: 513, limit: 512, .. })));
        let cut = Extensions::new().with(BASES, vec![0; 57]).unwrap();
        assert_eq!(check(&cut), Err(DecodeError::Truncated { needed: 16, left: 1 }));
    }
}
