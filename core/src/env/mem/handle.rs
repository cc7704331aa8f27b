//! An open file in memory.

use std::io;
use std::path::PathBuf;

use super::disk::Disk;
use super::file::{ByteChange, MemFile};
use crate::env::{EngineOnly, File};
use crate::error::{Error, Result};
use crate::sync::Arc;

pub(super) struct Handle {
    disk: Arc<Disk>,
    file: Arc<MemFile>,
    path: PathBuf,
}

impl Handle {
    /// Opens `file`, which is on `disk` at `path`.
    pub(super) fn new(disk: Arc<Disk>, file: Arc<MemFile>, path: PathBuf) -> Handle {
        Handle { disk, file, path }
    }

    /// Makes the file at least `end` bytes long, as far as quota and memory allow, and changes it.
    fn change(&self, action: &str, end: u64, change: ByteChange) -> Result<()> {
        let is_done = self.disk.changing(|| {
            let length = self.file.len();
            let room = match end > length {
                true => self.disk.room_for(length),
                false => u64::MAX,
            };
            self.file.change(end, room, change)
        });
        match is_done {
            true => Ok(()),
            false => {
                let full = io::Error::from_raw_os_error(libc::ENOSPC);
                Err(Error::io(action, &self.path, full))
            }
        }
    }
}

impl File for Handle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.file.read_at(offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(bytes.len() as u64);
        let change = ByteChange::Written(offset, bytes.into());
        self.change("write", end, change)
    }

    fn sync(&self) -> Result<()> {
        self.disk.changing(|| self.file.sync());
        Ok(())
    }

    fn forget_unsynced(&self, _: EngineOnly) {
        self.disk.changing(|| self.file.fail_sync());
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.len())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.change("change the length of", length, ByteChange::Length(length))
    }

    fn allocate(&self, length: u64) -> Result<()> {
        // Every byte of a file takes space here.
        match self.len()? < length {
            true => self.change("set space aside in", length, ByteChange::Length(length)),
            false => Ok(()),
        }
    }
}
