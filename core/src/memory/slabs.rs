//! The memory of cached blocks, in huge pages.
//!
//! Reads of a large cache are spread all over it: with pages of 4 KiB nearly every block costs a walk through
//! the page tables before its memory is read. A slab of 2 MiB is one page, where the system has such pages.
//!
//! * SLAB-1  A slab is divided in pages of 256 KiB, and a page that is in use in pieces of one size. There are
//!           few sizes, four for each doubling, so that new blocks can use the pieces that old ones free: a
//!           stored block and its flat form mostly have the same size. A page's head is at its beginning. The
//!           head and free pieces are read and written only under the lock.
//! * SLAB-2  A piece belongs to the caller of [`Slabs::allocate`] until it frees the piece.
//! * SLAB-3  Slabs are unmapped with the `Slabs`, which outlives its pieces: the holder of a piece also holds
//!           the `Slabs`.
//! * SLAB-4  The slabs have at most as many bytes as the cache's capacity; a caller that gets no piece uses the
//!           allocator.
//! * SLAB-5  A forked child frees nothing: a thread that exists only in the parent may hold the lock.
//! * SLAB-6  Once closed, it allocates nothing, and returns unused memory to the system: whole slabs, and in
//!           slabs with a piece in use the memory between pieces. Then `free` only counts, because returned
//!           memory must not be written.
//!
//! The first slab has small pages, so that a little data takes little memory; a small cache has no slabs at
//! all.

#![expect(unsafe_code, reason = "it manages raw memory")]

use std::collections::HashSet;
use std::ptr::NonNull;

use super::door::{pass, reserve};
use crate::env::{Mapping, SYSTEM_PAGE_BYTES};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

const SLAB_BYTES: usize = 2 << 20;
const PAGE_BYTES: usize = 256 << 10;
/// The sizes and addresses of pieces are multiples of this. From 512 bytes on, sizes are multiples of an eighth of a
/// power of two.
const STEP_BYTES: usize = 64;
/// Larger pieces would leave much of a page unused.
const MAX_BYTES: usize = 16 << 10;
/// The name of their lists' memory in errors.
const SLABS: &str = "the block cache";
const CLASSES: usize = MAX_BYTES / STEP_BYTES + 1;
/// Smaller caches have no slabs.
const MIN_CACHE: usize = 32 << 20;
/// The place of a page that is in no list.
const NOWHERE: u32 = u32::MAX;

/// The head of each page, at its beginning.
#[repr(C)]
struct PageHead {
    /// The size of its pieces.
    piece_bytes: u32,
    /// How many of them are in use.
    used: u32,
    /// The offset of the first piece that was never allocated.
    fresh: u32,
    /// The offset of a freed piece, which begins with the offset of the next one; 0 if there is none.
    free: u32,
    /// Its place in the list of pages of its size with free pieces.
    place: u32,
}

const _: () = assert!(size_of::<PageHead>() <= STEP_BYTES);

type Page = NonNull<PageHead>;

struct SlabState {
    slabs: Vec<Mapping>,
    /// Once closed, how many pages in use each slab has (SLAB-6).
    left: Option<Vec<usize>>,
    /// Pages without pieces.
    empty: Vec<Page>,
    /// For each size, the pages with free pieces.
    partial: Vec<Vec<Page>>,
}

// SAFETY: pages belong to no thread; code reaches them only under the lock (SLAB-1).
unsafe impl Send for SlabState {}

/// See the head of the file.
pub(crate) struct Slabs {
    state: Mutex<SlabState>,
    /// Bytes of all slabs.
    mapped: AtomicUsize,
    most: usize,
    /// `fork_count` of the process that it belongs to (SLAB-5).
    forks: u32,
}

impl Slabs {
    /// Slabs for a cache of `capacity` bytes; `None` for a small one.
    pub(crate) fn new(capacity: usize) -> Option<Slabs> {
        (capacity >= MIN_CACHE).then(|| Slabs {
            state: Mutex::new(SlabState {
                slabs: Vec::new(),
                left: None,
                empty: Vec::new(),
                partial: (0..CLASSES).map(|_| Vec::new()).collect(),
            }),
            mapped: AtomicUsize::new(0),
            most: capacity / SLAB_BYTES,
            forks: crate::env::fork_count(),
        })
    }

