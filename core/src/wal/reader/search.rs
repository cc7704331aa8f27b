//! Searches a log at every byte, because after damage it is unknown where the next fragment starts (WAL-7).

use super::chunk::{Chunk, RECORD};
use crate::env::File;
use crate::error::{ErrorKind, Result};
use crate::memory;
use crate::wal::fragment::{BLOCK_BYTES, FIXED_HEADER_BYTES, FragmentHeader};
use crate::wal::log_header::FILE_HEADER_BYTES;
use crate::wal::synced::Synced;

/// At most this many ids, each seen in one fragment, are remembered.
const MAX_IDS: usize = 64;

/// Finds the first header of a record's first fragment in `[from, limit)`; returns its offset.
pub(super) fn find_first_fragment(
    chunk: &mut Chunk,
    log_id: u64,
    mut from: u64,
    limit: u64,
) -> Result<Option<u64>> {
    let end = limit.min(chunk.file_length());
    while from < end {
        if let Err(error) = chunk.fill(from / BLOCK_BYTES * BLOCK_BYTES) {
            if error.kind() != ErrorKind::Io {
                return Err(error);
            }
            // If a sector cannot be read, skip its block.
            from = (from + 1).next_multiple_of(BLOCK_BYTES);
            continue;
        }
        let chunk_end = end.min(chunk.end());
        if chunk_end <= from {
            break;
        }
        let held = &chunk.bytes()[..(chunk_end - chunk.start()) as usize];
        for offset in from..chunk_end {
            let bytes = &held[(offset - chunk.start()) as usize..];
            if FragmentHeader::begins_record(bytes, log_id, offset) {
                return Ok(Some(offset));
            }
        }
        from = chunk_end;
    }
    Ok(None)
}

/// Searches from `at` to the file's end, at every byte, for an intact fragment that states a later sync.
///
/// At every byte, because after a damaged length it is unknown where the next fragment starts.
pub(super) fn search_synced(
    chunk: &mut Chunk,
    log_id: u64,
    at: u64,
    synced: &mut Synced,
) -> Result<()> {
    let mut from = at;
    while from < chunk.file_length() {
        chunk.fill(from / BLOCK_BYTES * BLOCK_BYTES)?;
        let mut index = (from - chunk.start()) as usize;
        if index >= chunk.bytes().len() {
            break;
        }
        from = chunk.end();
        while let Some(rest) = chunk.bytes().get(index..).filter(|rest| !rest.is_empty()) {
            // The beginning of a header is never all zeros, but a log ends with many zeros, so skip them.
            let zeros = leading_zeros(rest);
            if zeros >= FIXED_HEADER_BYTES {
                index += zeros - FIXED_HEADER_BYTES + 1;
            }
            let (bytes, offset) = (&chunk.bytes()[index..], chunk.start() + index as u64);
            if let Some(later) = FragmentHeader::find_synced(bytes, log_id, offset, *synced) {
                debug_assert!(later > *synced, "SYNCED-2: only a larger value counts");
                *synced = later;
            }
            index += 1;
        }
    }
    Ok(())
}

/// How many zeros `bytes` begins with.
fn leading_zeros(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<16>();
    let words = words.iter().take_while(|word| **word == [0; 16]).count();
    let rest = bytes[words * 16..].iter();
    words * 16 + rest.take_while(|byte| **byte == 0).count()
}

/// The id of a log whose header is damaged: the one that two fragments with intact payloads agree on, or that of the
/// only fragment.
pub(super) fn find_id(file: &dyn File) -> Result<Option<u64>> {
    let length = file.len()?;
    let mut said = Vec::new();
    let mut block = memory::zeros(BLOCK_BYTES as usize, RECORD)?;
    for start in (0..length).step_by(BLOCK_BYTES as usize) {
        let read = match file.read_at(start, &mut block) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Io => continue,
            Err(error) => return Err(error),
        };
        let skip = if start == 0 { FILE_HEADER_BYTES } else { 0 };
        for at in skip..read {
            let offset = start + at as u64;
            let Some(log_id) = FragmentHeader::find_id(&block[at..read], offset) else {
                continue;
            };
            // Fragments that disagree have damaged headers, so they are few.
            if said.contains(&log_id) {
                return Ok(Some(log_id));
            }
            if said.len() < MAX_IDS {
                said.push(log_id);
            }
        }
    }
    Ok(said.first().copied())
}

/// Whether anything but zeros follows the place of the header.
pub(super) fn has_data_behind_header(file: &dyn File) -> Result<bool> {
    let mut buffer = memory::zeros(BLOCK_BYTES as usize, RECORD)?;
    let mut offset = FILE_HEADER_BYTES as u64;
    loop {
        let read = file.read_at(offset, &mut buffer)?;
        if read == 0 {
            return Ok(false);
        }
        if buffer[..read].iter().any(|&byte| byte != 0) {
            return Ok(true);
        }
        offset += read as u64;
    }
}
