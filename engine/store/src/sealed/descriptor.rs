//! Descriptors of files that are written: never one of the first three.
//!
//! Where a host has closed its standard streams, the next file to be opened takes their place, and what anything in
//! the process then prints would go into it.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file by `open`, with a descriptor above those of the standard streams. Meanwhile `folder`, which can be
/// opened and not written, takes the place of those that are closed: what is printed then fails.
pub(super) fn open_above_standard(
    folder: &Path,
    open: impl FnOnce() -> io::Result<File>,
) -> io::Result<File> {
    #[cfg(unix)]
    {
        let _places = taken_places(folder);
        above_standard(open()?)
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        open()
    }
}

/// Three at most: then none of them is free.
#[cfg(unix)]
fn taken_places(folder: &Path) -> Vec<File> {
    let open = || File::open(folder).ok().filter(is_standard);
    std::iter::from_fn(open).take(usize::from(STANDARD_MAX) + 1).collect()
}

#[cfg(unix)]
fn above_standard(file: File) -> io::Result<File> {
    if !is_standard(&file) {
        return Ok(file);
    }
    // The folder could not be opened, or another thread closed one in between.
    Ok(File::from(rustix::io::fcntl_dupfd_cloexec(&file, i32::from(STANDARD_MAX) + 1)?))
}

#[cfg(unix)]
fn is_standard(file: &File) -> bool {
    std::os::fd::AsRawFd::as_raw_fd(file) <= i32::from(STANDARD_MAX)
}

/// The descriptor of standard error.
#[cfg(unix)]
const STANDARD_MAX: u8 = 2;
