//! A node: up to 64 items with neighbouring keys, sorted; readers take no lock while other threads insert.
//!
//! There are two kinds. The items of a leaf are records; those of a branch are leaves, each with the keys from
//! its low bound on. Nodes of a kind form a chain in key order. A node has the items from its low bound up to
//! its high bound, which is the low bound of the next node. Beside each item's address is a prefix of its key:
//! eight bytes after the `skip` bytes that all keys between the bounds share, so that a search rarely reads an
//! item.
//!
//! * NODE-1  Nodes and records are in the arena (the first node of each kind is in a box beside it) and are
//!           freed only with the memtable: any address read from a node stays valid.
//! * NODE-2  `version` is odd while a writer holds the node. The other fields change only then, and `low`
//!           never. A reader that reads the same even version before and after has seen a consistent state of
//!           the node.
//! * NODE-3  A bound is a record. The low bound is the node's first item and never changes (nothing is removed,
//!           and a smaller key belongs to the node before); only the first node has none. The high bound
//!           changes only downward, when the node is split; only the last node has none.
//! * NODE-4  All keys from the low to the high bound begin with the same `skip` bytes; without both bounds `skip` is 0.
//! * NODE-5  A split links the new node to the right of the old one before any search can find it elsewhere. So
//!           a search that reaches a node from which the key has moved finds the key by going right.
//!
//! Every field is an atomic and the fences follow the usual argument for sequence locks: nothing here is a data race.
//!
//! Elsewhere: lookups in a leaf (`leaf.rs`), finding a leaf (`index.rs`).

#![expect(
    unsafe_code,
    reason = "nodes refer to their items and to each other by address, in memory that the arena owns"
)]

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use super::arena::Record;
use crate::error::Result;
use crate::key::{KeyRef, eight_bytes, head_of};
use crate::prefetch::prefetch;
use crate::sync::Backoff;
use crate::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// How many items a full node has. Few under the model checker, so that a model splits nodes in a few steps.
pub(super) const SLOTS: usize = if cfg!(shuttle) { 4 } else { 64 };

/// The memory layout of each node. Nodes of records and nodes of leaves have the same layout.
pub(super) const NODE: Layout = Layout::new::<Node<u8>>();

/// How many items a split at the end of a node moves away, if another node follows. Once the full nodes of a memtable
/// have been split, this many inserts of any keys add at most one node.
pub(super) const FREED: usize = (SLOTS + 7) >> 3;

/// A split makes new prefixes if they can skip at least this many bytes more. For fewer it does not pay to read the
/// keys.
const WORTHWHILE_SKIP: usize = 4;

/// A place between two keys: every entry lies to its left or to its right.
#[derive(Clone, Copy)]
pub(super) struct Cut<'k> {
    pub(super) key: KeyRef<'k>,
    /// Whether an entry equal to `key` lies to the left.
    pub(super) after: bool,
    /// The first sixteen bytes of the user key, as by [`head_of`].
    head: (u64, u64),
}

impl<'k> Cut<'k> {
    /// Just before `key`.
    pub(super) fn before(key: KeyRef<'k>) -> Cut<'k> {
        Cut {
            key,
            after: false,
            head: head_of(key.user_key),
        }
    }

    /// Just after `key`.
    pub(super) fn after(key: KeyRef<'k>) -> Cut<'k> {
        Cut {
            after: true,
            ..Cut::before(key)
        }
    }

    /// Whether `key` lies to the left of the cut.
    pub(super) fn is_right_of(&self, key: KeyRef<'_>) -> bool {
        key < self.key || self.after && key == self.key
    }
}

/// How many bytes two keys share at their beginning.
pub(super) fn shared_bytes(left: &[u8], right: &[u8]) -> usize {
    let words = left.chunks_exact(8).zip(right.chunks_exact(8));
    let start = words.take_while(|(left, right)| left == right).count() * 8;
    let bytes = left[start..].iter().zip(&right[start..]);
    start + bytes.take_while(|(left, right)| left == right).count()
}

/// The target of a node's item.
pub(super) trait Item: Sized {
    /// The record whose key is the key of the item at `address`; `None` for null.
    ///
    /// # Safety
    /// `address` is null, or the address of an item in an arena that outlives `'a`. It came over a path that made the
    /// item's bytes visible to this thread.
    unsafe fn record<'a>(address: *mut Self) -> Option<Record<'a>>;
}

/// See the head of the file.
#[repr(C, align(64))]
pub(super) struct Node<T> {
    version: AtomicU64,
    count: AtomicU32,
    skip: AtomicU32,
    /// The [`head_of`] the high bound.
    high_head: (AtomicU64, AtomicU64),
    high: AtomicPtr<u8>,
    low: AtomicPtr<u8>,
    next: AtomicPtr<Node<T>>,
    prefixes: [AtomicU64; SLOTS],
    items: [AtomicPtr<T>; SLOTS],
}

/// A node held by this thread (NODE-2); released when dropped.
struct HeldNode<'a, T> {
    node: &'a Node<T>,
    version: u64,
    changed: bool,
}

impl<T> Drop for HeldNode<'_, T> {
    fn drop(&mut self) {
        debug_assert!(
            self.version.is_multiple_of(2) && self.node.version.load(Relaxed) == self.version + 1,
            "NODE-2: no other thread releases a held node"
        );
        let version = self.version + if self.changed { 2 } else { 0 };
        self.node.version.store(version, Release);
    }
}

