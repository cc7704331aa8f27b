//! Checks of everything that the decoders accept, as far as they need private functions. Only for the fuzz targets in
//! `tests/fuzz`. Built only with the feature `internals`; not part of AiDb's interface. The public decoders are in
//! `inspect/`, and the targets' checks of them in `tests/fuzz/src/decoders.rs`.
//!
//! A function here takes bytes as they would be in a file, decodes all of them, and returns how many items it found,
//! or the decoder's own error. It asserts, so that a wrong result stops the fuzzer like a panic does:
//!
//! * INTERNALS-1  A decoded item that can be encoded again decodes to the same.
//! * INTERNALS-2  A table that passes its check answers every lookup and walks the same in both directions.
//! * INTERNALS-3  An error is `Corruption`, `Unsupported` or, if the caller has to add the place, `Internal`.

use std::path::Path;

use crate::batch::WriteBatch;
use crate::compression::{self, Compression};
use crate::content::Sum;
use crate::env::{Env, MemEnv};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{CURRENT, manifest_path};
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, KeyspaceId, Trailer};
use crate::memory::MemoryGauge;
use crate::sstable::{Block, BlockCache, BlockCursor, Damage, Table};
use crate::sync::Arc;
use crate::version::{ObsoleteFiles, VersionEdit, VersionSet};

/// At most this many entries are walked, because a compressed block of a few bytes can hold millions.
const MAX_ENTRIES: usize = 20_000;

/// An entry of a block or table: internal key and value.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// INTERNALS-3.
fn checked<T>(result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        use ErrorKind::{Corruption, Internal, Unsupported};
        let expected = matches!(error.kind(), Corruption | Internal | Unsupported);
        assert!(expected, "INTERNALS-3: {error}");
    }
    result
}

fn file(env: &MemEnv, path: &Path, bytes: &[u8]) -> Result<()> {
    env.create_new(path)?.write_at(0, bytes)
}

/// `batch` as the log holds it.
pub fn encoded_batch(batch: &WriteBatch) -> Vec<u8> {
    batch.encoded().to_vec()
}

/// Decodes an edit of the manifest; returns the number of tables that it adds and removes.
pub fn version_edit(encoded: &[u8]) -> Result<usize> {
    let edit = checked(VersionEdit::decode(encoded))?;
    let mut again = Vec::new();
    edit.encode_to(&mut again);
    assert_eq!(VersionEdit::decode(&again)?, edit, "INTERNALS-1");
    Ok(edit
        .parts()
        .map(|part| part.added.len() + part.removed.len())
        .sum())
}

/// Recovers a directory with this CURRENT and this MANIFEST-000001, and recovers it again after one more edit.
/// Returns the number of tables.
pub fn manifest(current: &[u8], manifest: &[u8]) -> Result<usize> {
    let env = Arc::new(MemEnv::new());
    let dir = Path::new("/db");
    env.create_dir_all(dir)?;
    file(&env, &dir.join(CURRENT), current)?;
    file(&env, &manifest_path(dir, FileNumber(1)), manifest)?;
    let recover = |is_read_only| {
        VersionSet::recover(env.clone(), dir, ObsoleteFiles::new(|| ()), is_read_only)
    };
    checked(recover(true))?;
    let mut set = recover(false).expect("a database that opens read-only also opens");
    let log_number = FileNumber(set.log_number().0.max(3));
    checked(set.log_and_apply(VersionEdit::of_log(log_number), Sum::default()))?;
    let tables = set.current(KeyspaceId::DEFAULT).all_files().count();
    drop(set);
    let set = recover(false).expect("a database that was open before opens again");
    assert_eq!(set.log_number(), log_number, "SLOT-1");
    assert_eq!(
        set.current(KeyspaceId::DEFAULT).all_files().count(),
        tables,
        "SLOT-1"
    );
    Ok(tables)
}

fn damage(damage: Damage) -> Error {
    Error::internal(format!("raw byte {}: {}", damage.at, damage.what))
}

