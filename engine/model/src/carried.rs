//! What carried and closing segments say (`docs/FORMAT.md`, "Carried and closing segments").
//!
//! A carried segment has a segment of another data log inside, byte for byte. What is inside is believed no more than if a
//! relay had sent it: its own signature is checked, under the key that stands before it, and where it belongs is a question
//! of its own log.

use bytes::Bytes;
use subrosa_protocol::codec::{DecodeError, Extensions, Reader, Writer};
use subrosa_protocol::ids::{Epoch, LogId, PublicKeyBytes, VaultId};
use subrosa_protocol::limits::CARRIED_DEPTH_MAX;
use subrosa_protocol::segment::{Class, Kind, SealedSegment, VerifiedSegment};

use crate::keys::secret::EpochKey;
use crate::seal::{OpenError, open};

/// A segment of another data log, as a carried segment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    public: PublicKeyBytes,
    segment: SealedSegment,
}

/// What a closing segment says: so far nothing, with room for more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// What newer versions add.
    pub extensions: Extensions,
}

/// Why what is carried cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarriedError {
    /// The key of a segment's epoch is not here.
    #[error("no key of that epoch")]
    NoKey,
    /// A segment on the way stays shut.
    #[error(transparent)]
    Shut(#[from] OpenError),
    /// What it has inside is no segment of a data log.
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    /// The log's key did not sign what is inside.
    #[error("the signature of what is carried does not hold")]
    BadSignature,
    /// Carried deeper than anybody reads.
    #[error("carried too deep")]
    TooDeep,
}

impl Carried {
    /// Takes a segment along; `None` for one of a control log, whose entries are repeated instead.
    pub fn of(verified: &VerifiedSegment) -> Option<Self> {
        let segment = verified.segment().clone();
        (segment.header().kind.class() == Class::Data).then(|| Self { public: *verified.public(), segment })
    }

    /// `log public[65] | segment`.
    pub fn encode(&self) -> Vec<u8> {
        [&self.public.as_bytes()[..], self.segment.bytes()].concat()
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// A [`DecodeError`]: no segment, one of a control log, or of another log than the key's.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        let public = PublicKeyBytes::from_bytes(reader.array()?);
        let segment = SealedSegment::parse(Bytes::copy_from_slice(reader.bytes(reader.left())?))?;
        let header = segment.header();
        if header.kind.class() != Class::Data {
            return Err(DecodeError::Invalid { what: "class of a carried segment" });
        }
        if header.log != LogId::of(&public) {
            return Err(DecodeError::Invalid { what: "log of a carried segment" });
        }
        Ok(Self { public, segment })
    }

    /// Checks the signature of what is inside.
    ///
    /// # Errors
    /// [`CarriedError::BadSignature`].
    pub fn check(self, vault: &VaultId) -> Result<VerifiedSegment, CarriedError> {
        VerifiedSegment::check(vault, self.public, self.segment).map_err(|_| CarriedError::BadSignature)
    }
}

impl Closing {
    /// The data of a closing segment.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.extensions.write(&mut writer);
        writer.finish()
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// A [`DecodeError`].
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { extensions: Extensions::read(Reader::new(data))? })
    }
}

