//! Frames: `u32 length | u8 tag | payload`, big-endian, the length counting tag and payload
//! (`docs/PROTOCOL.md`, "Frames"). Client and relay frames are two types; a tag belongs to one of them.
//!
//! Control frames of both directions travel on one bidirectional stream that the client opens; feed frames
//! on one unidirectional stream a vault, which the relay opens.

use bytes::Bytes;

pub use self::feed::FeedFrame;
pub use self::heads::{LogKey, SHORT_CHAIN_LEN, ShortHead};
use self::heads::{read_base, read_heads, write_base, write_heads};
pub use self::statements::StatementsPart;
pub use self::tags::TAG_TABLE;
use self::tags::*;
pub(crate) use self::tags::{F_AHEAD, F_SEGMENT};
use crate::codec::{DecodeError, Extensions, Reader, Writer};
use crate::error::{ErrorCode, Refusal};
use crate::ids::{
    Base, Chain, Digest, Generation, Head, Incarnation, LogId, PublicKeyBytes, RendezvousId, Rseq, Seq,
    Signature, VaultId,
};
use crate::limits;
use crate::segment::SealedSegment;
use crate::vouch::Vouch;

mod feed;
mod heads;
mod statements;
mod tags;

/// The one version of this crate.
pub const VERSION: u16 = 2;
/// Who does not know a tag with this bit skips the frame; anywhere but before HELLO, and before FEED START on a feed.
pub const IGNORABLE: u8 = 0x20;
/// ALPN protocol name.
pub const ALPN: &[u8] = b"subrosa/1";

/// What a link proves about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// May subscribe.
    Reader = 0,
    /// May subscribe and push.
    Writer = 1,
}

/// What permits CREATE on a closed relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: an open relay.
    None,
    /// [`crate::token::Invite`] bytes.
    Invite(Vec<u8>),
    /// [`crate::token::Grant`] bytes.
    Grant(Vec<u8>),
}

/// What a relay takes; part of its HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Largest segment in bytes.
    pub segment_bytes_max: u32,
    /// Most vaults on one link.
    pub vaults_max: u16,
}

/// From device to relay, on the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// First frame of a link.
    Hello {
        /// Versions spoken, best first.
        versions: Vec<u16>,
        /// Capability bits; none are defined yet, unknown ones are ignored.
        caps: u64,
        /// None are defined yet, unknown ones are ignored.
        extensions: Extensions,
    },
    /// Proves membership: signature over `exporter[32] | vault | role` under [`crate::labels::AUTH`].
    Auth {
        /// Which vault.
        vault: VaultId,
        /// As what.
        role: Role,
        /// The read or write key of the vault's last statement.
        public: PublicKeyBytes,
        /// The proof.
        signature: Signature,
    },
    /// Creates a vault that AUTH found unknown, of the chain that came before in [`ClientFrame::Statements`].
    Create {
        /// Which vault.
        vault: VaultId,
        /// What permits it.
        credential: Credential,
    },
    /// Extends the statement chain of an authenticated vault.
    Statement {
        /// Which vault.
        vault: VaultId,
        /// The statement, encoded.
        statement: Vec<u8>,
    },
    /// Asks for the vault's statements from a generation on.
    StatementsWant {
        /// Which vault.
        vault: VaultId,
        /// The first one wanted.
        from: Generation,
    },
    /// A part of a vault's chain: all of it before CREATE, or the tail that the relay may lack.
    Statements(StatementsPart),
    /// Asks for the feed of an authenticated vault. `Incarnation::ZERO` and cursor 0 ask from the start.
    Subscribe {
        /// Which vault.
        vault: VaultId,
        /// The relay's incarnation that the cursor belongs to.
        incarnation: Incarnation,
        /// Last rseq received.
        cursor: Rseq,
        /// Digest of the heads at the cursor, as computed by the client.
        digest: Digest,
    },
    /// Introduces a log before its first segment is pushed.
    Log {
        /// Which vault.
        vault: VaultId,
        /// The log's key.
        public: PublicKeyBytes,
        /// Its first segment that is pushed here.
        base: Base,
        /// Who vouches for it.
        vouch: Option<Vouch>,
    },
    /// Segments to append, each log's in order.
    Push {
        /// Which vault.
        vault: VaultId,
        /// At most [`limits::PUSH_SEGMENTS_MAX`].
        segments: Vec<SealedSegment>,
    },
    /// Part of all heads that this device holds; answers the relay's HEADS.
    Heads {
        /// Which vault.
        vault: VaultId,
        /// Nothing follows.
        last: bool,
        /// One for each log, ascending here and over all parts; at most [`limits::HEADS_PART_MAX`].
        heads: Vec<ShortHead>,
    },
    /// Asks for segments `from..=to` of one log again; answered on the feed.
    Want {
        /// Which vault.
        vault: VaultId,
        /// Which log.
        log: LogId,
        /// First segment.
        from: Seq,
        /// Last segment.
        to: Seq,
    },
    /// Asks for [`FeedFrame::Answer`] behind everything that is durable now.
    Ask {
        /// Which vault.
        vault: VaultId,
        /// What the answer names; the client counts up.
        number: u64,
    },
    /// Opens a rendezvous; the link must have authenticated for a vault.
    RendezvousOpen {
        /// Chosen at random by the opener.
        id: RendezvousId,
    },
    /// Joins one; anyone may, at a limited rate.
    RendezvousJoin {
        /// From the pairing link.
        id: RendezvousId,
    },
    /// One message to the other side.
    RendezvousData {
        /// Which rendezvous.
        id: RendezvousId,
        /// At most [`limits::RENDEZVOUS_MESSAGE_BYTES_MAX`] bytes.
        message: Vec<u8>,
    },
}

