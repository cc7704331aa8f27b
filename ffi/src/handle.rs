//! Handles: what the opaque pointers of the C API stand for.
//!
//! A handle's pointer is a number, never an address: 32 bits of generation, 24 bits of slot, 8 bits of kind. The
//! slot is looked up in a table that only grows, so a stale, foreign or made-up pointer finds a slot that holds
//! something else, or no slot at all, and is refused.
//!
//! * H1  A slot, once made, is never freed or moved; its chunk hangs in `CHUNKS` until the process ends.
//! * H2  An entry records the whole handle it belongs to: a lookup succeeds only on an equal one, whatever
//!       happened to the slot in between.
//! * H3  A slot's generation grows with every use; after the last one the slot is not used again.
//! * H4  A call keeps its entry alive by an arc-swap guard, noted in the calling thread's own memory: no count
//!       is shared by threads. The entry is dropped by whichever ends last: the call, or the close.
//! * H5  No lock: a child after `fork` finds the table usable.
//!
//! Elsewhere: which object a kind holds, and how it locks it (each noun's file).

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use aidb::{Cursor, DB, Error, ErrorKind, Result, Snapshot, Value};
use arc_swap::{ArcSwapOption, Guard};
use parking_lot::{Mutex, RwLock};

use crate::error::Report;

const CHUNK_SLOTS: usize = 256;
const MAX_CHUNKS: usize = 1 << 16;
/// Free lists; a thread prefers its own, so that threads which make many handles do not meet.
const SHARDS: usize = 16;
/// No slot: the end of a free list.
const NO_SLOT: u32 = u32::MAX;

const _: () = assert!(usize::BITS == 64, "a handle needs 64 bits");
const _: () = assert!(CHUNK_SLOTS * MAX_CHUNKS == 1 << 24, "24 bits of slot");

/// What a handle holds.
pub(crate) enum Object {
    Db(DB),
    Options(Box<RwLock<aidb::Options>>),
    Batch(RwLock<aidb::WriteBatch>),
    Snapshot(Snapshot),
    Iterator(Box<Mutex<Cursor>>),
    Pinned(Value),
    Error(Report),
}

/// An opaque type of the header.
pub(crate) trait Handle: Sized {
    /// What it holds.
    type Held;
    /// The low byte of its handles: odd, so that no aligned address looks like one, and different for each kind.
    const TAG: u8;
    /// Its name in messages.
    const NAME: &'static str;
    /// The object as what this type holds.
    fn held(object: &Object) -> Option<&Self::Held>;
}

/// Names of the kinds by tag, for messages.
const KINDS: [(u8, &str); 7] = [
    (0xd1, "aidb_db"),
    (0xd3, "aidb_options"),
    (0xd5, "aidb_batch"),
    (0xd7, "aidb_snapshot"),
    (0xd9, "aidb_iterator"),
    (0xdb, "aidb_pinned"),
    (0xdd, "aidb_error"),
];

macro_rules! handles {
    ($($type:ty, $variant:ident, $held:ty, $row:literal;)*) => {$(
        impl Handle for $type {
            type Held = $held;
            const TAG: u8 = KINDS[$row].0;
            const NAME: &'static str = KINDS[$row].1;
            fn held(object: &Object) -> Option<&$held> {
                match object {
                    Object::$variant(held) => Some(held),
                    _ => None,
                }
            }
        }
    )*};
}

handles! {
    crate::db::aidb_db, Db, DB, 0;
    crate::options::aidb_options, Options, RwLock<aidb::Options>, 1;
    crate::batch::aidb_batch, Batch, RwLock<aidb::WriteBatch>, 2;
    crate::snapshot::aidb_snapshot, Snapshot, Snapshot, 3;
    crate::iterator::aidb_iterator, Iterator, Mutex<Cursor>, 4;
    crate::pinned::aidb_pinned, Pinned, Value, 5;
    crate::error::aidb_error, Error, Report, 6;
}

/// An object and the handle it was given out under (H2).
struct Entry {
    handle: u64,
    object: Object,
}

/// On its own cache line: a handle made often next to one used often would slow the latter.
#[repr(align(64))]
struct Slot {
    entry: ArcSwapOption<Entry>,
    /// The generation of the last handle given out (H3); 0 before the first.
    generation: AtomicU32,
    /// The next slot of the free list this one is on.
    next_free: AtomicU32,
    /// The free list it returns to.
    shard: usize,
}

/// The table (H1).
static CHUNKS: [AtomicPtr<Slot>; MAX_CHUNKS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CHUNKS];
/// Chunks handed out so far.
static CHUNKS_USED: AtomicUsize = AtomicUsize::new(0);
/// Heads of the free lists: the first slot in the low half, a count of changes in the high half, so that a
/// compare-and-swap notices a head that left and came back.
static FREE: [AtomicU64; SHARDS] = [const { AtomicU64::new(NO_SLOT as u64) }; SHARDS];

/// An object kept alive for the length of a call (H4).
pub(crate) struct Live<H: Handle> {
    guard: Guard<Option<Arc<Entry>>>,
    kind: PhantomData<H>,
}

