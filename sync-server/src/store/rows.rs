//! Tables and row layouts of the redb store (`docs/RELAY.md`, "What is in the database").

use redb::TableDefinition;
use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::digest::HeadsDigest;
use subrosa_protocol::ids::{Base, Chain, Digest, PublicKeyBytes, Rseq, Seq};
use subrosa_protocol::segment::Class;
use subrosa_protocol::vouch::Vouch;
use twox_hash::XxHash3_64;

use super::StoreError;

/// Format of the database.
pub(super) const FORMAT: u64 = 4;

/// Name -> bytes: `format`, `incarnation`, `next_vault`.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Vault id -> [`VaultMeta`].
pub(super) const VAULTS: TableDefinition<'static, &[u8; 32], &[u8]> = TableDefinition::new("vaults");
/// (vault number, generation) -> statement.
pub(super) const STATEMENTS: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("statements");
/// (vault number, log id) -> [`LogRow`].
pub(super) const LOGS: TableDefinition<'static, (u64, [u8; 16]), &[u8]> = TableDefinition::new("logs");
/// (vault number, rseq) -> segment.
pub(super) const SEGMENTS: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("segments");
/// (vault number, rseq) of control segments.
pub(super) const CONTROL: TableDefinition<'static, (u64, u64), ()> = TableDefinition::new("control");
/// (vault number, log number, seq) -> [`Place`].
pub(super) const INDEX: TableDefinition<'static, (u64, u32, u64), &[u8; Place::LEN]> =
    TableDefinition::new("index");
/// (vault number, admin key) -> how many of the vault's logs that key vouches for.
pub(super) const SHARES: TableDefinition<'static, (u64, [u8; 65]), u32> = TableDefinition::new("shares");
/// (invite id, vault id) of each use.
pub(super) const USES: TableDefinition<'static, ([u8; 8], [u8; 32]), ()> = TableDefinition::new("uses");
/// Invite id -> invite.
pub(super) const INVITES: TableDefinition<'static, [u8; 8], &[u8]> = TableDefinition::new("invites");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VaultMeta {
    pub(super) no: u64,
    pub(super) class: u8,
    pub(super) used_bytes: u64,
    pub(super) last: Rseq,
    pub(super) logs: u32,
    /// The day, counted from 1970, on which statements last counted, and how many did.
    pub(super) day: u32,
    pub(super) statements_that_day: u16,
    /// Over the heads of all logs.
    pub(super) digest: HeadsDigest,
}

impl VaultMeta {
    /// A vault that holds nothing.
    pub(super) fn new(no: u64, class: u8) -> Self {
        Self {
            no,
            class,
            used_bytes: 0,
            last: Rseq(0),
            logs: 0,
            day: 0,
            statements_that_day: 0,
            digest: HeadsDigest::new(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(80);
        w.u64(self.no).u8(self.class).u64(self.used_bytes).u64(self.last.0).u32(self.logs);
        w.u32(self.day).u16(self.statements_that_day).bytes(self.digest.value().as_bytes());
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let mut r = Reader::new(bytes);
            let row = Self {
                no: r.u64()?,
                class: r.u8()?,
                used_bytes: r.u64()?,
                last: Rseq(r.u64()?),
                logs: r.u32()?,
                day: r.u32()?,
                statements_that_day: r.u16()?,
                digest: HeadsDigest::resume(&Digest::from_bytes(r.array()?)),
            };
            r.finish()?;
            Ok(row)
        };
        read().map_err(|_: DecodeError| StoreError::Damaged { what: "a vault's row" })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogRow {
    pub(super) no: u32,
    pub(super) class: Class,
    pub(super) public: PublicKeyBytes,
    pub(super) base: Base,
    pub(super) seq: Seq,
    pub(super) chain: Chain,
    /// Whether the last segment closes the log.
    pub(super) closed: bool,
    /// Who vouches for it. The signature held when it was written.
    pub(super) vouch: Option<Vouch>,
}

impl LogRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.u32(self.no)
            .u8(u8::from(self.class == Class::Control))
            .u8(u8::from(self.closed))
            .bytes(self.public.as_bytes());
        w.u64(self.base.seq.0).bytes(self.base.chain.as_bytes());
        w.u64(self.seq.0).bytes(self.chain.as_bytes());
        Vouch::write_option(self.vouch.as_ref(), &mut w);
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let mut r = Reader::new(bytes);
            let row = Self {
                no: r.u32()?,
                class: if r.u8()? == 1 { Class::Control } else { Class::Data },
                closed: r.u8()? == 1,
                public: PublicKeyBytes::from_bytes(r.array()?),
                base: Base { seq: Seq(r.u64()?), chain: Chain::from_bytes(r.array()?) },
                seq: Seq(r.u64()?),
                chain: Chain::from_bytes(r.array()?),
                vouch: Vouch::read_option(&mut r)?,
            };
            r.finish()?;
            Ok(row)
        };
        read().map_err(|_: DecodeError| StoreError::Damaged { what: "a log's row" })
    }
}

/// Where a segment is, and a mark by which both rows are known to be what was written. So a row that is read is checked
/// without its author's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rseq: Rseq,
    pub(super) chain: Chain,
    /// XXH3 over the segment's bytes, seeded with that over rseq and chain.
    pub(super) mark: [u8; 8],
}

impl Place {
    pub(super) const LEN: usize = 48;

    pub(super) fn of(rseq: Rseq, chain: Chain, segment: &[u8]) -> Self {
        Self { rseq, chain, mark: mark(rseq, &chain, segment) }
    }

    /// Whether it was made for these bytes.
    pub(super) fn is_of(&self, segment: &[u8]) -> bool {
        self.mark == mark(self.rseq, &self.chain, segment)
    }

    /// `rseq | chain | mark`.
    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut value = [0; Self::LEN];
        value[..8].copy_from_slice(&self.rseq.0.to_be_bytes());
        value[8..40].copy_from_slice(self.chain.as_bytes());
        value[40..].copy_from_slice(&self.mark);
        value
    }

    pub(super) fn decode(value: &[u8; Self::LEN]) -> Self {
        let (mut rseq, mut chain, mut mark) = ([0; 8], [0; 32], [0; 8]);
        rseq.copy_from_slice(&value[..8]);
        chain.copy_from_slice(&value[8..40]);
        mark.copy_from_slice(&value[40..]);
        Self { rseq: Rseq(u64::from_be_bytes(rseq)), chain: Chain::from_bytes(chain), mark }
    }
}

/// Reads a row of each kind, for fuzzing: what it says is written again so that it says the same.
#[cfg(feature = "testing")]
pub(crate) fn read_rows(row: &[u8]) {
    if let Ok(vault) = VaultMeta::decode(row) {
        assert_eq!(vault.encode(), row);
    }
    if let Ok(log) = LogRow::decode(row) {
        assert_eq!(LogRow::decode(&log.encode()).ok(), Some(log));
    }
    if let Ok(row) = row.try_into() {
        assert_eq!(Place::decode(row).encode(), *row);
    }
}

fn mark(rseq: Rseq, chain: &Chain, segment: &[u8]) -> [u8; 8] {
    let mut place = [0; 40];
    place[..8].copy_from_slice(&rseq.0.to_be_bytes());
    place[8..].copy_from_slice(chain.as_bytes());
    let seed = XxHash3_64::oneshot(&place);
    XxHash3_64::oneshot_with_seed(seed, segment).to_be_bytes()
}
