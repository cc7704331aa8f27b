//! Transactions of one key in one call.

use std::sync::Arc;

use aidb::{Value, WriteOptions};
use pyo3::prelude::*;

use crate::bytes::{BytesLike, LARGE_BYTES};
use crate::patience::{unless_it_waits, waiting};
use crate::view::View;

/// See `Writer.compare_and_set`.
pub(crate) fn compare_and_set(
    py: Python<'_>,
    view: &View,
    key: &BytesLike<'_>,
    expected: Option<&BytesLike<'_>>,
    value: Option<&BytesLike<'_>>,
    sync: bool,
) -> PyResult<bool> {
    let options = WriteOptions::new().sync(sync);
    let by_another_thread = || {
        let key = key.copy_behind(&view.prefix)?;
        let (expected, value) = (
            expected.map(BytesLike::shared),
            value.map(BytesLike::shared),
        );
        let db = Arc::clone(&view.store);
        waiting(py, move || {
            let set =
                || db.compare_and_set_with(&key, expected.as_deref(), value.as_deref(), &options);
            db.pace.of(sync, set)
        })
    };
    let db = &view.store;
    let (expected, value) = (
        expected.map(BytesLike::as_slice),
        value.map(BytesLike::as_slice),
    );
    let is_large = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.len() > LARGE_BYTES);
    if is_large(expected) || is_large(value) || !db.pace.is_quick(sync) {
        return by_another_thread();
    }
    let key = key.behind(&view.prefix)?;
    let set = || {
        let set = || db.compare_and_set_with(&key, expected, value, &options);
        db.pace.of(sync, set)
    };
    unless_it_waits(py, set, by_another_thread)
}

/// See `Writer.get_and_put`, and without a `value` `Writer.get_and_delete`.
pub(crate) fn get_and_write(
    py: Python<'_>,
    view: &View,
    key: &BytesLike<'_>,
    value: Option<&BytesLike<'_>>,
    sync: bool,
) -> PyResult<Option<Value>> {
    let options = WriteOptions::new().sync(sync);
    let write = move |db: &aidb::DB, key: &[u8], value: Option<&[u8]>| match value {
        Some(value) => db.get_and_put_with(key, value, &options),
        None => db.get_and_delete_with(key, &options),
    };
    let by_another_thread = || {
        let (key, value) = (key.copy_behind(&view.prefix)?, value.map(BytesLike::shared));
        let db = Arc::clone(&view.store);
        waiting(py, move || {
            db.pace.of(sync, || write(&db, &key, value.as_deref()))
        })
    };
    let db = &view.store;
    let value = value.map(BytesLike::as_slice);
    if value.is_some_and(|value| value.len() > LARGE_BYTES) || !db.pace.is_quick(sync) {
        return by_another_thread();
    }
    let key = key.behind(&view.prefix)?;
    let write = || db.pace.of(sync, || write(db, &key, value));
    unless_it_waits(py, write, by_another_thread)
}
