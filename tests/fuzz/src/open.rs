//! A directory of one CURRENT, one manifest, one log and one table, all from the input. The target opens it, reads,
//! checks, writes, reopens and repairs.
//!
//! Whatever the bytes are, each call succeeds or fails with `Corruption` or `Unsupported`. Data written to a database
//! that opened is there after a reopening. Repair makes a sound database that agrees with its report.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aidb::env::{Env, MemEnv};
use aidb::{DB, ErrorKind, Options, Result, WriteOptions};

use crate::seal;

const DAMAGED: &str = "/damaged";
const REPAIRED: &str = "/repaired";
/// The clock stands still: an input does the same each time.
pub(crate) const STARTED_MICROS: u64 = 1_700_000_000_000_000;
/// The most entries to walk: a compressed block of a few bytes can hold many.
const MAX_ENTRIES: usize = 20_000;

/// The files of a small database, as an input stores them.
pub struct Directory {
    /// The numbers in the names of manifest, log and table.
    pub numbers: [u8; 3],
    pub current: Vec<u8>,
    /// Without the zeros between its parts.
    pub manifest: Vec<u8>,
    pub log: Vec<u8>,
    pub table: Vec<u8>,
}

impl Directory {
    /// Mode, numbers, one length of a byte and two of two bytes, then CURRENT, manifest, log and table.
    pub fn encode(&self, mode: u8) -> Vec<u8> {
        let mut out = vec![mode];
        out.extend(self.numbers);
        out.push(self.current.len() as u8);
        out.extend((self.manifest.len() as u16).to_le_bytes());
        out.extend((self.log.len() as u16).to_le_bytes());
        for part in [&self.current, &self.manifest, &self.log, &self.table] {
            out.extend(part);
        }
        out
    }

    /// The files, with correct checksums if the lowest bit of the mode is 0; and the mode.
    fn decode(input: &[u8]) -> Option<(u8, Directory)> {
        let (head, mut rest) = input.split_first_chunk::<9>()?;
        let [mode, first, second, third, current, lengths @ ..] = *head;
        let [a, b, c, d] = lengths;
        let mut take = |length: usize| {
            let (part, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            part.to_vec()
        };
        let mut directory = Directory {
            numbers: [first, second, third],
            current: take(current.into()),
            manifest: take(u16::from_le_bytes([a, b]).into()),
            log: take(u16::from_le_bytes([c, d]).into()),
            table: take(usize::MAX),
        };
        let packed = &mut directory.manifest;
        packed.resize(packed.len().max(seal::PACKED_BYTES), 0);
        directory.manifest = seal::unpack_manifest(packed);
        if mode & 1 == 0 {
            seal::current(&mut directory.current);
            seal::manifest(&mut directory.manifest);
            seal::wal(&mut directory.log);
            seal::table(&mut directory.table);
        }
        Some((mode, directory))
    }

    fn write(&self, env: &MemEnv) {
        let dir = Path::new(DAMAGED);
        env.create_dir_all(dir).expect("it is empty");
        let [manifest, log, table] = self.numbers;
        let files = [
            (PathBuf::from("CURRENT"), &self.current),
            (format!("MANIFEST-{manifest:06}").into(), &self.manifest),
            (format!("{log:06}.log").into(), &self.log),
            (format!("{table:06}.sst").into(), &self.table),
        ];
        for (name, bytes) in files {
            let file = env.create_new(&dir.join(name)).expect("names differ");
            file.write_at(0, bytes).expect("nothing fails");
        }
    }
}

/// Runs the input. Bit 1 of the mode: repairs the damaged directory without opening it first. Bit 2: compaction is due
/// at once.
pub fn open(input: &[u8]) {
    let Some((mode, directory)) = Directory::decode(input) else {
        return;
    };
    let env = MemEnv::new();
    env.hold_clock(Some(STARTED_MICROS));
    directory.write(&env);
    let options = Options::new()
        .env(Arc::new(env))
        .manual_background(true)
        .write_buffer_size(4 << 10)
        .block_cache_size(16 << 10)
        .block_size(256)
        .target_file_size(4 << 10)
        .level0_compaction_trigger(if mode & 4 != 0 { 1 } else { 4 });
    if mode & 2 == 0 {
        use_and_reopen(&options);
    }
    repair(&options);
}

/// The error for a directory that nothing proves to be AiDb's.
const NOT_OURS: [&str; 3] = [
    "is not a database",
    "not of AiDb",
    "holds no part of an AiDb database",
];

/// The answer; `None` if the file is damaged, or newer than this build, or so damaged that nothing any longer shows
/// that it was a database.
fn checked<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(error) => {
            let is_damage = match error.kind() {
                ErrorKind::Corruption | ErrorKind::Unsupported => true,
                ErrorKind::InvalidArgument => {
                    NOT_OURS.iter().any(|what| error.message().contains(what))
                }
                _ => false,
            };
            assert!(is_damage, "{error}");
            None
        }
    }
}

/// Entries from the beginning, at most [`MAX_ENTRIES`].
fn scan(db: &DB) -> Result<usize> {
    let mut entries = 0;
    for entry in db.iter().take(MAX_ENTRIES) {
        entry?;
        entries += 1;
    }
    Ok(entries)
}

fn use_and_reopen(options: &Options) {
    // A reader changes nothing.
    let as_reader = DB::open(DAMAGED, options.clone().read_only(true));
    let seen = checked(as_reader).map(|db| checked(scan(&db)));
    let Some(db) = checked(DB::open(DAMAGED, options.clone())) else {
        assert!(
            seen.is_none(),
            "a database that opens for reading opens for writing"
        );
        return;
    };
    let entries = checked(scan(&db));
    assert_eq!(seen, Some(entries), "both see the same");
    let backward = checked(
        db.iter()
            .rev()
            .take(MAX_ENTRIES)
            .collect::<Result<Vec<_>>>(),
    );
    if let (Some(entries), Some(backward)) = (entries, &backward) {
        assert_eq!(entries, backward.len(), "both directions show the same");
    }
    let report = checked(db.verify());
    let sound = report.is_some_and(|report| report.is_ok());
    let key = b"a key that no input has";
    let written = checked(db.put_with(key, b"value", &WriteOptions::new().sync(true)));
    if written.is_some() {
        let value = checked(db.get(key)).flatten();
        assert!(!sound || value.as_deref() == Some(b"value"));
    }
    let mut steps = 0;
    while checked(db.run_background_step()) == Some(true) {
        steps += 1;
        assert!(steps < 1000, "compactions end");
    }
    checked(db.compact_range(None, None));
    let closed = checked(db.close());
    if !sound || written.is_none() || closed.is_none() {
        return;
    }
    let db = DB::open(DAMAGED, options.clone()).expect("a sound, closed database opens");
    let value = db.get(key).expect("what was sound can be read");
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
    let now = scan(&db).expect("what was sound can be read");
    assert_eq!(
        Some(now),
        entries.map(|entries| (entries + 1).min(MAX_ENTRIES))
    );
}

fn repair(options: &Options) {
    let Some(report) = checked(DB::repair(DAMAGED, REPAIRED, options)) else {
        return;
    };
    let db = DB::open(REPAIRED, options.clone()).expect("a repaired database opens");
    let sound = db.verify();
    assert!(sound.expect("nothing fails").is_ok());
    let entries = scan(&db).expect("a repaired database can be read");
    assert_eq!(entries, (report.entries_written as usize).min(MAX_ENTRIES));
    checked(db.put(b"key", b"value"));
    db.close().expect("a repaired database closes");
}