    /// The bytes that a piece for `bytes` takes.
    pub(crate) fn piece_bytes(bytes: usize) -> usize {
        bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(STEP_BYTES))
    }

    /// The bytes of all slabs, used or not.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    /// A piece of at least `bytes` bytes, aligned to 64; `None` if the caller must get the memory elsewhere.
    pub(crate) fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        if bytes == 0 || bytes > MAX_BYTES || crate::env::fork_count() != self.forks {
            return None;
        }
        let class = Slabs::piece_bytes(bytes) / STEP_BYTES;
        debug_assert!(
            class < CLASSES && class * STEP_BYTES >= bytes,
            "SLAB-1: a piece has room for what is asked"
        );
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.left.is_some() {
            return None;
        }
        let page = match state.partial[class].last() {
            Some(page) => *page,
            None => {
                reserve(&mut state.partial[class], 1, SLABS).ok()?;
                let page = state.empty_page(self.most)?;
                self.note_mapped(state);
                let head = PageHead {
                    piece_bytes: (class * STEP_BYTES) as u32,
                    used: 0,
                    fresh: STEP_BYTES as u32,
                    free: 0,
                    place: 0,
                };
                // SAFETY: the page lies in a slab, aligned, and nothing in it is in use (SLAB-1).
                unsafe { page.write(head) };
                state.partial[class].push(page);
                page
            }
        };
        // SAFETY: the page is in a slab, its head was written above or when it was taken, and the lock is held
        // (SLAB-1). A page in the list has a piece left: a freed one at `free`, which begins with the offset of the
        // next one, or one at `fresh`, with a whole piece's room after it.
        unsafe {
            let head = &mut *page.as_ptr();
            let start = page.cast::<u8>();
            let piece = match head.free {
                0 => {
                    let piece = start.add(head.fresh as usize);
                    head.fresh += head.piece_bytes;
                    piece
                }
                free => {
                    let piece = start.add(free as usize);
                    head.free = piece.cast::<u32>().read();
                    piece
                }
            };
            head.used += 1;
            debug_assert!(
                head.piece_bytes as usize == class * STEP_BYTES
                    && head.used as usize * class * STEP_BYTES <= PAGE_BYTES,
                "SLAB-1: a page has pieces of one size"
            );
            debug_assert!(
                head.fresh as usize <= PAGE_BYTES,
                "SLAB-1: no piece reaches beyond its page"
            );
            if head.free == 0 && (head.fresh + head.piece_bytes) as usize > PAGE_BYTES {
                head.place = NOWHERE;
                state.partial[class].pop();
            }
            Some(piece)
        }
    }

    fn note_mapped(&self, state: &SlabState) {
        debug_assert!(
            state.slabs.len() <= self.most,
            "SLAB-4: no more slabs than the cache may have"
        );
        debug_assert!(
            crate::env::fork_count() == self.forks,
            "SLAB-5: a forked child changes nothing"
        );
        self.mapped
            .store(state.slabs.len() * SLAB_BYTES, Ordering::Relaxed);
    }

    /// Returns unused memory to the system, and the rest as it is freed (SLAB-6).
    pub(crate) fn close(&self) {
        if crate::env::fork_count() != self.forks {
            return;
        }
        let mut state = self.state.lock();
        if state.left.is_some() {
            return;
        }
        let unused = state.close();
        self.note_mapped(&state);
        drop(state);
        drop(unused);
    }

    /// Frees a piece.
    ///
    /// # Safety
    ///
    /// [`Slabs::allocate`] of this `Slabs` returned the piece, and no code uses it any more.
    pub(crate) unsafe fn free(&self, piece: NonNull<u8>) {
        if crate::env::fork_count() != self.forks {
            return;
        }
        let offset = piece.addr().get() % PAGE_BYTES;
        debug_assert!(
            offset >= STEP_BYTES,
            "SLAB-1: no piece lies in the head of a page"
        );
        let mut state = self.state.lock();
        // SAFETY: pages are aligned to their size, so this is the head of the piece's page, which was written when
        // the page was taken; the lock is held (SLAB-1). The caller owns the piece (SLAB-2), which is large and
        // aligned enough for the offset of the next one.
        unsafe {
            let page = piece.sub(offset).cast::<PageHead>();
            let head = &mut *page.as_ptr();
            if state.left.is_some() {
                debug_assert!(head.used > 0, "SLAB-2: a piece is freed once");
                head.used -= 1;
                let emptied = match head.used {
                    0 => state.give_page_back(page),
                    _ => None,
                };
                self.note_mapped(&state);
                drop(state);
                drop(emptied);
                return;
            }
            debug_assert!(
                head.used > 0 && offset < head.fresh as usize && head.free as usize != offset,
                "SLAB-2: a piece is freed once"
            );
            piece.cast::<u32>().write(head.free);
            head.free = offset as u32;
            head.used -= 1;
            let class = head.piece_bytes as usize / STEP_BYTES;
            if head.used == 0 {
                let place = head.place as usize;
                if head.place != NOWHERE {
                    debug_assert!(
                        state.partial[class].get(place) == Some(&page),
                        "SLAB-1: a page knows its place in the list"
                    );
                    state.partial[class].swap_remove(place);
                    if let Some(moved) = state.partial[class].get(place) {
                        (*moved.as_ptr()).place = place as u32;
                    }
                }
                // The list has room for every page of every slab.
                debug_assert!(
                    state.empty.len() < state.empty.capacity(),
                    "SLAB-4: the list has room for every page"
                );
                state.empty.push(page);
            } else if head.place == NOWHERE && reserve(&mut state.partial[class], 1, SLABS).is_ok()
            {
                // Without memory for its place in the list, the page is listed again when its next piece is freed.
                head.place = state.partial[class].len() as u32;
                state.partial[class].push(page);
            }
        }
    }
}

