//! The only place that allocates memory whose size depends on data, options or counts. A failed allocation is
//! an error.
//!
//! Blocks, arenas, slabs, batches, indexes and the objects of each table and handle are allocated here. Lack of
//! memory is an [`Error`] of kind `OutOfMemory`; no caller changes its kind, and no decoder takes it for damage
//! ([`Undecoded`]). Small objects of fixed size may be allocated elsewhere: without memory for them the process
//! aborts, like any Rust program. If there may be any number of such objects, handles above all, the code first
//! checks here that there is room ([`room_ahead`]).
//!
//! * DOOR-1  A call that fails changes nothing: the same call succeeds once there is memory.
//!
//! A test may have the n-th pass through the door fail (`env/test_passes.rs`).

#![expect(
    unsafe_code,
    reason = "it gets memory of a layout from the allocator, and pages from the system"
)]

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

use crate::effort;
use crate::env::{SYSTEM_PAGE_BYTES, map, return_free_memory, unmap};
use crate::error::{Error, Result};
use crate::sync::process::{AtomicBool, Ordering::Relaxed};

/// Why bytes were not decoded.
#[derive(Debug)]
pub(crate) enum Undecoded<D> {
    /// They are not the bytes that were written.
    Damaged(D),
    /// There is no memory for their contents. They may be intact.
    NoMemory(Error),
}

impl<D> Undecoded<D> {
    /// The error; `damaged` makes it from the fault of the bytes.
    pub(crate) fn into_error(self, damaged: impl FnOnce(D) -> Error) -> Error {
        match self {
            Undecoded::Damaged(damage) => damaged(damage),
            Undecoded::NoMemory(error) => error,
        }
    }
}

#[cfg(any(test, feature = "internals"))]
impl<D> Undecoded<D> {
    /// The fault of the bytes. Requires that memory was not the problem.
    pub(crate) fn damage(self) -> D {
        match self {
            Undecoded::Damaged(damage) => damage,
            Undecoded::NoMemory(error) => panic!("{error}"),
        }
    }
}

impl<D> From<Error> for Undecoded<D> {
    fn from(error: Error) -> Self {
        Undecoded::NoMemory(error)
    }
}

impl From<&'static str> for Undecoded<&'static str> {
    fn from(what: &'static str) -> Self {
        Undecoded::Damaged(what)
    }
}

/// Makes room for `more` items after the present ones, and for others to come. `what` names them in the error. For
/// the bindings too, which take items from a caller's iterator.
///
/// Errors: `OutOfMemory`.
#[inline]
pub fn reserve<T>(items: &mut Vec<T>, more: usize, what: &str) -> Result<()> {
    match items.capacity() - items.len() >= more {
        true => Ok(()),
        false => grow(items, more, what),
    }
}

#[cold]
fn grow<T>(items: &mut Vec<T>, more: usize, what: &str) -> Result<()> {
    pass(what, bytes_of::<T>(more))?;
    note_large(bytes_of::<T>(more));
    let reserved = items.try_reserve(more);
    reserved.map_err(|_| Error::out_of_memory(what, bytes_of::<T>(more)))
}

/// Makes room for exactly `more` items after the present ones.
pub(crate) fn reserve_exact<T>(items: &mut Vec<T>, more: usize, what: &str) -> Result<()> {
    if items.capacity() - items.len() >= more {
        return Ok(());
    }
    pass(what, bytes_of::<T>(more))?;
    note_large(bytes_of::<T>(more));
    let reserved = items.try_reserve_exact(more);
    reserved.map_err(|_| Error::out_of_memory(what, bytes_of::<T>(more)))
}

/// An empty vector with room for exactly `count` items; `what` names them in the error. For the bindings too, whose
/// callers choose the count.
///
/// Errors: `OutOfMemory`.
pub fn room_for<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut items = Vec::new();
    reserve_exact(&mut items, count, what)?;
    Ok(items)
}

