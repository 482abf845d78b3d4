//! The row of a record: its state in bytes, one encoding per state (`docs/FORMAT.md`).
//!
//! Nearly every record was written by one log in one go; that has a short form of its own. The decoder accepts a
//! state only in the form that the encoder would choose.

use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::limits::{FIELD_NAME_BYTES_MAX, VALUE_BYTES_MAX};

use super::{Entry, RecordState, Stamps, UnknownOp};
use crate::merge::hlc::Stamp;
use crate::merge::logs::LogNo;
use crate::merge::op::codec::{read_own_cell, write_cell};
use crate::merge::op::{Cell, Slotted};
use crate::merge::value::ValueRef;
use crate::merge::varint;

/// First byte of a row; `docs/FORMAT.md` has the same table.
pub(super) mod shape {
    /// One log, one stamp, plain values.
    pub(crate) const PLAIN: u8 = 1;
    /// Everything else.
    pub(crate) const FULL: u8 = 2;

    /// Every shape with its name, for the test against the specification.
    #[cfg(test)]
    pub const TABLE: &[(u32, &str)] = &[(PLAIN as u32, "plain"), (FULL as u32, "full")];
}

/// A row in bytes: a state as [`RecordState::encode`] wrote it, a moment ago or when it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'r>(&'r [u8]);

/// A row that owns its bytes.
#[derive(Default)]
pub struct RowBuf(Vec<u8>);

impl<'r> Row<'r> {
    /// What a store holds as a row.
    pub const fn stored(bytes: &'r [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes that a store keeps.
    pub const fn as_bytes(self) -> &'r [u8] {
        self.0
    }

    /// A copy of it.
    pub fn to_buf(self) -> RowBuf {
        RowBuf(self.0.to_vec())
    }

    /// Whether a reader sees the record, from the front of the row.
    ///
    /// # Errors
    /// As [`RecordState::row_is_visible`].
    pub fn is_visible(self) -> Result<bool, DecodeError> {
        RecordState::row_is_visible(self.0)
    }

    /// Whether all of it is certainly of one log, so that no other's cells win or lose.
    pub fn is_of_one_log(self) -> bool {
        self.0.first() == Some(&shape::PLAIN)
    }

    /// The state.
    ///
    /// # Errors
    /// As [`RecordState::decode`].
    pub fn state(self) -> Result<RecordState<'r>, DecodeError> {
        RecordState::decode(self.0)
    }
}

impl RowBuf {
    /// The row of a state, in as much memory as it needs; `scratch` is where it is put together.
    pub fn of(state: &RecordState<'_>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        state.encode(scratch);
        Self(scratch.clone())
    }

    /// Becomes the row of another state, in the memory that it has.
    pub fn set(&mut self, state: &RecordState<'_>) {
        self.0.clear();
        state.encode(&mut self.0);
    }

    /// Becomes a copy of a row, in the memory that it has.
    pub fn copy_from(&mut self, row: Row<'_>) {
        self.0.clear();
        self.0.extend_from_slice(row.0);
    }

    /// A borrowed view.
    pub fn borrow(&self) -> Row<'_> {
        Row(&self.0)
    }
}

