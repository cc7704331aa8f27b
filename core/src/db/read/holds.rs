//! What each cursor pins, and a list of these, so that closing can release it even while cursors still exist.
//!
//! * HOLD-1  The data that a cursor walks is accessed only under the lock of its [`Hold`]: by the cursor during
//!       a move, or by the thread that closes, which waits for a move under way.
//! * HOLD-2  The bytes that a [`Lease`] lends stay where they are until the next [`Lease::with`] or its drop:
//!       closing releases everything except the block, or the memtable chunk, that contains the entry.
//! * HOLD-3  A hold is in the list as long as its cursor lives. No hold is added once the database is closed.
//! * HOLD-4  A forked child does not touch these locks: a thread that exists only in the parent may hold them.
//!
//! Moves within a span need nothing from this file: a span has a counted reference to its block, and to nothing
//! else. The reasons: docs/decisions/0052-closing-takes-from-cursors-what-they-hold.md.

#![expect(
    unsafe_code,
    reason = "the lent bytes lie in a value whose lock is not held while they are lent"
)]

use super::entries::Entries;
use super::overlaid::Overlay;
use super::source::Kept;
use crate::db::context::closed_error;
use crate::db::tree::{SuperVersion, Tree};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::over_io::{OverIo, Stage};
use crate::sync::{Arc, Mutex, Weak};

/// The data that a cursor walks.
pub(super) struct Walk {
    pub(super) tree: Arc<Tree>,
    pub(super) superversion: Arc<SuperVersion>,
    pub(super) entries: Entries,
}

/// The parts of the database that one cursor holds.
struct Hold(OverIo<HoldParts>);

struct HoldParts {
    /// `None` once closing has taken it.
    walk: Option<Walk>,
    /// After that, the owner of the lent bytes (HOLD-2).
    kept: Option<Kept>,
}

impl Hold {
    /// Takes everything except the owner of the lent bytes.
    fn let_go(&self) {
        let mut held = self.0.lock();
        debug_assert!(
            held.kept.is_none(),
            "HOLD-2: closing takes the walk once, and nothing else keeps bytes"
        );
        let walk = held.walk.take();
        let walk = walk.map(|mut walk| {
            held.kept = walk.entries.keep_entry();
            walk
        });
        drop(held);
        // Outside the lock, because this closes tables and frees memtables.
        drop(walk);
    }
}

/// The holds of all cursors of a database, and whether it is open. After closing this is all that a cursor
/// keeps of it.
pub(super) struct HoldList {
    /// For cursors only. Other reads and writes check the context, which is set earlier.
    closed: AtomicBool,
    list: Mutex<List>,
    /// The process it belongs to (HOLD-4).
    forks: u32,
}

#[derive(Default)]
struct List {
    holds: Vec<Option<Weak<Hold>>>,
    /// The free slots in `holds`.
    free: Vec<usize>,
    /// Whether closing has taken the holds (HOLD-3).
    is_over: bool,
}

impl Default for HoldList {
    fn default() -> HoldList {
        HoldList {
            closed: AtomicBool::new(false),
            list: Mutex::default(),
            forks: crate::env::fork_count(),
        }
    }
}

impl HoldList {
    /// Fails for every move of a cursor after close, and in a child after `fork`.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) || crate::env::fork_count() != self.forks {
            return Err(closed_error(self.forks));
        }
        Ok(())
    }

    /// Refuses moves from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Registers `walk` for a cursor. Fails with `Closed` once the database is closed.
    pub(super) fn lease(self: &Arc<Self>, walk: Walk) -> Result<Lease> {
        let hold = Arc::new(Hold(OverIo::new(
            Stage::Cursor,
            HoldParts {
                walk: Some(walk),
                kept: None,
            },
        )));
        let mut list = self.list.lock();
        if list.is_over {
            return Err(Error::closed("the database"));
        }
        let entry = Some(Arc::downgrade(&hold));
        let place = match list.free.pop() {
            Some(place) => {
                debug_assert!(list.holds[place].is_none(), "HOLD-3: the place is free");
                list.holds[place] = entry;
                place
            }
            None => {
                list.holds.push(entry);
                list.holds.len() - 1
            }
        };
        drop(list);
        Ok(Lease {
            list: Arc::clone(self),
            hold,
            place,
            lent: Lent::NOTHING,
        })
    }

    /// Takes everything from every cursor, except the bytes it lends. Waits for a move under way.
    pub(super) fn let_go(&self) {
        debug_assert!(
            self.closed.load(Ordering::Acquire),
            "HOLD-3: moves are refused before their data goes"
        );
        let mut list = self.list.lock();
        let List { holds, .. } = std::mem::replace(
            &mut *list,
            List {
                is_over: true,
                ..List::default()
            },
        );
        drop(list);
        let live = holds.into_iter().flatten();
        for hold in live.filter_map(|hold| hold.upgrade()) {
            hold.let_go();
        }
    }

    /// How many cursors there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let list = self.list.lock();
        list.holds.len() - list.free.len()
    }
}