impl<T: Item> Node<T> {
    /// An empty node from `low`; `None` for the first node.
    pub(super) fn new(low: Option<Record<'_>>) -> Node<T> {
        Node {
            version: AtomicU64::new(0),
            count: AtomicU32::new(0),
            skip: AtomicU32::new(0),
            high_head: (AtomicU64::new(0), AtomicU64::new(0)),
            high: AtomicPtr::new(ptr::null_mut()),
            low: AtomicPtr::new(low.map_or(ptr::null_mut(), Record::address)),
            next: AtomicPtr::new(ptr::null_mut()),
            prefixes: [const { AtomicU64::new(0) }; SLOTS],
            items: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
        }
    }

    /// An empty node from `low` in memory of the layout [`NODE`], which no other code has.
    fn new_in(memory: NonNull<u8>, low: Record<'_>) -> NonNull<Node<T>> {
        const {
            assert!(size_of::<Node<T>>() == NODE.size() && align_of::<Node<T>>() == NODE.align());
        }
        let node = memory.cast::<Node<T>>();
        // SAFETY: memory of a node's size and alignment that no other thread has.
        unsafe { node.write(Node::new(Some(low))) };
        node
    }

    /// Starts the loads of all cache lines that a search may touch.
    #[inline]
    pub(super) fn prefetch_keys(&self) {
        let start = ptr::from_ref(self).cast::<u8>();
        for line in 0..=size_of_val(&self.prefixes) / 64 {
            prefetch(start.wrapping_add(line * 64));
        }
    }

