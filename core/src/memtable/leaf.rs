//! A leaf: up to 64 records of neighbouring keys, sorted, read without a lock while others insert.
//!
//! Leaves form a chain in the order of the keys. A leaf holds the records from its low bound up to its high bound,
//! which is the low bound of the next leaf. Beside each record's address lies a prefix: eight bytes of its key from
//! behind `skip` bytes that all keys between the bounds share, so that a search rarely touches a record.
//!
//! * L1  Leaves and records lie in the arena (the first leaf in a box beside it) and are freed only with the memtable:
//!   any address ever read from a leaf is good.
//! * L2  `version` is odd while a writer holds the leaf. All else in it changes only then, and `low` never. A reader
//!   that finds the same even version before and after has seen the leaf as it was at one time.
//! * L3  A bound is a record. The low bound is the leaf's first record, from the start and for ever (nothing is
//!   removed, and a smaller key belongs to the leaf before); only the first leaf has none. The high bound only
//!   falls, when the leaf is split; only the last leaf has none.
//! * L4  All keys from the low to the high bound begin with the same `skip` bytes; without both bounds `skip` is 0.
//! * L5  A split links the new leaf to its right before anyone can find it elsewhere. So who comes to a leaf which the
//!   key has left finds it by going right.
//!
//! Every field is an atomic and the fences follow the usual argument for sequence locks: nothing here is a data race.
//!
//! Elsewhere: finding a leaf (`index.rs`).

#![expect(
    unsafe_code,
    reason = "leaves refer to records and to each other by address, in memory that the arena owns"
)]

use std::ptr::{self, NonNull};

use super::arena::{Arena, Record};
use crate::error::Result;
use crate::key::KeyRef;
use crate::sync::Backoff;
use crate::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// Records in a full leaf; few under the model checker, so that a model splits leaves in a few steps.
const SLOTS: usize = if cfg!(shuttle) { 4 } else { 64 };

/// A split makes new prefixes when they could skip this many bytes more: less is not worth reading the records.
const WORTHWHILE_SKIP: usize = 4;

/// A place between two keys: all entries lie to its left or to its right.
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

    /// Just behind `key`.
    pub(super) fn behind(key: KeyRef<'k>) -> Cut<'k> {
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

/// The first sixteen bytes of `user_key`: they sort as the keys do, ties aside.
pub(super) fn head_of(user_key: &[u8]) -> (u64, u64) {
    (eight_bytes(user_key, 0), eight_bytes(user_key, 8))
}

/// Eight bytes of `key` from `offset`, big-endian, zeros behind its end.
#[inline]
fn eight_bytes(key: &[u8], offset: usize) -> u64 {
    let rest = key.get(offset..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}

/// How many bytes two keys share at their beginning.
fn shared_bytes(left: &[u8], right: &[u8]) -> usize {
    let words = left.chunks_exact(8).zip(right.chunks_exact(8));
    let start = words.take_while(|(left, right)| left == right).count() * 8;
    let bytes = left[start..].iter().zip(&right[start..]);
    start + bytes.take_while(|(left, right)| left == right).count()
}

/// Asks for the cache line at `address` without waiting for it.
#[inline]
fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the cache, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// See the head of the file.
#[repr(C, align(64))]
pub(super) struct Leaf {
    version: AtomicU64,
    count: AtomicU32,
    skip: AtomicU32,
    /// [`head_of`] the high bound.
    high_head: (AtomicU64, AtomicU64),
    high: AtomicPtr<u8>,
    low: AtomicPtr<u8>,
    next: AtomicPtr<Leaf>,
    prefixes: [AtomicU64; SLOTS],
    records: [AtomicPtr<u8>; SLOTS],
}

/// A record and where it was found.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) record: Record<'a>,
    leaf: &'a Leaf,
    index: usize,
    /// The leaf's version when the record was at `index`.
    version: u64,
}

/// A leaf held by this thread (L2); let go when dropped.
struct Held<'a> {
    leaf: &'a Leaf,
    version: u64,
    changed: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let version = self.version + if self.changed { 2 } else { 0 };
        self.leaf.version.store(version, Release);
    }
}

impl Leaf {
    /// An empty leaf from `low`; `None` for the first leaf.
    pub(super) fn new(low: Option<Record<'_>>) -> Leaf {
        Leaf {
            version: AtomicU64::new(0),
            count: AtomicU32::new(0),
            skip: AtomicU32::new(0),
            high_head: (AtomicU64::new(0), AtomicU64::new(0)),
            high: AtomicPtr::new(ptr::null_mut()),
            low: AtomicPtr::new(low.map_or(ptr::null_mut(), Record::address)),
            next: AtomicPtr::new(ptr::null_mut()),
            prefixes: [const { AtomicU64::new(0) }; SLOTS],
            records: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
        }
    }

