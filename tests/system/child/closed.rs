//! Closes databases one after the other and keeps everything else of them: `closed DIR`.
//!
//! Besides the limit of descriptors, it reads resident memory and descriptors from /proc.

use aidb::{Cursor, DB, Iter, IterOptions, Options, Snapshot, Value, WriteBatch};
use aidb_tests::Fill;

use crate::{not_run, say};

const DATABASES: u64 = 120;
/// Databases before the first look at memory: by then the process has allocated what every process needs.
const FIRST: u64 = 10;
const FILES: u64 = 256;
/// The entries of a database: the first half in tables and in the cache, the rest in a memtable.
const ENTRIES: u64 = 6_000;
const VALUE_BYTES: usize = 1_000;

/// The handles that a program keeps of a closed database.
#[expect(dead_code, reason = "it is kept")]
struct Kept {
    db: DB,
    cursors: Vec<Cursor>,
    iter: Iter,
    snapshot: Snapshot,
    batch: WriteBatch,
    value: Value,
}

/// Bytes of resident memory.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// The targets of the open descriptors.
fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Opens a database, fills memtables, caches and tables, and closes it.
fn closed(dir: &str) -> Kept {
    // The defaults, except an info log of its own.
    let options = Options::new().info_log(aidb::InfoLog::File(format!("{dir}.txt").into()));
    let db = DB::open(dir, options).unwrap();
    for number in 0..ENTRIES {
        let value = Fill::Noise.bytes(number, VALUE_BYTES);
        db.put(&key(number), &value).unwrap();
        if number == ENTRIES / 2 {
            db.flush().unwrap();
        }
    }
    for _ in 0..2 {
        assert_eq!(db.iter().count() as u64, ENTRIES);
    }
    let at = |number| {
        let mut cursor = db.cursor(IterOptions::default()).unwrap();
        assert!(cursor.seek(&key(number)).unwrap());
        assert!(cursor.next().unwrap());
        cursor
    };
    let cursors = vec![
        at(7),
        at(ENTRIES - 7),
        db.cursor(IterOptions::default()).unwrap(),
    ];
    let mut iter = db.iter();
    iter.next().unwrap().unwrap();
    iter.next_back().unwrap().unwrap();
    let mut batch = WriteBatch::new();
    batch.put(b"kept", b"1").unwrap();
    let kept = Kept {
        snapshot: db.snapshot().unwrap(),
        value: db.get(&key(3)).unwrap().unwrap(),
        db,
        cursors,
        iter,
        batch,
    };
    kept.db.close().unwrap();
    kept.db.close().unwrap();
    assert_eq!(kept.cursors[0].key(), key(8));
    assert_eq!(kept.cursors[1].key(), key(ENTRIES - 6));
    kept
}

pub fn run(arguments: &[String]) {
    let [dir] = arguments else {
        panic!("closed DIR");
    };
    let limit = libc::rlimit {
        rlim_cur: FILES,
        rlim_max: FILES,
    };
    // SAFETY: `limit` is a valid rlimit, which the call only reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut kept = Vec::new();
    let before = descriptors();
    let Some(started) = resident() else {
        not_run("this system does not report the memory of a process");
    };
    let mut first = None;
    for number in 0..DATABASES {
        let path = format!("{dir}/{number}");
        kept.push(closed(&path));
        std::fs::remove_dir_all(&path).unwrap();
        if number + 1 == FIRST {
            first = resident();
        }
        let open = descriptors();
        assert_eq!(open.len(), before.len(), "after {number}: {open:?}");
    }
    let (first, last) = (first.unwrap(), resident().unwrap());
    say(&format!(
        "resident: {} KiB before, {} KiB after {FIRST} databases, {} KiB after {DATABASES}",
        started >> 10,
        first >> 10,
        last >> 10
    ));
    let lent = (DATABASES - FIRST) * LENT_BYTES;
    assert!(
        last <= first + first / 10 + lent,
        "{first} bytes grew to {last}"
    );
}

/// The most that the four entries and the value that a database lends may keep.
const LENT_BYTES: u64 = 64 << 10;
