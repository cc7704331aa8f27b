//! Decodes whole files through `aidb::inspect`, and asserts facts about everything that a decoder accepts, so that a
//! wrong answer stops the fuzzer like a panic does:
//!
//! * DECODER-1  Decoded parts lie within the bytes they were decoded from, in order.
//! * DECODER-2  A decoded value that can be encoded decodes to the same value again.
//! * DECODER-3  A table that passes its check can be walked to its end, and has as many entries as it says.
//! * DECODER-4  An error is `Corruption` or `Unsupported`: the bytes are in memory, so no other error can occur.
//! * DECODER-5  The decoder accepts all that the engine accepts.
//!
//! `aidb::fuzz_checks` has the assertions about private parts.

use std::path::Path;

use aidb::env::{Env, MemEnv};
use aidb::inspect::{self, Current, Edit, Log, Manifest, Operation, Table};
use aidb::{ErrorKind, FileNumber, Result, ValueKind, WriteBatch, fuzz_checks};

/// The most entries to walk: a compressed block of a few bytes can hold millions.
const MAX_ENTRIES: u64 = 20_000;
const PATH: &str = "/file";

/// DECODER-4.
fn checked<T>(result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        use ErrorKind::{Corruption, Unsupported};
        assert!(
            matches!(error.kind(), Corruption | Unsupported),
            "DECODER-4: {error}"
        );
    }
    result
}

/// An environment in which [`PATH`] is a file of these bytes.
fn env(bytes: &[u8]) -> Result<MemEnv> {
    let env = MemEnv::new();
    env.create_new(Path::new(PATH))?.write_at(0, bytes)?;
    Ok(env)
}

/// Reads a log, up to `limit` if a next log named one, and the batches in it.
pub fn log(bytes: &[u8], limit: Option<u64>) -> Result<()> {
    let env = env(bytes)?;
    let Some(mut log) = checked(Log::open(&env, Path::new(PATH)))? else {
        return Ok(());
    };
    let _ = log.header();
    if let Some(limit) = limit {
        log.stop_at(limit);
    }
    let mut last_end = 0;
    loop {
        match log.next_record() {
            Ok(Some(record)) => {
                assert!(
                    record.offset >= last_end && record.end > record.offset,
                    "DECODER-1"
                );
                assert!(record.end <= bytes.len() as u64, "DECODER-1");
                assert!(record.payload.len() < bytes.len(), "DECODER-1");
                last_end = record.end;
                if let Ok(operations) = checked(record.operations()) {
                    for operation in operations {
                        let _ = checked(operation);
                    }
                }
                let _ = batch(record.payload);
            }
            Ok(None) => break,
            Err(error) => {
                assert!(log.next_record().is_err(), "an error of a log is final");
                return checked(Err(error));
            }
        }
    }
    let end = log.end().expect("the log answered that it ends");
    assert!(end.good_length >= last_end && end.good_length <= bytes.len() as u64);
    assert!(
        end.synced_up_to <= end.good_length || limit.is_some(),
        "WAL-3"
    );
    Ok(())
}

/// Decodes a batch.
pub fn batch(encoded: &[u8]) -> Result<()> {
    let decoded: Result<Vec<Operation<'_>>> = checked(inspect::operations(encoded))?.collect();
    let decoded = checked(decoded)?;
    let mut again = WriteBatch::new();
    for operation in &decoded {
        match operation.kind {
            ValueKind::Put => again.put(operation.key, operation.value)?,
            ValueKind::Delete => again.delete(operation.key)?,
            ValueKind::RangeDelete => {
                let end = inspect::range_end(operation.key, operation.value)?;
                again.delete_range(Some(operation.key), end)?;
            }
            kind => panic!("an operation of kind {kind:?}"),
        }
    }
    let encoded = fuzz_checks::encoded_batch(&again);
    let same: Result<Vec<_>> = inspect::operations(&encoded)?.collect();
    // Of what a log may hold, a batch cannot name the keyspace.
    let content = |operations: &[Operation<'_>]| -> Vec<_> {
        let operations = operations.iter();
        let content = operations.map(|operation| {
            let key = operation.key.to_vec();
            (operation.kind, key, operation.value.to_vec())
        });
        content.collect()
    };
    assert_eq!(content(&same?), content(&decoded), "DECODER-2");
    Ok(())
}

/// Reads a whole table: its check, and its entries.
pub fn table(bytes: &[u8]) -> Result<()> {
    let env = env(bytes)?;
    let table = checked(Table::open(&env, Path::new(PATH)))?;
    let said = table.properties();
    let mut damaged = 0;
    let is_whole = table.check(|offset, error| {
        assert!(offset <= bytes.len() as u64, "DECODER-1");
        let _ = checked::<()>(Err(error));
        damaged += 1;
    })?;
    assert_eq!(
        is_whole,
        damaged == 0,
        "the check reports every damage that it finds"
    );
    let (mut entries, mut found) = (table.entries(), 0);
    let walked = loop {
        match checked(entries.next_entry()) {
            Ok(Some(_)) if found < MAX_ENTRIES => found += 1,
            Ok(_) => break Ok(()),
            Err(error) => {
                let next = entries.next_entry();
                assert!(matches!(next, Ok(None)), "a walk ends with its error");
                break Err(error);
            }
        }
    };
    if is_whole {
        walked.expect("DECODER-3: a good table can be walked");
        assert_eq!(found, said.entries.min(MAX_ENTRIES), "DECODER-3");
    }
    fuzz_checks::table(bytes).map(|_| ())
}

/// Reads CURRENT, and the edits of a manifest.
pub fn manifest(current: &[u8], manifest: &[u8]) -> Result<()> {
    let named = checked(Current::read(&env(current)?, Path::new(PATH)));
    let edits = edits(manifest);
    let recovered = fuzz_checks::manifest(current, manifest);
    if recovered.is_ok() {
        let named = named.expect("DECODER-5: CURRENT");
        assert_eq!(named.manifest, FileNumber(1), "DECODER-5");
        assert_eq!(
            edits.expect("DECODER-5: the manifest"),
            named.file_id,
            "DECODER-5"
        );
    }
    recovered.map(|_| ())
}

/// Reads every edit of a manifest. Returns its file id.
fn edits(bytes: &[u8]) -> Result<u64> {
    let env = env(bytes)?;
    let mut manifest = checked(Manifest::open(&env, Path::new(PATH)))?;
    assert!(manifest.length() <= bytes.len() as u64, "DECODER-1");
    loop {
        match checked(manifest.next_edit()) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(manifest.file_id()),
            Err(error) => {
                assert!(matches!(manifest.next_edit(), Ok(None)), "it ends there");
                return Err(error);
            }
        }
    }
}

/// Decodes an edit of a manifest.
pub fn edit(encoded: &[u8]) -> Result<()> {
    let decoded = checked(Edit::decode(encoded));
    let found = fuzz_checks::version_edit(encoded);
    assert_eq!(decoded.is_ok(), found.is_ok(), "DECODER-5");
    if let (Ok(edit), Ok(tables)) = (&decoded, found) {
        let parts = std::iter::once(edit).chain(&edit.others);
        let named = parts.map(|part| part.added.len() + part.removed.len());
        assert_eq!(named.sum::<usize>(), tables, "DECODER-5");
    }
    decoded.map(|_| ())
}
