//! The messages of a pairing, what binds them together, and the code (`docs/PROTOCOL.md`, "Pairing").

use std::fmt;

use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::labels;
use subrosa_protocol::limits::{PAIR_VAULTS_MAX, RENDEZVOUS_MESSAGE_BYTES_MAX, RENDEZVOUS_MESSAGES_MAX};
use subtle::ConstantTimeEq;

use super::{AbortReason, PairError, PairLink};
use crate::control::{DeviceName, SignedPrekey, read_list, read_public};
use crate::keys::{PublicKey, kdf};

/// One message: `tag u8 | fields`, at most 4,096 bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// New to old, first.
    Commit { commitment: [u8; 32], mac: [u8; 32] },
    /// Old to new: its half, in the open.
    Reveal { reveal: Reveal, mac: [u8; 32] },
    /// New to old: what it had committed to.
    Open { opening: Box<Opening>, proof: [u8; 64], mac: [u8; 32] },
    /// Old to new: a piece of the sealed bundle.
    Piece { index: u8, count: u8, bytes: Vec<u8> },
    /// New to old: the bundle is stored.
    Done { mac: [u8; 32] },
    /// Either way: over.
    Abort(AbortReason),
}

/// The old device's half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reveal {
    /// The key whose hash is in the link.
    pub(super) ephemeral: PublicKey,
    /// Random.
    pub(super) nonce: [u8; 32],
    /// The old device.
    pub(super) device: PublicKey,
    /// The user's vaults, the home vault first; at least one.
    pub(super) vaults: Vec<VaultId>,
}

/// The new device's half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// What the bundle is sealed to.
    pub(super) ephemeral: PublicKey,
    /// Random; hides the rest until it is opened.
    pub(super) nonce: [u8; 32],
    /// The new device.
    pub(super) device: PublicKey,
    /// Its first prekey.
    pub(super) prekey: SignedPrekey,
    /// Its name.
    pub(super) name: DeviceName,
}

/// All that both sides said: link hash, commitment, both halves. Nothing in it that anybody could choose after
/// seeing the other half; signatures and MACs stay outside.
pub(super) struct Transcript(Vec<u8>);

/// Six digits that both devices show. Equal codes mean that nobody swapped keys in between (one guess in a
/// million).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairCode(u32);

impl PairCode {
    /// Reads what a user typed: six digits, with spaces or hyphens anywhere.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let code = digits
            .by_ref()
            .take(6)
            .try_fold((0, 0), |(code, count), digit| Some((code * 10 + digit.to_digit(10)?, count + 1)))?;
        (code.1 == 6 && digits.next().is_none()).then_some(Self(code.0))
    }

    /// Whether a typed text is this code.
    pub(super) fn matches(self, typed: &str) -> bool {
        Self::parse(typed).is_some_and(|typed| typed.0.ct_eq(&self.0).into())
    }
}

impl fmt::Display for PairCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl Message {
    /// The bytes to send.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        match self {
            Self::Commit { commitment, mac } => {
                w.u8(COMMIT).u8(VERSION).bytes(commitment).bytes(mac);
            }
            Self::Reveal { reveal, mac } => {
                w.u8(REVEAL);
                reveal.write(&mut w);
                w.bytes(mac);
            }
            Self::Open { opening, proof, mac } => {
                w.u8(OPEN);
                opening.write(&mut w);
                w.bytes(proof).bytes(mac);
            }
            Self::Piece { index, count, bytes } => {
                w.u8(PIECE).u8(*index).u8(*count).bytes(bytes);
            }
            Self::Done { mac } => {
                w.u8(DONE).bytes(mac);
            }
            Self::Abort(reason) => {
                w.u8(ABORT).u8(reason.to_wire());
            }
        }
        w.finish()
    }

    /// Reads a message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > RENDEZVOUS_MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                what: "message",
                announced: bytes.len() as u64,
                limit: RENDEZVOUS_MESSAGE_BYTES_MAX as u64,
            });
        }
        let mut r = Reader::new(bytes);
        let message = match r.u8()? {
            COMMIT => match r.u8()? {
                VERSION => Self::Commit { commitment: r.array()?, mac: r.array()? },
                other => {
                    return Err(DecodeError::Unknown { what: "pairing version", value: u64::from(other) });
                }
            },
            REVEAL => Self::Reveal { reveal: Reveal::read(&mut r)?, mac: r.array()? },
            OPEN => {
                Self::Open { opening: Box::new(Opening::read(&mut r)?), proof: r.array()?, mac: r.array()? }
            }
            PIECE => {
                let (index, count) = (r.u8()?, r.u8()?);
                if index >= count || usize::from(count) > PIECES_MAX || r.left() == 0 {
                    return Err(DecodeError::Invalid { what: "piece" });
                }
                Self::Piece { index, count, bytes: r.bytes(r.left())?.to_vec() }
            }
            DONE => Self::Done { mac: r.array()? },
            ABORT => Self::Abort(AbortReason::from_wire(r.u8()?)),
            other => {
                return Err(DecodeError::Unknown { what: "pairing message", value: u64::from(other) });
            }
        };
        r.finish()?;
        Ok(message)
    }
}

