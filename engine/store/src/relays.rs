//! What relays are known to hold, and how far their feeds were read: the door to the tables *cursors*, *relay heads* and
//! *shown* (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables. What a relay may be believed is up to the caller.

use redb::{Range, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use subrosa_model::merge::LogNo;
use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{Chain, Digest, Incarnation, LogId, Pin, Rseq, Seq};

use crate::error::StoreError;
use crate::keys::{VaultNo, joined, part};

#[cfg(test)]
mod tests;

/// Relay and vault to cursor.
const CURSORS: TableDefinition<&[u8; 36], &[u8]> = TableDefinition::new("cursors");
/// Relay and log to the head that the relay holds.
const RELAY_HEADS: TableDefinition<&[u8; 36], &[u8; 40]> = TableDefinition::new("relay heads");
/// Vault, log and relay to the head that the relay has shown, of logs without a certificate.
const SHOWN: TableDefinition<&[u8; 52], &[u8; 40]> = TableDefinition::new("shown");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![shape(CURSORS), shape(RELAY_HEADS), shape(SHOWN)]
}

/// What is known of relays, open for writing.
pub struct Relays<'t> {
    cursors: Table<'t, &'static [u8; 36], &'static [u8]>,
    heads: Table<'t, &'static [u8; 36], &'static [u8; 40]>,
    shown: Table<'t, &'static [u8; 52], &'static [u8; 40]>,
}

/// What is known of relays, as of one moment.
pub struct RelaysView {
    cursors: ReadOnlyTable<&'static [u8; 36], &'static [u8]>,
    heads: ReadOnlyTable<&'static [u8; 36], &'static [u8; 40]>,
}

/// Where a vault's feed at one relay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The store of the relay that it is in.
    pub incarnation: Incarnation,
    /// Last rseq taken in.
    pub scanned: Rseq,
    /// Last rseq at which our heads were the relay's.
    pub verified: Rseq,
    /// The digest there.
    pub digest: Digest,
}

/// How far a relay is known to hold a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayHead {
    /// The last segment.
    pub seq: Seq,
    /// Its chain.
    pub chain: Chain,
}

/// What one relay has shown of a vault's logs without a certificate. What others have shown is looked at for it.
pub struct ShownHeads<'t> {
    rows: Range<'t, &'static [u8; 52], &'static [u8; 40]>,
    relay: Pin,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { incarnation: Incarnation::ZERO, scanned: Rseq(0), verified: Rseq(0), digest: digest(&[]) }
    }
}

impl<'t> Relays<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            cursors: txn.open_table(CURSORS)?,
            heads: txn.open_table(RELAY_HEADS)?,
            shown: txn.open_table(SHOWN)?,
        })
    }

    /// Where the feed of a vault stands; at its beginning if nothing is kept.
    pub fn cursor(&self, relay: &Pin, vault: VaultNo) -> Result<Cursor, StoreError> {
        cursor_in(&self.cursors, relay, vault)
    }

    /// Keeps where the feed of a vault stands.
    pub fn put_cursor(&mut self, relay: &Pin, vault: VaultNo, cursor: &Cursor) -> Result<(), StoreError> {
        self.cursors.insert(&relay_key(relay, vault.0), &cursor.encode()[..])?;
        Ok(())
    }

    /// How far a relay holds a log.
    pub fn head(&self, relay: &Pin, log: LogNo) -> Result<Option<RelayHead>, StoreError> {
        head_in(&self.heads, relay, log)
    }

    /// Keeps how far a relay holds a log.
    pub fn put_head(&mut self, relay: &Pin, log: LogNo, head: &RelayHead) -> Result<(), StoreError> {
        self.heads.insert(&relay_key(relay, log.0), &head.encode())?;
        Ok(())
    }

    /// Forgets how far a relay holds a log; what it was.
    pub fn take_head(&mut self, relay: &Pin, log: LogNo) -> Result<Option<RelayHead>, StoreError> {
        let row = self.heads.remove(&relay_key(relay, log.0))?;
        Ok(row.map(|row| RelayHead::decode(row.value())))
    }

    /// Keeps how far a relay has shown a log without a certificate.
    pub fn put_shown(
        &mut self,
        relay: &Pin,
        vault: VaultNo,
        log: &LogId,
        head: &RelayHead,
    ) -> Result<(), StoreError> {
        self.shown.insert(&shown_key(vault, log, relay), &head.encode())?;
        Ok(())
    }

    /// Forgets what a relay has shown of a log without a certificate.
    pub fn forget_shown(&mut self, relay: &Pin, vault: VaultNo, log: &LogId) -> Result<(), StoreError> {
        self.shown.remove(&shown_key(vault, log, relay))?;
        Ok(())
    }

    /// What a relay has shown of a vault's logs without a certificate.
    pub fn shown_by(&self, relay: &Pin, vault: VaultNo) -> Result<ShownHeads<'_>, StoreError> {
        let first = shown_key(vault, &LogId::from_bytes([0; 16]), &Pin::from_bytes([0; 32]));
        let last = shown_key(vault, &LogId::from_bytes([0xff; 16]), &Pin::from_bytes([0xff; 32]));
        Ok(ShownHeads { rows: self.shown.range::<&[u8; 52]>(&first..=&last)?, relay: *relay })
    }

    /// Whether any relay has shown something of a log without a certificate.
    pub fn is_shown(&self, vault: VaultNo, log: &LogId) -> Result<bool, StoreError> {
        let first = shown_key(vault, log, &Pin::from_bytes([0; 32]));
        let last = shown_key(vault, log, &Pin::from_bytes([0xff; 32]));
        Ok(self.shown.range::<&[u8; 52]>(&first..=&last)?.next().transpose()?.is_some())
    }

    /// A log has got a number: what relays have shown of it is kept with the others.
    pub fn move_shown(&mut self, vault: VaultNo, id: &LogId, log: LogNo) -> Result<(), StoreError> {
        let first = shown_key(vault, id, &Pin::from_bytes([0; 32]));
        let last = shown_key(vault, id, &Pin::from_bytes([0xff; 32]));
        let mut rows = Vec::new();
        for row in self.shown.range::<&[u8; 52]>(&first..=&last)? {
            let (key, row) = row?;
            rows.push((*key.value(), *row.value()));
        }
        for (key, row) in rows {
            self.shown.remove(&key)?;
            self.heads.insert(&relay_key(&Pin::from_bytes(part(&key, 20)), log.0), &row)?;
        }
        Ok(())
    }
}