impl<'a> RecordState<'a> {
    /// Appends the row.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.plain() {
            Some((log, stamp)) => {
                out.push(shape::PLAIN);
                varint::put(out, log.0.into());
                out.extend_from_slice(&stamp.0.to_be_bytes());
                for entry in &self.entries {
                    if let Cell::Register(value) = entry.cell {
                        varint::put_bytes(out, entry.name.as_bytes());
                        varint::put_bytes(out, value.as_bytes());
                    }
                }
            }
            None => self.encode_full(out),
        }
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// [`DecodeError`]: the row was not written by this code.
    pub fn decode(row: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(row);
        match reader.u8()? {
            shape::PLAIN => Self::decode_plain(reader),
            shape::FULL => Self::decode_full(reader),
            other => Err(DecodeError::Unknown { what: "row shape", value: other.into() }),
        }
    }

    /// Whether a reader sees the record of a row, from the front of it; [`RecordState::decode`] checks the rest.
    ///
    /// # Errors
    /// As there.
    pub fn row_is_visible(row: &[u8]) -> Result<bool, DecodeError> {
        let mut reader = Reader::new(row);
        match reader.u8()? {
            // One log, and no tombstone.
            shape::PLAIN => Ok(true),
            shape::FULL => {
                // Without a tombstone nothing needs to be compared, and most rows have none.
                let mut front = Reader::new(row.get(1..).unwrap_or_default());
                let logs = varint::read_count(&mut front, 9)?;
                for _ in 0..logs {
                    let _ = (varint::read_u32(&mut front, "log")?, front.u64()?);
                }
                if varint::read_count(&mut front, 9)? == 0 {
                    return Ok(logs > 0);
                }
                let [last, tomb] = [read_stamps(&mut reader)?, read_stamps(&mut reader)?];
                Ok(Self { last, tomb, ..Self::default() }.is_visible())
            }
            other => Err(DecodeError::Unknown { what: "row shape", value: other.into() }),
        }
    }

    /// Log and stamp of a record that has the short form.
    fn plain(&self) -> Option<(LogNo, Stamp)> {
        let [(log, stamp)] = self.last.0[..] else { return None };
        let plain = self.tomb.0.is_empty()
            && self.cleared.0.is_empty()
            && self.unknown.is_empty()
            && self.entries.iter().all(|entry| {
                entry.log == log && entry.stamp == stamp && matches!(entry.cell, Cell::Register(_))
            });
        plain.then_some((log, stamp))
    }

    fn decode_plain(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let log = LogNo(varint::read_u32(&mut reader, "log")?);
        let stamp = Stamp(reader.u64()?);
        let mut entries: Vec<Entry<'a>> = Vec::with_capacity(8.min(reader.left()));
        while reader.left() > 0 {
            let name = varint::read_str(&mut reader, "field name", FIELD_NAME_BYTES_MAX)?;
            if entries.last().is_some_and(|last| last.name >= name) {
                return Err(DecodeError::NotCanonical { what: "order of fields" });
            }
            let value = varint::read_bytes(&mut reader, "value", VALUE_BYTES_MAX)?;
            entries.push(Entry { name, log, stamp, cell: Cell::Register(ValueRef::trusted(value)) });
        }
        Ok(Self { last: Stamps(vec![(log, stamp)]), entries, ..Self::default() })
    }

    /// `last | tomb | cleared | fields | ops of newer versions`.
    fn encode_full(&self, out: &mut Vec<u8>) {
        out.push(shape::FULL);
        for stamps in [&self.last, &self.tomb, &self.cleared] {
            varint::put_len(out, stamps.0.len());
            for (log, stamp) in stamps.iter() {
                varint::put(out, log.0.into());
                out.extend_from_slice(&stamp.0.to_be_bytes());
            }
        }
        let fields = self.entries.chunk_by(|a, b| a.name == b.name);
        varint::put_len(out, fields.clone().count());
        for field in fields {
            varint::put_bytes(out, field[0].name.as_bytes());
            varint::put_len(out, field.len());
            for entry in field {
                self.encode_origin(out, entry.log, entry.stamp);
                write_cell(out, &entry.cell);
            }
        }
        varint::put_len(out, self.unknown.len());
        for op in &self.unknown {
            self.encode_origin(out, op.log, op.stamp);
            write_cell(out, &Cell::Unknown { tag: op.tag, bytes: op.bytes });
        }
    }

    /// The log as its place in `last`, and how much older than that the stamp is.
    fn encode_origin(&self, out: &mut Vec<u8>, log: LogNo, stamp: Stamp) {
        let at = self.last.find(log).expect("apply raises `last` of every log that it keeps something of");
        varint::put_len(out, at);
        varint::put(out, self.last.0[at].1.0.saturating_sub(stamp.0));
    }

    fn decode_full(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let [last, tomb, cleared] =
            [read_stamps(&mut reader)?, read_stamps(&mut reader)?, read_stamps(&mut reader)?];
        if cleared.iter().any(|(log, stamp)| !tomb.covers(log, stamp)) {
            return Err(DecodeError::Invalid { what: "cleared stamps" });
        }
        let mut state = Self { last, tomb, cleared, ..Self::default() };
        let mut last_name = None;
        for _ in 0..varint::read_count(&mut reader, 3)? {
            let name = varint::read_str(&mut reader, "field name", FIELD_NAME_BYTES_MAX)?;
            let count = varint::read_count(&mut reader, 4)?;
            if last_name.is_some_and(|last| last >= name) || count == 0 {
                return Err(DecodeError::NotCanonical { what: "order of fields" });
            }
            last_name = Some(name);
            for _ in 0..count {
                let (log, stamp) = state.decode_origin(&mut reader)?;
                let cell = read_own_cell(&mut reader)?;
                state.push_decoded(Entry { name, log, stamp, cell })?;
            }
        }
        for _ in 0..varint::read_count(&mut reader, 4)? {
            let (log, stamp) = state.decode_origin(&mut reader)?;
            let (tag, bytes) = read_unknown(&mut reader)?;
            let op = UnknownOp { log, stamp, tag, bytes };
            if state.unknown.last().is_some_and(|last| last.place() >= op.place()) {
                return Err(DecodeError::NotCanonical { what: "order of ops" });
            }
            state.unknown.push(op);
        }
        reader.finish()?;
        if state.plain().is_some() {
            return Err(DecodeError::NotCanonical { what: "row shape" });
        }
        Ok(state)
    }

    fn decode_origin(&self, reader: &mut Reader<'a>) -> Result<(LogNo, Stamp), DecodeError> {
        let at = usize::try_from(varint::read(reader)?).unwrap_or(usize::MAX);
        let &(log, last) = self.last.0.get(at).ok_or(DecodeError::Invalid { what: "log index" })?;
        let age = varint::read(reader)?;
        let stamp = last.0.checked_sub(age).ok_or(DecodeError::Invalid { what: "age of a stamp" })?;
        if self.cleared.covers(log, Stamp(stamp)) {
            return Err(DecodeError::NotCanonical { what: "cleared entry" });
        }
        Ok((log, Stamp(stamp)))
    }

    fn push_decoded(&mut self, entry: Entry<'a>) -> Result<(), DecodeError> {
        if self.entries.last().is_some_and(|last| last.place() >= entry.place()) {
            return Err(DecodeError::NotCanonical { what: "order of entries" });
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// Ops share the `tag | length | bytes` of cells; their tags are other ones.
fn read_unknown<'a>(reader: &mut Reader<'a>) -> Result<(u32, Slotted<'a>), DecodeError> {
    let tag = varint::read_u32(reader, "op tag")?;
    let length = varint::read_count(reader, 1)?;
    Ok((tag, Slotted::check(reader.bytes(length)?)?))
}

fn read_stamps(reader: &mut Reader<'_>) -> Result<Stamps, DecodeError> {
    let count = varint::read_count(reader, 9)?;
    let mut stamps: Vec<(LogNo, Stamp)> = Vec::with_capacity(count);
    for _ in 0..count {
        let log = LogNo(varint::read_u32(reader, "log")?);
        if stamps.last().is_some_and(|last| last.0 >= log) {
            return Err(DecodeError::NotCanonical { what: "order of logs" });
        }
        stamps.push((log, Stamp(reader.u64()?)));
    }
    Ok(Stamps(stamps))
}
