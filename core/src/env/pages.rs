//! Memory mapped directly from the system, in huge pages where it has them. Unmapped memory returns to the
//! system at once, whichever thread mapped it; an allocator may keep freed memory.

#![expect(unsafe_code, reason = "mapping memory")]

use std::ops::Range;
use std::ptr::{self, NonNull};

/// Mapped memory: zeroed, aligned to its size, and unmapped when this is dropped.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `bytes` bytes, which must be a power of two and whole pages; `None` if the system has no memory. With
    /// `huge`, asks the system for huge pages.
    pub(crate) fn new(bytes: usize, huge: bool) -> Option<Mapping> {
        debug_assert!(
            bytes.is_power_of_two(),
            "SLAB-1: a mapping can be aligned to its size"
        );
        let whole = bytes.checked_mul(2)?;
        let first = map(whole)?.as_ptr();
        let before = first.addr().next_multiple_of(bytes) - first.addr();
        debug_assert!(before <= bytes, "SLAB-1: the kept part is in the mapping");
        let start = first.wrapping_add(before);
        debug_assert!(
            start.addr().is_multiple_of(bytes),
            "SLAB-1: a mapping is aligned to its size"
        );
        // SAFETY: both parts are in the new mapping, outside the part that is kept, and no other code has them. If
        // the length of a part is zero, the system refuses the call and does nothing. Advice changes no contents.
        unsafe {
            libc::munmap(first.cast(), before);
            libc::munmap(start.wrapping_add(bytes).cast(), bytes - before);
            #[cfg(target_os = "linux")]
            if huge {
                libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
            }
        }
        let _ = huge;
        let start = NonNull::new(start)?;
        Some(Mapping { start, bytes })
    }

    /// Gives the `bytes` bytes from `offset` on back to the system; see [`discard`]. Their contents are lost.
    pub(crate) fn give_back(&self, offset: usize, bytes: usize) {
        debug_assert!(
            offset + bytes <= self.bytes,
            "CHUNK-4: the range is in the mapping"
        );
        let start = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: the range lies in the mapping.
        unsafe { discard(start..start.wrapping_add(bytes)) };
    }

    /// Its start, valid for reads and writes of its length as long as the mapping lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

/// Maps `bytes` bytes, at least one: zeroed, aligned to a page. `None` if the system has no memory. To be freed with
/// [`unmap`].
pub(crate) fn map(bytes: usize) -> Option<NonNull<u8>> {
    debug_assert!(bytes > 0, "DOOR-1: a mapping has a page");
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping of memory, at an address that the system chooses, touches nothing that exists.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return None;
    }
    #[cfg(test)]
    tests::MAPPED.set(tests::MAPPED.get() + bytes);
    NonNull::new(mapped.cast())
}

/// Unmaps memory that [`map`] mapped.
///
/// # Safety
/// [`map`] mapped these `bytes` bytes at `start`, and no code uses them any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    #[cfg(test)]
    tests::UNMAPPED.set(tests::UNMAPPED.get() + bytes);
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
}

/// The smallest page size of any system. With larger pages, some memory that could be returned is not.
pub(crate) const SYSTEM_PAGE_BYTES: usize = 4 << 10;

/// Returns the pages that are wholly in `range` to the system; they then read as zeros. A hint: if it is impossible,
/// they stay.
///
/// # Safety
/// The range lies in memory that the caller owns, and no code needs its contents.
pub(crate) unsafe fn discard(range: Range<*mut u8>) {
    debug_assert!(
        range.start <= range.end,
        "CHUNK-4: what is given back has its ends in order"
    );
    let first = range.start.addr().next_multiple_of(SYSTEM_PAGE_BYTES);
    let end = range.end.addr() / SYSTEM_PAGE_BYTES * SYSTEM_PAGE_BYTES;
    if end <= first {
        return;
    }
    debug_assert!(
        first >= range.start.addr() && end <= range.end.addr(),
        "CHUNK-4: no page beside the range is given back"
    );
    #[cfg(target_os = "linux")]
    // SAFETY: the caller's promise.
    unsafe {
        let start = range.start.with_addr(first).cast();
        libc::madvise(start, end - first, libc::MADV_DONTNEED);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped these bytes, and every user of them keeps the mapping alive.
        unsafe { unmap(self.start, self.bytes) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Bytes that this thread has mapped by [`map`].
        pub(crate) static MAPPED: Cell<usize> = const { Cell::new(0) };
        /// Bytes that it has unmapped by [`unmap`].
        pub(crate) static UNMAPPED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn a_mapping_is_aligned_zeroed_and_its_own() {
        for huge in [false, true] {
            let bytes = 1 << 21;
            let mappings: Vec<_> = (0..3).map(|_| Mapping::new(bytes, huge).unwrap()).collect();
            for (number, mapping) in mappings.iter().enumerate() {
                let start = mapping.start().as_ptr();
                assert_eq!(start.addr() % bytes, 0);
                // SAFETY: the mapping lives, and both bytes are in it.
                unsafe {
                    assert_eq!((*start, *start.add(bytes - 1)), (0, 0));
                    *start = number as u8;
                    *start.add(bytes - 1) = number as u8;
                }
            }
            for (number, mapping) in mappings.iter().enumerate() {
                let start = mapping.start().as_ptr();
                // SAFETY: as above.
                let ends = unsafe { (*start, *start.add(bytes - 1)) };
                assert_eq!(ends, (number as u8, number as u8));
            }
            let before = UNMAPPED.get();
            drop(mappings);
            assert_eq!(UNMAPPED.get() - before, 3 * bytes);
        }
        assert!(Mapping::new(1 << 62, false).is_none());
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn what_is_given_back_is_zeros_and_what_lies_beside_it_is_kept() {
        let mapping = Mapping::new(1 << 21, false).unwrap();
        let start = mapping.start().as_ptr();
        // As large as any system's pages; the mapping has at least four of them.
        let page = 1 << 16;
        let places = [0, page - 1, page, 3 * page - 1, 3 * page, 4 * page - 1];
        // SAFETY: the mapping lives, and these bytes are in it.
        let byte = |place: usize| unsafe { &mut *start.add(place) };
        places.iter().for_each(|place| *byte(*place) = 7);
        mapping.give_back(page, 2 * page);
        assert_eq!(places.map(|place| *byte(place)), [7, 7, 0, 0, 7, 7]);
        // Less than a whole page is not given back.
        mapping.give_back(1, page - 2);
        assert_eq!((*byte(0), *byte(page - 1)), (7, 7));
    }
}