/// Walks a data block's raw bytes in both directions and looks up the keys that it finds. Returns the number of
/// entries.
pub fn block(raw: Vec<u8>) -> Result<usize> {
    let gauge = Arc::new(MemoryGauge::default());
    let bytes = raw.len();
    let block = Block::unchecked(raw, &gauge).map_err(damage)?;
    let mut cursor = BlockCursor::new(block.clone());
    let mut entries = Entries::new();
    let mut outcome = cursor.seek_to_first();
    while outcome.is_ok() && cursor.valid() {
        entries.push((cursor.key().to_vec(), cursor.value().to_vec()));
        assert!(entries.len() <= bytes, "BLOCK-5");
        outcome = cursor.next();
    }
    let flat = block.flatten();
    let mut backward = 0;
    let mut before = cursor.seek_to_last();
    while before.is_ok() && cursor.valid() {
        backward += 1;
        assert!(backward <= bytes, "BLOCK-5");
        before = cursor.prev().map(|_| ());
    }
    for (key, _) in entries.iter().take(64) {
        let key = KeyRef::decode(key).expect("it was encoded here");
        let _ = block
            .get(key)
            .map(|found| found.map(|(_, range)| block.slice(range).len()));
        if let Some(flat) = &flat {
            let found = flat.get(key).expect("a flat block has no damage");
            let (trailer, _) = found.expect("INTERNALS-2: a key that a walk shows is found");
            assert_eq!(trailer, key.trailer, "INTERNALS-2");
        }
        // Walks back and forth from the entry that a seek finds.
        if cursor.seek(key).is_ok() && cursor.valid() {
            let _ = cursor.prev();
            if cursor.valid() {
                let _ = cursor.next();
            }
        }
    }
    assert!(flat.is_none() || outcome.is_ok(), "LAYOUT-1");
    outcome.and(before).map_err(damage)?;
    Ok(entries.len())
}

/// Reads a whole table: a check, a walk in both directions, every lookup. Returns the number of its entries.
pub fn table(bytes: &[u8]) -> Result<usize> {
    let env = MemEnv::new();
    let path = Path::new("/000007.sst");
    file(&env, path, bytes)?;
    // The id in the header; with any other the reader would go no further.
    let file_id = bytes.get(12..).and_then(|rest| rest.first_chunk());
    let file_id = file_id.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let cache = BlockCache::new(8 << 10);
    let table = checked(Table::open(&env, path, file_id, bytes.len() as u64, cache))?;
    let checks = &mut |_| std::ops::ControlFlow::Continue(());
    let summary = checked(table.check(checks))?;
    let forward = walk(&table, true);
    let backward = walk(&table, false);
    let read = forward.as_ref().map_or(&[][..], |entries| &entries[..]);
    for (key, value) in read.iter().take(256) {
        let key = KeyRef::decode(key).expect("it was encoded here");
        let found = checked(table.get(key.user_key, key.trailer, true));
        let _ = checked(table.get(key.user_key, Trailer::OLDEST, true));
        if summary.is_some() {
            let found = found.expect("INTERNALS-2: a lookup in a good table succeeds");
            let (trailer, found) = found.expect("INTERNALS-2: a key that a walk shows is found");
            assert!(
                trailer == key.trailer && found[..] == value[..],
                "INTERNALS-2"
            );
        }
    }
    let Some(summary) = summary else {
        return forward.and(backward).map(|entries| entries.len());
    };
    let entries = summary.sum.entries() as usize;
    let forward = forward.expect("INTERNALS-2: a good table can be walked");
    let mut backward = backward.expect("INTERNALS-2: a good table can be walked backward");
    if entries <= MAX_ENTRIES {
        backward.reverse();
        assert_eq!(forward.len(), entries, "INTERNALS-2");
        assert!(
            forward == backward,
            "INTERNALS-2: both directions show the same"
        );
    }
    Ok(entries)
}

fn walk(table: &Arc<Table>, is_forward: bool) -> Result<Entries> {
    let mut entries = Entries::new();
    let mut iterator = table.iter(true, 4 << 10);
    match is_forward {
        true => checked(iterator.seek_to_first())?,
        false => checked(iterator.seek_to_last())?,
    }
    while iterator.valid() && entries.len() < MAX_ENTRIES {
        entries.push((iterator.key().to_vec(), iterator.value().to_vec()));
        match is_forward {
            true => checked(iterator.next())?,
            false => checked(iterator.prev())?,
        }
    }
    Ok(entries)
}

/// Decompresses a payload of the codec with this number, to at most `most` bytes.
pub fn decompress(codec: u8, payload: &[u8], most: u64) -> Option<Vec<u8>> {
    let raw = compression::decompress(Compression::from_u8(codec)?, payload, most).ok()?;
    assert!(raw.len() as u64 <= most, "CODEC-3");
    Some(raw)
}

/// The codec's number and the payload that `raw` is stored as.
pub fn compress(compression: Compression, raw: &[u8]) -> (u8, Vec<u8>) {
    let mut encoder = compression::Encoder::new(compression);
    let (codec, payload) = encoder.compress(raw);
    (codec as u8, payload.to_vec())
}
