//! Memory for the nodes of future splits, allocated before the inserts that may split.
//!
//! A write that is in the log can no longer be refused, so a commit first claims the memory that its inserts
//! may need ([`super::Memtable::reserve`]). The next commit uses the nodes that were not needed; a page without
//! a node is never touched.
//!
//! * SPARE-1  A node's memory is in a run, or was taken from one exactly once. The arena owns it, so it lives
//!            as long as the arena.
//! * SPARE-2  The runs have as many free nodes as are claimed and not yet taken.

#![expect(
    unsafe_code,
    reason = "the list of runs is kept in the memory of their nodes"
)]

use std::ptr::{self, NonNull};

use super::arena::Arena;
use super::chunk::no_memory;
use super::node::{FREED, NODE};
use crate::error::Result;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Up to so many operations claim a node each; more of them as many as they can split.
const ONE_EACH: usize = 16;

/// See the head of the file.
pub(super) struct SpareNodes {
    /// What inserts that are under way may take.
    claimed: AtomicUsize,
    /// The contents of the runs.
    held: AtomicUsize,
    /// How many leaves were made of what the runs held.
    taken: AtomicUsize,
    runs: Mutex<Runs>,
}

struct Runs(*mut Run);

/// The memory of some nodes that nobody has: at the beginning of the first of them, which is taken last.
struct Run {
    nodes: usize,
    next: *mut Run,
}

// SAFETY: runs are only followed under the lock, and what they hold belongs to no thread.
unsafe impl Send for Runs {}

impl SpareNodes {
    /// None yet.
    pub(super) fn new() -> SpareNodes {
        SpareNodes {
            claimed: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            runs: Mutex::new(Runs(ptr::null_mut())),
        }
    }

    /// How many nodes the inserts of so many operations claim: one each; or one for each leaf that may be full already, of
    /// which there are no more than leaves were made or are claimed, and one for as many inserts as fill another.
    #[inline]
    pub(super) fn claim_of(&self, operations: usize) -> usize {
        match operations {
            0..=ONE_EACH => operations,
            _ => {
                let leaves = 1 + self.taken.load(Relaxed) + self.claimed.load(Relaxed);
                operations.min(leaves + 2 + operations / FREED)
            }
        }
    }

    /// Claims `count` nodes, to be released. Fails only if there is no memory, and then claims nothing.
    #[inline]
    pub(super) fn claim(&self, arena: &Arena, count: usize) -> Result<()> {
        let claimed = self.claimed.fetch_add(count, Relaxed) + count;
        match claimed <= self.held.load(Relaxed) {
            true => Ok(()),
            false => self
                .fill(arena, claimed)
                .inspect_err(|_| self.release(count)),
        }
    }

    /// Ends a claim, whatever was taken of it.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        let claimed = self.claimed.fetch_sub(count, Relaxed);
        debug_assert!(claimed >= count, "SPARE-2: what is released was claimed");
    }

    /// Bytes of the arena that the runs hold.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.held.load(Relaxed) * NODE.size()
    }

    #[cold]
    fn fill(&self, arena: &Arena, claimed: usize) -> Result<()> {
        let mut runs = self.runs.lock();
        let nodes = claimed.saturating_sub(self.held.load(Relaxed));
        if nodes > 0 {
            let run = allocate(arena, nodes)?.cast::<Run>();
            // SAFETY: just allocated, and a node is larger and more aligned than a `Run`.
            unsafe {
                run.write(Run {
                    nodes,
                    next: runs.0,
                })
            };
            runs.0 = run.as_ptr();
            self.held.fetch_add(nodes, Relaxed);
        }
        debug_assert!(
            self.held.load(Relaxed) >= claimed,
            "SPARE-2: there is a node for each claim"
        );
        Ok(())
    }

    /// The memory of a leaf, never returned. Fails only if there is no memory, and never for a claim that was
    /// large enough.
    pub(super) fn take(&self, arena: &Arena) -> Result<NonNull<u8>> {
        let mut runs = self.runs.lock();
        self.taken.fetch_add(1, Relaxed);
        let Some(first) = NonNull::new(runs.0) else {
            return allocate(arena, 1);
        };
        // SAFETY: it is in the list, so it was written there and is nobody else's (SPARE-1).
        let run = unsafe { first.as_ptr().as_mut() }.expect("not null");
        debug_assert!(
            run.nodes > 0 && run.nodes <= self.held.load(Relaxed),
            "SPARE-1: a node is in a run until it is taken"
        );
        run.nodes -= 1;
        if run.nodes == 0 {
            runs.0 = run.next;
        }
        self.held.fetch_sub(1, Relaxed);
        // SAFETY: so many nodes and one more began at `first`.
        Ok(unsafe { first.cast::<u8>().add(run.nodes * NODE.size()) })
    }
}

/// Memory of the arena for so many nodes, one after the other.
pub(super) fn allocate(arena: &Arena, nodes: usize) -> Result<NonNull<u8>> {
    let bytes = nodes
        .checked_mul(NODE.size())
        .and_then(|bytes| bytes.checked_add(NODE.align() - 1))
        .ok_or_else(|| no_memory(usize::MAX))?;
    // The arena aligns nothing.
    let start = arena.allocate(bytes)?;
    let to_aligned = start.as_ptr().align_offset(NODE.align());
    // SAFETY: less than its alignment further the address is aligned, and the nodes' bytes follow.
    Ok(unsafe { start.add(to_aligned) })
}