    /// The low bound; `None` for the first node.
    pub(super) fn low(&self) -> Option<Record<'_>> {
        // SAFETY: it was set to a record before the node was published, so this thread can read that record too
        // (NODE-1, NODE-3).
        unsafe { Record::from_address(self.low.load(Relaxed)) }
    }

    /// The high bound; `None` for the last node.
    pub(super) fn high(&self) -> Option<Record<'_>> {
        // SAFETY: null or a record (NODE-1). It was stored after the Release fence of `hold`, and the record was
        // written before that.
        unsafe { Record::from_address(self.high.load(Acquire)) }
    }

    /// The address of the item at `index`; null if none was ever there.
    #[inline]
    pub(super) fn item(&self, index: usize) -> *mut T {
        self.items[index].load(Acquire)
    }

    /// The record of the item at `index`; `None` if none was ever there.
    #[inline]
    pub(super) fn record(&self, index: usize) -> Option<Record<'_>> {
        // SAFETY: null or an item (NODE-1). It was stored after the Release fence of `hold`, and the item was written
        // before that.
        unsafe { T::record(self.item(index)) }
    }

    /// The node to the right.
    pub(super) fn next(&self) -> Option<&Node<T>> {
        // SAFETY: null or a node of the arena (NODE-1), complete before it was stored with Release.
        unsafe { self.next.load(Acquire).as_ref() }
    }

    /// Whether no node follows.
    pub(super) fn is_last(&self) -> bool {
        self.next.load(Relaxed).is_null()
    }

    /// The number of items.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// The version; waits until no writer holds the node.
    #[inline]
    pub(super) fn start_reading(&self) -> u64 {
        let backoff = Backoff::new();
        loop {
            let version = self.version.load(Acquire);
            if version.is_multiple_of(2) {
                return version;
            }
            backoff.snooze();
        }
    }

    /// Whether `version` is current.
    #[inline]
    pub(super) fn is_at(&self, version: u64) -> bool {
        self.version.load(Acquire) == version
    }

    /// Whether everything read since `version` was read is consistent (NODE-2).
    #[inline]
    pub(super) fn is_unchanged(&self, version: u64) -> bool {
        // The fence orders the loads before it, and pairs with the writer's fence: a reader that saw a change sees
        // its odd version.
        fence(Acquire);
        self.version.load(Relaxed) == version
    }

    fn hold(&self) -> HeldNode<'_, T> {
        let backoff = Backoff::new();
        loop {
            let version = self.version.load(Relaxed);
            if version.is_multiple_of(2)
                && self
                    .version
                    .compare_exchange_weak(version, version + 1, Acquire, Relaxed)
                    .is_ok()
            {
                // A thread that sees a later store also sees the odd version and all earlier writes of this
                // thread, including the items whose addresses it stores.
                fence(Release);
                return HeldNode {
                    node: self,
                    version,
                    changed: false,
                };
            }
            backoff.snooze();
        }
    }

    /// Whether the high bound lies to the left of the cut, so that the cut belongs to a node further right.
    #[inline]
    pub(super) fn ends_before(&self, cut: &Cut<'_>) -> bool {
        let Some(high) = self.high() else {
            return false;
        };
        let head = (
            self.high_head.0.load(Relaxed),
            self.high_head.1.load(Relaxed),
        );
        head < cut.head || head == cut.head && cut.is_right_of(high.key())
    }

    /// How many of the first `count` items lie to the left of the cut; and whether the next one's key may equal the
    /// cut's. Requires that the cut lies between the bounds. `None` if the node is changing.
    #[inline]
    fn search(&self, count: usize, cut: &Cut<'_>) -> Option<(usize, bool)> {
        let skip = self.skip.load(Relaxed) as usize;
        let wanted = eight_bytes(cut.key.user_key, skip);
        let prefix = |index: usize| self.prefixes[index % SLOTS].load(Relaxed);
        if count == 0 || prefix(count - 1) < wanted {
            return Some((count, false));
        }
        // Items before `left` have smaller prefixes.
        let mut left = 0;
        let mut size = count;
        while size > 1 {
            let half = size / 2;
            if prefix(left + half - 1) < wanted {
                left += half;
            }
            size -= half;
        }
        left += usize::from(prefix(left) < wanted);
        if prefix(left) != wanted {
            return Some((left, false));
        }
        // Items from `left` to `right` have the same prefix, so their keys decide. Compare the last one first,
        // because keys in ascending order are added there.
        let mut right = count;
        if prefix(count - 1) == wanted {
            if cut.is_right_of(self.record(count - 1)?.key()) {
                return Some((count, false));
            }
            right = count - 1;
        }
        while left < right {
            let middle = left + (right - left) / 2;
            if prefix(middle) == wanted && cut.is_right_of(self.record(middle)?.key()) {
                left = middle + 1;
            } else {
                right = middle;
            }
        }
        Some((left, true))
    }

    /// Finds the node in which the cut lies. Passes it to `look`, with the number of its items and the result of
    /// `search`, until `look` has seen it unchanged. Requires that the low bound of this node lies to the left of the
    /// cut.
    #[inline]
    pub(super) fn look<'a, S>(
        &'a self,
        cut: &Cut<'_>,
        look: impl Fn(&'a Node<T>, usize, (usize, bool)) -> S,
    ) -> (S, &'a Node<T>, u64) {
        let mut node = self;
        loop {
            let version = node.start_reading();
            if node.ends_before(cut) {
                let next = node.next();
                if let Some(next) = next
                    && node.is_unchanged(version)
                {
                    node = next;
                }
                continue;
            }
            let count = node.count();
            let Some(found) = node.search(count, cut) else {
                continue;
            };
            let seen = look(node, count, found);
            if node.is_unchanged(version) {
                return (seen, node, version);
            }
        }
    }

    /// Adds an item. If that made a split, returns the new node, so that the caller can enter it into the index.
    /// Requires that the low bound lies to the left of the item, `item` is complete and in the arena, and `cut` is
    /// before its record. `memory` returns memory of the arena for a node ([`NODE`]). Fails only if `memory` does,
    /// and then adds nothing.
    pub(super) fn insert<'a>(
        &'a self,
        item: NonNull<T>,
        cut: &Cut<'_>,
        memory: impl FnOnce() -> Result<NonNull<u8>>,
    ) -> Result<Option<&'a Node<T>>> {
        let mut held = self.hold();
        while held.node.ends_before(cut) {
            let next = held.node.next();
            drop(held);
            held = next
                .expect("NODE-3: a node with a high bound has one to its right")
                .hold();
        }
        let node = held.node;
        let count = node.count();
        let (index, _) = node
            .search(count, cut)
            .expect("NODE-2: nothing changes in a node that is held");
        debug_assert!(
            count <= SLOTS && index <= count,
            "NODE-2: the item belongs among those that are there"
        );
        if count < SLOTS {
            held.changed = true;
            node.put(count, index, item, cut);
            return Ok(None);
        }
        Ok(Some(held.split(memory()?, index, item, cut)))
    }

    /// Makes room at `index` among `count` items and puts `item` there. The node must be held, or not yet published.
    fn put(&self, count: usize, index: usize, item: NonNull<T>, cut: &Cut<'_>) {
        debug_assert!(index <= count && count < SLOTS, "NODE-2: there is room");
        debug_assert!(
            self.low().is_none_or(|low| low.key() <= cut.key),
            "NODE-3: the low bound is that of the first item"
        );
        debug_assert!(
            index == 0
                || self
                    .record(index - 1)
                    .is_none_or(|left| cut.is_right_of(left.key())),
            "IKEY-1: the items of a node ascend"
        );
        for slot in (index..count).rev() {
            let prefix = self.prefixes[slot].load(Relaxed);
            self.prefixes[slot + 1].store(prefix, Relaxed);
            let address = self.items[slot].load(Relaxed);
            self.items[slot + 1].store(address, Relaxed);
        }
        let skip = self.skip.load(Relaxed) as usize;
        self.prefixes[index].store(eight_bytes(cut.key.user_key, skip), Relaxed);
        self.items[index].store(item.as_ptr(), Relaxed);
        self.count.store(count as u32 + 1, Relaxed);
    }

    /// Skips as many bytes as the bounds allow (NODE-4), if that pays. The node must be held, or not yet published.
    fn shorten_prefixes(&self) {
        let (Some(low), Some(high)) = (self.low(), self.high()) else {
            return;
        };
        let shared = shared_bytes(low.user_key(), high.user_key());
        if shared < self.skip.load(Relaxed) as usize + WORTHWHILE_SKIP {
            return;
        }
        for index in 0..self.count() {
            let record = self
                .record(index)
                .expect("NODE-2: slots below `count` are filled");
            debug_assert!(
                record.user_key().starts_with(&low.user_key()[..shared]),
                "NODE-4"
            );
            self.prefixes[index].store(eight_bytes(record.user_key(), shared), Relaxed);
        }
        self.skip.store(shared as u32, Relaxed);
    }
}

