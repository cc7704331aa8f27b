//! Tests of the door, and how a test has a pass through it fail.

use super::*;
use crate::env::test_passes as passes;
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
    assert_eq!(bytes, [1], "O1");
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