    /// An empty leaf from `low` in the arena.
    fn new_in(arena: &Arena, low: Record<'_>) -> Result<NonNull<Leaf>> {
        let spare = align_of::<Leaf>() - 1;
        let start = arena.allocate(size_of::<Leaf>() + spare)?;
        let to_aligned = start.as_ptr().align_offset(align_of::<Leaf>());
        // SAFETY: at most `spare` bytes further the address is aligned, and a leaf's bytes follow that nobody else
        // has (A2).
        unsafe {
            let leaf = start.add(to_aligned).cast::<Leaf>();
            leaf.write(Leaf::new(Some(low)));
            Ok(leaf)
        }
    }

    /// Starts the loads of all cache lines that a search may touch.
    #[inline]
    pub(super) fn prefetch_keys(&self) {
        let start = ptr::from_ref(self).cast::<u8>();
        for line in 0..=size_of_val(&self.prefixes) / 64 {
            prefetch(start.wrapping_add(line * 64));
        }
    }

    /// The low bound; `None` for the first leaf.
    pub(super) fn low(&self) -> Option<Record<'_>> {
        // SAFETY: set before the leaf was published to a record that this thread then can read too (L1, L3).
        unsafe { Record::from_address(self.low.load(Relaxed)) }
    }

    fn high(&self) -> Option<Record<'_>> {
        // SAFETY: null or a record (L1); stored after the Release fence of `hold`, which follows the record's writing.
        unsafe { Record::from_address(self.high.load(Acquire)) }
    }

    fn record(&self, index: usize) -> Option<Record<'_>> {
        // SAFETY: as in `high`. A slot that was never filled is null.
        unsafe { Record::from_address(self.records[index].load(Acquire)) }
    }

    fn next(&self) -> Option<&Leaf> {
        // SAFETY: null or a leaf of the arena (L1), complete before it was stored with Release.
        unsafe { self.next.load(Acquire).as_ref() }
    }

    /// Whether no leaf follows.
    pub(super) fn is_last(&self) -> bool {
        self.next.load(Relaxed).is_null()
    }

    fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// The version, once no writer holds the leaf.
    #[inline]
    fn start_reading(&self) -> u64 {
        let backoff = Backoff::new();
        loop {
            let version = self.version.load(Acquire);
            if version.is_multiple_of(2) {
                return version;
            }
            backoff.snooze();
        }
    }

    /// Whether all that was read since `version` was current (L2).
    #[inline]
    fn is_unchanged(&self, version: u64) -> bool {
        // The fence orders the loads before it, and pairs with the writer's: who saw a change sees its odd version.
        fence(Acquire);
        self.version.load(Relaxed) == version
    }

    fn hold(&self) -> Held<'_> {
        let backoff = Backoff::new();
        loop {
            let version = self.version.load(Relaxed);
            if version.is_multiple_of(2)
                && self
                    .version
                    .compare_exchange_weak(version, version + 1, Acquire, Relaxed)
                    .is_ok()
            {
                // Whoever sees a store that follows sees the odd version, and all that this thread knew until here:
                // the records whose addresses it stores, too.
                fence(Release);
                return Held {
                    leaf: self,
                    version,
                    changed: false,
                };
            }
            backoff.snooze();
        }
    }

    /// Whether the high bound lies to the left of the cut, so that the cut belongs to a leaf further right.
    #[inline]
    fn ends_before(&self, cut: &Cut<'_>) -> bool {
        let Some(high) = self.high() else {
            return false;
        };
        let head = (
            self.high_head.0.load(Relaxed),
            self.high_head.1.load(Relaxed),
        );
        head < cut.head || head == cut.head && cut.is_right_of(high.key())
    }

    /// How many of the first `count` records lie to the left of the cut; and whether the next one's key may be equal
    /// to the cut's. Requires that the cut lies between the bounds. `None` if the leaf is changing meanwhile.
    #[inline]
    fn search(&self, count: usize, cut: &Cut<'_>) -> Option<(usize, bool)> {
        let skip = self.skip.load(Relaxed) as usize;
        let wanted = eight_bytes(cut.key.user_key, skip);
        let prefix = |index: usize| self.prefixes[index % SLOTS].load(Relaxed);
        if count == 0 || prefix(count - 1) < wanted {
            return Some((count, false));
        }
        // Records before `left` have smaller prefixes.
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
        // Records from `left` to `right` have the same prefix: their keys decide. The last one first, since keys that
        // come in order are added there.
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

    /// Hands the leaf in which the cut lies to `look`, with the number of its records and the result of `search`, until
    /// `look` has seen it unchanged. Requires that the low bound of this leaf lies to the left of the cut.
    #[inline]
    fn look<'a, T>(
        &'a self,
        cut: &Cut<'_>,
        look: impl Fn(&'a Leaf, usize, (usize, bool)) -> T,
    ) -> (T, &'a Leaf, u64) {
        let mut leaf = self;
        loop {
            let version = leaf.start_reading();
            if leaf.ends_before(cut) {
                let next = leaf.next();
                if let Some(next) = next
                    && leaf.is_unchanged(version)
                {
                    leaf = next;
                }
                continue;
            }
            let count = leaf.count();
            let Some(found) = leaf.search(count, cut) else {
                continue;
            };
            let seen = look(leaf, count, found);
            if leaf.is_unchanged(version) {
                return (seen, leaf, version);
            }
        }
    }

    /// The first record to the right of the cut if it may have the cut's user key. Requires as `look`.
    pub(super) fn candidate(&self, cut: &Cut<'_>) -> Option<Record<'_>> {
        let seen = self.look(cut, |leaf, count, (index, tied)| {
            if index == count {
                leaf.high()
            } else if tied {
                leaf.record(index)
            } else {
                None
            }
        });
        seen.0
    }

    /// The first record to the right of the cut. Requires as `look`.
    pub(super) fn first_right_of(&self, cut: &Cut<'_>) -> Option<Spot<'_>> {
        let (seen, leaf, version) = self.look(cut, |leaf, count, (index, _)| {
            if index < count {
                (index, leaf.record(index), None)
            } else {
                (index, None, leaf.next())
            }
        });
        match seen {
            (index, Some(record), _) => Some(Spot {
                record,
                leaf,
                index,
                version,
            }),
            (_, None, next) => next.and_then(Leaf::first),
        }
    }

    /// The last record to the left of the cut. Requires as `look`.
    pub(super) fn last_left_of(&self, cut: &Cut<'_>) -> Option<Spot<'_>> {
        let (seen, leaf, version) = self.look(cut, |leaf, _, (index, _)| {
            let index = index.checked_sub(1)?;
            Some((index, leaf.record(index)?))
        });
        debug_assert!(
            seen.is_some() || leaf.low().is_none(),
            "L3: the low bound is a record of the leaf"
        );
        seen.map(|(index, record)| Spot {
            record,
            leaf,
            index,
            version,
        })
    }

    /// The first record of this leaf and those to its right.
    pub(super) fn first(&self) -> Option<Spot<'_>> {
        loop {
            let version = self.start_reading();
            let (count, record) = (self.count(), self.record(0));
            if self.is_unchanged(version) {
                return record.filter(|_| count > 0).map(|record| Spot {
                    record,
                    leaf: self,
                    index: 0,
                    version,
                });
            }
        }
    }

    /// The last record of all.
    pub(super) fn last(&self) -> Option<Spot<'_>> {
        let mut leaf = self;
        loop {
            let version = leaf.start_reading();
            if let Some(next) = leaf.next() {
                leaf = next;
                continue;
            }
            let index = leaf.count().checked_sub(1);
            let record = index.and_then(|index| leaf.record(index));
            if leaf.is_unchanged(version) {
                return Some(Spot {
                    record: record?,
                    leaf,
                    index: index?,
                    version,
                });
            }
        }
    }

    /// Adds a record, and returns the leaf that a split made, for the directory. Requires that the low bound lies to
    /// the left of the record.
    pub(super) fn insert<'a>(
        &'a self,
        arena: &'a Arena,
        record: Record<'a>,
        cut: &Cut<'_>,
    ) -> Result<Option<&'a Leaf>> {
        let mut held = self.hold();
        while held.leaf.ends_before(cut) {
            let next = held.leaf.next();
            drop(held);
            held = next
                .expect("L3: a leaf with a high bound has one to its right")
                .hold();
        }
        let leaf = held.leaf;
        let count = leaf.count();
        let (index, _) = leaf
            .search(count, cut)
            .expect("L2: nothing changes in a leaf that is held");
        if count < SLOTS {
            held.changed = true;
            leaf.put(count, index, record);
            return Ok(None);
        }
        held.split(arena, index, record).map(Some)
    }

    /// Makes room at `index` among `count` records and puts `record` there. The leaf is held, or not yet known.
    fn put(&self, count: usize, index: usize, record: Record<'_>) {
        for slot in (index..count).rev() {
            let prefix = self.prefixes[slot].load(Relaxed);
            self.prefixes[slot + 1].store(prefix, Relaxed);
            let address = self.records[slot].load(Relaxed);
            self.records[slot + 1].store(address, Relaxed);
        }
        let skip = self.skip.load(Relaxed) as usize;
        self.prefixes[index].store(eight_bytes(record.user_key(), skip), Relaxed);
        self.records[index].store(record.address(), Relaxed);
        self.count.store(count as u32 + 1, Relaxed);
    }

    /// Skips as many bytes as the bounds allow (L4) if that is worth it. The leaf is held, or not yet known.
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
                .expect("L2: slots below `count` are filled");
            self.prefixes[index].store(eight_bytes(record.user_key(), shared), Relaxed);
        }
        self.skip.store(shared as u32, Relaxed);
    }
}