impl RelaysView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self { cursors: txn.open_table(CURSORS)?, heads: txn.open_table(RELAY_HEADS)? })
    }

    /// Where the feed of a vault stands; at its beginning if nothing is kept.
    pub fn cursor(&self, relay: &Pin, vault: VaultNo) -> Result<Cursor, StoreError> {
        cursor_in(&self.cursors, relay, vault)
    }

    /// How far a relay holds a log.
    pub fn head(&self, relay: &Pin, log: LogNo) -> Result<Option<RelayHead>, StoreError> {
        head_in(&self.heads, relay, log)
    }
}

impl Iterator for ShownHeads<'_> {
    type Item = Result<(LogId, RelayHead), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rows.next()? {
                Ok((key, _)) if key.value()[20..] != *self.relay.as_bytes() => {}
                Ok((key, row)) => {
                    let log = LogId::from_bytes(part(key.value(), 4));
                    return Some(Ok((log, RelayHead::decode(row.value()))));
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

impl Cursor {
    /// `incarnation | scanned | verified | digest`.
    fn encode(&self) -> [u8; 64] {
        let (scanned, verified) = (self.scanned.0.to_be_bytes(), self.verified.0.to_be_bytes());
        joined(&[self.incarnation.as_bytes(), &scanned, &verified, self.digest.as_bytes()])
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let row: &[u8; 64] = row.try_into().ok()?;
        Some(Self {
            incarnation: Incarnation::from_bytes(part(row, 0)),
            scanned: Rseq(u64::from_be_bytes(part(row, 16))),
            verified: Rseq(u64::from_be_bytes(part(row, 24))),
            digest: Digest::from_bytes(part(row, 32)),
        })
    }
}

impl RelayHead {
    /// `seq | chain`.
    fn encode(&self) -> [u8; 40] {
        joined(&[&self.seq.0.to_be_bytes(), self.chain.as_bytes()])
    }

    fn decode(row: &[u8; 40]) -> Self {
        Self { seq: Seq(u64::from_be_bytes(part(row, 0))), chain: Chain::from_bytes(part(row, 8)) }
    }
}

fn cursor_in(
    cursors: &impl ReadableTable<&'static [u8; 36], &'static [u8]>,
    relay: &Pin,
    vault: VaultNo,
) -> Result<Cursor, StoreError> {
    let row = cursors.get(&relay_key(relay, vault.0))?;
    row.map_or(Ok(Cursor::default()), |row| Cursor::decode(row.value()).ok_or(StoreError::Inconsistent))
}

fn head_in(
    heads: &impl ReadableTable<&'static [u8; 36], &'static [u8; 40]>,
    relay: &Pin,
    log: LogNo,
) -> Result<Option<RelayHead>, StoreError> {
    Ok(heads.get(&relay_key(relay, log.0))?.map(|row| RelayHead::decode(row.value())))
}

/// Reads a row of each kind, for fuzzing: what it says is written again, the same.
#[cfg(feature = "testing")]
pub(crate) fn read_rows(row: &[u8]) {
    if let Some(cursor) = Cursor::decode(row) {
        assert_eq!(cursor.encode()[..], *row);
    }
    if let Ok(row) = row.try_into() {
        assert_eq!(RelayHead::decode(row).encode(), *row);
    }
}

/// Key of what concerns a relay and a vault or log.
fn relay_key(relay: &Pin, number: u32) -> [u8; 36] {
    joined(&[relay.as_bytes(), &number.to_be_bytes()])
}

/// Key of the head of a log without a certificate at a relay.
fn shown_key(vault: VaultNo, log: &LogId, relay: &Pin) -> [u8; 52] {
    joined(&[&vault.0.to_be_bytes(), log.as_bytes(), relay.as_bytes()])
}
