//! The order of a memtable's records: a chain of leaves, a chain of branches that point to the leaves, and a
//! skip list to find a branch.
//!
//! The skip list, called the directory, has a node for each branch except the first, at the branch's low bound.
//! A branch covers about two thousand records, so the directory stays in the nearest caches, and a search waits
//! for memory about three times: for a branch, for a leaf, for a record.
//!
//! * INDEX-1  Every address in the directory is that of a record of the arena, so it is valid as long as the
//!            list.
//! * INDEX-2  Nothing is ever removed, so no node is freed before the list. Threads do not register with the
//!            list's epoch collector, because it never has anything to free.
//! * INDEX-3  The directory may not have the newest branches yet, and the branches not the newest leaves. So a
//!            search may end at a node to the left of the right one, never to its right; it continues along the
//!            chain (NODE-5).
//!
//! Elsewhere: searching, changing and splitting a node (`node.rs`).

#![expect(
    unsafe_code,
    reason = "a place refers to key bytes by address: the arena's, or a caller's during one search; nothing is removed"
)]

use std::cmp::Ordering;
use std::ops::Bound;
use std::ptr::{self, NonNull};

use crossbeam_epoch::{self as epoch, Collector, Guard};
use crossbeam_skiplist::base::SkipList;

use super::arena::{Arena, Record, RecordRoom};
use super::chunk::{KeptChunk, SpareChunks};
use super::leaf::{Leaf, Spot};
use super::node::{Cut, Item, Node};
use super::spare_nodes::{self, SpareNodes};
use crate::error::{Error, Result};
use crate::key::{KeyRef, Trailer, head_of};
use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};
use crate::sync::{Arc, Backoff};

/// A key's position in the order of the tree. Compared by its inline bytes first.
#[derive(Clone, Copy)]
struct KeyPosition {
    /// The first sixteen bytes of the user key.
    head: (u64, u64),
    user_key: *const u8,
    length: usize,
    trailer: Trailer,
}

// SAFETY: a place in the list refers to immutable bytes of the arena (INDEX-1). A place that refers to a caller's key
// stays on the stack of the call.
unsafe impl Send for KeyPosition {}
// SAFETY: as above; nothing can be changed through a place.
unsafe impl Sync for KeyPosition {}

impl KeyPosition {
    fn of(key: KeyRef<'_>) -> KeyPosition {
        let user_key = key.user_key;
        KeyPosition {
            head: head_of(user_key),
            user_key: user_key.as_ptr(),
            length: user_key.len(),
            trailer: key.trailer,
        }
    }

    fn user_key(&self) -> &[u8] {
        // SAFETY: `of` made it from a live slice: a record's, which outlives the list (INDEX-1), or a caller's, which
        // is borrowed during the search that made this place.
        unsafe { std::slice::from_raw_parts(self.user_key, self.length) }
    }
}

impl Ord for KeyPosition {
    #[inline]
    fn cmp(&self, other: &KeyPosition) -> Ordering {
        let by_key = self.head.cmp(&other.head).then_with(|| {
            // The padding zeros of a short key compare equal to real ones.
            if self.length <= 16 && other.length <= 16 {
                self.length.cmp(&other.length)
            } else {
                self.user_key().cmp(other.user_key())
            }
        });
        by_key.then_with(|| other.trailer.cmp(&self.trailer))
    }
}

impl PartialOrd for KeyPosition {
    fn partial_cmp(&self, other: &KeyPosition) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeyPosition {
    fn eq(&self, other: &KeyPosition) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for KeyPosition {}

/// A node whose items are leaves. The first leaf is in no branch: a search that ends before the first branch's
/// first item leads to it.
type Branch = Node<Leaf>;

impl Item for Leaf {
    unsafe fn record<'a>(address: *mut Leaf) -> Option<Record<'a>> {
        // SAFETY: the caller promises that it is null or a leaf. A leaf is complete and lives for 'a (NODE-1).
        unsafe { address.as_ref() }?.low()
    }
}

/// The address of a branch in the arena.
#[derive(Clone, Copy)]
struct BranchAddress(*const Branch);

// SAFETY: branches live as long as the list (NODE-1), belong to no thread and consist of atomics.
unsafe impl Send for BranchAddress {}
// SAFETY: as above.
unsafe impl Sync for BranchAddress {}

/// The bytes of a directory node: its contents, its count and height, two levels on average, and the allocator's
/// overhead.
const DIRECTORY_NODE_BYTES: usize = size_of::<(KeyPosition, BranchAddress, usize)>() + 2 * 8 + 8;

/// The directory requires this guard of its readers, so that no node that they see is freed.
fn nothing_removed() -> &'static Guard {
    // SAFETY: used only with the directory, from which nothing is removed (INDEX-2). So nothing is freed that another
    // thread may see, and nothing is deferred.
    unsafe { epoch::unprotected() }
}

/// Memory in an index for future inserts. After it is dropped, other inserts can use the unused part.
pub(crate) struct Room<'a> {
    records: RecordRoom<'a>,
    /// How many nodes it has claimed.
    claim: usize,
    index: &'a Index,
}

