//! How much memory a large value takes at its most, in each step of its life: `large-value DIR`.

use std::fs;

use aidb::{DB, Options};
use aidb_tests::Random;

use crate::{not_run, say};

const MIB: u64 = 1 << 20;
const VALUE_BYTES: u64 = 96 * MIB;
/// The write buffer, the block cache, and what a process takes besides.
const BUFFERS: u64 = 32 * MIB;

/// A row of /proc/self/status, in bytes.
fn status(row: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(row));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.map_or(0, |kib| kib.parse::<u64>().unwrap() << 10)
}

/// Begins to watch anew how much memory the process holds at its most.
fn watch() {
    if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
        not_run(&format!("the peak of memory cannot be reset: {error}"));
    }
}

pub fn run(arguments: &[String]) {
    let [dir] = arguments else {
        panic!("large-value DIR");
    };
    let options = || {
        Options::new()
            .write_buffer_size(4 * MIB)
            .block_cache_size(MIB)
    };
    let mut random = Random::new(1);
    let mut value = vec![0; VALUE_BYTES as usize];
    // Does not compress.
    for chunk in value.chunks_mut(8) {
        chunk.copy_from_slice(&random.below(u64::MAX).to_le_bytes());
    }
    watch();
    let before = status("VmRSS");
    let mut over = Vec::new();
    let mut step = |name: &str, done: &mut dyn FnMut()| {
        watch();
        done();
        let peak = status("VmHWM").saturating_sub(before);
        say(&format!(
            "{name}: {} MiB for a value of {}",
            peak / MIB,
            VALUE_BYTES / MIB
        ));
        if peak > 2 * VALUE_BYTES + BUFFERS {
            over.push(name.to_owned());
        }
    };
    let mut db = Some(DB::open(dir, options()).unwrap());
    step("put", &mut || {
        db.as_ref().unwrap().put(b"k", &value).unwrap()
    });
    step("flush", &mut || db.as_ref().unwrap().flush().unwrap());
    step("get", &mut || {
        let found = db.as_ref().unwrap().get(b"k").unwrap().unwrap();
        assert!(found == value);
    });
    step("walk", &mut || {
        let (_, found) = db.as_ref().unwrap().iter().next().unwrap().unwrap();
        assert!(found == value);
    });
    step("compact", &mut || {
        let db = db.as_ref().unwrap();
        db.compact_range(None, None).unwrap();
    });
    step("overwrite", &mut || {
        db.as_ref().unwrap().put(b"k", &value).unwrap()
    });
    step("recover", &mut || {
        // Without a close the value is in the log alone.
        drop(db.take());
        db = Some(DB::open(dir, options()).unwrap());
    });
    step("flush of what was recovered", &mut || {
        db.as_ref().unwrap().flush().unwrap();
    });
    step("close", &mut || db.take().unwrap().close().unwrap());
    assert!(
        over.is_empty(),
        "more than twice the value and the buffers: {over:?}"
    );
}
