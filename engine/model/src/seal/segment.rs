//! Sealing and opening of segment bodies (`docs/FORMAT.md`, "Segment").
//!
//! A segment's key is used for exactly one body: it is expanded from the epoch's (or control) key and a hash of
//! the whole header, random salt included. The commitment beside it is compared before anything is decrypted,
//! because AES-GCM does not commit to its key.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use subrosa_protocol::ids::{Chain, Epoch, LogId, Seq, Signature, VaultId};
use subrosa_protocol::segment::{
    ChainPreimage, GroupPlace, Header, Kind, PLAIN_PREFIX_LEN, SealedSegment, TAG_LEN, padded_len,
};
use subrosa_protocol::{labels, limits};
use subtle::ConstantTimeEq as _;

use super::packed::Packed;
use crate::entropy::Entropy;
use crate::keys::secret::SegmentKey;
use crate::scratch::with_kept;
use crate::wiped::Wiped;

/// Flag of a body whose data is compressed with zstd.
pub(super) const FLAG_ZSTD: u8 = 1;
/// zstd level: the fastest standard one; sealing must not dominate a write.
const ZSTD_LEVEL: i32 = 1;

/// Why a body stayed shut, although the segment's signature held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed under another key: one that has not reached this device, or one of two that claim the same epoch.
    #[error("sealed under another key of that epoch")]
    OtherKey,
    /// The commitment holds but the body does not authenticate: its author sealed it wrongly.
    #[error("body does not authenticate")]
    NotAuthentic,
    /// Flags, padding or length are not as specified.
    #[error("body is malformed")]
    Malformed,
    /// The body decompresses to more than the limit, or not at all.
    #[error("body does not decompress within the limit")]
    Compression,
    /// Its plaintext has more bytes than were asked for.
    #[error("body has more plaintext than there is room for")]
    OverLimit,
}

/// What goes into a segment besides its data.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where in its group it stands.
    pub group: GroupPlace,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The chain that it builds on; zeros for the first segment of a log.
    pub prev: Chain,
    /// What it holds.
    pub kind: Kind,
    /// The log that it continues.
    pub log: LogId,
    /// Its place in the log.
    pub seq: Seq,
    /// The epoch of the key that seals it.
    pub epoch: Epoch,
}

/// An opened body. Only [`open`] makes one.
pub struct OpenedBody {
    /// The plaintext, without frame and padding.
    pub data: Wiped,
}

/// Seals `data` and signs the chain with `sign` (over label and payload). Returns the segment and its chain.
///
/// # Panics
/// When the key is of another class than the segment: those who may read it could not, and others could.
pub fn seal(
    place: &Place,
    data: &Packed,
    key: SegmentKey<'_>,
    entropy: &dyn Entropy,
    sign: impl FnOnce(&[u8], &[u8]) -> Signature,
) -> (SealedSegment, Chain) {
    assert_eq!(
        key.class(),
        place.kind.class(),
        "a control key seals control segments, an epoch key the others"
    );
    let mut body = plaintext(data);
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let mut header = Header {
        kind: place.kind,
        place: place.group,
        log: place.log,
        seq: place.seq,
        epoch: place.epoch,
        prev: place.prev,
        salt,
        commit: [0; 32],
        body_len: u32::try_from(body.len() + TAG_LEN).expect("a body is limited to a few MiB"),
    };
    let hdr = header.hash(&place.vault);
    let okm = key.expand(&hdr);
    header.commit.copy_from_slice(&okm[32..]);
    body_key(&okm)
        .seal_in_place_append_tag(zero_nonce(), Aad::from(&hdr), &mut *body)
        .expect("a body is far shorter than what GCM can seal");
    let preimage = ChainPreimage::new(&hdr, &header.commit, &body);
    let signature = sign(labels::CHAIN, preimage.as_bytes());
    (SealedSegment::assemble(header, &body, &signature), preimage.chain())
}

/// Opens a segment. Its signature must have been verified before.
///
/// # Errors
/// [`OpenError`].
pub fn open<'k>(
    vault: &VaultId,
    segment: &SealedSegment,
    key: impl Into<SegmentKey<'k>>,
) -> Result<OpenedBody, OpenError> {
    open_within(vault, segment, key, limits::SEGMENT_PLAIN_MAX)
}

/// As [`open`], unless the plaintext has more than `plain_max` bytes, which is found out before it is inflated.
///
/// # Errors
/// [`OpenError`].
pub fn open_within<'k>(
    vault: &VaultId,
    segment: &SealedSegment,
    key: impl Into<SegmentKey<'k>>,
    plain_max: usize,
) -> Result<OpenedBody, OpenError> {
    let (header, key) = (segment.header(), key.into());
    // A member who seals under the key of the other class opens it to the wrong readers.
    if key.class() != header.kind.class() {
        return Err(OpenError::OtherKey);
    }
    let hdr = header.hash(vault);
    let okm = key.expand(&hdr);
    if !bool::from(okm[32..].ct_eq(&header.commit)) {
        return Err(OpenError::OtherKey);
    }
    let mut body = Wiped::new(segment.body().to_vec());
    let len = body_key(&okm)
        .open_in_place(zero_nonce(), Aad::from(&hdr), &mut body)
        .map(|plaintext| plaintext.len())
        .map_err(|_| OpenError::NotAuthentic)?;
    body.truncate(len);
    unpack(body, plain_max)
}