/// From relay to device, on the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayFrame {
    /// Answers HELLO.
    Hello {
        /// The version chosen.
        version: u16,
        /// This life of the relay's database.
        incarnation: Incarnation,
        /// What it takes.
        limits: RelayLimits,
        /// Its wall clock, Unix milliseconds.
        now_ms: u64,
        /// Capability bits; none are defined yet, unknown ones are ignored.
        caps: u64,
        /// None are defined yet, unknown ones are ignored.
        extensions: Extensions,
    },
    /// Answers AUTH for a known vault, and CREATE.
    Vault {
        /// Which vault.
        vault: VaultId,
        /// Bytes that the vault may hold.
        quota_bytes: u64,
        /// Bytes that it holds.
        used_bytes: u64,
    },
    /// Follows CREATE; members keep it.
    Grant {
        /// [`crate::token::Grant`] bytes.
        grant: Vec<u8>,
    },
    /// Everything listed is durable.
    Ack {
        /// Which vault.
        vault: VaultId,
        /// The last rseq given out to what is listed.
        rseq: Rseq,
        /// Appended, or held already.
        entries: Vec<Head>,
    },
    /// Answers STATEMENTS WANT, in parts.
    Statements(StatementsPart),
    /// Part of the relay's heads: sent when the subscription's incarnation or digest differ.
    Heads {
        /// Which vault.
        vault: VaultId,
        /// Nothing follows.
        last: bool,
        /// One for each log, ascending here and over all parts; at most [`limits::HEADS_PART_MAX`].
        heads: Vec<ShortHead>,
    },
    /// A rendezvous that this link opened was joined, or this link has joined one.
    RendezvousReady {
        /// Which.
        id: RendezvousId,
    },
    /// One message from the other side.
    RendezvousData {
        /// Which rendezvous.
        id: RendezvousId,
        /// The message.
        message: Vec<u8>,
    },
    /// Something was refused.
    Error(Refusal),
}

/// Splits a stream's bytes into frames without the length prefix. Holds at most one frame.
#[derive(Debug)]
pub struct FrameLimit(usize);

impl FrameLimit {
    /// For a peer that has proved nothing yet.
    pub const UNAUTHENTICATED: Self = Self(limits::FRAME_BYTES_MAX_UNAUTHENTICATED);
    /// For a member, and for frames from a pinned relay.
    pub const FULL: Self = Self(limits::FRAME_BYTES_MAX);

    /// Length of the next frame if its prefix is there; `None` asks for more bytes.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`], before anything is allocated; [`DecodeError::Invalid`] for an empty frame.
    pub fn announced(&self, buffered: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(prefix) = buffered.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > self.0 {
            return Err(DecodeError::TooLarge { what: "frame", announced: len as u64, limit: self.0 as u64 });
        }
        if len == 0 {
            return Err(DecodeError::Invalid { what: "frame length" });
        }
        Ok(Some(len))
    }
}

