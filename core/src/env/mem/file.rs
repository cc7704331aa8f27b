//! One file in memory: its bytes as programs see them, and their changes on the way to the disk.
//!
//! Elsewhere: the file's names (`directory.rs`), an open file (`handle.rs`).

use super::history::{Change, History};
use crate::sync::{Arc, RwLock};

#[derive(Default)]
pub(super) struct MemFile {
    content: RwLock<FileContent>,
}

/// Copied on a change, if the environment of a power cut shares it.
#[derive(Clone, Default)]
pub(super) struct FileContent {
    bytes: Arc<Vec<u8>>,
    disk: History<ByteChange>,
}

#[derive(Clone)]
pub(super) enum ByteChange {
    Written(u64, Arc<[u8]>),
    Length(u64),
}

impl Change for ByteChange {
    type Whole = Vec<u8>;

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            ByteChange::Written(offset, written) => write(bytes, *offset as usize, written),
            ByteChange::Length(length) => bytes.resize(*length as usize, 0),
        }
    }
}

/// Writes at `offset`, after zeros if `bytes` end before it.
pub(super) fn write(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    // An appended piece is copied once, not zeroed first.
    if bytes.len() == offset {
        bytes.extend_from_slice(written);
        return;
    }
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

impl FileContent {
    /// Bytes that are all durable.
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> FileContent {
        FileContent {
            disk: History::new(bytes.clone()),
            bytes,
        }
    }

    /// The length as programs see it.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes on the disk, and their changes since.
    pub(super) fn disk(&self) -> &History<ByteChange> {
        &self.disk
    }
}

impl MemFile {
    pub(super) fn new(content: FileContent) -> Arc<MemFile> {
        Arc::new(MemFile {
            content: RwLock::new(content),
        })
    }

    /// Runs `work` on the content.
    pub(super) fn look<T>(&self, work: impl FnOnce(&FileContent) -> T) -> T {
        work(&self.content.read())
    }

    pub(super) fn len(&self) -> u64 {
        self.content.read().bytes.len() as u64
    }

    /// As [`File::read_at`](crate::env::File::read_at).
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let content = self.content.read();
        let start = offset.min(content.bytes.len() as u64) as usize;
        let length = buffer.len().min(content.bytes.len() - start);
        buffer[..length].copy_from_slice(&content.bytes[start..start + length]);
        length
    }

    /// Makes the file at least `end` bytes long, as far as `room` and memory allow, and changes it. Returns whether
    /// all of the change was made.
    pub(super) fn change(&self, end: u64, room: u64, change: ByteChange) -> bool {
        let mut content = self.content.write();
        let before = content.bytes.len() as u64;
        let added = end.min(room).saturating_sub(before);
        let reserved = usize::try_from(added)
            .is_ok_and(|added| Arc::make_mut(&mut content.bytes).try_reserve(added).is_ok());
        if !reserved {
            return false;
        }
        // Like a system call, a write on a full disk leaves what fits.
        let fitting = match change {
            ByteChange::Written(offset, bytes) if end > room => {
                let fits = room.saturating_sub(offset).min(bytes.len() as u64) as usize;
                ByteChange::Written(offset, bytes[..fits].into())
            }
            ByteChange::Length(_) if end > room => return false,
            fitting => fitting,
        };
        if !matches!(&fitting, ByteChange::Written(_, bytes) if bytes.is_empty()) {
            fitting.apply(Arc::make_mut(&mut content.bytes));
            content.disk.push(fitting);
        }
        debug_assert!(
            content.bytes.len() as u64 <= room.max(before),
            "a file gets no longer than there is room"
        );
        end <= room
    }

    /// Notes a sync.
    pub(super) fn sync(&self) {
        let mut content = self.content.write();
        content.disk.sync();
        debug_assert!(
            !content.disk.changes().is_empty() || content.disk.base().len() == content.bytes.len(),
            "MEM-1: after a sync the disk has the length that programs see"
        );
    }

    /// Notes a failed sync.
    pub(super) fn fail_sync(&self) {
        self.content.write().disk.fail_sync();
    }
}
