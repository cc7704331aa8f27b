//! Text log files of the operating system. Other programs may write to, empty, rename or remove them at any
//! moment.
//!
//! * LOGFILE-1  A line is appended at the current end of the file (`O_APPEND`), in one write: lines of several
//!              handles or processes do not mix, and a file that was emptied begins again without a hole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::unix::retry;
use super::{InfoLogFile, descriptors, unix};
use crate::error::{Error, Result};

/// A log of the operating system.
pub(super) struct OsLog {
    file: fs::File,
    path: PathBuf,
}

impl OsLog {
    /// Opens or creates it. Refuses anything but a regular file.
    pub(super) fn open(path: &Path) -> Result<OsLog> {
        let failed = |source| Error::io("open the info log", path, source);
        let mut options = fs::OpenOptions::new();
        // Opening a pipe must not wait; it is refused.
        let options = options
            .append(true)
            .create(true)
            .custom_flags(libc::O_NONBLOCK);
        let file = descriptors::open(path, options).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            let what = "it is not a regular file";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        Ok(OsLog {
            file,
            path: path.to_path_buf(),
        })
    }
}

impl InfoLogFile for OsLog {
    fn append(&self, line: &[u8]) -> Result<()> {
        let failed = |source| Error::io("write", &self.path, source);
        // The limit of every file (OS-4).
        if self.len()?.saturating_add(line.len() as u64) > unix::file_size_limit() {
            return Err(failed(io::Error::from_raw_os_error(libc::EFBIG)));
        }
        (&self.file).write_all(line).map_err(failed)
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|source| Error::io("stat", &self.path, source))
    }

    fn has_name(&self, path: &Path) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (retry(|| fs::metadata(path)), self.file.metadata()) {
            (Ok(named), Ok(held)) => identity(named) == identity(held),
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }

    fn clear(&self) -> Result<()> {
        retry(|| self.file.set_len(0)).map_err(|source| Error::io("empty", &self.path, source))
    }

    fn alone(&self, work: &mut dyn FnMut()) -> bool {
        let locked = self.file.try_lock();
        if matches!(locked, Err(fs::TryLockError::WouldBlock)) {
            return false;
        }
        // Without file locks, run it and hope that no other handle does.
        work();
        if locked.is_ok() {
            let _ = self.file.unlock();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_dir::TestDir;
    use crate::env::{Env, MemEnv, OsEnv};

    /// LOGFILE-1.
    #[test]
    fn two_handles_add_whole_lines_behind_each_other_and_behind_an_emptied_end() {
        let dir = TestDir::new();
        let path = dir.path().join("log");
        let env = OsEnv::new();
        let (one, two) = (
            env.open_info_log(&path).unwrap(),
            env.open_info_log(&path).unwrap(),
        );
        for _ in 0..3 {
            one.append(b"one\n").unwrap();
            two.append(b"two\n").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n".repeat(3));
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        one.append(b"after\n").unwrap();
        two.append(b"it\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after\nit\n", "no hole");
        assert_eq!((one.len().unwrap(), one.is_empty().unwrap()), (9, false));
        two.clear().unwrap();
        assert!(one.is_empty().unwrap());
    }

    #[test]
    fn a_renamed_removed_or_replaced_log_no_longer_has_its_name() {
        let dir = TestDir::new();
        let (path, other) = (dir.path().join("log"), dir.path().join("other"));
        let env = OsEnv::new();
        let log = env.open_info_log(&path).unwrap();
        assert!(log.has_name(&path));
        fs::rename(&path, &other).unwrap();
        assert!(!log.has_name(&path) && log.has_name(&other));
        fs::write(&path, "new").unwrap();
        assert!(!log.has_name(&path));
        fs::remove_file(&other).unwrap();
        assert!(!log.has_name(&other));
    }

    #[test]
    fn of_two_handles_one_at_a_time_works_alone() {
        let dir = TestDir::new();
        let path = dir.path().join("log");
        let env = OsEnv::new();
        let (one, two) = (
            env.open_info_log(&path).unwrap(),
            env.open_info_log(&path).unwrap(),
        );
        let mut inner = None;
        assert!(one.alone(&mut || inner = Some(two.alone(&mut || ()))));
        assert_eq!(inner, Some(false));
        assert!(two.alone(&mut || ()), "the lock was released");
    }

    #[test]
    fn what_is_no_regular_file_is_no_log() {
        let env = OsEnv::new();
        assert!(env.open_info_log(Path::new("/dev/null")).is_err());
        assert!(env.open_info_log(TestDir::new().path()).is_err());
    }

    #[test]
    fn a_log_in_memory_goes_on_where_it_ended() {
        let env = MemEnv::new();
        let path = Path::new("/log");
        env.open_info_log(path).unwrap().append(b"a\n").unwrap();
        let log = env.open_info_log(path).unwrap();
        log.append(b"b\n").unwrap();
        assert_eq!((log.len().unwrap(), log.has_name(path)), (4, true));
        let mut ran = false;
        assert!(log.alone(&mut || ran = true) && ran);
        log.clear().unwrap();
        assert!(log.is_empty().unwrap());
    }
}