/// The segment that is inside of a carried one, or inside of what that carries, and so on: the first that is of another
/// kind, at most [`CARRIED_DEPTH_MAX`] segments deep.
///
/// # Errors
/// [`CarriedError`].
pub fn innermost<'k>(
    carried: &VerifiedSegment,
    key: impl Fn(Epoch) -> Option<&'k EpochKey>,
) -> Result<VerifiedSegment, CarriedError> {
    let mut found = carried.clone();
    let mut depth = 0;
    while found.segment().header().kind == Kind::CARRIED {
        if depth == CARRIED_DEPTH_MAX {
            return Err(CarriedError::TooDeep);
        }
        depth += 1;
        let key = key(found.segment().header().epoch).ok_or(CarriedError::NoKey)?;
        let opened = open(found.vault(), found.segment(), key)?;
        found = Carried::decode(&opened.data)?.check(found.vault())?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::ids::{Chain, Seq, Signature};
    use subrosa_protocol::limits::{SEGMENT_BYTES_MAX, SEGMENT_OWN_BYTES_MAX};
    use subrosa_protocol::segment::{GroupPlace, data_within};

    use super::*;
    use crate::entropy::{Entropy, SeededEntropy};
    use crate::keys::KeyPair;
    use crate::keys::secret::{ControlKey, SegmentKey};
    use crate::seal::{Packed, Place, seal};

    const VAULT: VaultId = VaultId::from_bytes([1; 32]);

    struct World {
        entropy: SeededEntropy,
        log: KeyPair,
        key: EpochKey,
    }

    impl World {
        fn new() -> Self {
            let entropy = SeededEntropy::dangerous_from_seed(7);
            Self { log: KeyPair::generate(&entropy), key: EpochKey::generate(&entropy), entropy }
        }

        fn seal(&self, kind: Kind, data: &[u8]) -> VerifiedSegment {
            let public = self.log.public().into();
            let (log, group) = (LogId::of(&public), GroupPlace::Whole);
            let (seq, prev, epoch) = (Seq(0), Chain::ZERO, Epoch(0));
            let place = Place { group, vault: VAULT, prev, kind, log, seq, epoch };
            let control = ControlKey::read(&mut Reader::new(&[3; 32])).unwrap();
            let key = match kind.class() {
                Class::Data => SegmentKey::Data(&self.key),
                Class::Control => SegmentKey::Control(&control),
            };
            let sign = |label: &[u8], payload: &[u8]| Signature::from_bytes(self.log.sign(label, payload));
            let (segment, _) = seal(&place, &Packed::of(data), key, &self.entropy, sign);
            VerifiedSegment::check(&VAULT, public, segment).unwrap()
        }

        fn carry(&self, segment: &VerifiedSegment) -> VerifiedSegment {
            self.seal(Kind::CARRIED, &Carried::of(segment).unwrap().encode())
        }

        fn innermost(&self, segment: &VerifiedSegment) -> Result<SealedSegment, CarriedError> {
            innermost(segment, |_| Some(&self.key)).map(VerifiedSegment::into_segment)
        }
    }

    #[test]
    fn the_largest_segment_of_ones_own_is_carried_eight_deep_and_read_again() {
        let world = World::new();
        let mut noise = vec![0; data_within(SEGMENT_OWN_BYTES_MAX)];
        world.entropy.fill(&mut noise);
        let own = world.seal(Kind::DATA, &noise);
        let mut carried = own.clone();
        for depth in 1..=CARRIED_DEPTH_MAX {
            carried = world.carry(&carried);
            assert!(carried.segment().bytes().len() <= SEGMENT_BYTES_MAX, "{depth}");
            assert_eq!(world.innermost(&carried).as_ref(), Ok(own.segment()), "{depth}");
        }
        let small = world.seal(Kind::CLOSING, b"");
        let deepest = (0..CARRIED_DEPTH_MAX).fold(small.clone(), |segment, _| world.carry(&segment));
        assert_eq!(world.innermost(&deepest).as_ref(), Ok(small.segment()));
        assert_eq!(world.innermost(&world.carry(&deepest)), Err(CarriedError::TooDeep));
    }

    #[test]
    fn what_is_no_segment_of_a_data_log_under_its_key_is_not_carried() {
        let world = World::new();
        let inside = world.seal(Kind::DATA, b"inside");
        let good = Carried::of(&inside).unwrap().encode();
        assert_eq!(Carried::decode(&good).unwrap().encode(), good);
        assert_eq!(Carried::of(&world.seal(Kind::CONTROL, b"")), None);
        let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            edit(&mut bytes);
            world.innermost(&world.seal(Kind::CARRIED, &bytes)).err()
        };
        let invalid = |what| Some(CarriedError::Undecodable(DecodeError::Invalid { what }));
        assert_eq!(edited(&|_| {}), None);
        let other = world.seal(Kind::CONTROL, b"");
        let control = [&other.public().as_bytes()[..], other.segment().bytes()].concat();
        assert_eq!(edited(&|b| b.clone_from(&control)), invalid("class of a carried segment"));
        assert_eq!(edited(&|b| b[64] ^= 1), invalid("log of a carried segment"));
        assert_eq!(edited(&|b| *b.last_mut().unwrap() ^= 1), Some(CarriedError::BadSignature));
        assert!(matches!(edited(&|b| b.push(0)), Some(CarriedError::Undecodable(_))));
        assert!(matches!(edited(&|b| b.truncate(64)), Some(CarriedError::Undecodable(_))));
        let carried = world.carry(&inside);
        assert_eq!(innermost(&carried, |_| None).err(), Some(CarriedError::NoKey));
        let other = EpochKey::generate(&world.entropy);
        assert_eq!(
            innermost(&carried, |_| Some(&other)).err(),
            Some(CarriedError::Shut(OpenError::OtherKey))
        );
    }

    #[test]
    fn a_closing_segment_has_room_for_what_newer_versions_say() {
        let closing = Closing { extensions: Extensions::new().with(9, vec![1, 2]).unwrap() };
        assert_eq!(Closing::default().encode(), b"");
        assert_eq!(closing.encode(), b"\x09\0\x02\x01\x02");
        assert_eq!(Closing::decode(&closing.encode()), Ok(closing));
        assert!(Closing::decode(b"\x09\0\x02\x01").is_err());
        assert!(Closing::decode(b"\x09\0\0\x09\0\0").is_err());
    }
}
