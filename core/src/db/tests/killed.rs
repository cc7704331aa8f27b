//! Each run kills a background thread, by a panic, at another of its steps or operations on files.
//!
//! Threads that wait for its work get an error, no call hangs, and no acknowledged write is lost. The killed thread
//! works again afterwards, unless it was killed between the two halves of an installation, which stops writing.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::db::life::{COMPACTION_THREAD, FLUSH_THREAD};
use crate::sync::atomic::{AtomicU64, Ordering};

/// A call that takes longer counts as hanging.
const MAX_WAIT: Duration = Duration::from_secs(60);
const KEYS: u8 = 10;
const TRIGGER: u64 = 2;
/// The beginning of the message of a kill.
const KILLED: &str = "killed: ";

/// Ends a thread at its n-th step or file operation.
struct Killer {
    thread: &'static str,
    nth: u64,
    done: AtomicU64,
    killed_at: Mutex<Option<String>>,
}

impl Killer {
    fn pass(&self, what: impl FnOnce() -> String) {
        if std::thread::current().name() != Some(self.thread)
            || self.done.fetch_add(1, Ordering::SeqCst) != self.nth
        {
            return;
        }
        let what = what();
        *self.killed_at.lock() = Some(what.clone());
        // A panic that writes no message to the standard error stream.
        std::panic::resume_unwind(Box::new(format!("{KILLED}{what}")));
    }

    fn has_killed(&self) -> bool {
        self.killed_at.lock().is_some()
    }
}

/// One run of a database, and the writes that it acknowledged.
struct Life {
    killer: Arc<Killer>,
    env: FaultEnv,
    db: DB,
    /// Per key, the last round whose put was acknowledged.
    acknowledged: BTreeMap<u8, u8>,
    /// Calls that returned an error because of the kill.
    errors: u64,
    was_reported_late: bool,
}

impl Life {
    fn new(thread: &'static str, nth: u64) -> Life {
        let killer = Arc::new(Killer {
            thread,
            nth,
            done: AtomicU64::new(0),
            killed_at: Mutex::new(None),
        });
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
        let (files, steps) = (Arc::clone(&killer), Arc::clone(&killer));
        env.set_hook(Some(Arc::new(move |operation, path: &Path| {
            files.pass(|| format!("{operation:?} {}", path.display()));
        })));
        let mut options = Life::options(&env).manual_background(false);
        options.step_hook = Some(Arc::new(move |step| steps.pass(|| step.to_owned())));
        Life {
            killer,
            db: DB::open("/db", options).unwrap(),
            env,
            acknowledged: BTreeMap::new(),
            errors: 0,
            was_reported_late: false,
        }
    }

    fn options(env: &FaultEnv) -> Options {
        options(&MemEnv::new())
            .env(Arc::new(env.clone()))
            .level0_compaction_trigger(TRIGGER)
            .target_file_size(4096)
            .background_threads(1)
    }

    fn is_stopped(&self) -> bool {
        self.db.rooms().order.is_stopped()
    }

    /// Notes how a call ended. With `strictly` calls must succeed, except one: the killed thread may report the kill
    /// late.
    fn noted<T>(&mut self, what: &str, outcome: Result<T>, strictly: bool) -> bool {
        if let Err(error) = &outcome {
            assert_eq!(error.kind(), ErrorKind::Internal, "{what}: {error}");
            let is_late = error.message().contains(KILLED) && !self.was_reported_late;
            assert!(!strictly || is_late, "{what}: {error}");
            self.was_reported_late |= strictly;
            self.errors += 1;
        }
        outcome.is_ok()
    }

    fn write(&mut self, rounds: std::ops::Range<u8>) {
        // Once the thread was killed, and its work could be done again, everything works.
        let strictly = self.killer.has_killed() && !self.is_stopped();
        for round in rounds {
            for key in 0..KEYS {
                let put = self.db.put(&[key], &[round; 700]);
                if self.noted("put", put, strictly) {
                    self.acknowledged.insert(key, round);
                }
            }
            let flushed = self.db.flush();
            self.noted("flush", flushed, strictly);
            self.settle();
        }
    }

    /// Waits until the compaction thread has nothing to do, or has been killed.
    fn settle(&self) {
        let tree = &self.db.rooms().tree;
        let mut state = tree.state();
        let is_busy = |state: &mut crate::db::tree::State| {
            let version = Arc::clone(tree.load().version());
            !state.running().is_empty() || version.files(0).len() >= TRIGGER as usize
        };
        while is_busy(&mut state)
            && !state.has_failed_to_compact()
            && !self.db.rooms().order.is_stopped()
        {
            state.wait(tree.changed());
        }
    }

    /// Closes the database, opens it again, and checks that acknowledged writes are there.
    fn end(mut self) -> (Option<String>, u64) {
        let strictly = self.killer.has_killed() && !self.is_stopped();
        let closed = self.db.close();
        self.noted("close", closed, strictly);
        self.env.set_hook(None);
        let at = self.killer.killed_at.lock().clone();
        let db = DB::open("/db", Life::options(&self.env)).unwrap();
        for (key, round) in &self.acknowledged {
            let value = db.get(&[*key]).unwrap();
            let found = value.unwrap_or_else(|| panic!("{at:?}: key {key} is lost"));
            assert!(found[0] >= *round, "{at:?}: key {key} went back");
        }
        let report = db.verify().unwrap();
        assert!(report.is_ok(), "{at:?}: {report:?}");
        db.compact_range(None, None).unwrap();
        db.close().unwrap();
        (at, self.errors)
    }
}

