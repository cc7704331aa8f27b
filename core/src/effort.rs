//! Limits how much a call may do before it gives up, for callers that must handle something else in between:
//! Python's signals.
//!
//! The length of a call is not known beforehand: a seek may pass over millions of tombstones, a get may find a
//! gigabyte. So the call is made [`within`] an effort, counts its work, and gives up if that becomes too much;
//! the caller then repeats it where it may take long.
//!
//! * EFFORT-1  A call gives up with an error, between two entries that it passes, or at an allocation that
//!       could have failed. So it changes nothing (DOOR-1 of `memory`), except that a cursor is on no entry
//!       until it seeks.
//! * EFFORT-2  Outside of [`within`] nothing is counted and no call gives up. No thread of the engine is ever
//!             inside.
//! * EFFORT-3  A write gives up where it would wait for a flush, a compaction, space, or a new log after a
//!       failed one; or under the log's lock, before any of it is in the log. It counts nothing: while it waits
//!       it may have to do that work itself.
//!
//! The effort belongs to the thread and is not an argument, because it is spent at the bottom of every read.

use std::cell::{Cell, RefCell};

use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How many bytes a brief call may read, unpack or copy, which takes a few milliseconds.
const BRIEF_BYTES: usize = 16 << 20;
/// The largest single piece, in bytes, that a brief call may process. Reading, decompressing and copying a piece
/// counts as three times its bytes, which is still within `BRIEF_BYTES`.
const BRIEF_PIECE_BYTES: usize = 4 << 20;
/// A piece of fewer bytes than this is not worth counting.
const UNCOUNTED_BYTES: usize = 64 << 10;
/// How many entries are passed between two counts.
const ENTRIES: u32 = 64;
/// Passing over an entry counts as this many bytes: copying them takes as long, half a microsecond.
const ENTRY_BYTES: usize = 512;

const _: () = assert!(3 * BRIEF_PIECE_BYTES < BRIEF_BYTES && ENTRIES.is_power_of_two());

/// How long a call may take.
#[derive(Debug, Clone)]
pub enum Effort {
    /// It gives up before it takes more than some ten milliseconds of processor time.
    Brief,
    /// It gives up soon after the flag becomes true.
    Until(Arc<AtomicBool>),
    /// A write that gives up if it would have to wait for others.
    Unwaiting,
    /// A write that waits for others, and is given up if the flag becomes true before it is made.
    WaitingUntil(Arc<AtomicBool>),
}

#[derive(Clone, Copy)]
struct Count {
    /// Whether there is an effort to count for.
    counts: bool,
    /// Whether it may wait for others, whatever its flag says.
    waits: bool,
    /// The bytes so far; counted only if there is an effort.
    bytes: usize,
}

impl Count {
    const NONE: Count = Count {
        counts: false,
        waits: true,
        bytes: 0,
    };
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count::NONE) };
    /// The flag that ends this thread's call; without one the call is brief.
    static END: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Runs `call` on this thread within `effort` and returns its result. If the call gave up, `is_given_up` is
/// true for the error.
#[inline]
pub fn within<T>(effort: &Effort, call: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Restore<'a>(&'a Cell<Count>, Count);
    impl Drop for Restore<'_> {
        #[inline]
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    // Looked up once, because in a shared library each lookup is a function call.
    COUNT.with(|count| {
        let reads = matches!(effort, Effort::Brief | Effort::Until(_));
        let counted = Count {
            counts: reads,
            waits: reads,
            bytes: 0,
        };
        let _before = Restore(count, count.replace(counted));
        match effort {
            Effort::Brief | Effort::Unwaiting => call(),
            Effort::Until(end) | Effort::WaitingUntil(end) => until(end, call),
        }
    })
}

fn until<T>(end: &Arc<AtomicBool>, call: impl FnOnce() -> T) -> T {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            END.take();
        }
    }
    END.set(Some(Arc::clone(end)));
    let _end = Forget;
    call()
}

/// Whether a call that can be continued later should now return what it has.
#[inline]
pub fn is_spent() -> bool {
    COUNT.get().bytes > BRIEF_BYTES / 2
}

/// Counts `bytes` bytes in one piece. Fails if the call must give up.
#[inline(always)]
pub(crate) fn spend(bytes: usize) -> Result<()> {
    match bytes <= UNCOUNTED_BYTES {
        true => Ok(()),
        false => count(bytes, BRIEF_PIECE_BYTES),
    }
}

/// Counts the `passed`-th entry that is passed over without being shown. Fails if the call must give up.
#[inline(always)]
pub(crate) fn pass_over(passed: u32) -> Result<()> {
    debug_assert!(passed > 0, "EFFORT-1: entries are counted from the first");
    match passed.is_multiple_of(ENTRIES) {
        true => count(ENTRIES as usize * ENTRY_BYTES, usize::MAX),
        false => Ok(()),
    }
}