fn plaintext(data: &Packed) -> Wiped {
    let (data, flags) = data.parts();
    let padded = padded_len(PLAIN_PREFIX_LEN + data.len());
    let mut body = Wiped::new(Vec::with_capacity(padded + TAG_LEN));
    body.push(flags);
    body.extend_from_slice(&u32::try_from(data.len()).expect("a body is limited to a few MiB").to_be_bytes());
    body.extend_from_slice(data);
    body.resize(padded, 0);
    body
}

/// Compresses when that saves at least 10 % of what padding would leave visible.
pub(super) fn compress(data: &[u8]) -> Option<Wiped> {
    if data.len() + PLAIN_PREFIX_LEN <= limits::SEGMENT_PAD_MIN {
        return None;
    }
    thread_local! {
        static COMPRESSOR: std::cell::RefCell<Option<zstd::bulk::Compressor<'static>>> =
            const { std::cell::RefCell::new(None) };
    }
    with_kept(&COMPRESSOR, |slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        let compressed = Wiped::new(slot.as_mut()?.compress(data).ok()?);
        (compressed.len() <= data.len() - data.len() / 10).then_some(compressed)
    })
}

pub(super) fn unpack(body: Wiped, plain_max: usize) -> Result<OpenedBody, OpenError> {
    let (&[flags, l0, l1, l2, l3], rest) =
        body.split_first_chunk::<PLAIN_PREFIX_LEN>().ok_or(OpenError::Malformed)?;
    let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    let (data, padding) = rest.split_at_checked(len).ok_or(OpenError::Malformed)?;
    if flags & !FLAG_ZSTD != 0
        || body.len() != padded_len(PLAIN_PREFIX_LEN + len)
        || padding.iter().any(|&byte| byte != 0)
    {
        return Err(OpenError::Malformed);
    }
    let data = if flags & FLAG_ZSTD != 0 {
        decompress_within(data, plain_max)?
    } else if len > plain_max {
        return Err(OpenError::OverLimit);
    } else {
        let mut body = body;
        body.copy_within(PLAIN_PREFIX_LEN..PLAIN_PREFIX_LEN + len, 0);
        body.truncate(len);
        body
    };
    Ok(OpenedBody { data })
}

/// One zstd frame that names the size of its content, and nothing behind it.
pub(super) fn decompress(data: &[u8]) -> Result<Wiped, OpenError> {
    decompress_within(data, limits::SEGMENT_PLAIN_MAX)
}

fn decompress_within(data: &[u8], plain_max: usize) -> Result<Wiped, OpenError> {
    let size = zstd::zstd_safe::get_frame_content_size(data).ok().flatten().ok_or(OpenError::Compression)?;
    let size = usize::try_from(size).map_err(|_| OpenError::Compression)?;
    if size > limits::SEGMENT_PLAIN_MAX || zstd::zstd_safe::find_frame_compressed_size(data) != Ok(data.len())
    {
        return Err(OpenError::Compression);
    }
    if size > plain_max {
        return Err(OpenError::OverLimit);
    }
    thread_local! {
        static DECOMPRESSOR: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> =
            const { std::cell::RefCell::new(None) };
    }
    with_kept(&DECOMPRESSOR, |slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        let opened = slot.as_mut().ok_or(OpenError::Compression)?.decompress(data, size);
        opened.map(Wiped::new).map_err(|_| OpenError::Compression)
    })
}

fn body_key(okm: &[u8; 64]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &okm[..32]).expect("an AES-256 key has 32 bytes"))
}