/// The pages of a slab.
fn pages_of(slab: &Mapping) -> impl DoubleEndedIterator<Item = Page> {
    let start = slab.start();
    // SAFETY: all of these lie in the slab.
    (0..SLAB_BYTES / PAGE_BYTES).map(move |page| unsafe { start.add(page * PAGE_BYTES).cast() })
}

/// The system pages within a page of a slab that hold neither its head nor a piece in use, as offsets and lengths.
///
/// # Safety
/// The page is in use, and no other code reads or writes its head or its free pieces (SLAB-1).
unsafe fn unused_parts(page: Page) -> Vec<(usize, usize)> {
    const PARTS: usize = PAGE_BYTES / SYSTEM_PAGE_BYTES;
    let mut is_free = [false; PAGE_BYTES / STEP_BYTES];
    // SAFETY: by the caller's promise. The head was written when the page was taken, and each freed piece begins with
    // the offset of the next one.
    let head = unsafe {
        let head = page.read();
        let mut next = head.free as usize;
        while next != 0 {
            is_free[next / STEP_BYTES] = true;
            next = page.cast::<u8>().add(next).cast::<u32>().read() as usize;
        }
        head
    };
    let piece_bytes = head.piece_bytes as usize;
    let mut in_use = [false; PARTS];
    in_use[0] = true;
    for piece in (STEP_BYTES..head.fresh as usize).step_by(piece_bytes) {
        if !is_free[piece / STEP_BYTES] {
            let last = (piece + piece_bytes - 1) / SYSTEM_PAGE_BYTES;
            in_use[piece / SYSTEM_PAGE_BYTES..=last].fill(true);
        }
    }
    let mut parts = Vec::new();
    let mut at = 0;
    while at < PARTS {
        let length = in_use[at..].iter().take_while(|in_use| !**in_use).count();
        if length > 0 {
            parts.push((at * SYSTEM_PAGE_BYTES, length * SYSTEM_PAGE_BYTES));
        }
        at += length.max(1);
    }
    parts
}

impl SlabState {
    /// Gives unused memory back to the system, except the slabs that are wholly unused, which it returns (SLAB-6).
    fn close(&mut self) -> Vec<Mapping> {
        debug_assert!(self.left.is_none(), "SLAB-6: it is closed once");
        let empty: HashSet<usize> = self.empty.drain(..).map(|page| page.addr().get()).collect();
        self.partial = Vec::new();
        let is_empty = |page: &Page| empty.contains(&page.addr().get());
        let slabs = std::mem::take(&mut self.slabs);
        let (used, unused): (Vec<_>, Vec<_>) = slabs
            .into_iter()
            .partition(|slab| !pages_of(slab).all(|page| is_empty(&page)));
        let mut left = Vec::new();
        for slab in &used {
            let mut pages = 0;
            for (number, page) in pages_of(slab).enumerate() {
                let offset = number * PAGE_BYTES;
                if is_empty(&page) {
                    slab.give_back(offset, PAGE_BYTES);
                    continue;
                }
                pages += 1;
                // SAFETY: a page that is not empty is in use, and the lock is held.
                for (start, bytes) in unsafe { unused_parts(page) } {
                    slab.give_back(offset + start, bytes);
                }
            }
            left.push(pages);
        }
        self.slabs = used;
        self.left = Some(left);
        unused
    }

