//! What a certificate says about logs in its extensions (`docs/FORMAT.md`, "Control entries").

use subrosa_protocol::codec::{DecodeError, Extensions, Reader, Writer};
use subrosa_protocol::ids::{Base, Chain, LogId, Seq};

/// Checks the shape of those extensions of a certificate that this version knows.
pub(super) fn check(extensions: &Extensions) -> Result<(), DecodeError> {
    caps(extensions)?;
    if BASES_COUNT {
        bases(extensions)?;
    }
    Ok(())
}

/// The caps that a certificate sets on stamps of its author's data logs, by ascending log.
///
/// # Errors
/// [`DecodeError`]; never of a decoded certificate.
pub fn caps(extensions: &Extensions) -> Result<Vec<(LogId, u64)>, DecodeError> {
    read(extensions, CAPS, "caps", |r| Ok((LogId::from_bytes(r.array()?), r.u64()?)))
}

/// A certificate's extensions with caps.
///
/// # Errors
/// [`DecodeError`] if they do not fit, or do not ascend.
pub fn with_caps(extensions: Extensions, caps: &[(LogId, u64)]) -> Result<Extensions, DecodeError> {
    let mut w = Writer::new();
    for (log, cap) in caps {
        w.bytes(log.as_bytes()).u64(*cap);
    }
    let extensions = extensions.with(CAPS, w.finish())?;
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
    read(extensions, BASES, "bases", |r| {
        let log = LogId::from_bytes(r.array()?);
        Ok((log, Base { seq: Seq(r.u64()?), chain: Chain::from_bytes(r.array()?) }))
    })
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

/// One or more items, by ascending log.
fn read<T>(
    extensions: &Extensions,
    tag: u8,
    what: &'static str,
    item: impl Fn(&mut Reader<'_>) -> Result<(LogId, T), DecodeError>,
) -> Result<Vec<(LogId, T)>, DecodeError> {
    let Some(bytes) = extensions.get(tag) else { return Ok(Vec::new()) };
    let mut r = Reader::new(bytes);
    let mut items = vec![item(&mut r)?];
    while r.left() > 0 {
        items.push(item(&mut r)?);
    }
    if items.is_sorted_by(|a, b| a.0 < b.0) { Ok(items) } else { Err(DecodeError::NotCanonical { what }) }
}

/// Extensions of a certificate; the numbers never change their meaning.
const CAPS: u8 = 1;
const BASES: u8 = 2;
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
        let caps_of = [(log(1), 7), (log(2), u64::MAX)];
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
        let cut = Extensions::new().with(BASES, vec![0; 57]).unwrap();
        assert_eq!(check(&cut), Err(DecodeError::Truncated { needed: 16, left: 1 }));
    }
}
