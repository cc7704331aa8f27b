//! Prefetches memory into the CPU cache.
//!
//! An ordinary read does that too, but a CPU waiting for a read runs only a few hundred instructions ahead of
//! it; a prefetch ends at once. On CPUs without a case here nothing happens.

#![expect(unsafe_code, reason = "prefetch instructions")]

/// Prefetches the cache line at `address`. Any address will do: the program cannot observe the read.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: PREFETCHT0, which every x86-64 processor has, changes only the state of the caches, and does not fault
    // for any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: PRFM changes only the state of the caches, and does not fault for any address.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    let _ = address;
}

/// Prefetches the cache line of byte `at`, which may be out of range.
#[inline]
pub(crate) fn prefetch_byte(bytes: &[u8], at: usize) {
    prefetch(bytes.as_ptr().wrapping_add(at));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_may_be_asked_for() {
        for address in [0, 1, 4096, usize::MAX] {
            prefetch(std::ptr::without_provenance(address));
        }
        prefetch([1u8; 100].as_ptr());
    }
}