/// The nonce may be constant because the key never seals a second body.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use subrosa_protocol::codec::Reader;

    use super::*;
    use crate::keys::secret::{ControlKey, EpochKey};

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    fn place() -> Place {
        Place {
            group: GroupPlace::Whole,
            vault: VaultId::from_bytes([1; 32]),
            prev: Chain::ZERO,
            kind: Kind::DATA,
            log: LogId::from_bytes([2; 16]),
            seq: Seq(3),
            epoch: Epoch(0),
        }
    }

    fn key(n: u8) -> EpochKey {
        EpochKey::read(&mut Reader::new(&[n; 32])).unwrap()
    }

    fn sealed(data: &[u8]) -> SealedSegment {
        seal(&place(), &Packed::of(data), (&key(5)).into(), &Fixed, |_, _| Signature::from_bytes([0; 64])).0
    }

    #[test]
    fn opens_to_what_was_sealed() {
        let text = "rose ".repeat(2000).into_bytes();
        let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for data in [&b""[..], b"x", &noise[..300], &noise, &text] {
            let segment = sealed(data);
            let opened = open(&place().vault, &segment, &key(5)).unwrap();
            assert_eq!(&opened.data[..], data);
        }
        assert!(sealed(&text).bytes().len() < 1000, "repetitive text is compressed");
    }

    #[test]
    fn a_wrong_key_vault_or_header_fails_the_commitment_and_an_altered_body_the_tag() {
        let segment = sealed(b"data");
        let vault = place().vault;
        let open_err = |vault, segment: &SealedSegment, key: &EpochKey| open(vault, segment, key).err();
        assert_eq!(open_err(&vault, &segment, &key(6)), Some(OpenError::OtherKey));
        let control = ControlKey::read(&mut Reader::new(&[5; 32])).unwrap();
        let other_class = open(&vault, &segment, &control).err();
        assert_eq!(other_class, Some(OpenError::OtherKey), "the same bytes as a key of the other class");
        let other = VaultId::from_bytes([9; 32]);
        assert_eq!(open_err(&other, &segment, &key(5)), Some(OpenError::OtherKey));
        let altered = |at: usize, bits: u8| {
            let mut bytes = segment.bytes().to_vec();
            bytes[at] ^= bits;
            SealedSegment::parse(Bytes::from(bytes)).unwrap()
        };
        for (at, what) in [(1, "kind"), (2, "place"), (20, "seq"), (40, "previous chain"), (70, "salt")] {
            let segment = altered(at, 4 >> u8::from(at == 2));
            assert_eq!(open_err(&vault, &segment, &key(5)), Some(OpenError::OtherKey), "{what}");
        }
        assert_eq!(open_err(&vault, &altered(130, 1), &key(5)), Some(OpenError::NotAuthentic));
    }

    #[test]
    #[should_panic(expected = "a control key seals control segments, an epoch key the others")]
    fn nothing_is_sealed_under_a_key_of_the_other_class() {
        let place = Place { kind: Kind::CONTROL, ..place() };
        let sign = |_: &[u8], _: &[u8]| Signature::from_bytes([0; 64]);
        seal(&place, &Packed::of(b""), (&key(5)).into(), &Fixed, sign);
    }

    #[test]
    fn malformed_plaintexts_are_refused() {
        let good = plaintext(&Packed::of(b"data"));
        let bad = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut body = good.to_vec();
            edit(&mut body);
            unpack(Wiped::new(body), limits::SEGMENT_PLAIN_MAX).err()
        };
        assert_eq!(bad(&|_| {}), None);
        assert_eq!(bad(&|b| b[0] |= 2), Some(OpenError::Malformed), "unknown flag");
        assert_eq!(bad(&|b| b[200] = 1), Some(OpenError::Malformed), "padding is not zero");
        assert_eq!(bad(&|b| b.truncate(255)), Some(OpenError::Malformed), "not padded");
        assert_eq!(bad(&|b| b[1] = 0xff), Some(OpenError::Malformed), "length beyond the end");
        assert_eq!(bad(&|b| b.clear()), Some(OpenError::Malformed), "empty");
        assert_eq!(bad(&|b| b[0] |= FLAG_ZSTD), Some(OpenError::Compression), "not zstd");
    }

    #[test]
    fn a_decompression_bomb_is_refused_before_it_is_inflated() {
        let bomb = zstd::bulk::compress(&vec![0; limits::SEGMENT_PLAIN_MAX + 1], 1).unwrap();
        assert_eq!(decompress(&bomb).err(), Some(OpenError::Compression));
    }

    #[test]
    fn a_body_beyond_what_was_asked_for_is_not_inflated() {
        let text = "rose ".repeat(2000).into_bytes();
        for data in [&text[..], &[7; 100]] {
            let segment = sealed(data);
            let within =
                |max| open_within(&place().vault, &segment, &key(5), max).map(|body| body.data.len());
            assert_eq!(within(data.len()), Ok(data.len()));
            assert_eq!(within(data.len() - 1), Err(OpenError::OverLimit));
        }
    }

    #[test]
    fn what_is_not_exactly_one_frame_of_a_known_size_is_refused() {
        let frame = zstd::bulk::compress(&[7; 1000], 1).unwrap();
        assert_eq!(decompress(&frame).unwrap()[..], [7; 1000]);
        assert_eq!(decompress(&[&frame[..], &frame[..]].concat()).err(), Some(OpenError::Compression));
        assert_eq!(decompress(&[&frame[..], b"x"].concat()).err(), Some(OpenError::Compression));
        assert_eq!(decompress(&frame[..frame.len() - 1]).err(), Some(OpenError::Compression));
        let unsized_frame = zstd::stream::encode_all(&[7; 1000][..], 1).unwrap();
        assert_eq!(decompress(&unsized_frame).err(), Some(OpenError::Compression));
    }
}
