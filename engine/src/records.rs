//! Records: the one way to write a row, the one way to read rows, and watching.
//!
//! Merged rows have one writer, [`Records::replace`]: local writes, merging and rebuilding go through it, and it is the only
//! source of the changes that watchers hear of. A transaction ([`crate::life::commit::Tx`]) holds a [`Records`], whose table is
//! private to the door, so that going past it does not compile. What can be asked of rows is written once, in [`RecordReader`],
//! whether they are in a snapshot or in a write in progress. It must never wait for anybody, and compares, decodes and copies
//! nothing while nobody is interested.

mod door;
pub(crate) mod read;
pub(crate) mod watch;
pub(crate) mod write;

pub(crate) use door::{Before, Records, RowChange, RowChanges, SliceLimits, decode_state, is_visible};
pub use read::{FieldRef, RecordRef};
pub(crate) use read::{RecordReader, VaultView, VisibleRecord};
pub(crate) use write::{WriteSet, by_time, decode_pending};

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The files below a folder that contain a text.
    fn naming(text: &str, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                naming(text, &path, found);
            } else if std::fs::read_to_string(&path).unwrap().contains(text) {
                found.push(
                    path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap().display().to_string(),
                );
            }
        }
    }

    #[test]
    fn only_the_door_has_the_table_of_the_records() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        naming(concat!("Records", "Table"), &sources, &mut found);
        found.sort();
        assert_eq!(found, ["src/records/door.rs"]);
    }
}