/// Called if a write has to wait for others. Fails if the write must give up.
#[cold]
pub(crate) fn wait() -> Result<()> {
    let has_end = || END.with_borrow(Option::is_some);
    match COUNT.get().waits || has_end() && !has_ended() {
        true => Ok(()),
        false => Err(Error::given_up()),
    }
}

/// Called just before a write is made. Fails if the write was cancelled.
#[inline(always)]
pub(crate) fn begin_write() -> Result<()> {
    match COUNT.get().waits {
        true => Ok(()),
        false => begin_wanted(),
    }
}

#[cold]
fn begin_wanted() -> Result<()> {
    debug_assert!(!COUNT.get().counts, "EFFORT-3: a write counts nothing");
    match has_ended() {
        true => Err(Error::given_up()),
        false => Ok(()),
    }
}

/// Whether there is a flag, and it is true.
fn has_ended() -> bool {
    END.with_borrow(|end| end.as_ref().is_some_and(|end| end.load(Ordering::Relaxed)))
}

#[cold]
fn count(bytes: usize, most: usize) -> Result<()> {
    let mut count = COUNT.get();
    if !count.counts {
        return Ok(());
    }
    count.bytes = count.bytes.saturating_add(bytes);
    COUNT.set(count);
    let gives_up = END.with_borrow(|end| match end {
        Some(end) => end.load(Ordering::Relaxed),
        None => bytes > most || count.bytes > BRIEF_BYTES,
    });
    match gives_up {
        true => Err(Error::given_up()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass_over_many(entries: u32) -> Result<u32> {
        (1..=entries).try_for_each(pass_over)?;
        Ok(entries)
    }

    /// The result of a call; `None` if it gave up.
    fn unless_given_up<T>(outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(answer) => Some(answer),
            Err(error) => {
                // An added context does not change that.
                assert!(error.context("somewhere").is_given_up());
                None
            }
        }
    }

    /// EFFORT-2.
    #[test]
    fn only_a_brief_call_gives_up_where_much_is_to_be_done() {
        let most = (BRIEF_BYTES / ENTRY_BYTES) as u32;
        assert_eq!(pass_over_many(10 * most).unwrap(), 10 * most);
        assert!(spend(1 << 30).is_ok());
        let brief = |entries| unless_given_up(within(&Effort::Brief, || pass_over_many(entries)));
        assert_eq!(brief(most), Some(most));
        assert_eq!(brief(most + ENTRIES), None);
        let piece = |bytes| unless_given_up(within(&Effort::Brief, || spend(bytes)));
        assert_eq!(piece(BRIEF_PIECE_BYTES), Some(()));
        assert_eq!(piece(BRIEF_PIECE_BYTES + 1), None);
        assert!(spend(1 << 30).is_ok() && !is_spent());
    }

    #[test]
    fn a_call_that_could_go_on_later_leaves_it_at_half_of_what_it_may() {
        let spent = within(&Effort::Brief, || {
            for _ in 0..1000 {
                spend(64 << 10)?;
            }
            spend(BRIEF_BYTES / 4)?;
            spend(BRIEF_BYTES / 4)?;
            let at_half = is_spent();
            spend(UNCOUNTED_BYTES + 1)?;
            Ok((at_half, is_spent()))
        });
        assert_eq!(unless_given_up(spent), Some((false, true)));
    }

    #[test]
    fn a_write_waits_unless_it_is_not_to_or_no_longer() {
        assert!(wait().is_ok());
        assert!(within(&Effort::Brief, wait).is_ok());
        assert_eq!(unless_given_up(within(&Effort::Unwaiting, wait)), None);
        let end = Arc::new(AtomicBool::new(false));
        let waiting = Effort::WaitingUntil(Arc::clone(&end));
        for ask in [wait, begin_write] {
            end.store(false, Ordering::Relaxed);
            let second = within(&waiting, || {
                assert!(ask().is_ok());
                end.store(true, Ordering::Relaxed);
                ask()
            });
            assert_eq!(unless_given_up(second), None);
        }
        for effort in [Effort::Brief, Effort::Unwaiting] {
            assert!(within(&effort, begin_write).is_ok());
        }
        // The work of the write is not counted.
        for effort in [Effort::Unwaiting, waiting] {
            assert!(within(&effort, || spend(1 << 30)).is_ok());
        }
        assert!(wait().is_ok());
    }

    #[test]
    fn a_call_goes_on_until_its_end_comes() {
        let end = Arc::new(AtomicBool::new(false));
        let passed = within(&Effort::Until(Arc::clone(&end)), || {
            pass_over_many(1 << 20)?;
            assert!(is_spent());
            end.store(true, Ordering::Relaxed);
            pass_over_many(1 << 20)
        });
        assert_eq!(unless_given_up(passed), None);
        // The flag ended only that call.
        assert_eq!(
            within(&Effort::Brief, || pass_over_many(ENTRIES)).unwrap(),
            ENTRIES
        );
    }
}