/// Pointers to the bytes of an entry.
struct Lent {
    key: *const [u8],
    value: *const [u8],
}

impl Lent {
    const NOTHING: Lent = Lent {
        key: &[],
        value: &[],
    };
}

// SAFETY: the bytes do not change while they exist; `Lease` ensures both.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

/// A cursor's side of a hold: it moves the walk, and lends the current entry.
pub(super) struct Lease {
    list: Arc<HoldList>,
    hold: Arc<Hold>,
    /// Its index in the list.
    place: usize,
    /// The entry that the walk was on at the end of the last `with`.
    lent: Lent,
}

impl Lease {
    /// Runs `moves` with exclusive access to the walk (`None` if closing has taken it, or if it belongs to the
    /// process that forked this one).
    #[inline]
    pub(super) fn with<T>(&mut self, moves: impl FnOnce(&mut Option<Walk>) -> T) -> T {
        self.lent = Lent::NOTHING;
        if self.is_foreign() {
            return moves(&mut None);
        }
        let mut held = self.hold.0.lock();
        debug_assert!(
            held.walk.is_none() || held.kept.is_none(),
            "HOLD-2: the bytes lie in the walk until closing takes it"
        );
        // If closing has taken the walk, the bytes lent until now.
        drop(held.kept.take());
        let moved = moves(&mut held.walk);
        if let Some(walk) = &held.walk
            && walk.entries.valid()
        {
            let (key, value) = walk.entries.entry();
            self.lent = Lent { key, value };
        }
        moved
    }

    /// What the walk is over; `None` if closing has taken it.
    pub(super) fn walks_over(&self) -> Option<(Arc<Tree>, Arc<SuperVersion>, Option<Overlay>)> {
        if self.is_foreign() {
            return None;
        }
        let held = self.hold.0.lock();
        let walk = held.walk.as_ref()?;
        let overlay = walk.entries.overlay().cloned();
        Some((
            Arc::clone(&walk.tree),
            Arc::clone(&walk.superversion),
            overlay,
        ))
    }

    /// The key of the lent entry; empty if there is none.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        // SAFETY: `with` took it from the walk in `self.hold`, and cleared it before every change since. The walk
        // changes only in `with`, which borrows `self` mutably, so not while the returned slice is borrowed (HOLD-1).
        // If closing takes the walk, the owner of the entry's bytes stays in the hold, which `self` keeps (HOLD-2).
        unsafe { &*self.lent.key }
    }

    /// The value of the lent entry.
    #[inline]
    pub(super) fn value(&self) -> &[u8] {
        // SAFETY: as for the key.
        unsafe { &*self.lent.value }
    }

    /// Whether the database belongs to another process (HOLD-4).
    fn is_foreign(&self) -> bool {
        crate::env::fork_count() != self.list.forks
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_foreign() {
            return;
        }
        let mut list = self.list.list.lock();
        if !list.is_over {
            debug_assert!(
                list.holds[self.place]
                    .as_ref()
                    .is_some_and(|hold| std::ptr::eq(hold.as_ptr(), &*self.hold)),
                "HOLD-3: the hold is in the list as long as its cursor lives"
            );
            list.holds[self.place] = None;
            list.free.push(self.place);
        }
    }
}