    /// Once closed: frees a page after its last piece was freed, and returns its slab if that was the last page
    /// in use.
    fn give_page_back(&mut self, page: Page) -> Option<Mapping> {
        let left = self.left.as_mut()?;
        debug_assert!(
            left.len() == self.slabs.len(),
            "SLAB-6: the pages of every slab are counted"
        );
        let address = page.addr().get();
        let slab_of = |slab: &Mapping| address - address % SLAB_BYTES == slab.start().addr().get();
        let number = self.slabs.iter().position(slab_of)?;
        left[number] -= 1;
        if left[number] > 0 {
            self.slabs[number].give_back(address % SLAB_BYTES, PAGE_BYTES);
            return None;
        }
        left.swap_remove(number);
        Some(self.slabs.swap_remove(number))
    }

    fn empty_page(&mut self, most: usize) -> Option<Page> {
        debug_assert!(self.left.is_none(), "SLAB-6: once closed, it maps nothing");
        if let Some(page) = self.empty.pop() {
            return Some(page);
        }
        if self.slabs.len() >= most {
            return None;
        }
        let pages = SLAB_BYTES / PAGE_BYTES;
        // Reserves room for all pages at once, so that freeing one needs no memory.
        let all = (self.slabs.len() + 1) * pages - self.empty.len();
        reserve(&mut self.empty, all, SLABS).ok()?;
        reserve(&mut self.slabs, 1, SLABS).ok()?;
        pass("pages", SLAB_BYTES).ok()?;
        let slab = Mapping::new(SLAB_BYTES, !self.slabs.is_empty())?;
        self.empty.extend(pages_of(&slab).rev());
        self.slabs.push(slab);
        self.empty.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aidb_test_data::{Random, Sizes};

    use super::*;

    fn slabs() -> Slabs {
        Slabs::new(MIN_CACHE).unwrap()
    }

    fn fill(piece: NonNull<u8>, bytes: usize, with: u8) {
        // SAFETY: the piece has this many bytes and belongs to the test.
        unsafe { piece.write_bytes(with, bytes) };
    }

    fn is_filled(piece: NonNull<u8>, bytes: usize, with: u8) -> bool {
        // SAFETY: as above, and they were written.
        let bytes = unsafe { std::slice::from_raw_parts(piece.as_ptr(), bytes) };
        bytes.iter().all(|byte| *byte == with)
    }

    /// SLAB-1.
    #[test]
    fn pieces_of_all_sizes_keep_their_bytes_while_others_come_and_go() {
        let slabs = slabs();
        let mut held: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        let (mut random, sizes) = (Random::new(7), Sizes::new(MAX_BYTES + 1, MAX_BYTES));
        let mut drawn = BTreeSet::new();
        for step in 0..40_000u32 {
            if held.len() > 3000 || (random.one_in(2) && !held.is_empty()) {
                let (piece, bytes, with) = held.swap_remove(random.index(held.len()));
                assert!(is_filled(piece, bytes, with), "SLAB-2");
                // SAFETY: it came from there and is forgotten here.
                unsafe { slabs.free(piece) };
            } else {
                let bytes = match random.below(4) {
                    0 => random.size(&sizes),
                    // At the largest length of one of the sizes of pieces, most of which are not named constants.
                    1 => {
                        let piece = Slabs::piece_bytes(1 + random.index(MAX_BYTES));
                        piece - 1 + random.index(3)
                    }
                    _ => 4000 + random.index(200),
                };
                drawn.insert(bytes);
                let Some(piece) = slabs.allocate(bytes) else {
                    continue;
                };
                assert_eq!(piece.addr().get() % STEP_BYTES, 0);
                let with = step as u8;
                fill(piece, bytes, with);
                held.push((piece, bytes, with));
            }
        }
        for (piece, bytes, with) in held {
            assert!(is_filled(piece, bytes, with), "SLAB-2");
            // SAFETY: as above.
            unsafe { slabs.free(piece) };
        }
        for limit in [STEP_BYTES, 4 << 10, 5 << 10, MAX_BYTES] {
            let edges = [limit - 1, limit, limit + 1];
            let mut missed = edges.iter().filter(|edge| !drawn.contains(edge));
            assert_eq!(missed.next(), None, "a size that was never allocated");
        }
        let state = slabs.state.lock();
        assert!(state.partial.iter().all(Vec::is_empty));
        let pages = state.slabs.len() * (SLAB_BYTES / PAGE_BYTES);
        assert_eq!(
            state.empty.len(),
            pages,
            "every page is free for any size again"
        );
    }

    #[test]
    fn memory_given_back_in_one_size_serves_another_and_there_is_a_limit() {
        let slabs = slabs();
        for bytes in [4600, 4100, 16 << 10, 1] {
            let mut held = Vec::new();
            while let Some(piece) = slabs.allocate(bytes) {
                held.push(piece);
            }
            let handed_out = held.len() * Slabs::piece_bytes(bytes);
            assert!(handed_out > MIN_CACHE / 16 * 14, "{bytes}: {handed_out}");
            assert!(handed_out <= MIN_CACHE, "SLAB-4");
            for piece in held {
                // SAFETY: it came from there and is not used again.
                unsafe { slabs.free(piece) };
            }
        }
        assert!(slabs.allocate(MAX_BYTES + 1).is_none());
        assert!(slabs.allocate(0).is_none());
        assert!(Slabs::new(MIN_CACHE - 1).is_none());
    }

    /// SLAB-3.
    #[test]
    fn once_closed_only_pieces_in_use_keep_their_memory_and_the_last_one_takes_its_slab_along() {
        let slabs = slabs();
        let bytes = 5_000;
        let mut held: Vec<_> = (0..2_000).map(|_| slabs.allocate(bytes).unwrap()).collect();
        for (number, piece) in (0..).zip(&held) {
            fill(*piece, bytes, number as u8);
        }
        // Two slabs become empty; the others keep a piece here and there.
        let mut random = Random::new(3);
        let mut kept = Vec::new();
        for (number, piece) in (0..).zip(held.drain(..)) {
            if number > 1_000 && random.one_in(50) {
                kept.push((piece, number as u8));
            } else {
                // SAFETY: it came from there and is forgotten here.
                unsafe { slabs.free(piece) };
            }
        }
        let before = slabs.mapped_bytes();
        slabs.close();
        slabs.close();
        assert!(slabs.mapped_bytes() <= before - 2 * SLAB_BYTES);
        assert!(slabs.mapped_bytes() > 0);
        assert!(slabs.allocate(bytes).is_none(), "SLAB-6");
        for (piece, number) in kept {
            assert!(is_filled(piece, bytes, number), "SLAB-2");
            // SAFETY: as above.
            unsafe { slabs.free(piece) };
        }
        assert_eq!(slabs.mapped_bytes(), 0);
    }

    #[test]
    fn what_lies_between_pieces_in_use_is_given_back_and_nothing_of_them_is() {
        let slabs = slabs();
        for bytes in [64, 640, 4_096, 5_120, 16 << 10] {
            let held: Vec<_> = (0..PAGE_BYTES / bytes - 1)
                .map(|_| slabs.allocate(bytes).unwrap())
                .collect();
            let offset = |piece: &NonNull<u8>| piece.addr().get() % PAGE_BYTES;
            for (number, piece) in held.iter().enumerate() {
                if number % 16 != 5 {
                    // SAFETY: it came from there and is not used again.
                    unsafe { slabs.free(*piece) };
                }
            }
            // SAFETY: the page's head is at its beginning, it is in use, and no other code uses these slabs.
            let parts = unsafe { unused_parts(held[0].sub(offset(&held[0])).cast()) };
            for (number, piece) in held
                .iter()
                .enumerate()
                .filter(|(number, _)| number % 16 == 5)
            {
                let piece = offset(piece)..offset(piece) + bytes;
                let overlaps =
                    |part: &&(usize, usize)| part.0 < piece.end && piece.start < part.0 + part.1;
                assert_eq!(
                    parts.iter().find(overlaps),
                    None,
                    "piece {number} of {bytes}"
                );
            }
            let returned: usize = parts.iter().map(|part| part.1).sum();
            assert!(
                returned >= PAGE_BYTES / 3 || bytes < 640,
                "{returned} of {bytes}"
            );
        }
    }

    #[test]
    fn pieces_come_in_four_sizes_for_each_doubling() {
        for (bytes, piece) in [
            (1, 64),
            (64, 64),
            (65, 128),
            (512, 512),
            (513, 640),
            (1_024, 1_024),
            (1_025, 1_280),
            (1_281, 1_536),
            (4_097, 5_120),
            (14_337, 16 << 10),
        ] {
            assert_eq!(Slabs::piece_bytes(bytes), piece, "{bytes}");
        }
    }

    #[test]
    fn a_page_is_handed_out_to_its_last_byte() {
        // Its head takes one step of the 4096.
        for (bytes, pieces) in [(64, 4095), (128, 2047), (16 << 10, 15)] {
            let slabs = slabs();
            let page = || slabs.allocate(bytes).unwrap().addr().get() / PAGE_BYTES;
            let first = page();
            let of_it = 1 + (0..).take_while(|_| page() == first).count();
            assert_eq!(of_it, pieces, "of {bytes} bytes");
        }
    }
}
