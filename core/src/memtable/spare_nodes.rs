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

/// Up to this many operations claim one node each; more operations claim as many as they can split.
const ONE_EACH: usize = 16;

/// See the head of the file.
pub(super) struct SpareNodes {
    /// How many nodes the inserts under way may take.
    claimed: AtomicUsize,
    /// How many nodes the runs hold.
    held: AtomicUsize,
    /// How many leaves were made of nodes from the runs.
    taken: AtomicUsize,
    runs: Mutex<NodeRuns>,
}

struct NodeRuns(*mut NodeRun);

/// A run of free nodes. This head is at the beginning of the first node, which is taken last.
struct NodeRun {
    nodes: usize,
    next: *mut NodeRun,
}

// SAFETY: code follows runs only under the lock, and their nodes belong to no thread.
unsafe impl Send for NodeRuns {}

impl SpareNodes {
    /// No spare nodes yet.
    pub(super) fn new() -> SpareNodes {
        SpareNodes {
            claimed: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            runs: Mutex::new(NodeRuns(ptr::null_mut())),
        }
    }

    /// How many nodes the inserts of `operations` operations claim. A few operations claim one each. Many claim one
    /// for each leaf that may already be full (at most as many as leaves were made or are claimed), and one for each
    /// group of inserts that can fill another leaf.
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

    /// Claims `count` nodes, which the caller must release. Fails only if there is no memory, and then claims
    /// nothing.
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

    /// Ends a claim, however many of its nodes were taken.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        let claimed = self.claimed.fetch_sub(count, Relaxed);
        debug_assert!(claimed >= count, "SPARE-2: the released nodes were claimed");
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
            let run = allocate(arena, nodes)?.cast::<NodeRun>();
            // SAFETY: just allocated, and a node is larger and more aligned than a `NodeRun`.
            unsafe {
                run.write(NodeRun {
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
        // SAFETY: it is in the list, so it was written there, and no other code has it (SPARE-1).
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
        // SAFETY: that many nodes and one more began at `first`.
        Ok(unsafe { first.cast::<u8>().add(run.nodes * NODE.size()) })
    }
}

/// Memory of the arena for `nodes` nodes, one after the other.
pub(super) fn allocate(arena: &Arena, nodes: usize) -> Result<NonNull<u8>> {
    debug_assert!(nodes > 0, "SPARE-1: a run has a node");
    let bytes = nodes
        .checked_mul(NODE.size())
        .and_then(|bytes| bytes.checked_add(NODE.align() - 1))
        .ok_or_else(|| no_memory(usize::MAX))?;
    // The arena aligns nothing.
    let start = arena.allocate(bytes)?;
    let to_aligned = start.as_ptr().align_offset(NODE.align());
    debug_assert!(
        to_aligned < NODE.align(),
        "SPARE-1: the nodes lie within the allocation"
    );
    // SAFETY: the aligned address is less than one alignment further, and the nodes' bytes follow it within the
    // allocation.
    Ok(unsafe { start.add(to_aligned) })
}
