//! Copies of keys that outlive the block they were read from.
//!
//! A flush or a compaction keeps a key for each of its checks: the last key, the first key of a block, the
//! bounds found in a table's bytes. Keys are mostly short, and then each copy has its own bytes. Equal copies
//! of a long key, which may have 16 MiB, share their bytes within a thread.
//!
//! * KEY-1  A copy shares bytes only after each of them was compared with the key, so it always equals the key
//!          that was read.
//! * KEY-2  Shared bytes never change.
//!
//! Long keys are in pages of their own, which return to the system at once when freed.

#![expect(unsafe_code, reason = "mapped memory is written and read as bytes")]

use std::cell::RefCell;
use std::ptr::NonNull;

use super::door::{pass, room_for};
use crate::env::{map, unmap};
use crate::error::{Error, Result};
use crate::sync::{Arc, Weak};

/// A key of this size or more shares its bytes with equal copies.
const LARGE_KEY_BYTES: usize = 1 << 20;
/// Among this many recent large keys a thread looks for an equal one. A job has two or three at a time.
const RECENT_KEYS: usize = 4;

/// A copy of a user key.
#[derive(Default)]
pub(crate) struct KeptKey {
    /// The key, if it is not large; otherwise without capacity.
    small: Vec<u8>,
    large: Option<Arc<LargeKey>>,
}

impl KeptKey {
    /// The key.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.large {
            None => &self.small,
            Some(large) => large.bytes(),
        }
    }

    /// Makes it a copy of `key`; `what` names it in the error. After an error it may be any key.
    #[inline(always)]
    pub(crate) fn replace(&mut self, key: &[u8], what: &str) -> Result<()> {
        self.rebuild(0, key, what)
    }

    /// Makes it its own first `shared` bytes, followed by `suffix`. After an error it may be any key.
    #[inline(always)]
    pub(crate) fn rebuild(&mut self, shared: usize, suffix: &[u8], what: &str) -> Result<()> {
        debug_assert!(
            self.large.is_none() || self.small.capacity() == 0,
            "KEY-1: it has one copy of its bytes"
        );
        debug_assert!(
            shared <= self.bytes().len(),
            "KEY-1: it keeps only bytes that it has"
        );
        // The capacity is 0 if the key is large, so one comparison is enough.
        if shared + suffix.len() < self.small.capacity() {
            self.small.truncate(shared);
            self.small.extend_from_slice(suffix);
            return Ok(());
        }
        self.rebuild_elsewhere(shared, suffix, what)
    }

    /// The same if the key was or becomes large, or there is no room for it.
    #[cold]
    #[inline(never)]
    fn rebuild_elsewhere(&mut self, shared: usize, suffix: &[u8], what: &str) -> Result<()> {
        let head = &self.bytes()[..shared];
        let length = shared + suffix.len();
        if length >= LARGE_KEY_BYTES {
            self.large = Some(LargeKey::shared(head, suffix, what)?);
            self.small = Vec::new();
            return Ok(());
        }
        // Twice the needed room, but never room for a large key.
        let mut small = room_for((2 * length).clamp(64, LARGE_KEY_BYTES), what)?;
        small.extend_from_slice(head);
        small.extend_from_slice(suffix);
        *self = KeptKey { small, large: None };
        Ok(())
    }
}

/// The bytes of a large key.
struct LargeKey {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the bytes belong to the process, and nothing writes them once they are shared (KEY-2).
unsafe impl Send for LargeKey {}
// SAFETY: as above.
unsafe impl Sync for LargeKey {}

thread_local! {
    /// The large keys that were copied last, and the index of the one that the next one replaces.
    static RECENT: RefCell<([Weak<LargeKey>; RECENT_KEYS], usize)> = const {
        RefCell::new(([const { Weak::new() }; RECENT_KEYS], 0))
    };
}

impl LargeKey {
    /// `head` followed by `tail`: an equal recent key, or a new one.
    fn shared(head: &[u8], tail: &[u8], what: &str) -> Result<Arc<LargeKey>> {
        debug_assert!(
            head.len() + tail.len() >= LARGE_KEY_BYTES,
            "KEY-1: only large keys share bytes"
        );
        let is_same = |key: &Arc<LargeKey>| {
            key.length == head.len() + tail.len()
                && key.bytes().starts_with(head)
                && key.bytes().ends_with(tail)
        };
        // A thread that is about to end has no list any more.
        let found = RECENT.try_with(|recent| {
            let keys = &recent.borrow().0;
            keys.iter().filter_map(Weak::upgrade).find(is_same)
        });
        if let Ok(Some(found)) = found {
            return Ok(found);
        }
        let key = Arc::new(LargeKey::new(head, tail, what)?);
        debug_assert!(is_same(&key), "KEY-1: it is the key that was read");
        let _ = RECENT.try_with(|recent| {
            let (keys, next) = &mut *recent.borrow_mut();
            keys[*next] = Arc::downgrade(&key);
            *next = (*next + 1) % RECENT_KEYS;
        });
        Ok(key)
    }

