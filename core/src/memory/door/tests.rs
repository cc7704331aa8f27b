//! Tests of the door, and of how a test makes a pass through it fail.

use super::*;
use crate::env::test_passes as passes;
use crate::env::test_process::{Limit, alone, limited};
use crate::env::{MAPPED, UNMAPPED};
use crate::error::ErrorKind;

#[test]
fn more_than_there_is_of_anything_is_out_of_memory_that_names_it() {
    let most = usize::MAX;
    let mut bytes = vec![1u8];
    let errors = [
        reserve(&mut bytes, most, "a").unwrap_err(),
        reserve_exact(&mut bytes, most, "a").unwrap_err(),
        lengthen(&mut bytes, most, "a").unwrap_err(),
        room_for::<u64>(most, "a").unwrap_err(),
        zeros(most, "a").unwrap_err(),
    ];
    assert_eq!(bytes, [1], "DOOR-1");
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        assert!(error.message().ends_with("bytes of a"), "{error}");
        assert!(error.is_retryable());
    }
    let layout = Layout::from_size_align(isize::MAX as usize - 63, 64).unwrap();
    let error = allocate(layout, false, "blocks").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
}

#[test]
fn the_pass_that_is_to_fail_does_so_once_in_this_thread_and_in_those_it_makes() {
    let passes = passes::Passes::fail_at(2);
    let entered = passes.enter();
    assert!(zeros(1, "x").is_ok());
    let inherited = passes::current();
    let failed = std::thread::spawn(move || {
        let _entered = inherited.map(|passes| passes.enter());
        zeros(1, "x").is_err()
    });
    assert!(failed.join().unwrap());
    assert!(zeros(1, "x").is_ok());
    drop(entered);
    assert!(zeros(1, "x").is_ok());
    assert_eq!((passes.met(), passes.failed()), (3, 1));
}

#[test]
fn room_ahead_is_asked_of_the_system_once_for_many_pieces() {
    let looks = || {
        let before = MAPPED.get();
        room_ahead(1, "a handle").unwrap();
        (MAPPED.get() - before) / AHEAD_BYTES
    };
    SEEN_AHEAD.set(0);
    assert_eq!(looks(), 1);
    for _ in 1..AHEAD_PIECES {
        assert_eq!(looks(), 0);
    }
    assert_eq!(looks(), 1);
    // When too few are left, there is a new check.
    room_ahead(AHEAD_PIECES, "a handle").unwrap();
    assert_eq!(SEEN_AHEAD.get(), 0);
    assert_eq!(MAPPED.get(), UNMAPPED.get());
}

#[test]
fn without_room_ahead_nothing_is_made_and_the_next_call_looks_again() {
    let name =
        "memory::door::tests::without_room_ahead_nothing_is_made_and_the_next_call_looks_again";
    alone(name, || {
        limited(Limit::Addresses, 1, || {
            for _ in 0..2 {
                let error = room_ahead(1, "a handle").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                assert!(error.message().ends_with("bytes of a handle"), "{error}");
            }
        });
        room_ahead(1, "a handle").unwrap();
    });
}
