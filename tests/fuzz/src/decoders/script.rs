//! What a machine is to meet, read off an input: a byte for each choice, zeros once it is used up.

use bytes::Bytes;
use subrosa_protocol::ids::{Base, Chain, Epoch, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment};

/// See the module. Things are few and their numbers small, so that what comes later meets what came before.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of so many.
    pub(super) fn below(&mut self, count: u8) -> u8 {
        self.u8() % count
    }

    pub(super) fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Small numbers mostly, and the largest one.
    pub(super) fn number(&mut self) -> u64 {
        match self.u8() {
            0xff => u64::MAX,
            0xfe => u64::MAX - 1,
            other => other.into(),
        }
    }

    /// Bytes with their length, of two bytes, before them; as many as there are.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.u8()) << 8 | usize::from(self.u8());
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// So many things of a kind, of at most `count`.
    pub(super) fn some<T>(&mut self, count: u8, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(count + 1)).map(|_| one(self)).collect()
    }

    pub(super) fn vault(&mut self) -> VaultId {
        vault(self.below(3))
    }

    /// The key of a log, which is on no curve: nobody here checks what it signs.
    pub(super) fn public(&mut self) -> PublicKeyBytes {
        public(self.below(4))
    }

    pub(super) fn log(&mut self) -> LogId {
        LogId::of(&self.public())
    }

    pub(super) fn seq(&mut self) -> Seq {
        Seq(self.number())
    }

    pub(super) fn base(&mut self) -> Base {
        if self.below(4) > 0 {
            return Base::WHOLE;
        }
        Base { seq: Seq(1 + u64::from(self.u8())), chain: Chain::from_bytes([self.below(3); 32]) }
    }

    /// A segment that parses and that nobody signed.
    pub(super) fn segment(&mut self) -> SealedSegment {
        let log = self.log();
        self.segment_of(log)
    }

    pub(super) fn segment_of(&mut self, log: LogId) -> SealedSegment {
        let seq = Seq(u64::from(self.u8()));
        let kind = [Kind::DATA, Kind::CONTROL, Kind::CARRIED, Kind::CLOSING][usize::from(self.below(4))];
        let body = 16 + usize::from(self.below(4)) * 600;
        let prev = if seq == Seq(0) { Chain::ZERO } else { Chain::from_bytes([self.below(3); 32]) };
        let header = Header {
            kind,
            place: GroupPlace::Whole,
            log,
            seq,
            epoch: Epoch(u32::from(self.below(3))),
            prev,
            salt: [0; 16],
            commit: [0; 32],
            body_len: body as u32,
        };
        let assembled = SealedSegment::assemble(header, &vec![0; body], &Signature::ZERO);
        SealedSegment::parse(Bytes::clone(assembled.bytes())).expect("a shape that there is")
    }
}

pub(super) const fn vault(number: u8) -> VaultId {
    VaultId::from_bytes([number + 1; 32])
}

pub(super) const fn public(number: u8) -> PublicKeyBytes {
    PublicKeyBytes::from_bytes([number + 1; PublicKeyBytes::LEN])
}