/// Whether this version passes over a frame, given without its length prefix: no frame that it knows has the bit.
#[must_use]
pub fn may_be_ignored(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & IGNORABLE != 0)
}

/// A HELLO comes from a peer that has proved nothing: its extensions bound it no further.
const fn check_hello(frame: &[u8]) -> Result<(), DecodeError> {
    let (announced, limit) = (frame.len() as u64, limits::FRAME_BYTES_MAX_UNAUTHENTICATED as u64);
    if announced > limit { Err(DecodeError::TooLarge { what: "HELLO", announced, limit }) } else { Ok(()) }
}

fn framed(tag: u8, body: impl FnOnce(&mut Writer)) -> Bytes {
    let mut w = Writer::with_capacity(128);
    w.u32(0).u8(tag);
    body(&mut w);
    let mut bytes = w.finish();
    let len = u32::try_from(bytes.len() - 4).expect("frames are far below 4 GiB");
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes.into()
}

impl ClientFrame {
    /// The wire bytes, length prefix included.
    ///
    /// # Panics
    /// If a list is over its limit, which its builder keeps.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hello { versions, caps, extensions } => framed(HELLO, |w| {
                w.count(versions.len());
                for version in versions {
                    w.u16(*version);
                }
                extensions.write(w.u64(*caps));
            }),
            Self::Auth { vault, role, public, signature } => framed(AUTH, |w| {
                w.bytes(vault.as_bytes())
                    .u8(*role as u8)
                    .bytes(public.as_bytes())
                    .bytes(signature.as_bytes());
            }),
            Self::Create { vault, credential } => framed(CREATE, |w| {
                w.bytes(vault.as_bytes());
                match credential {
                    Credential::None => w.u8(0),
                    Credential::Invite(bytes) => w.u8(1).prefixed(bytes),
                    Credential::Grant(bytes) => w.u8(2).prefixed(bytes),
                };
            }),
            Self::Statement { vault, statement } => framed(STATEMENT, |w| {
                w.bytes(vault.as_bytes()).prefixed(statement);
            }),
            Self::StatementsWant { vault, from } => framed(STATEMENTS_WANT, |w| {
                w.bytes(vault.as_bytes()).u64(from.0);
            }),
            Self::Statements(part) => framed(STATEMENTS, |w| part.write(w)),
            Self::Subscribe { vault, incarnation, cursor, digest } => framed(SUBSCRIBE, |w| {
                w.bytes(vault.as_bytes()).bytes(incarnation.as_bytes());
                w.u64(cursor.0).bytes(digest.as_bytes());
            }),
            Self::Log { vault, public, base, vouch } => framed(LOG, |w| {
                write_base(w.bytes(vault.as_bytes()).bytes(public.as_bytes()), base);
                Vouch::write_option(vouch.as_ref(), w);
            }),
            Self::Push { vault, segments } => framed(PUSH, |w| {
                w.bytes(vault.as_bytes()).count(segments.len());
                for segment in segments {
                    w.prefixed(segment.bytes());
                }
            }),
            Self::Heads { vault, last, heads } => framed(HEADS, |w| {
                write_heads(w.bytes(vault.as_bytes()), *last, heads);
            }),
            Self::Want { vault, log, from, to } => framed(WANT, |w| {
                w.bytes(vault.as_bytes()).bytes(log.as_bytes()).u64(from.0).u64(to.0);
            }),
            Self::Ask { vault, number } => framed(ASK, |w| {
                w.bytes(vault.as_bytes()).u64(*number);
            }),
            Self::RendezvousOpen { id } => framed(RENDEZVOUS_OPEN, |w| {
                w.bytes(id.as_bytes());
            }),
            Self::RendezvousJoin { id } => framed(RENDEZVOUS_JOIN, |w| {
                w.bytes(id.as_bytes());
            }),
            Self::RendezvousData { id, message } => framed(RENDEZVOUS_DATA, |w| {
                w.bytes(id.as_bytes()).prefixed(message);
            }),
        }
    }

    /// Reads one frame, length prefix removed. Segments share the frame's memory.
    ///
    /// # Errors
    /// [`DecodeError`]; the link ends.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        let decoded = match r.u8()? {
            HELLO => {
                let count = r.count("versions", limits::VERSIONS_MAX, 2)?;
                let versions = (0..count).map(|_| r.u16()).collect::<Result<_, _>>()?;
                check_hello(frame)?;
                return Ok(Self::Hello { versions, caps: r.u64()?, extensions: Extensions::read(r)? });
            }
            AUTH => Self::Auth {
                vault: VaultId::from_bytes(r.array()?),
                role: match r.u8()? {
                    0 => Role::Reader,
                    1 => Role::Writer,
                    other => return Err(DecodeError::Unknown { what: "role", value: u64::from(other) }),
                },
                public: PublicKeyBytes::from_bytes(r.array()?),
                signature: Signature::from_bytes(r.array()?),
            },
            CREATE => Self::decode_create(&mut r)?,
            STATEMENT => Self::Statement {
                vault: VaultId::from_bytes(r.array()?),
                statement: r.prefixed("statement", limits::STATEMENT_BYTES_MAX)?.to_vec(),
            },
            STATEMENTS_WANT => {
                Self::StatementsWant { vault: VaultId::from_bytes(r.array()?), from: Generation(r.u64()?) }
            }
            STATEMENTS => Self::Statements(StatementsPart::read(&mut r)?),
            SUBSCRIBE => Self::Subscribe {
                vault: VaultId::from_bytes(r.array()?),
                incarnation: Incarnation::from_bytes(r.array()?),
                cursor: Rseq(r.u64()?),
                digest: Digest::from_bytes(r.array()?),
            },
            LOG => Self::Log {
                vault: VaultId::from_bytes(r.array()?),
                public: PublicKeyBytes::from_bytes(r.array()?),
                base: read_base(&mut r)?,
                vouch: Vouch::read_option(&mut r)?,
            },
            PUSH => {
                let vault = VaultId::from_bytes(r.array()?);
                let count = r.count("segments", limits::PUSH_SEGMENTS_MAX, 4)?;
                let segments = (0..count).map(|_| read_segment(frame, &mut r)).collect::<Result<_, _>>()?;
                Self::Push { vault, segments }
            }
            HEADS => {
                let (vault, (last, heads)) = (VaultId::from_bytes(r.array()?), read_heads(&mut r)?);
                Self::Heads { vault, last, heads }
            }
            WANT => Self::Want {
                vault: VaultId::from_bytes(r.array()?),
                log: LogId::from_bytes(r.array()?),
                from: Seq(r.u64()?),
                to: Seq(r.u64()?),
            },
            ASK => Self::Ask { vault: VaultId::from_bytes(r.array()?), number: r.u64()? },
            RENDEZVOUS_OPEN => Self::RendezvousOpen { id: RendezvousId::from_bytes(r.array()?) },
            RENDEZVOUS_JOIN => Self::RendezvousJoin { id: RendezvousId::from_bytes(r.array()?) },
            RENDEZVOUS_DATA => Self::RendezvousData {
                id: RendezvousId::from_bytes(r.array()?),
                message: r.prefixed("message", limits::RENDEZVOUS_MESSAGE_BYTES_MAX)?.to_vec(),
            },
            other => return Err(DecodeError::Unknown { what: "client frame", value: u64::from(other) }),
        };
        r.finish()?;
        Ok(decoded)
    }

    fn decode_create(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let vault = VaultId::from_bytes(r.array()?);
        let credential = match r.u8()? {
            0 => Credential::None,
            1 => Credential::Invite(r.prefixed("invite", limits::TOKEN_BYTES_MAX)?.to_vec()),
            2 => Credential::Grant(r.prefixed("grant", limits::TOKEN_BYTES_MAX)?.to_vec()),
            other => return Err(DecodeError::Unknown { what: "credential", value: u64::from(other) }),
        };
        Ok(Self::Create { vault, credential })
    }
}