impl<'a> Held<'a> {
    /// Splits the full leaf, puts `record` at `index` of what it was, and returns the new leaf to its right.
    ///
    /// Half moves right. But where records come in ascending or descending order they come at an end: then the new
    /// record gets a leaf of its own, and the full one stays full.
    fn split(&mut self, arena: &'a Arena, index: usize, record: Record<'a>) -> Result<&'a Leaf> {
        let left = self.leaf;
        let at = match index {
            0 | SLOTS => index,
            _ => SLOTS / 2,
        };
        let low = match at {
            SLOTS => record,
            _ => left.record(at).expect("L2: the leaf is full"),
        };
        let right_address = Leaf::new_in(arena, low)?;
        // SAFETY: complete, and in the arena, which outlives 'a (L1).
        let right: &'a Leaf = unsafe { right_address.as_ref() };
        // L5: the right leaf is finished before the left one names it.
        right.skip.store(left.skip.load(Relaxed), Relaxed);
        for slot in at..SLOTS {
            let prefix = left.prefixes[slot].load(Relaxed);
            right.prefixes[slot - at].store(prefix, Relaxed);
            let address = left.records[slot].load(Relaxed);
            right.records[slot - at].store(address, Relaxed);
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
        let goes_right = at == SLOTS || index > at;
        if goes_right {
            right.put(SLOTS - at, index - at, record);
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
            left.put(at, index, record);
        }
        Ok(right)
    }
}