impl<H: Handle> Deref for Live<H> {
    type Target = H::Held;

    fn deref(&self) -> &H::Held {
        let entry = self.guard.as_ref();
        entry
            .and_then(|entry| H::held(&entry.object))
            .expect("made only by `get` and `take`, which checked the handle and with it the kind")
    }
}

/// Gives `object` a handle of the kind `H`.
///
/// Errors: `InvalidArgument` if 16 million handles exist.
pub(crate) fn insert<H: Handle>(object: Object) -> Result<*mut H> {
    debug_assert!(H::held(&object).is_some(), "an object under its own kind");
    let index = pop_free()
        .or_else(grow)
        .ok_or_else(|| Error::invalid_argument("more than 16 million handles are open"))?;
    let slot = slot_at(index).expect("only slots that exist are on a free list");
    // Between `pop_free` and the store below the slot belongs to this thread alone.
    let generation = slot.generation.load(Ordering::Relaxed) + 1;
    slot.generation.store(generation, Ordering::Relaxed);
    let handle = u64::from(generation) << 32 | u64::from(index) << 8 | u64::from(H::TAG);
    slot.entry.store(Some(Arc::new(Entry { handle, object })));
    Ok(ptr::without_provenance_mut(handle as usize))
}

/// The object of a handle; `argument` names it in messages.
///
/// Errors: `Closed` for one that was released, `InvalidArgument` for NULL, another kind or no handle at all.
pub(crate) fn get<H: Handle>(pointer: *const H, argument: &str) -> Result<Live<H>> {
    let handle = pointer.addr() as u64;
    if let Some(slot) = slot_of::<H>(handle) {
        let guard = slot.entry.load();
        if guard.as_ref().is_some_and(|entry| entry.handle == handle) {
            return Ok(Live {
                guard,
                kind: PhantomData,
            });
        }
    }
    Err(refusal::<H>(handle, argument))
}

/// Ends a handle: later lookups answer `Closed`; calls in flight keep the object. Exactly one caller gets it.
///
/// Errors: as for [`get`].
pub(crate) fn take<H: Handle>(pointer: *const H, argument: &str) -> Result<Live<H>> {
    let handle = pointer.addr() as u64;
    let live = get(pointer, argument)?;
    let slot = slot_of::<H>(handle).expect("`get` found it");
    let before = slot.entry.compare_and_swap(&live.guard, None);
    let won = before.as_ref().is_some_and(|entry| entry.handle == handle);
    if !won {
        return Err(refusal::<H>(handle, argument));
    }
    if slot.generation.load(Ordering::Relaxed) < u32::MAX {
        push_free(slot, (handle >> 8) as u32 & 0xff_ffff);
    }
    Ok(live)
}

/// The slot a handle of this kind points at, if it can be one.
fn slot_of<H: Handle>(handle: u64) -> Option<&'static Slot> {
    if handle as u8 != H::TAG {
        return None;
    }
    slot_at((handle >> 8) as u32 & 0xff_ffff)
}

fn slot_at(index: u32) -> Option<&'static Slot> {
    let index = index as usize;
    let chunk = CHUNKS.get(index / CHUNK_SLOTS)?.load(Ordering::Acquire);
    if chunk.is_null() {
        return None;
    }
    // SAFETY: a chunk is published, with release, after its CHUNK_SLOTS slots were made, and never freed (H1);
    // the remainder is below CHUNK_SLOTS.
    Some(unsafe { &*chunk.add(index % CHUNK_SLOTS) })
}

/// Why `handle` is refused, once a lookup has failed.
#[cold]
fn refusal<H: Handle>(handle: u64, argument: &str) -> Error {
    if handle == 0 {
        return Error::invalid_argument(format!("{argument} is NULL"));
    }
    let generation = (handle >> 32) as u32;
    let slot = slot_at((handle >> 8) as u32 & 0xff_ffff);
    let given_out = slot
        .is_some_and(|slot| (1..=slot.generation.load(Ordering::Relaxed)).contains(&generation));
    let kind = KINDS.iter().find(|(tag, _)| *tag == handle as u8);
    match kind {
        Some((tag, _)) if given_out && *tag == H::TAG => Error::new(
            ErrorKind::Closed,
            format!("{argument} has been closed or freed"),
        ),
        Some((_, name)) if given_out => Error::invalid_argument(format!(
            "{argument} is a handle of the type {name}, expected {}",
            H::NAME
        )),
        _ => Error::invalid_argument(format!("{argument} is not a handle of AiDb")),
    }
}

/// The free list this thread prefers.
fn shard_of_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    // A thread that is ending may have lost its own number.
    SHARD.try_with(|shard| *shard).unwrap_or(0)
}

fn pop_free() -> Option<u32> {
    let free = &FREE[shard_of_thread()];
    let mut head = free.load(Ordering::Acquire);
    loop {
        let index = head as u32;
        // The slot may be taken by another thread meanwhile; then `next` is worthless, and the count of
        // changes makes the exchange fail.
        let next = slot_at(index)?.next_free.load(Ordering::Relaxed);
        let new = changed(head, next);
        match free.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => return Some(index),
            Err(now) => head = now,
        }
    }
}