/// `length` zeros.
pub(crate) fn zeros(length: usize, what: &str) -> Result<Vec<u8>> {
    let mut bytes = room_for(length, what)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Makes `bytes` a buffer of at least `length` bytes. Added bytes are zeros.
pub(crate) fn lengthen(bytes: &mut Vec<u8>, length: usize, what: &str) -> Result<()> {
    if bytes.len() < length {
        reserve_exact(bytes, length - bytes.len(), what)?;
        bytes.resize(length, 0);
    }
    Ok(())
}

/// A copy of `items`; `what` names them in the error. For the bindings too, whose callers lend bytes only for
/// the call.
///
/// Errors: `OutOfMemory`.
pub fn copy_of<T: Clone>(items: &[T], what: &str) -> Result<Vec<T>> {
    let mut copy = room_for(items.len(), what)?;
    copy.extend_from_slice(items);
    Ok(copy)
}

/// A vector of the items. Makes room for as many as the size hint promises, and later for more.
pub(crate) fn collect<T>(items: impl Iterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let mut collected = room_for(items.size_hint().0, what)?;
    for item in items {
        push(&mut collected, item, what)?;
    }
    Ok(collected)
}

/// Adds an item.
#[inline(always)]
pub(crate) fn push<T>(items: &mut Vec<T>, item: T, what: &str) -> Result<()> {
    reserve(items, 1, what)?;
    items.push(item);
    Ok(())
}

/// Adds a copy of `added`.
#[inline]
pub(crate) fn append<T: Copy>(items: &mut Vec<T>, added: &[T], what: &str) -> Result<()> {
    reserve(items, added.len(), what)?;
    items.extend_from_slice(added);
    Ok(())
}

/// Makes `items` a copy of `source`.
#[inline]
pub(crate) fn replace<T: Copy>(items: &mut Vec<T>, source: &[T], what: &str) -> Result<()> {
    items.clear();
    append(items, source, what)
}

/// Checks that there is memory for about `pieces` allocations of at most a page each. For objects whose allocation
/// cannot return an error (a `Box`, an `Arc`, a node of a map) and of which a caller may have any number. `what`
/// names them in the error. For the bindings too.
///
/// It maps much more memory and unmaps it, so that most calls have nothing to do. If other threads take all of it in
/// between, the process may still abort.
///
/// Errors: `OutOfMemory`.
#[inline]
pub fn room_ahead(pieces: usize, what: &str) -> Result<()> {
    pass(what, pieces * SYSTEM_PAGE_BYTES)?;
    match SEEN_AHEAD.get().checked_sub(pieces) {
        Some(rest) => {
            SEEN_AHEAD.set(rest);
            Ok(())
        }
        None => look_ahead(pieces, what),
    }
}

/// How much memory is mapped for a check. From the system, not the allocator: an allocator that cannot grow its heap
/// takes a page for each piece.
const AHEAD_BYTES: usize = 4 << 20;
/// How many pieces may be allocated after a check: half of that memory is trusted to be there later, with a page for
/// each piece.
const AHEAD_PIECES: usize = AHEAD_BYTES / SYSTEM_PAGE_BYTES / 2;

thread_local! {
    /// How many of the pieces are left that the last check allows.
    static SEEN_AHEAD: Cell<usize> = const { Cell::new(0) };
}

#[cold]
fn look_ahead(pieces: usize, what: &str) -> Result<()> {
    debug_assert!(pieces <= AHEAD_PIECES, "{pieces} pieces of {what}");
    let room = map(AHEAD_BYTES).ok_or_else(|| Error::out_of_memory(what, AHEAD_BYTES))?;
    // SAFETY: just mapped, and no other code has it.
    unsafe { unmap(room, AHEAD_BYTES) };
    SEEN_AHEAD.set(AHEAD_PIECES.saturating_sub(pieces));
    Ok(())
}

/// Memory of `layout`, whose size must not be zero; uninitialised, or zeroed with `is_zeroed`. To be freed with
/// `std::alloc::dealloc`.
pub(crate) fn allocate(layout: Layout, is_zeroed: bool, what: &str) -> Result<NonNull<u8>> {
    assert!(layout.size() > 0, "memory of no size");
    pass(what, layout.size())?;
    // SAFETY: the size is not zero.
    let place = unsafe {
        match is_zeroed {
            true => std::alloc::alloc_zeroed(layout),
            false => std::alloc::alloc(layout),
        }
    };
    NonNull::new(place).ok_or_else(|| Error::out_of_memory(what, layout.size()))
}

/// The allocator may keep freed pieces of this size (glibc up to 32 MiB), so AiDb asks it to return them.
const LARGE_PIECE_BYTES: usize = 4 << 20;

/// Whether such a piece was allocated since the last [`return_large_pieces`].
static GAVE_LARGE: AtomicBool = AtomicBool::new(false);

fn note_large(bytes: usize) {
    if bytes >= LARGE_PIECE_BYTES {
        GAVE_LARGE.store(true, Relaxed);
    }
}

/// Called at the end of a job that may have freed large pieces. If any were allocated since the last call, asks the
/// allocator to return the free memory that it keeps.
pub(crate) fn return_large_pieces() {
    if GAVE_LARGE.swap(false, Relaxed) {
        return_free_memory();
    }
}

/// Called before memory is obtained by other means. Fails only in a test that makes it fail, and in a call that must
/// give up early.
#[inline(always)]
pub(crate) fn pass(what: &str, bytes: usize) -> Result<()> {
    #[cfg(test)]
    if crate::env::test_passes::fails() {
        return Err(Error::out_of_memory(what, bytes));
    }
    let _ = what;
    effort::spend(bytes)
}

fn bytes_of<T>(count: usize) -> usize {
    count.saturating_mul(size_of::<T>())
}

#[cfg(test)]
mod tests;
