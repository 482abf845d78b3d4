//! import and export: JSON lines in and out, in constant memory.

use subrosa::{Error, Vault};

use super::records;
use super::state::counted;
use crate::failure::Failure;
use crate::line::{self, Line, Shape};
use crate::request::{Answer, Caller, Level, Progress};
use crate::terminal::TEXT_BYTES_MAX;

/// Records of one transaction: few commits, and little to do again after an error.
const BATCH_RECORDS: usize = 4096;
/// Bytes of lines that a transaction has at most, but for one line that is longer and is a transaction by itself: far less
/// than devices merge in one go, so that no import of good lines meets `TransactionTooLarge`.
const BATCH_BYTES: usize = 4 << 20;

/// Reads JSON lines until the input ends. A line that is refused takes its transaction with it; what was
/// committed before stands, and the failure says where to go on.
pub(super) fn import(
    vault: &Vault,
    collection: Option<String>,
    caller: &mut dyn Caller,
) -> Result<(), Failure> {
    let shape = if collection.is_some() { Shape::Collection } else { Shape::Vault };
    let mut import = Import { vault, collection, shape, ..Import::new(vault) };
    let mut lines = Lines::default();
    let done = loop {
        match caller.input() {
            Ok(Some(piece)) => {
                if let Err(failure) = lines.push(&piece, |line| import.line(line, caller)) {
                    break Err(failure);
                }
            }
            Ok(None) => {
                break lines.end(|line| import.line(line, caller)).and_then(|()| import.commit(caller));
            }
            Err(failure) => break Err(import.stopped(failure)),
        }
    };
    done?;
    let records = import.standing;
    caller.note(Level::Plain, &format!("{} imported", counted(records, "record")))?;
    caller.answer(&Answer { text: String::new(), json: format!("{{\"imported\":{records}}}") })
}

/// Prints a collection, or all of them in the order of their names.
pub(super) fn export(
    vault: &Vault,
    collection: Option<String>,
    caller: &mut dyn Caller,
) -> Result<(), Failure> {
    if let Some(collection) = collection {
        return records::list(vault, &collection, caller);
    }
    let mut collections = vault.collections()?;
    collections.sort_unstable();
    for collection in &collections {
        records::for_each_line(vault, collection, Shape::Vault, |line| caller.line(&line))?;
    }
    Ok(())
}

/// An import on its way.
struct Import<'a> {
    vault: &'a Vault,
    collection: Option<String>,
    shape: Shape,
    /// Records that are committed.
    standing: u64,
    /// Lines read so far.
    lines: u64,
    /// Bytes of these lines.
    bytes: u64,
    /// The first line that is not committed.
    resume: u64,
    /// What the next commit writes, with the numbers of the lines.
    batch: Vec<(u64, Line)>,
    batch_bytes: usize,
}

impl<'a> Import<'a> {
    fn new(vault: &'a Vault) -> Self {
        Self {
            vault,
            collection: None,
            shape: Shape::Vault,
            standing: 0,
            lines: 0,
            bytes: 0,
            resume: 1,
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    fn line(&mut self, bytes: &[u8], caller: &mut dyn Caller) -> Result<(), Failure> {
        self.lines += 1;
        self.bytes += bytes.len() as u64 + 1;
        let bytes =
            if self.lines == 1 { bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes) } else { bytes };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let line = std::str::from_utf8(bytes)
            .map_err(|_| line::LineError::NotUtf8)
            .and_then(|text| line::read(text, self.shape))
            .map_err(|error| self.bad_line(self.lines, error.into()))?;
        if !self.has_room_for(bytes.len()) {
            self.commit_before(self.lines, caller)?;
        }
        self.batch.push((self.lines, line));
        self.batch_bytes += bytes.len();
        if self.batch.len() >= BATCH_RECORDS { self.commit(caller) } else { Ok(()) }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.batch.is_empty() || self.batch_bytes + bytes <= BATCH_BYTES
    }

    /// Commits all lines so far.
    fn commit(&mut self, caller: &mut dyn Caller) -> Result<(), Failure> {
        self.commit_before(self.lines + 1, caller)
    }

    /// Commits what waits, all of it of the lines before `resume`.
    fn commit_before(&mut self, resume: u64, caller: &mut dyn Caller) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        let mut at = None;
        let written = self.vault.write(|tx| {
            for (number, line) in &batch {
                at = Some(*number);
                let name = line.collection.as_deref().or(self.collection.as_deref()).unwrap_or_default();
                let records = self.vault.records(name);
                let mut records = records.in_tx(tx);
                match line.id {
                    // What was exported may have more fields than a local write may give a record.
                    Some(id) => records.import(id, &line.fields)?,
                    None => records.insert(&line.fields).map(drop)?,
                }
            }
            at = None;
            Ok::<_, Error>(())
        });
        match (written, at) {
            (Ok(()), _) => (),
            (Err(error), Some(line)) => return Err(self.bad_line(line, error.into())),
            (Err(error), None) => return Err(self.stopped(error.into())),
        }
        self.standing += batch.len() as u64;
        self.resume = resume;
        self.batch_bytes = 0;
        caller.progress(Progress::Imported { records: self.standing, bytes: self.bytes })
    }

    fn bad_line(&self, line: u64, cause: Failure) -> Failure {
        Failure::BadLine { line, cause: Box::new(cause), stands: self.standing, resume: self.resume }
    }

    fn stopped(&self, cause: Failure) -> Failure {
        Failure::ImportStopped { cause: Box::new(cause), stands: self.standing, resume: self.resume }
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Cuts pieces of any length into lines.
#[derive(Default)]
struct Lines {
    kept: Vec<u8>,
}

impl Lines {
    fn push(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.kept.is_empty() {
                each(&rest[..end])?;
            } else {
                self.kept.extend_from_slice(&rest[..end]);
                each(&std::mem::take(&mut self.kept))?;
            }
            rest = &rest[end + 1..];
        }
        if self.kept.len() + rest.len() > TEXT_BYTES_MAX {
            return Err(Failure::InputTooLong { limit: TEXT_BYTES_MAX });
        }
        self.kept.extend_from_slice(rest);
        Ok(())
    }

    fn end(self, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        if self.kept.is_empty() { Ok(()) } else { each(&self.kept) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it stands for an import, which may fail")]
    fn keep(seen: &mut Vec<Vec<u8>>, line: &[u8]) -> Result<(), Failure> {
        seen.push(line.to_vec());
        Ok(())
    }

    #[test]
    fn lines_come_out_whole_however_they_were_cut() {
        let text = b"one\n\ntwo\nthree";
        for size in 1..=text.len() {
            let mut seen = Vec::new();
            let mut lines = Lines::default();
            for piece in text.chunks(size) {
                lines.push(piece, |line| keep(&mut seen, line)).unwrap();
            }
            lines.end(|line| keep(&mut seen, line)).unwrap();
            assert_eq!(seen, [&b"one"[..], b"", b"two", b"three"], "pieces of {size}");
        }
    }
}
