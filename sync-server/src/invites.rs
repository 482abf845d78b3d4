//! Revoked invites: a text file beside the key, so that revocation outlives the database.
//!
//! A line that is no id must not stop the relay, and must not let in whom it kept out: it revokes every invite whose
//! id agrees with what can be read of it (`docs/RELAY.md`, "Who may use it").

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::error::Error;
use crate::files;

/// Digits of an id.
const DIGITS: usize = 16;
/// Digits that must be readable in a bad line for it to revoke anything: with fewer, it would refuse one in some
/// thousand of all invites.
const DIGITS_MIN: usize = 4;

/// The revoked ids, in memory and in `relay.revoked`.
pub(crate) struct Revocations {
    path: PathBuf,
    ids: Mutex<BTreeSet<[u8; 8]>>,
    /// What could be read of lines that are no ids.
    partial: Vec<Partial>,
}

/// An id of which not all digits are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partial([Option<u8>; DIGITS]);

impl Partial {
    /// What `line` says: a digit that is missing or is none may be any. Of a longer line the first digits, and the
    /// last, since an id may have been written behind a line that was cut short.
    fn of(line: &str) -> Vec<Self> {
        let chars: Vec<Option<u8>> =
            line.chars().map(|char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let end = &chars[chars.len().saturating_sub(DIGITS)..];
        let mut parts: Vec<Self> = [&chars[..], end].into_iter().map(Self::from_start).collect();
        parts.dedup();
        parts.retain(|part| part.0.iter().flatten().count() >= DIGITS_MIN);
        parts
    }

    fn from_start(chars: &[Option<u8>]) -> Self {
        let mut digits = [None; DIGITS];
        for (digit, char) in digits.iter_mut().zip(chars) {
            *digit = *char;
        }
        Self(digits)
    }

    fn agrees(&self, id: &[u8; 8]) -> bool {
        let digits = id.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        self.0.iter().zip(digits).all(|(known, digit)| known.is_none_or(|known| known == digit))
    }
}

/// Reads a line that is no id, for fuzzing: it revokes few invites beside those that agree with it.
#[cfg(feature = "testing")]
pub(crate) fn read_line(text: &str) {
    for partial in Partial::of(text) {
        let id = |any: u8| {
            let digit = |at: usize| partial.0[at].unwrap_or(any);
            std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
        };
        assert!(partial.agrees(&id(0)) && partial.agrees(&id(15)));
    }
}

impl Revocations {
    /// Reads the file; a missing one is empty. Ends its last line, if that was cut short, so that the next one begins
    /// its own.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn load(data: &Path) -> Result<Self, Error> {
        let path = data.join(files::REVOKED);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(Error::file(&path, source)),
        };
        let mut ids = BTreeSet::new();
        let mut partial = Vec::new();
        for (n, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if let Ok(id) = parse_id(text) {
                ids.insert(id);
                continue;
            }
            let parts = Partial::of(text);
            tracing::warn!(
                file = %path.display(), line = n + 1, revokes_what_agrees = !parts.is_empty(),
                "a line that is not an invite's id: revoke the invite again, then remove the line"
            );
            partial.extend(parts);
        }
        if bytes.last().is_some_and(|last| *last != b'\n') {
            append(&path, "").map_err(|source| Error::file(&path, source))?;
        }
        Ok(Self { path, ids: Mutex::new(ids), partial })
    }

    /// Whether the invite was revoked, or may have been.
    pub(crate) fn contains(&self, id: &[u8; 8]) -> bool {
        self.ids().contains(id) || self.partial.iter().any(|partial| partial.agrees(id))
    }

    /// Revokes, durably. The vaults that the invite has created stay.
    ///
    /// # Errors
    /// [`Error::File`]; then it may be made again.
    pub(crate) fn add(&self, id: [u8; 8]) -> Result<(), Error> {
        let mut ids = self.ids();
        if ids.contains(&id) {
            return Ok(());
        }
        let line = format!("{}\n", format_id(&id));
        append(&self.path, &line).map_err(|source| Error::file(&self.path, source))?;
        ids.insert(id);
        Ok(())
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<[u8; 8]>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds `line` to the file, on a line of its own whatever was there before, durably.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let text = if ends_a_line(&mut file)? { line.to_owned() } else { format!("\n{line}") };
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    files::sync_parent(path)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

/// Reads an invite's id, 16 hexadecimal digits.
///
/// # Errors
/// [`Error::InviteId`].
pub fn parse_id(text: &str) -> Result<[u8; 8], Error> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Error::InviteId(text.to_owned()))
}

/// The text form of an invite's id.
#[must_use]
pub fn format_id(id: &[u8; 8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let revoked = Revocations::load(dir.path()).unwrap();
        assert!(!revoked.contains(&[1; 8]));
        revoked.add([1; 8]).unwrap();
        revoked.add([1; 8]).unwrap();
        revoked.add([2; 8]).unwrap();
        let again = Revocations::load(dir.path()).unwrap();
        assert!(revoked.contains(&[1; 8]) && again.contains(&[1; 8]) && again.contains(&[2; 8]));
        assert!(!again.contains(&[3; 8]));
    }

    #[test]
    fn a_half_line_in_the_file_stops_nothing_and_still_keeps_out_whom_it_may_mean() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::REVOKED);
        fs::write(&path, "0101010101010101\n02020202").unwrap();
        let revoked = Revocations::load(dir.path()).unwrap();
        assert!(revoked.contains(&[1; 8]));
        assert!(revoked.contains(&[2; 8]), "begins like the half line");
        assert!(!revoked.contains(&[3; 8]));
        revoked.add([2; 8]).unwrap();
        revoked.add([3; 8]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "0101010101010101\n02020202\n0202020202020202\n0303030303030303\n");
        let again = Revocations::load(dir.path()).unwrap();
        assert!((1..=3).all(|n| again.contains(&[n; 8])) && !again.contains(&[4; 8]));
    }

    #[test]
    fn a_revocation_that_was_cut_short_while_serving_is_made_again_on_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::REVOKED);
        let revoked = Revocations::load(dir.path()).unwrap();
        revoked.add([1; 8]).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"0505").unwrap(); // the disk was full
        revoked.add([5; 8]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0101010101010101\n0505\n0505050505050505\n");
        fs::write(&path, "0606060606060606").unwrap();
        assert!(
            Revocations::load(dir.path()).unwrap().contains(&[6; 8]),
            "whole but for the end of the line"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "0606060606060606\n");
    }

    #[test]
    fn a_line_that_cannot_be_read_revokes_what_agrees_with_what_is_left_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::REVOKED);
        let id = [0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f, 0x60, 0x71];
        let other = [0xff; 8];
        for (name, line, revoked, all) in [
            ("comment", &b"# 0a1b2c3d4e5f6071"[..], false, false),
            ("one digit lost", b"0a1b2c?d4e5f6071", true, false),
            ("not text", b"\xff\xfea1b2c3d4e5f6071", true, false),
            ("too short to say much", b"0a1", false, false),
            ("behind a half line", b"99990a1b2c3d4e5f6071", true, false),
            ("a word behind it", b"0a1b2c3d4e5f6071 alice", true, false),
            ("no digits", b"not  it", false, false),
        ] {
            fs::write(&path, [line, b"\n0202020202020202\n"].concat()).unwrap();
            let found = Revocations::load(dir.path()).unwrap();
            assert_eq!((found.contains(&id), found.contains(&other)), (revoked, all), "{name}");
            assert!(found.contains(&[2; 8]), "{name}: the other lines count");
        }
    }
}
