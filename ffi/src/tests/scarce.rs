//! The allocator of these tests, which fails for sizes that a test sets; and calls that meet such a failure.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;

struct Scarce;

#[global_allocator]
static ALLOCATOR: Scarce = Scarce;

thread_local! {
    /// This thread gets no piece of this many bytes or more.
    static TOO_MUCH: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn is_too_much(bytes: usize) -> bool {
    bytes >= TOO_MUCH.get()
}

// SAFETY: the system's allocator, whose contract is kept by the callers; NULL means that there is no memory.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_too_much(layout.size()) {
            true => ptr::null_mut(),
            // SAFETY: the caller's own promise.
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_too_much(layout.size()) {
            true => ptr::null_mut(),
            // SAFETY: the caller's own promise.
            false => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match is_too_much(size) {
            true => ptr::null_mut(),
            // SAFETY: the caller's own promise.
            false => unsafe { System.realloc(place, layout, size) },
        }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise; every piece came from `System`.
        unsafe { System.dealloc(place, layout) }
    }
}

/// The result of `call` while this thread gets no piece of `bytes` bytes or more.
fn without<T>(bytes: usize, call: impl FnOnce() -> T) -> T {
    TOO_MUCH.set(bytes);
    let answer = call();
    TOO_MUCH.set(usize::MAX);
    answer
}

/// The keys used to be collected by an allocation that ends the process if there is no memory.
#[test]
fn keys_of_get_many_that_do_not_fit_are_out_of_memory() {
    const COUNT: usize = 50_000;
    let store = Store::new();
    assert_eq!(store.put(b"x", b"y"), AIDB_OK);
    let (keys, key_lens) = (vec![data(b"x"); COUNT], vec![1; COUNT]);
    let (mut values, mut lens) = (vec![ptr::null(); COUNT], vec![0; COUNT]);
    let mut buffer = ptr::null_mut();
    // SAFETY: the arrays have `count` places, and the outputs are local places.
    let mut get_many = || unsafe {
        aidb_get_many(
            store.db,
            COUNT,
            keys.as_ptr(),
            key_lens.as_ptr(),
            ptr::null(),
            values.as_mut_ptr(),
            lens.as_mut_ptr(),
            &mut buffer,
            ptr::null_mut(),
        )
    };
    // Fewer bytes than any array of this many places, and than half the keys.
    for bytes in [COUNT, 8 * COUNT] {
        assert_eq!(without(bytes, &mut get_many), AIDB_OUT_OF_MEMORY);
    }
    assert_eq!(get_many(), AIDB_OK);
    assert_eq!(lens, key_lens);
    // SAFETY: the call above returned this buffer.
    unsafe { aidb_free(buffer.cast()) };
}

/// The message of the refusal used to repeat the text, and a path was a copy of it.
#[test]
fn texts_of_options_that_do_not_fit_twice_are_refused() {
    const LONG: usize = 1 << 20;
    let long = CString::new(vec![b'a'; LONG]).unwrap();
    let options = aidb_options_new();
    let (info_log, size) = (c"info_log", c"block_size");
    for (name, value) in [(&*long, c"1"), (info_log, &*long), (size, &*long)] {
        let mut error = ptr::null_mut();
        let (name, value) = (name.as_ptr(), value.as_ptr());
        // SAFETY: strings with a zero byte at their end, and a local place.
        let set = || unsafe { aidb_options_set(options, name, value, &mut error) };
        assert_eq!(without(LONG / 2, set), AIDB_INVALID_ARGUMENT);
        let message = message(error);
        assert!(message.contains("1048576 bytes"), "{message}");
    }
    // SAFETY: the handle made above.
    unsafe { aidb_options_free(options) };
}
