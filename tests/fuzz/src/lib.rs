//! The functions that the fuzz targets in `fuzz_targets/` run; see docs/testing.md, "Fuzzing and sanitizers".
//!
//! A target takes any bytes. The input of a decoder begins with a byte whose lowest bit says whether its checksums stay
//! as they are; mostly the target corrects them (`seal.rs`), so that the fuzzer gets past them. `decoders.rs` has the
//! assertions about the decoders' answers. `open.rs` makes a directory of an input, and `interface.rs` reads an input
//! as operations on a whole database. A finding is a panic, a failed assertion, an infallible allocation beyond
//! [`MAX_BYTES`], or an input that takes ten seconds.

mod decoders;
mod interface;
mod open;
mod seal;

use std::alloc::{GlobalAlloc, Layout, System};

use aidb::{Options, fuzz_checks};

pub use interface::interface;
pub use open::{Directory, open};

/// The largest permitted allocation. Inputs have kilobytes, so a larger request has trusted a length.
pub const MAX_BYTES: usize = 16 << 20;

/// Refuses allocations larger than [`MAX_BYTES`]: a fallible reservation gets its error, any other ends the process.
struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// SAFETY: every call goes to `System` unchanged, or returns null, which says that there is no memory.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match layout.size() <= MAX_BYTES {
            // SAFETY: the caller's promises are those that `System` asks for.
            true => unsafe { System.alloc(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match layout.size() <= MAX_BYTES {
            // SAFETY: as for `alloc`.
            true => unsafe { System.alloc_zeroed(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match size <= MAX_BYTES {
            // SAFETY: as for `alloc`; `old` came from `System`.
            true => unsafe { System.realloc(old, layout, size) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as for `alloc`; `old` came from `System`.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Seeds the hash maps of the standard library. The seed is the same in every process, so that two runs with the same
/// seed and number of executions are the same.
///
/// # Safety
/// `buffer` has room for `length` bytes, as the kernel's own demands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise.
    unsafe { buffer.write_bytes(0x5a, length) };
    length as isize
}

/// The input after its mode, and whether to correct its checksums.
fn mode(input: &[u8]) -> Option<(bool, Vec<u8>)> {
    let (mode, rest) = input.split_first()?;
    Some((mode & 1 == 0, rest.to_vec()))
}

/// Mode, two bytes of a limit, a log. Bit 1 of the mode: the limit counts.
pub fn wal(input: &[u8]) {
    let Some((sealed, mut rest)) = mode(input) else {
        return;
    };
    if rest.len() < 2 {
        return;
    }
    let mut log = rest.split_off(2);
    let limit = u64::from(u16::from_le_bytes([rest[0], rest[1]]));
    if sealed {
        seal::wal(&mut log);
    }
    let _ = decoders::log(&log, (input[0] & 2 != 0).then_some(limit));
}

/// An encoded batch.
pub fn batch(input: &[u8]) {
    let _ = decoders::batch(input);
}

/// The number of a codec, then a data block in that codec's form.
pub fn block(input: &[u8]) {
    let Some((codec, payload)) = input.split_first() else {
        return;
    };
    if let Some(raw) = fuzz_checks::decompress(codec & 3, payload, 1 << 20) {
        let _ = fuzz_checks::block(raw);
    }
}

/// Mode, a table.
pub fn table(input: &[u8]) {
    let Some((sealed, mut table)) = mode(input) else {
        return;
    };
    if sealed {
        seal::table(&mut table);
    }
    let _ = decoders::table(&table);
}

/// Mode, the length of CURRENT, CURRENT, then of a manifest its head, its slots and its records.
pub fn manifest(input: &[u8]) {
    let Some((sealed, mut rest)) = mode(input) else {
        return;
    };
    if rest.is_empty() {
        return;
    }
    let mut parts = rest.split_off(1);
    let mut packed = parts.split_off((rest[0] as usize).min(parts.len()));
    if packed.len() < seal::PACKED_BYTES {
        packed.resize(seal::PACKED_BYTES, 0);
    }
    let mut manifest = seal::unpack_manifest(&packed);
    if sealed {
        seal::current(&mut parts);
        seal::manifest(&mut manifest);
    }
    let _ = decoders::manifest(&parts, &manifest);
}

pub use seal::{PACKED_BYTES, pack_manifest};

/// An encoded version edit.
pub fn version_edit(input: &[u8]) {
    let _ = decoders::edit(input);
}

/// Lines of `name=value`.
pub fn options(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut options = Options::new();
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let before = format!("{options:?}");
        match options.set(name, value) {
            Ok(()) => {
                let shown = options.get(name).expect("a set option can be read");
                options.set(name, &shown).expect("a read value can be set");
                assert_eq!(options.get(name).ok(), Some(shown));
            }
            Err(error) => {
                assert_eq!(error.kind(), aidb::ErrorKind::InvalidArgument, "{error}");
                assert_eq!(
                    format!("{options:?}"),
                    before,
                    "a refused value changes nothing"
                );
            }
        }
    }
    let _ = options.validate();
}
