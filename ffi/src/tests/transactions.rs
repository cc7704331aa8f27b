//! Transactions as C calls them. `tests/c/test_transactions.c` has what they do.

use super::*;
use crate::attempts::*;
use crate::handle::aidb_transaction;
use crate::one_call::*;
use crate::transaction::*;

/// What [`work`] returns, and how often it was called.
struct Work {
    /// It returns this status. Its last call has failed with `AIDB_INVALID_ARGUMENT`.
    returns: i32,
    calls: u32,
    frees_error: bool,
}

/// Puts a value, then makes a call that fails.
unsafe extern "C" fn work(
    context: *mut c_void,
    transaction: *mut aidb_transaction,
    error: *mut *mut aidb_error,
) -> i32 {
    // SAFETY: the context is a `Work`, the pointers are those of slices.
    unsafe {
        let work = &mut *context.cast::<Work>();
        work.calls += 1;
        let key = data(b"k");
        let status = aidb_transaction_put(transaction, key, 1, key, 1, error);
        assert_eq!((status, (*error).is_null()), (AIDB_OK, true));
        let refused = aidb_transaction_put(transaction, ptr::null(), 1, key, 1, error);
        assert_eq!(refused, AIDB_INVALID_ARGUMENT);
        if work.frees_error {
            aidb_error_free(*error);
        }
        work.returns
    }
}

#[test]
fn a_callback_decides_about_its_transaction_and_hands_its_error_over() {
    let store = Store::new();
    let name = |status: i32| format!("the callback returned {status}, which is no aidb_status");
    let refused = "key is NULL and its length 1".to_string();
    for (returns, frees_error, expected, calls, text) in [
        (AIDB_OK as i32, false, AIDB_OK, 1, None),
        (AIDB_NOT_FOUND as i32, false, AIDB_NOT_FOUND, 1, None),
        (1, false, AIDB_INVALID_ARGUMENT, 1, Some(refused)),
        (
            1,
            true,
            AIDB_INVALID_ARGUMENT,
            1,
            Some("returned AIDB_INVALID_ARGUMENT".into()),
        ),
        (2, false, AIDB_IO, 1, Some("returned AIDB_IO".into())),
        (5, false, AIDB_CONFLICT, 3, Some("after 3 attempts".into())),
        (12, false, AIDB_INVALID_ARGUMENT, 1, Some(name(12))),
        (-1, true, AIDB_INVALID_ARGUMENT, 1, Some(name(-1))),
    ] {
        for has_error in [true, false] {
            let mut works = Work {
                returns,
                calls: 0,
                frees_error,
            };
            let context = (&raw mut works).cast();
            let mut error = ptr::null_mut();
            let place = if has_error {
                &mut error
            } else {
                ptr::null_mut()
            };
            // SAFETY: the context is what the callback expects, the place NULL or local.
            let status = unsafe {
                aidb_run_transaction(store.db, 3, ptr::null(), Some(work), context, place)
            };
            assert_eq!((status, works.calls), (expected, calls));
            match &text {
                Some(text) if has_error => {
                    // SAFETY: any pointer may be asked.
                    assert_eq!(unsafe { aidb_error_code(error) }, expected);
                    let message = message(error);
                    assert!(message.contains(text), "{message}");
                }
                _ => assert!(error.is_null()),
            }
            let stored = store.get(b"k", ptr::null());
            assert_eq!(stored.is_ok(), expected == AIDB_OK, "{returns}");
            // SAFETY: pointer and length are those of a slice.
            unsafe { aidb_delete(store.db, data(b"k"), 1, ptr::null(), ptr::null_mut()) };
        }
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn a_transaction_reads_writes_commits_and_ends() {
    let store = Store::new();
    let (null, mut transaction, mut iterator) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    let (mut value, mut len, mut savepoint) = (ptr::null_mut(), 0, 0);
    let (k, v) = (data(b"k"), data(b"v"));
    // SAFETY: pointers and lengths are those of slices, the outputs are local places.
    unsafe {
        let begun = aidb_transaction_begin(store.db, ptr::null(), &mut transaction, null);
        assert_eq!(begun, AIDB_OK);
        let read = aidb_transaction_get(transaction, k, 1, &mut value, &mut len, null);
        assert_eq!(read, AIDB_NOT_FOUND);
        assert_eq!(aidb_transaction_put(transaction, k, 1, v, 1, null), AIDB_OK);
        assert_eq!(
            aidb_transaction_savepoint(transaction, &mut savepoint, null),
            AIDB_OK
        );
        assert_eq!(aidb_transaction_delete(transaction, k, 1, null), AIDB_OK);
        assert_eq!(
            aidb_transaction_contains(transaction, k, 1, null),
            AIDB_NOT_FOUND
        );
        assert_eq!(
            aidb_transaction_rollback_to(transaction, savepoint, null),
            AIDB_OK
        );
        let read = aidb_transaction_get(transaction, k, 1, &mut value, &mut len, null);
        assert_eq!((read, len, *value.cast::<u8>()), (AIDB_OK, 1, b'v'));
        aidb_free(value.cast());
        let made = aidb_transaction_iter_create(transaction, ptr::null(), &mut iterator, null);
        assert_eq!(made, AIDB_OK);
        assert_eq!(aidb_iter_next(iterator, null), AIDB_OK);
        assert_eq!(lent(aidb_iter_key, iterator).unwrap(), b"k");
        assert_eq!(
            aidb_transaction_commit(transaction, ptr::null(), null),
            AIDB_OK
        );
        assert_eq!(store.get(b"k", ptr::null()).unwrap(), b"v");
        assert_eq!(
            aidb_transaction_put(transaction, k, 1, v, 1, null),
            AIDB_CLOSED
        );
        aidb_transaction_free(transaction);
        assert_eq!(aidb_iter_next(iterator, null), AIDB_CLOSED);
        aidb_iter_free(iterator);
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn one_call_reads_and_writes() {
    let store = Store::new();
    let (null, none, mut was) = (ptr::null_mut(), ptr::null(), false);
    let (mut value, mut len) = (ptr::null_mut(), 0);
    let (k, v) = (data(b"k"), data(b"v"));
    // SAFETY: pointers and lengths are those of slices, the outputs are local places.
    unsafe {
        let set = aidb_compare_and_set(store.db, k, 1, none, 0, v, 1, ptr::null(), &mut was, null);
        assert_eq!((set, was), (AIDB_OK, true));
        let put = aidb_put_if_absent(store.db, k, 1, k, 1, ptr::null(), &mut was, null);
        assert_eq!((put, was), (AIDB_OK, false));
        let options = ptr::null();
        let got = aidb_get_and_put(store.db, k, 1, k, 1, options, &mut value, &mut len, null);
        assert_eq!((got, len, *value.cast::<u8>()), (AIDB_OK, 1, b'v'));
        aidb_free(value.cast());
        let got = aidb_get_and_delete(store.db, k, 1, options, &mut value, &mut len, null);
        assert_eq!((got, len, *value.cast::<u8>()), (AIDB_OK, 1, b'k'));
        aidb_free(value.cast());
        let got = aidb_get_and_delete(store.db, k, 1, options, &mut value, &mut len, null);
        assert_eq!(got, AIDB_NOT_FOUND);
    }
    assert_eq!(store.close(), AIDB_OK);
}