impl<'a> Spot<'a> {
    /// The spot of the next record.
    #[inline]
    pub(super) fn next(self) -> Option<Spot<'a>> {
        let Spot { leaf, version, .. } = self;
        let index = self.index + 1;
        if leaf.version.load(Acquire) == version {
            if index < leaf.count() {
                if let Some(record) = leaf.record(index)
                    && leaf.is_unchanged(version)
                {
                    // What the caller will read a few steps later.
                    prefetch(leaf.records[(index + 4) % SLOTS].load(Relaxed));
                    return Some(Spot {
                        record,
                        index,
                        ..self
                    });
                }
            } else {
                let next = leaf.next();
                if leaf.is_unchanged(version) {
                    return next.and_then(Leaf::first);
                }
            }
        }
        // The low bound is at or before this record (L3), so left of the cut behind it.
        leaf.first_right_of(&Cut::behind(self.record.key()))
    }

    /// The spot of the record before this one, if it is found from this leaf: else `Err`, and the caller must look for
    /// the leaf to its left.
    #[inline]
    pub(super) fn previous(self) -> std::result::Result<Option<Spot<'a>>, Cut<'a>> {
        let Spot { leaf, version, .. } = self;
        if self.index > 0
            && leaf.version.load(Acquire) == version
            && let Some(record) = leaf.record(self.index - 1)
            && leaf.is_unchanged(version)
        {
            prefetch(leaf.records[self.index.wrapping_sub(5) % SLOTS].load(Relaxed));
            return Ok(Some(Spot {
                record,
                index: self.index - 1,
                ..self
            }));
        }
        let cut = Cut::before(self.record.key());
        if leaf.low() == Some(self.record) {
            return Err(cut);
        }
        // The low bound is before this record, so left of the cut.
        Ok(leaf.last_left_of(&cut))
    }

    /// The same spot, for a holder that keeps the memtable alive by other means.
    ///
    /// # Safety
    /// The result must not be used once the memtable is dropped, nor handed to anyone who could.
    pub(super) unsafe fn without_lifetime(self) -> Spot<'static> {
        // SAFETY: only the lifetime changes; the caller sees to it.
        unsafe { std::mem::transmute::<Spot<'a>, Spot<'static>>(self) }
    }
}
