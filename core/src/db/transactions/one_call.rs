//! Transactions of one key in one call. They try again after a conflict until there is none: each conflict means that
//! another commit has succeeded.

use super::attempts::{pause, pause_after};
use super::{Transaction, Transactions};
use crate::db::value::Value;
use crate::effort;
use crate::error::{ErrorKind, Result};
use crate::options::{TransactionOptions, WriteOptions};
use crate::sync::Arc;

impl Transactions {
    /// See `DB::compare_and_set_with`.
    pub(in crate::db) fn compare_and_set(
        self: &Arc<Self>,
        key: &[u8],
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        options: &WriteOptions,
    ) -> Result<bool> {
        self.until_committed(options, |transaction| {
            if transaction.get(key)?.as_deref() != expected {
                return Ok(false);
            }
            match value {
                Some(value) => transaction.put(key, value)?,
                None => transaction.delete(key)?,
            }
            Ok(true)
        })
    }

    /// See `DB::get_and_put_with` and `DB::get_and_delete_with`.
    pub(in crate::db) fn get_and_write(
        self: &Arc<Self>,
        key: &[u8],
        value: Option<&[u8]>,
        options: &WriteOptions,
    ) -> Result<Option<Value>> {
        self.until_committed(options, |transaction| {
            let before = transaction.get(key)?;
            match value {
                Some(value) => transaction.put(key, value)?,
                None if before.is_some() => transaction.delete(key)?,
                None => {}
            }
            Ok(before)
        })
    }

    fn until_committed<T>(
        self: &Arc<Self>,
        options: &WriteOptions,
        work: impl Fn(&Transaction) -> Result<T>,
    ) -> Result<T> {
        self.context.check_writable()?;
        let mut conflicts = 0;
        loop {
            let transaction = self.begin(&TransactionOptions::default())?;
            let done = work(&transaction).and_then(|done| {
                transaction.commit_with(options)?;
                Ok(done)
            });
            match done {
                Err(error) if error.kind() == ErrorKind::Conflict => conflicts += 1,
                done => return done,
            }
            effort::wait()?;
            pause(pause_after(conflicts, transaction.number()));
        }
    }
}