/// Runs `work` on a thread of its own, so that a call which hangs fails the test.
fn within<T: Send + 'static>(what: String, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    receive
        .recv_timeout(MAX_WAIT)
        .unwrap_or_else(|_| panic!("{what}: hangs or failed"))
}

fn kill_everywhere(thread: &'static str, steps: &[&str]) {
    let mut met = BTreeSet::new();
    let (mut kills, mut errors) = (0, 0);
    for nth in 0.. {
        let (at, failed) = within(format!("{thread} killed at its step {nth}"), move || {
            let mut life = Life::new(thread, nth);
            life.write(0..4);
            life.write(4..6);
            life.end()
        });
        let Some(at) = at else {
            break;
        };
        kills += 1;
        errors += failed;
        met.insert(at);
    }
    println!("{thread}: {kills} kills, {errors} calls failed");
    let unmet: Vec<_> = steps.iter().filter(|step| !met.contains(**step)).collect();
    assert!(unmet.is_empty(), "never killed at {unmet:?}");
    assert!(kills > steps.len() as u64 && errors > 0);
}

/// FLUSH-7.
#[test]
fn a_flush_thread_that_panics_anywhere_is_reported_hangs_nobody_and_loses_nothing() {
    kill_everywhere(
        FLUSH_THREAD,
        &[
            "the flush thread wakes",
            "a flush begins",
            "a memtable is published",
            "a table is written",
            "an edit is to be made durable",
            "an edit is durable",
            "an edit is shown",
            "a flushed table is shown",
            "a flush has ended",
            "a flush is to be reported",
            "a flush was reported",
            "a flush was noted",
        ],
    );
}

/// COMPACT-3.
#[test]
fn a_compaction_thread_that_panics_anywhere_is_reported_hangs_nobody_and_loses_nothing() {
    kill_everywhere(
        COMPACTION_THREAD,
        &[
            "a compaction thread looks for work",
            "a compaction begins",
            "entries are compacted",
            "a compaction's tables are written",
            "an edit is to be made durable",
            "an edit is durable",
            "an edit is shown",
            "a compaction has ended",
            "a compaction is to be reported",
            "a compaction was reported",
            "a compaction is tidied up after",
            "a table is to be removed",
            "a compaction was noted",
        ],
    );
}

/// This is not a background thread, but others wait for it: the writer that syncs does it for all.
#[test]
fn a_sync_that_panics_is_reported_to_all_who_wait_for_it_and_the_next_one_succeeds() {
    let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    let db = DB::open("/db", Life::options(&env).manual_background(false)).unwrap();
    let sync = WriteOptions { sync: true };
    db.put_with(b"before", b"1", &sync).unwrap();
    let kills = Arc::new(AtomicU64::new(0));
    let killed = Arc::clone(&kills);
    env.set_hook(Some(Arc::new(move |operation, path: &Path| {
        let is_log = path.extension().is_some_and(|end| end == "log");
        if operation == Call::Sync && is_log && killed.fetch_add(1, Ordering::SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("killed in a sync"));
        }
    })));
    let writers: Vec<_> = (0..4u8)
        .map(|writer| {
            let db = db.clone();
            std::thread::spawn(move || {
                within("a synced write".to_owned(), move || {
                    db.put_with(&[writer], b"2", &sync)
                })
            })
        })
        .collect();
    let outcomes: Vec<_> = writers
        .into_iter()
        .map(|writer| writer.join().unwrap())
        .collect();
    assert!(kills.load(Ordering::SeqCst) > 0);
    let errors: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .collect();
    assert!(!errors.is_empty(), "the writer that synced gets the error");
    assert!(
        errors
            .iter()
            .all(|error| error.kind() == ErrorKind::Internal),
        "{errors:?}"
    );
    let next = db.clone();
    within("the next one".to_owned(), move || {
        next.put_with(b"after", b"3", &sync)
    })
    .unwrap();
    for (writer, outcome) in (0..4u8).zip(outcomes) {
        if outcome.is_ok() {
            assert_eq!(db.get(&[writer]).unwrap().unwrap(), b"2");
        }
    }
    db.close().unwrap();
}

#[test]
fn upkeep_that_panics_every_time_is_reported_and_stands_in_the_way_of_no_flush_and_no_close() {
    let looks = Arc::new(AtomicU64::new(0));
    let env = MemEnv::new();
    let mut panicking = options(&env).manual_background(false);
    let counted = Arc::clone(&looks);
    panicking.step_hook = Some(Arc::new(move |step| {
        if step == "the flush thread looks around" {
            counted.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new(KILLED.to_owned()));
        }
    }));
    let db = DB::open("/db", panicking).unwrap();
    for round in 0..3 {
        db.put(b"k", &[round]).unwrap();
        let reported = db.flush().err();
        // The flush thread looks around before its first flush, but perhaps not before each later one.
        assert!(
            reported.is_some() || round > 0,
            "the panic was not reported"
        );
        if let Some(error) = reported {
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.message().contains("the flush succeeded"), "{error}");
        }
        assert!(db.rooms().tree.load().active().is_empty());
    }
    db.close().unwrap();
    // It looks around once per ring, not again and again.
    let looks = looks.load(Ordering::SeqCst);
    assert!((1..100).contains(&looks), "{looks}");
    let found = open(&env).get(b"k").unwrap();
    assert_eq!(found.as_deref(), Some(&[2][..]));
}
