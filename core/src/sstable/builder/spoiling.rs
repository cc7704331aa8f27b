//! Damages finished blocks on their way into the file, like a bad memory cell. For tests of the checks that notice
//! it.

use std::cell::Cell;
use std::ops::Range;

/// How many blocks builders of one thread have finished, which of them get a wrong byte, and how many got one.
#[derive(Clone, Copy)]
struct Spoiling {
    finished: u64,
    first: u64,
    end: u64,
    spoiled: u64,
}

const NONE: Spoiling = Spoiling {
    finished: 0,
    first: 0,
    end: 0,
    spoiled: 0,
};

thread_local! {
    static SPOILING: Cell<Spoiling> = const { Cell::new(NONE) };
}

/// Runs `work`. Of the blocks that builders of this thread finish during it, those with these `numbers` get a wrong
/// byte; numbers count from 0, over all tables. Returns the result of `work`, and how many blocks were spoiled.
pub(crate) fn while_spoiling<T>(numbers: Range<u64>, work: impl FnOnce() -> T) -> (T, u64) {
    SPOILING.set(Spoiling {
        first: numbers.start,
        end: numbers.end,
        ..NONE
    });
    let answer = work();
    (answer, SPOILING.replace(NONE).spoiled)
}

/// Called when a block with these stored bytes is finished; spoils it if it is one of them.
pub(super) fn spoil(stored: &mut [u8]) {
    let mut spoiling = SPOILING.get();
    let is_due = (spoiling.first..spoiling.end).contains(&spoiling.finished);
    if let Some(last) = stored.last_mut()
        && is_due
    {
        *last ^= 1;
        spoiling.spoiled += 1;
    }
    spoiling.finished += 1;
    SPOILING.set(spoiling);
}
