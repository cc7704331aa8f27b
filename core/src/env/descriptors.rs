//! Opening files without touching the standard streams' descriptors.
//!
//! A daemon may have closed descriptors 0 to 2. The system gives the lowest free number to the next file that
//! is opened, and any library of the program may write to 1 or 2. If a database file had that number, the text
//! would go into it.
//!
//! * FD-1  No file or directory that the engine opens has a descriptor below 3.
//! * FD-2  While it opens one, closed descriptors below 3 are filled with placeholders that cannot be read or
//!         written. These are closed afterwards, so the program's descriptors are as before.
//!
//! Two threads that open files at once may close each other's placeholders. If a file gets a low descriptor all
//! the same, it is moved up before it is used; a directory being listed cannot be written to.

#![expect(unsafe_code, reason = "descriptors as numbers")]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::unix::{Uncancelled, retry};

/// The first descriptor that is not a standard stream's.
const FIRST: i32 = 3;

/// Opens `path` with `options` (FD-1); interrupted calls are repeated.
pub(super) fn open(path: &Path, options: &fs::OpenOptions) -> io::Result<fs::File> {
    let _uncancelled = Uncancelled::begin();
    let file = {
        let _placeholders = Placeholders::take();
        retry(|| options.open(path))?
    };
    let file = above_standard_streams(file)?;
    debug_assert!(
        file.as_raw_fd() >= FIRST,
        "FD-1: no file has the number of a standard stream"
    );
    Ok(file)
}

/// Opens a directory, for a sync of it.
pub(super) fn open_dir(path: &Path) -> io::Result<fs::File> {
    open(path, fs::OpenOptions::new().read(true))
}

/// Starts listing a directory.
pub(super) fn read_dir(path: &Path) -> io::Result<fs::ReadDir> {
    let _placeholders = Placeholders::take();
    retry(|| fs::read_dir(path))
}

/// The same open file under a number that is not a standard stream's.
fn above_standard_streams(file: fs::File) -> io::Result<fs::File> {
    if file.as_raw_fd() >= FIRST {
        return Ok(file);
    }
    // SAFETY: the call takes only numbers, and `file` keeps its descriptor open during it.
    let moved = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) };
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    debug_assert!(moved >= FIRST, "FD-1: not a standard stream's");
    // SAFETY: the descriptor was just made for us, and no other code has it.
    Ok(unsafe { fs::File::from_raw_fd(moved) })
}

/// Occupies those of the standard streams' descriptors that are closed, until it is dropped (FD-2).
struct Placeholders {
    _held: [Option<OwnedFd>; FIRST as usize],
}

impl Placeholders {
    fn take() -> Placeholders {
        let mut held = [const { None }; FIRST as usize];
        for place in &mut held {
            if (0..FIRST).all(is_open) {
                break;
            }
            *place = placeholder();
        }
        Placeholders { _held: held }
    }
}

fn is_open(descriptor: i32) -> bool {
    // SAFETY: the call takes only numbers and changes nothing.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    flags >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EBADF)
}

/// Takes the lowest free descriptor, if it is a standard stream's.
fn placeholder() -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a text that ends with a zero.
    let descriptor = unsafe { libc::open(c"/".as_ptr(), flags) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the descriptor was just made for us, and no other code has it.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    (descriptor < FIRST).then_some(owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_process::{Limit, alone, limited};
    use std::os::unix::fs::MetadataExt;

    /// A file with the descriptor of the standard input.
    fn low() -> fs::File {
        // SAFETY: the call takes only a number, and nothing in this process reads the standard input.
        unsafe { libc::close(0) };
        let file = fs::File::open("/dev/null").unwrap();
        assert_eq!(file.as_raw_fd(), 0);
        file
    }

    /// FD-1 and FD-2.
    #[test]
    fn a_file_in_the_place_of_a_standard_stream_is_moved_up() {
        let name = "env::descriptors::tests::a_file_in_the_place_of_a_standard_stream_is_moved_up";
        alone(name, || {
            let moved = above_standard_streams(low()).unwrap();
            let number = moved.as_raw_fd();
            assert!(number >= FIRST && !is_open(0));
            let wanted = fs::metadata("/dev/null").unwrap();
            assert_eq!(moved.metadata().unwrap().rdev(), wanted.rdev());
            // A descriptor that is high enough is not changed.
            let moved = above_standard_streams(moved).unwrap();
            assert_eq!(moved.as_raw_fd(), number);
            let held = placeholder().unwrap();
            assert!(held.as_raw_fd() == 0 && is_open(0));
            assert!(placeholder().is_none(), "no stream's descriptor is free");
            drop(held);
            assert!(!is_open(0));
            let opened = open(Path::new("/dev/null"), fs::OpenOptions::new().read(true)).unwrap();
            assert!(opened.as_raw_fd() >= FIRST && !is_open(0));
            // If no other descriptor is free, the file is closed and the error returned.
            let file = low();
            limited(Limit::OpenFiles, FIRST as u64, || {
                let error = above_standard_streams(file).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            });
            assert!(!is_open(0));
        });
    }
}