impl Drop for Room<'_> {
    #[inline]
    fn drop(&mut self) {
        self.index.spare_nodes.release(self.claim);
    }
}

/// The ordered records. See the head of the file.
pub(super) struct Index {
    directory: SkipList<KeyPosition, BranchAddress>,
    first_branch: Box<Branch>,
    first: Box<Leaf>,
    /// A hint: the last leaf, or one shortly before it while that is being split; null if the last leaf is the first.
    last: AtomicPtr<Leaf>,
    spare_nodes: SpareNodes,
    /// Dropped last, because all fields above refer to it.
    arena: Arena,
}

impl Index {
    pub(super) fn new(capacity: usize, spare: Arc<SpareChunks>) -> Index {
        Index {
            directory: SkipList::new(Collector::new()),
            first_branch: Box::new(Node::new(None)),
            first: Box::new(Node::new(None)),
            last: AtomicPtr::new(ptr::null_mut()),
            spare_nodes: SpareNodes::new(),
            arena: Arena::new(capacity, spare),
        }
    }

    /// Memory for records of `bytes` bytes together, and for the leaves that inserting `operations` of them may make.
    /// Fails only if there is no memory, and then changes nothing.
    #[inline]
    pub(super) fn reserve(&self, bytes: usize, operations: usize) -> Result<Room<'_>> {
        let claim = self.spare_nodes.claim_of(operations);
        self.spare_nodes.claim(&self.arena, claim)?;
        match self.arena.reserve(bytes) {
            Ok(records) => Ok(Room {
                records,
                claim,
                index: self,
            }),
            Err(error) => {
                self.spare_nodes.release(claim);
                Err(error)
            }
        }
    }

    /// Copies an entry into `room`, which belongs to this index, and enters it; `leaf` as for [`Index::place`]. Any
    /// number of threads may call it at once.
    pub(super) fn insert(
        &self,
        room: &mut Room<'_>,
        leaf: &Leaf,
        user_key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Result<()> {
        debug_assert!(
            ptr::eq(room.index, self),
            "the room belongs to another memtable"
        );
        let record = room.records.write(user_key, trailer, value)?;
        match self.place(leaf, record) {
            Ok(()) => Ok(()),
            Err(error) => self.place_later(leaf, record, error),
        }
    }

    /// Keeps the memory of `record`, one of this index's, for longer than the index may live.
    pub(super) fn keep(&self, record: Record<'_>) -> Option<Arc<KeptChunk>> {
        self.arena.keep(record)
    }

    /// Enters a record for which there was no memory for a leaf. During the insert of a large batch, other inserts
    /// had filled so many leaves that the batch split more than it had claimed. The write is in the log, so it can be
    /// neither refused nor left out; this waits for memory.
    #[cold]
    fn place_later(&self, leaf: &Leaf, record: Record<'_>, error: Error) -> Result<()> {
        let backoff = Backoff::new();
        let mut outcome = Err(error);
        while let Err(error) = &outcome
            && error.is_out_of_memory()
        {
            backoff.snooze();
            outcome = self.place(leaf, record);
        }
        outcome
    }

    /// Copies an entry into the arena, for [`Index::place`].
    pub(super) fn write(
        &self,
        user_key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Result<Record<'_>> {
        self.arena.write(user_key, trailer, value)
    }

    /// Enters a record of this index's arena. Any number of threads may call it at once. `leaf` came from
    /// [`Index::leaf_for`] for a cut that is not after the record.
    pub(super) fn place(&self, leaf: &Leaf, record: Record<'_>) -> Result<()> {
        debug_assert!(
            leaf.low().is_none_or(|low| low.key() <= record.key()),
            "INDEX-3: the leaf is not to the right of its record"
        );
        let cut = Cut::before(record.key());
        let memory = || self.spare_nodes.take(&self.arena);
        let split_off = leaf.insert(record.start(), &cut, memory)?;
        if let Some(split_off) = split_off {
            self.enter(split_off);
        }
        Ok(())
    }

    /// Enters a new leaf into a branch; if that splits off a branch, enters it into the directory. Without memory for
    /// that, searches find the leaf by going right (INDEX-3).
    #[cold]
    fn enter(&self, leaf: &Leaf) {
        if leaf.is_last() {
            self.last.store(ptr::from_ref(leaf).cast_mut(), Release);
        }
        let low = leaf
            .low()
            .expect("NODE-3: only the first leaf has no low bound");
        let cut = Cut::before(low.key());
        let branch = self.branch_for(&cut);
        // The claimed nodes are for leaves only.
        let memory = || spare_nodes::allocate(&self.arena, 1);
        let entered = branch.insert(NonNull::from(leaf), &cut, memory);
        let Ok(Some(split_off)) = entered else {
            return;
        };
        let low = split_off
            .low()
            .expect("NODE-3: only the first branch has no low bound");
        let place = KeyPosition::of(low.key());
        let node = self
            .directory
            .get_or_insert(place, BranchAddress(split_off), nothing_removed());
        debug_assert!(!node.is_removed(), "INDEX-2: nothing is ever removed");
        node.release(nothing_removed());
    }

    /// The first record at or after `key` if it has the same user key.
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Record<'_>> {
        let cut = Cut::before(key);
        let found = self.leaf_for(&cut).candidate(&cut)?;
        debug_assert!(
            key <= found.key(),
            "INDEX-3: the record found is at or after the key"
        );
        (found.user_key() == key.user_key).then_some(found)
    }

    /// The first record to the right of the cut.
    pub(super) fn first_right_of(&self, cut: &Cut<'_>) -> Option<Spot<'_>> {
        self.leaf_for(cut).first_right_of(cut)
    }

    /// The last record to the left of the cut.
    pub(super) fn last_left_of(&self, cut: &Cut<'_>) -> Option<Spot<'_>> {
        self.leaf_for(cut).last_left_of(cut)
    }

    /// The first record of all.
    pub(super) fn first(&self) -> Option<Spot<'_>> {
        self.first.first()
    }

    /// The last record of all.
    pub(super) fn last(&self) -> Option<Spot<'_>> {
        self.last_leaf().unwrap_or(&self.first).last()
    }

    /// How many records there are between two cuts, where `None` is before the first or after the last record.
    pub(super) fn count_between(&self, start: Option<&Cut<'_>>, end: Option<&Cut<'_>>) -> u64 {
        let first = Cut::before(KeyRef::new(b"", Trailer::NEWEST));
        let start = start.unwrap_or(&first);
        self.leaf_for(start).count_between(start, end)
    }

    /// Bytes held, the struct itself aside.
    pub(super) fn memory(&self) -> usize {
        // Memory that was only allocated in advance counts when it is used.
        let spare = self.spare_nodes.bytes();
        self.arena.memory().saturating_sub(spare)
            + size_of::<(Leaf, Branch)>()
            + self.directory.len() * DIRECTORY_NODE_BYTES
    }

    fn last_leaf(&self) -> Option<&Leaf> {
        // SAFETY: null or a leaf of the arena (NODE-1), complete before it was stored with Release.
        unsafe { self.last.load(Acquire).as_ref() }
    }

    /// A leaf whose low bound is to the left of the cut: the wanted leaf, or one shortly before it (INDEX-3). That
    /// stays true, because low bounds never change (NODE-3).
    #[inline]
    pub(super) fn leaf_for(&self, cut: &Cut<'_>) -> &Leaf {
        // Keys in ascending order all go to the last leaf.
        if let Some(last) = self.last_leaf()
            && last.low().is_some_and(|low| cut.is_right_of(low.key()))
        {
            return last;
        }
        let branch = self.branch_for(cut);
        branch.prefetch_keys();
        let (leaf, _, _) = branch.look(cut, |branch, _, (index, _)| {
            let at = index.checked_sub(1)?;
            // SAFETY: null or a leaf (NODE-1), complete before it became an item; Acquire shows it.
            unsafe { branch.item(at).as_ref() }
        });
        debug_assert!(
            leaf.is_some() || branch.low().is_none(),
            "NODE-3: the low bound is that of an item of the branch"
        );
        let leaf = leaf.unwrap_or(&self.first);
        debug_assert!(
            leaf.low().is_none_or(|low| cut.is_right_of(low.key())),
            "INDEX-3: never to the right of the right one"
        );
        leaf.prefetch_keys();
        leaf
    }

    /// A branch whose low bound is to the left of the cut: the wanted branch, or one shortly before it (INDEX-3).
    #[inline]
    fn branch_for(&self, cut: &Cut<'_>) -> &Branch {
        let place = KeyPosition::of(cut.key);
        let bound = if cut.after {
            Bound::Included(&place)
        } else {
            Bound::Excluded(&place)
        };
        let branch = match self.directory.upper_bound(bound, nothing_removed()) {
            // SAFETY: a branch of the arena (NODE-1), complete before it was entered; the list's links are Release and
            // Acquire.
            Some(node) => unsafe { &*node.value().0 },
            None => &self.first_branch,
        };
        debug_assert!(
            branch.low().is_none_or(|low| cut.is_right_of(low.key())),
            "INDEX-3: never to the right of the right one"
        );
        branch
    }
}

#[cfg(test)]
mod edges;
