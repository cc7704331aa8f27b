//! `DB.verify` and `repair_db`: what they find, as dicts.

use std::path::Path;

use aidb::{Damage, Loss, RepairReport, SequenceNumber, VerifyReport};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::options::{self, path_of};
use crate::patience::{interruptible, locking};
use crate::progress::told;
use crate::store::Store;

/// Verifies `db`, and calls `progress(bytes_done, bytes_total)` from time to time.
pub(crate) fn verify<'py>(
    py: Python<'py>,
    db: &Store,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let report = told(py, progress, |tell| {
        db.verify_with(&mut |at| tell(at.bytes_done, at.bytes_total))
    })?;
    verify_report(py, &report)
}

fn verify_report<'py>(py: Python<'py>, report: &VerifyReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("is_ok", report.is_ok())?;
    dict.set_item("is_complete", report.is_complete)?;
    dict.set_item("tables", report.tables)?;
    dict.set_item("entries", report.entries)?;
    dict.set_item("logs", report.logs)?;
    dict.set_item("records", report.records)?;
    dict.set_item("bytes", report.bytes)?;
    dict.set_item("damaged_places", report.damaged_places)?;
    let damage: PyResult<Vec<_>> = report.damage.iter().map(|one| damage(py, one)).collect();
    dict.set_item("damage", PyList::new(py, damage?)?)?;
    Ok(dict)
}

fn damage<'py>(py: Python<'py>, damage: &Damage) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("file", path_text(py, &damage.file)?)?;
    dict.set_item("offset", damage.offset)?;
    dict.set_item("message", &damage.message)?;
    dict.set_item("kind", damage.kind.name())?;
    Ok(dict)
}

fn path_text<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyAny>> {
    let os = py.import(intern!(py, "os"))?;
    os.call_method1(intern!(py, "fspath"), (path,))
}

/// Makes a new database in the directory `into` from what can still be read of the damaged one in `name`, which it
/// does not change. `into` is missing, empty, or an incomplete copy, which is replaced. Returns a dict: what was read,
/// written and lost.
///
/// Try to open the database first: after an ordinary crash nothing is damaged. `is_ok` says whether everything
/// could be read; `lost` lists up to 1000 of the `lost_places`, each a dict with `file`, `offset`, `end`,
/// `message`, and, where known and otherwise `None`, `smallest_key`, `largest_key`, `first_sequence` and
/// `last_sequence`. A table that was read completely, but whose entries are not those that the manifest or the
/// table itself states, is listed too, with `offset` and `end` 0; all its entries are kept. A deleted key can
/// come back only if the table or log record with its tombstone is lost, or if the manifest is lost and a crash
/// had left behind a table that was already compacted. `options`: how the new tables are built, as for `DB`.
///
/// Raises `LockedError` if the database is open for writing; `InvalidArgumentError` if `name` contains no part
/// of a database or `into` contains anything else; `CorruptionError` if `name` is an incomplete copy;
/// `UnsupportedError` if a newer AiDb wrote it; `IOError` or
/// `NoSpaceError` if writing fails, and then `into` is empty. Cost: reads every table twice and writes each
/// live entry once.
#[pyfunction]
#[pyo3(signature = (name, into, **options))]
pub(crate) fn repair_db<'py>(
    name: &Bound<'py, PyAny>,
    into: &Bound<'py, PyAny>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let ((_, path), (_, into)) = (path_of(name)?, path_of(into)?);
    let options = options::from_keywords(options)?;
    let report = interruptible(name.py(), move |abandoned| {
        locking(&options, abandoned, |options| {
            aidb::DB::repair(&path, &into, &options)
        })
    })?;
    repair_report(name.py(), &report)
}

fn repair_report<'py>(py: Python<'py>, report: &RepairReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("is_ok", report.is_ok())?;
    dict.set_item("tables", report.tables)?;
    dict.set_item("table_entries", report.table_entries)?;
    dict.set_item("logs", report.logs)?;
    dict.set_item("log_records", report.log_records)?;
    dict.set_item("entries_written", report.entries_written)?;
    dict.set_item("last_sequence", report.last_sequence.0)?;
    dict.set_item("lost_places", report.lost_places)?;
    let lost: PyResult<Vec<_>> = report.lost.iter().map(|one| loss(py, one)).collect();
    dict.set_item("lost", PyList::new(py, lost?)?)?;
    Ok(dict)
}

fn loss<'py>(py: Python<'py>, loss: &Loss) -> PyResult<Bound<'py, PyDict>> {
    let key = |key: &Option<Vec<u8>>| key.as_ref().map(|key| PyBytes::new(py, key));
    let number = |number: Option<SequenceNumber>| number.map(|number| number.0);
    let dict = PyDict::new(py);
    dict.set_item("file", path_text(py, &loss.file)?)?;
    dict.set_item("offset", loss.offset)?;
    dict.set_item("end", loss.end)?;
    dict.set_item("message", &loss.message)?;
    dict.set_item("smallest_key", key(&loss.smallest_key))?;
    dict.set_item("largest_key", key(&loss.largest_key))?;
    dict.set_item("first_sequence", number(loss.first_sequence))?;
    dict.set_item("last_sequence", number(loss.last_sequence))?;
    Ok(dict)
}
