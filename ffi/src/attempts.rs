//! `aidb_run_transaction`: work in a transaction, again after each conflict.
//!
//! Core has this for closures (`DB::run_transaction`). A callback of C needs a handle of its transaction, and returns a
//! status, so the attempts are counted here.

use std::ffi::{CStr, c_void};
use std::ptr;

use aidb::{DB, Error, ErrorKind, Result, SequenceNumber, TransactionOptions, WriteOptions};

use crate::db::{WriteArguments, aidb_write_options};
use crate::guard::guard;
use crate::handle::{self, Object, aidb_db, aidb_error, aidb_transaction};
use crate::status::{
    AIDB_CONFLICT, AIDB_NOT_FOUND, AIDB_OK, aidb_status, aidb_status_name, kind_of, status_of,
};

/// The callback of aidb_run_transaction. It does its work in `transaction` and returns an aidb_status: AIDB_OK to
/// commit the transaction, any other to roll it back. It may be called several times, each time with a new transaction
/// that sees newer entries, so it must have no effects besides. The transaction belongs to the caller of the callback,
/// which ends it: the callback must not commit or free it. `error` is a place that the callback may pass to the calls
/// it makes; if it then returns that call's status, the caller of aidb_run_transaction gets that error. The callback
/// must return normally: no longjmp, no exception.
pub type aidb_transaction_callback = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        transaction: *mut aidb_transaction,
        error: *mut *mut aidb_error,
    ) -> i32,
>;

/// What a callback needs, and the error object that it has left.
struct Work {
    callback: unsafe extern "C" fn(*mut c_void, *mut aidb_transaction, *mut *mut aidb_error) -> i32,
    context: *mut c_void,
    error: *mut aidb_error,
}

/// How an attempt has ended, unless it failed.
enum Attempt {
    Committed(SequenceNumber),
    /// The callback returned this status. If that is an error, `Work::error` says why.
    RolledBack(aidb_status),
}

/// A transaction's handle, which ends with this.
struct Lent(*mut aidb_transaction);

impl Drop for Lent {
    fn drop(&mut self) {
        // The callback may have freed it, although it must not.
        if let Ok(held) = handle::take(self.0, "transaction") {
            held.rollback();
        }
    }
}

impl Work {
    /// Calls the callback in a new transaction, and commits that if the callback wants it. Returns also a number that
    /// differs from those of transactions open at the same time.
    ///
    /// # Safety
    /// The callback keeps its contract.
    unsafe fn attempt(&mut self, db: &DB, options: &WriteOptions) -> (Result<Attempt>, u64) {
        let begun = db
            .begin_with(&TransactionOptions::new())
            .and_then(|transaction| handle::insert(Object::Transaction(transaction)));
        let lent = match begun {
            Ok(handle) => Lent(handle),
            Err(error) => return (Err(error), 0),
        };
        // SAFETY: the caller's own promise.
        let attempt = unsafe { self.call(lent.0, options) };
        (attempt, lent.0.addr() as u64)
    }

    /// # Safety
    /// The callback keeps its contract.
    unsafe fn call(
        &mut self,
        transaction: *mut aidb_transaction,
        options: &WriteOptions,
    ) -> Result<Attempt> {
        let held = handle::get(transaction, "transaction")?;
        // SAFETY: the caller's own promise.
        let returned = unsafe { (self.callback)(self.context, transaction, &mut self.error) };
        if returned == AIDB_OK as i32 {
            return held.commit_with(options).map(Attempt::Committed);
        }
        if returned == AIDB_NOT_FOUND as i32 {
            return Ok(Attempt::RolledBack(AIDB_NOT_FOUND));
        }
        let Some(kind) = kind_of(returned) else {
            return Err(Error::invalid_argument(format!(
                "the callback returned {returned}, which is no aidb_status"
            )));
        };
        let status = status_of(kind);
        match handle::get(self.error, "error") {
            Ok(report) if report.status == status => Ok(Attempt::RolledBack(status)),
            _ => {
                // SAFETY: the function returns static text.
                let name = unsafe { CStr::from_ptr(aidb_status_name(returned)) };
                let name = name.to_string_lossy();
                Err(Error::new(kind, format!("the callback returned {name}")))
            }
        }
    }

    /// Frees the error object that the callback has left.
    fn forget_error(&mut self) {
        // The callback may have freed it.
        drop(handle::take(self.error, "error"));
        self.error = ptr::null_mut();
    }

    /// Attempts until one does not conflict, or there were `attempts` conflicts.
    ///
    /// # Safety
    /// The callback keeps its contract.
    unsafe fn run(&mut self, db: &DB, attempts: u32, options: &WriteOptions) -> Result<Attempt> {
        let mut conflicts = 0;
        loop {
            // SAFETY: the caller's own promise.
            let (attempt, seed) = unsafe { self.attempt(db, options) };
            let is_conflict = match &attempt {
                Ok(Attempt::Committed(_)) => false,
                Ok(Attempt::RolledBack(status)) => *status == AIDB_CONFLICT,
                Err(error) => error.kind() == ErrorKind::Conflict,
            };
            conflicts += u32::from(is_conflict);
            if !is_conflict {
                return attempt;
            }
            if conflicts >= attempts {
                return attempt
                    .map_err(|error| error.context(format_args!("after {attempts} attempts")));
            }
            self.forget_error();
            std::thread::sleep(aidb::pause_after(conflicts, seed));
        }
    }
}

/// Runs a callback in a transaction and commits it; after a conflict runs the callback again, in a new transaction.
/// Before each new attempt the call pauses: some 50 microseconds at first, then twice as long each time, at most 20
/// milliseconds.
///
/// @param attempts  how often to call `work` at most; at least 1
/// @param options   how the transaction is committed: as for aidb_transaction_commit; NULL for the defaults
/// @param work      called once for each attempt, on the calling thread
/// @param context   passed to `work` unchanged
/// @return AIDB_OK if a transaction was committed; AIDB_CONFLICT after the last attempt; any other status that `work`
///         returned, AIDB_NOT_FOUND too: its transaction was rolled back; AIDB_INVALID_ARGUMENT, also if `work`
///         returned a number that is no aidb_status; otherwise the same as aidb_transaction_commit
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_run_transaction(
    db: *const aidb_db,
    attempts: u32,
    options: *const aidb_write_options,
    work: aidb_transaction_callback,
    context: *mut c_void,
    error: *mut *mut aidb_error,
) -> aidb_status {
    let mut of_callback = ptr::null_mut();
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        let status = guard(error, || {
            let db = handle::get(db, "db")?;
            let callback = work.ok_or_else(|| Error::invalid_argument("work is NULL"))?;
            let arguments = WriteArguments::new(options)?;
            if attempts == 0 {
                return Err(Error::invalid_argument("attempts is 0: it is 1 or more"));
            }
            let mut work = Work {
                callback,
                context,
                error: ptr::null_mut(),
            };
            let attempt = work.run(&db, attempts, &arguments.options);
            let status = match attempt {
                Ok(Attempt::RolledBack(status)) if status != AIDB_NOT_FOUND && !error.is_null() => {
                    of_callback = work.error;
                    return Ok(status);
                }
                Ok(Attempt::RolledBack(status)) => Ok(status),
                Ok(Attempt::Committed(sequence)) => {
                    arguments.tell(sequence);
                    Ok(AIDB_OK)
                }
                Err(error) => Err(error),
            };
            work.forget_error();
            status
        });
        if !of_callback.is_null() {
            error.write(of_callback);
        }
        status
    }
}