    fn new(head: &[u8], tail: &[u8], what: &str) -> Result<LargeKey> {
        let length = head.len() + tail.len();
        pass(what, length)?;
        let start = map(length).ok_or_else(|| Error::out_of_memory(what, length))?;
        let place = start.as_ptr();
        // SAFETY: both parts lie in the memory that was just mapped, which no other code has.
        unsafe {
            place.copy_from_nonoverlapping(head.as_ptr(), head.len());
            let place = place.add(head.len());
            place.copy_from_nonoverlapping(tail.as_ptr(), tail.len());
        }
        Ok(LargeKey { start, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `new` has written this many bytes, and they stay as long as `self` (KEY-2).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for LargeKey {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this many bytes, and no reference to them outlives `self`.
        unsafe { unmap(self.start, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_passes::Passes;
    use crate::env::{MAPPED, UNMAPPED};

    const L: usize = LARGE_KEY_BYTES;

    fn key(length: usize, last: u8) -> Vec<u8> {
        let mut key = vec![7; length];
        key[length - 1] = last;
        key
    }

    fn kept(key: &[u8]) -> KeptKey {
        let mut kept = KeptKey::default();
        kept.replace(key, "a key").unwrap();
        kept
    }

    #[test]
    fn a_copy_is_what_was_copied_on_both_sides_of_the_limit() {
        let mut one = KeptKey::default();
        assert_eq!(one.bytes(), b"");
        let lengths = [
            0,
            1,
            63,
            64,
            65,
            L / 2,
            L - 1,
            L,
            L + 1,
            3,
            2 * L,
            0,
            L,
            L - 1,
            L / 2 + 1,
            L,
            0,
        ];
        for length in lengths {
            let bytes = vec![length as u8; length];
            one.replace(&bytes, "a key").unwrap();
            assert!(one.bytes() == bytes, "{length}");
            assert_eq!(one.large.is_some(), length >= L, "{length}");
        }
    }

    #[test]
    fn a_key_is_rebuilt_of_its_own_head_and_a_suffix_across_the_limit() {
        let mut expected = Vec::new();
        let mut one = KeptKey::default();
        let steps = [
            (0, L - 1),
            (L - 1, 1),
            (L, 5),
            (L - 7, 3),
            (2, 9),
            (11, L - 11),
            (L - 1, 1),
            (L - 1, 0),
        ];
        for (number, (shared, more)) in steps.into_iter().enumerate() {
            expected.truncate(shared);
            expected.resize(shared + more, number as u8);
            one.rebuild(shared, &expected[shared..], "a key").unwrap();
            assert!(one.bytes() == expected, "{number}");
        }
    }

    /// KEY-1.
    #[test]
    fn equal_large_keys_share_their_bytes_and_others_do_not() {
        let place = |kept: &KeptKey| kept.bytes().as_ptr();
        let first = kept(&key(L, 1));
        let same = kept(&key(L, 1));
        assert_eq!(place(&first), place(&same));
        let mut rebuilt = kept(&key(L, 2));
        assert_ne!(place(&first), place(&rebuilt));
        rebuilt.rebuild(L - 1, &[1], "a key").unwrap();
        assert_eq!(place(&first), place(&rebuilt));
        for other in [key(L, 3), key(L + 1, 1)] {
            assert!(kept(&other).bytes() == other);
        }
        let mut small = kept(&key(L - 1, 1));
        assert_ne!(place(&small), place(&kept(&key(L - 1, 1))));
        small.replace(first.bytes(), "a key").unwrap();
        drop((first, same, rebuilt));
        assert!(small.bytes() == key(L, 1));
    }

    /// KEY-2.
    #[test]
    fn a_shared_copy_stays_as_it_is_when_another_becomes_a_different_key() {
        let bytes = key(L, 1);
        for (shared, suffix) in [(L, &b""[..]), (L, b"x"), (L - 1, b"x"), (3, b""), (0, b"")] {
            let (first, mut other) = (kept(&bytes), kept(&bytes));
            assert_eq!(other.bytes().as_ptr(), first.bytes().as_ptr());
            other.rebuild(shared, suffix, "a key").unwrap();
            assert!(other.bytes() == [&bytes[..shared], suffix].concat());
            other.replace(&key(L, 2), "a key").unwrap();
            assert!(first.bytes() == bytes, "{shared}");
        }
    }

    #[test]
    fn what_nobody_has_any_more_is_given_back_and_made_anew() {
        let (mapped, unmapped) = (MAPPED.get(), UNMAPPED.get());
        for round in 1..=3 {
            drop(kept(&key(L, 9)));
            assert_eq!(MAPPED.get() - mapped, round * L);
            assert_eq!(UNMAPPED.get() - unmapped, round * L);
        }
        // More keys than the list holds: each is right, and has its own bytes.
        let many: Vec<_> = (0..=RECENT_KEYS as u8).map(|n| kept(&key(L, n))).collect();
        for (number, kept) in many.iter().enumerate() {
            assert!(kept.bytes() == key(L, number as u8));
        }
    }

    #[test]
    fn a_key_for_which_there_is_no_memory_is_refused() {
        let bytes = key(L, 1);
        let mut kept = kept(b"before");
        let passes = Passes::fail_at(1);
        let entered = passes.enter();
        let refused = kept.replace(&bytes, "a key");
        drop(entered);
        assert!(refused.unwrap_err().is_out_of_memory());
        assert_eq!(passes.failed(), 1);
        kept.replace(&bytes, "a key").unwrap();
        assert!(kept.bytes() == bytes);
    }
}