fn push_free(slot: &Slot, index: u32) {
    let free = &FREE[slot.shard];
    let mut head = free.load(Ordering::Relaxed);
    loop {
        slot.next_free.store(head as u32, Ordering::Relaxed);
        let new = changed(head, index);
        match free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// A head that points at `index`, with the next count of changes.
fn changed(head: u64, index: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(index)
}

/// Makes a chunk of slots, all but the first on this thread's free list; returns the first.
fn grow() -> Option<u32> {
    let number = CHUNKS_USED.fetch_add(1, Ordering::Relaxed);
    if number >= MAX_CHUNKS {
        CHUNKS_USED.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    let shard = shard_of_thread();
    let slots: Vec<Slot> = (0..CHUNK_SLOTS)
        .map(|_| Slot {
            entry: ArcSwapOption::const_empty(),
            generation: AtomicU32::new(0),
            next_free: AtomicU32::new(NO_SLOT),
            shard,
        })
        .collect();
    let slots = Vec::leak(slots);
    CHUNKS[number].store(slots.as_mut_ptr(), Ordering::Release);
    let first = (number * CHUNK_SLOTS) as u32;
    for index in (first + 1..first + CHUNK_SLOTS as u32).rev() {
        push_free(slot_at(index)?, index);
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::aidb_batch;
    use crate::snapshot::aidb_snapshot;

    fn batch() -> *mut aidb_batch {
        insert(Object::Batch(RwLock::new(aidb::WriteBatch::new()))).unwrap()
    }

    fn refused<H: Handle>(pointer: *const H) -> (ErrorKind, String) {
        let error = get(pointer, "it").err().unwrap();
        (error.kind(), error.message().to_string())
    }

    #[test]
    fn a_handle_finds_its_object_until_it_is_taken() {
        let handle = batch();
        assert_eq!(get(handle, "it").unwrap().read().len(), 0);
        take(handle, "it").unwrap();
        assert_eq!(refused(handle).0, ErrorKind::Closed);
        assert_eq!(take(handle, "it").err().unwrap().kind(), ErrorKind::Closed);
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_handle() {
        let old = batch();
        take(old, "it").unwrap();
        let mut new = Vec::new();
        // Other tests share the table: make handles until the slot is in use again.
        while new.len() < 10_000 {
            let handle = batch();
            new.push(handle);
            if handle.addr() as u32 == old.addr() as u32 {
                assert_ne!(handle, old);
                break;
            }
        }
        assert_eq!(refused(old).0, ErrorKind::Closed);
        for handle in new {
            take(handle, "it").unwrap();
        }
    }

    #[test]
    fn what_is_no_live_handle_is_refused_by_name() {
        let handle = batch();
        let (kind, message) = refused(ptr::null::<aidb_batch>());
        assert_eq!(
            (kind, &message[..]),
            (ErrorKind::InvalidArgument, "it is NULL")
        );
        let (kind, message) = refused(handle.cast::<aidb_snapshot>());
        assert_eq!(kind, ErrorKind::InvalidArgument);
        assert!(message.contains("aidb_batch"), "{message}");
        let local = 5u64;
        for foreign in [
            (&raw const local).addr(),
            8,
            usize::MAX,
            handle.addr() | 1 << 63,
            handle.addr() & 0xffff_ffff,
            handle.addr() | 0xffff_ff00,
        ] {
            let (kind, message) = refused(ptr::without_provenance::<aidb_batch>(foreign));
            assert_eq!(kind, ErrorKind::InvalidArgument, "{foreign:x}: {message}");
        }
        take(handle, "it").unwrap();
    }

    #[test]
    fn an_object_in_use_outlives_its_handle() {
        let handle = batch();
        let live = get(handle, "it").unwrap();
        live.write().put(b"k", b"v").unwrap();
        drop(take(handle, "it").unwrap());
        assert_eq!(live.read().len(), 1);
    }

    #[test]
    fn of_many_threads_exactly_one_takes_a_handle() {
        let live: Vec<usize> = (0..500).map(|_| batch().addr()).collect();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for address in &live {
                        let handle = ptr::without_provenance::<aidb_batch>(*address);
                        let before = get(handle, "it");
                        if take(handle, "it").is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                        drop(before);
                        // Keeps the free lists moving under the others.
                        take(batch(), "it").unwrap();
                    }
                });
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), live.len());
    }

    #[test]
    fn a_slot_is_retired_after_its_last_generation() {
        let handle = batch();
        let index = (handle.addr() >> 8) as u32 & 0xff_ffff;
        let slot = slot_at(index).unwrap();
        slot.generation.store(u32::MAX, Ordering::Relaxed);
        take(handle, "it").unwrap();
        let later: Vec<_> = (0..5_000).map(|_| batch()).collect();
        for handle in later {
            assert_ne!((handle.addr() >> 8) as u32 & 0xff_ffff, index);
            take(handle, "it").unwrap();
        }
        assert_eq!(refused(handle).0, ErrorKind::Closed);
    }
}