impl Reveal {
    fn write(&self, w: &mut Writer) {
        w.bytes(self.ephemeral.as_bytes()).bytes(&self.nonce).bytes(self.device.as_bytes());
        w.count(self.vaults.len());
        for vault in &self.vaults {
            w.bytes(vault.as_bytes());
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let reveal = Self {
            ephemeral: read_public(r)?,
            nonce: r.array()?,
            device: read_public(r)?,
            vaults: read_list(r, "vaults", PAIR_VAULTS_MAX, VaultId::LEN, |r| {
                r.array().map(VaultId::from_bytes)
            })?,
        };
        if reveal.vaults.is_empty() { Err(DecodeError::Invalid { what: "vaults" }) } else { Ok(reveal) }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }
}

impl Opening {
    fn write(&self, w: &mut Writer) {
        w.bytes(self.ephemeral.as_bytes()).bytes(&self.nonce).bytes(self.device.as_bytes());
        self.prekey.write(w);
        self.name.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ephemeral: read_public(r)?,
            nonce: r.array()?,
            device: read_public(r)?,
            prekey: SignedPrekey::read(r)?.ok_or(DecodeError::Invalid { what: "suite of a prekey" })?,
            name: DeviceName::read(r)?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    /// What the new device commits to before it has seen anything of the old one.
    pub(super) fn commitment(&self, link: &PairLink) -> [u8; 32] {
        labels::hash(labels::PAIR_COMMIT, &[&link.hash(), &self.encode()])
    }
}

impl Transcript {
    pub(super) fn new(link: &PairLink, commitment: &[u8; 32], reveal: &Reveal, opening: &Opening) -> Self {
        Self([&link.hash()[..], commitment, &reveal.encode(), &opening.encode()].concat())
    }

    /// What both devices show.
    pub(super) fn code(&self) -> PairCode {
        let hash = labels::hash(labels::PAIR_CODE, &[&self.0]);
        PairCode(hash.iter().fold(0, |code, byte| (code * 256 + u32::from(*byte)) % 1_000_000))
    }

    /// What the new device signs to prove that it holds its key.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the bundle is bound to.
    pub(super) fn hash(&self) -> [u8; 32] {
        labels::hash(labels::PAIR_TRANSCRIPT, &[&self.0])
    }
}

/// The MACs of the four messages that have one: `HMAC-SHA256(secret, label | tag | context | 01)`.
impl PairLink {
    pub(super) fn commit_mac(&self, commitment: &[u8; 32]) -> [u8; 32] {
        self.mac(COMMIT, &[&self.hash(), commitment])
    }

    pub(super) fn reveal_mac(&self, commitment: &[u8; 32], reveal: &Reveal) -> [u8; 32] {
        self.mac(REVEAL, &[&self.hash(), commitment, &reveal.encode()])
    }

    pub(super) fn open_mac(&self, transcript: &Transcript, proof: &[u8; 64]) -> [u8; 32] {
        self.mac(OPEN, &[transcript.as_bytes(), proof])
    }

    pub(super) fn done_mac(&self, transcript_hash: &[u8; 32]) -> [u8; 32] {
        self.mac(DONE, &[transcript_hash])
    }

    fn mac(&self, tag: u8, parts: &[&[u8]]) -> [u8; 32] {
        let tag = [tag];
        let info: Vec<&[u8]> = [labels::PAIR_MAC, &tag].into_iter().chain(parts.iter().copied()).collect();
        *kdf::expand(self.secret(), &info)
    }
}

/// Compares in constant time.
pub(super) fn check_mac(expected: &[u8; 32], mac: &[u8; 32]) -> Result<(), PairError> {
    if bool::from(expected.ct_eq(mac)) { Ok(()) } else { Err(PairError::NotAuthentic) }
}

/// Cuts a sealed bundle into messages.
pub(super) fn pieces(sealed: &[u8]) -> Vec<Message> {
    let count = sealed.len().div_ceil(PIECE_BYTES_MAX);
    let count = u8::try_from(count).expect("a bundle is checked to fit before it is sealed");
    let pieces = sealed.chunks(PIECE_BYTES_MAX).zip(0u8..);
    pieces.map(|(bytes, index)| Message::Piece { index, count, bytes: bytes.to_vec() }).collect()
}

const VERSION: u8 = 2;
const COMMIT: u8 = 1;
const REVEAL: u8 = 2;
const OPEN: u8 = 3;
const PIECE: u8 = 4;
const DONE: u8 = 5;
const ABORT: u8 = 6;

/// One of the old device's messages is REVEAL.
const PIECES_MAX: usize = RENDEZVOUS_MESSAGES_MAX - 1;
const PIECE_BYTES_MAX: usize = RENDEZVOUS_MESSAGE_BYTES_MAX - 3;
/// The largest sealed bundle.
pub(super) const SEALED_BYTES_MAX: usize = PIECES_MAX * PIECE_BYTES_MAX;

#[cfg(test)]
mod tests;
