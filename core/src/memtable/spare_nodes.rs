//! Memory for the nodes that splits will make, asked for before the inserts that may split.
//!
//! A write that is in the log can be refused no more, so a commit claims beforehand what its inserts may need
//! ([`super::Memtable::reserve`]). The nodes that it turns out not to need serve the next one.
//!
//! * S1  A node's memory is in the list or was taken from it, once; it is the arena's, so it lives as long.
//! * S2  The list holds as many nodes as are claimed, but for those that claimants have taken from it.

#![expect(unsafe_code, reason = "the list is kept in the memory of its nodes")]

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use super::arena::Arena;
use super::leaf::Leaf;
use crate::error::Result;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Of each node: those of records and those of leaves take the same.
pub(super) const NODE: Layout = Layout::new::<Leaf>();
/// What a node takes of the arena, which aligns nothing.
const NODE_ROOM: usize = NODE.size() + NODE.align() - 1;
/// Up to so many operations claim a node each; of more than that, few need one.
const ONE_EACH: usize = 16;
/// Of further operations, one of so many claims a node. Random keys need one for each 45.
const FURTHER_PER_NODE: usize = 8;

/// See the head of the file.
pub(super) struct SpareNodes {
    /// What inserts that are under way may take.
    claimed: AtomicUsize,
    /// What the list holds.
    held: AtomicUsize,
    list: Mutex<List>,
}

struct List(*mut Free);

/// At the beginning of a node's memory that nobody has.
struct Free(*mut Free);

// SAFETY: the list is only followed under its lock, and what it holds belongs to no thread.
unsafe impl Send for List {}

impl SpareNodes {
    /// None yet.
    pub(super) fn new() -> SpareNodes {
        SpareNodes {
            claimed: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            list: Mutex::new(List(ptr::null_mut())),
        }
    }

    /// How many nodes the inserts of so many operations claim.
    #[inline]
    pub(super) fn claim_of(operations: usize) -> usize {
        match operations {
            0..=ONE_EACH => operations,
            _ => ONE_EACH + (operations - ONE_EACH) / FURTHER_PER_NODE,
        }
    }

    /// Claims `count` nodes, to be released. Fails only for want of memory, and then claims nothing.
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
        self.claimed.fetch_sub(count, Relaxed);
    }

    /// Bytes of the arena that the list holds, about.
    #[inline]
    pub(super) fn bytes(&self, arena: &Arena) -> usize {
        self.held.load(Relaxed) * arena.bytes_of(NODE_ROOM)
    }

    #[cold]
    fn fill(&self, arena: &Arena, claimed: usize) -> Result<()> {
        let mut list = self.list.lock();
        while self.held.load(Relaxed) < claimed {
            let node = allocate(arena)?.cast::<Free>();
            // SAFETY: just allocated, and larger and more aligned than a `Free`.
            unsafe { node.write(Free(list.0)) };
            list.0 = node.as_ptr();
            self.held.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// The memory of a node, for good. Fails only for want of memory, and never for a claim that was large enough.
    pub(super) fn take(&self, arena: &Arena) -> Result<NonNull<u8>> {
        let mut list = self.list.lock();
        match NonNull::new(list.0) {
            Some(node) => {
                // SAFETY: it is in the list, so it was written there and is nobody else's (S1).
                list.0 = unsafe { node.read() }.0;
                self.held.fetch_sub(1, Relaxed);
                Ok(node.cast())
            }
            None => allocate(arena),
        }
    }
}

fn allocate(arena: &Arena) -> Result<NonNull<u8>> {
    let start = arena.allocate(NODE_ROOM)?;
    let to_aligned = start.as_ptr().align_offset(NODE.align());
    // SAFETY: less than its alignment further the address is aligned, and a node's bytes follow.
    Ok(unsafe { start.add(to_aligned) })
}