impl<'a, T: Item> HeldNode<'a, T> {
    /// Splits the full node, puts `item` at `index` of its former items, and returns the new node to its right, which
    /// lies in `memory` of the arena ([`NODE`]).
    ///
    /// Mostly half of the items move right. But items in ascending or descending order come at an end of a node. At
    /// the end of the whole list the new item gets a node of its own, and the full one stays full. Before another
    /// node a few items go with the new one; otherwise descending items would get a node each. So apart from the
    /// first and the last node, a split node has [`FREED`] slots free, or was split off after as many inserts.
    fn split(
        &mut self,
        memory: NonNull<u8>,
        index: usize,
        item: NonNull<T>,
        cut: &Cut<'_>,
    ) -> &'a Node<T> {
        let left = self.node;
        let at = match index {
            0 => 0,
            SLOTS if left.next().is_none() => SLOTS,
            SLOTS => SLOTS - FREED,
            _ => SLOTS / 2,
        };
        let low = match at {
            // SAFETY: complete, and in the arena, which outlives 'a (NODE-1).
            SLOTS => unsafe { T::record(item.as_ptr()) },
            _ => left.record(at),
        };
        let low = low
            .expect("NODE-2: the node is full, and every item but the first of all has a record");
        debug_assert!(
            left.low().is_none_or(|first| first.key() < low.key())
                && left.high().is_none_or(|high| low.key() < high.key()),
            "NODE-3: a split lies between the bounds, so the high bound is lowered"
        );
        let right_address = Node::new_in(memory, low);
        // SAFETY: complete, and in the arena, which outlives 'a (NODE-1).
        let right: &'a Node<T> = unsafe { right_address.as_ref() };
        // NODE-5: the right node is finished before the left one names it.
        right.skip.store(left.skip.load(Relaxed), Relaxed);
        for slot in at..SLOTS {
            let prefix = left.prefixes[slot].load(Relaxed);
            right.prefixes[slot - at].store(prefix, Relaxed);
            let address = left.items[slot].load(Relaxed);
            right.items[slot - at].store(address, Relaxed);
        }
        right.count.store((SLOTS - at) as u32, Relaxed);
        right.high.store(left.high.load(Relaxed), Relaxed);
        right
            .high_head
            .0
            .store(left.high_head.0.load(Relaxed), Relaxed);
        right
            .high_head
            .1
            .store(left.high_head.1.load(Relaxed), Relaxed);
        right.next.store(left.next.load(Relaxed), Relaxed);
        right.shorten_prefixes();
        let goes_right = index == SLOTS || index > at;
        if goes_right {
            right.put(SLOTS - at, index - at, item, cut);
        }

        self.changed = true;
        let head = head_of(low.user_key());
        left.high_head.0.store(head.0, Relaxed);
        left.high_head.1.store(head.1, Relaxed);
        left.high.store(low.address(), Relaxed);
        left.next.store(right_address.as_ptr(), Release);
        left.count.store(at as u32, Relaxed);
        left.shorten_prefixes();
        if !goes_right {
            left.put(at, index, item, cut);
        }
        right
    }
}
