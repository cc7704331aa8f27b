//! Runs a marked history (`aidb_tests::history`) on a disk in memory that a test watches.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aidb::Options;
use aidb::env::{Env, FaultEnv, MemEnv};
use aidb_tests::Model;
use aidb_tests::history::{Checked, Entry, Judge, MAX_SHORT_KEY, MAX_SMALL, Operation, Run};

/// The directory of every story's database, and its parent.
pub const DIR: &str = "/home/db";
pub const ROOT: &str = "/home";

/// How many stories with large data run now: a test that measures memory must not count theirs.
pub static LARGE_AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Marks a story with large data as running until this is dropped.
pub struct LargeAtWork;

impl LargeAtWork {
    pub fn begin() -> LargeAtWork {
        LARGE_AT_WORK.fetch_add(1, Ordering::Relaxed);
        LargeAtWork
    }
}

impl Drop for LargeAtWork {
    fn drop(&mut self) {
        LARGE_AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_large(key: &[u8], length: usize) -> bool {
    key.len() > MAX_SHORT_KEY || length > MAX_SMALL
}

/// Whether there are a key and a value larger than a story usually has.
pub fn has_large(model: &Model) -> (bool, bool) {
    let key = model.iter().any(|(key, _)| key.len() > MAX_SHORT_KEY);
    (key, model.iter().any(|(_, value)| value.len() > MAX_SMALL))
}

/// A running story.
pub struct Story {
    pub run: Run,
    /// Whether large data may be in a file.
    pub holds_large: Arc<AtomicBool>,
}

impl Story {
    /// A story on `mem`, beneath `env`, under `options`. It has opened nothing yet.
    pub fn new(
        mem: &MemEnv,
        env: FaultEnv,
        options: Options,
        judge: Option<Arc<dyn Judge>>,
    ) -> Story {
        mem.create_dir_all(Path::new(ROOT)).unwrap();
        Story {
            run: Run::over(ROOT, mem.clone(), env, options, judge),
            holds_large: Arc::default(),
        }
    }

    /// Does one operation. Returns whether none of its calls failed.
    pub fn step(&mut self, operation: &Operation) -> Checked<bool> {
        if let Operation::Batch { entries, .. } = operation {
            let is_large = |entry: &Entry| match entry {
                Entry::Put(key, content) => is_large(key, content.length),
                Entry::DeleteRange(start, end) => {
                    let bounds = [start, end].into_iter().flatten();
                    bounds.into_iter().any(|key| is_large(key, 0))
                }
                Entry::Delete(_) | Entry::DeletePrefix(_) => false,
            };
            let is_large = entries.iter().any(is_large);
            self.holds_large.fetch_or(is_large, Ordering::Relaxed);
        }
        let has_worked = self.run.step(operation)?;
        if let Operation::Compact {
            start: None,
            end: None,
        } = operation
            && has_worked
            && self.holds_large()
        {
            let now = self.run.possible().now();
            self.holds_large
                .store(has_large(&now) != (false, false), Ordering::Relaxed);
        }
        Ok(has_worked)
    }

    pub fn holds_large(&self) -> bool {
        self.holds_large.load(Ordering::Relaxed)
    }
}