/// Reads `u32 length | segment` as a slice of `frame`'s memory.
fn read_segment(frame: &Bytes, r: &mut Reader<'_>) -> Result<SealedSegment, DecodeError> {
    SealedSegment::parse(frame.slice_ref(r.prefixed("segment", limits::SEGMENT_BYTES_MAX)?))
}

impl RelayFrame {
    /// The wire bytes, length prefix included.
    ///
    /// # Panics
    /// If a list is over its limit, which its builder keeps.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hello { version, incarnation, limits, now_ms, caps, extensions } => framed(R_HELLO, |w| {
                w.u16(*version).bytes(incarnation.as_bytes());
                w.u32(limits.segment_bytes_max).u16(limits.vaults_max).u64(*now_ms).u64(*caps);
                extensions.write(w);
            }),
            Self::Vault { vault, quota_bytes, used_bytes } => framed(R_VAULT, |w| {
                w.bytes(vault.as_bytes()).u64(*quota_bytes).u64(*used_bytes);
            }),
            Self::Grant { grant } => framed(R_GRANT, |w| {
                w.prefixed(grant);
            }),
            Self::Ack { vault, rseq, entries } => framed(R_ACK, |w| {
                w.bytes(vault.as_bytes()).u64(rseq.0).count(entries.len());
                for head in entries {
                    w.bytes(head.log.as_bytes()).u64(head.seq.0).bytes(head.chain.as_bytes());
                }
            }),
            Self::Heads { vault, last, heads } => framed(R_HEADS, |w| {
                write_heads(w.bytes(vault.as_bytes()), *last, heads);
            }),
            Self::Statements(part) => framed(R_STATEMENTS, |w| part.write(w)),
            Self::RendezvousReady { id } => framed(R_RENDEZVOUS_READY, |w| {
                w.bytes(id.as_bytes());
            }),
            Self::RendezvousData { id, message } => framed(R_RENDEZVOUS_DATA, |w| {
                w.bytes(id.as_bytes()).prefixed(message);
            }),
            Self::Error(refusal) => framed(R_ERROR, |w| {
                w.u16(refusal.code.to_wire()).u32(refusal.retry_after_secs).bytes(refusal.vault.as_bytes());
                w.bytes(refusal.log.as_bytes()).u64(refusal.seq.0);
            }),
        }
    }

    /// Reads one frame, length prefix removed.
    ///
    /// # Errors
    /// [`DecodeError`]; the link ends.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        let decoded = match r.u8()? {
            R_HELLO => {
                check_hello(frame)?;
                return Ok(Self::Hello {
                    version: r.u16()?,
                    incarnation: Incarnation::from_bytes(r.array()?),
                    limits: RelayLimits { segment_bytes_max: r.u32()?, vaults_max: r.u16()? },
                    now_ms: r.u64()?,
                    caps: r.u64()?,
                    extensions: Extensions::read(r)?,
                });
            }
            R_VAULT => Self::Vault {
                vault: VaultId::from_bytes(r.array()?),
                quota_bytes: r.u64()?,
                used_bytes: r.u64()?,
            },
            R_GRANT => Self::Grant { grant: r.prefixed("grant", limits::TOKEN_BYTES_MAX)?.to_vec() },
            R_ACK => {
                let vault = VaultId::from_bytes(r.array()?);
                let rseq = Rseq(r.u64()?);
                let count = r.count("acknowledgements", limits::ACK_ENTRIES_MAX, 56)?;
                let entries = (0..count)
                    .map(|_| {
                        Ok(Head {
                            log: LogId::from_bytes(r.array()?),
                            seq: Seq(r.u64()?),
                            chain: Chain::from_bytes(r.array()?),
                        })
                    })
                    .collect::<Result<_, DecodeError>>()?;
                Self::Ack { vault, rseq, entries }
            }
            R_HEADS => {
                let (vault, (last, heads)) = (VaultId::from_bytes(r.array()?), read_heads(&mut r)?);
                Self::Heads { vault, last, heads }
            }
            R_STATEMENTS => Self::Statements(StatementsPart::read(&mut r)?),
            R_RENDEZVOUS_READY => Self::RendezvousReady { id: RendezvousId::from_bytes(r.array()?) },
            R_RENDEZVOUS_DATA => Self::RendezvousData {
                id: RendezvousId::from_bytes(r.array()?),
                message: r.prefixed("message", limits::RENDEZVOUS_MESSAGE_BYTES_MAX)?.to_vec(),
            },
            R_ERROR => Self::Error(Refusal {
                code: ErrorCode::from_wire(r.u16()?),
                retry_after_secs: r.u32()?,
                vault: VaultId::from_bytes(r.array()?),
                log: LogId::from_bytes(r.array()?),
                seq: Seq(r.u64()?),
            }),
            other => return Err(DecodeError::Unknown { what: "relay frame", value: u64::from(other) }),
        };
        r.finish()?;
        Ok(decoded)
    }
}
