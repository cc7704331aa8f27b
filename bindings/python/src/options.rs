//! What a database is opened with: its path, and keyword arguments as `aidb::Options`.

use std::path::PathBuf;

use aidb::{Accepts, Error, InfoLog, Options};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyString, PyTuple};

use crate::errors::to_python;

/// plyvel's names for AiDb's options.
const ALIASES: [(&str, &str); 3] = [
    ("lru_cache_size", "block_cache_size"),
    ("bloom_filter_bits", "bloom_bits_per_key"),
    ("max_file_size", "target_file_size"),
];

/// plyvel's switch that has no effect here, because every byte from disk is always checked.
const IGNORED: &str = "paranoid_checks";

/// A path argument as text for people and as the path for the operating system.
pub(crate) fn path_of(name: &Bound<'_, PyAny>) -> PyResult<(String, PathBuf)> {
    let text = name
        .py()
        .import(intern!(name.py(), "os"))?
        .call_method1(intern!(name.py(), "fsdecode"), (name,))?;
    let path: PathBuf = text.extract()?;
    Ok((path.display().to_string(), path))
}

/// The canonical names, as a tuple.
pub(crate) fn names(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    PyTuple::new(py, Options::names().collect::<Vec<_>>())
}

/// Options from keyword arguments, with AiDb's names or plyvel's. `None` leaves the default, except that
/// `compression=None` means no compression, as in plyvel.
pub(crate) fn from_keywords(keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Options> {
    let mut options = Options::new();
    let Some(keywords) = keywords else {
        return Ok(options);
    };
    let py = keywords.py();
    let fail = |error: Error| to_python(py, &error);
    for (given, value) in keywords {
        let given: String = given.extract()?;
        if given == IGNORED {
            continue;
        }
        let alias = ALIASES.iter().find(|(alias, _)| *alias == given);
        let name = alias.map_or(given.as_str(), |(_, name)| name);
        if alias.is_some() && keywords.contains(name)? {
            return Err(fail(Error::invalid_argument(format!(
                "options {given} and {name} are the same: give one"
            ))));
        }
        if value.is_none() {
            // A misspelt name is an error even without a value.
            if let Accepts::Compression = Options::accepts(name).map_err(fail)? {
                options.set(name, "none").map_err(fail)?;
            }
            continue;
        }
        if alias.is_some() {
            options.spell(name, &given).map_err(fail)?;
        }
        if let Ok(Accepts::InfoLog) = Options::accepts(name) {
            options = with_info_log(options, &value)?;
            continue;
        }
        options.set(name, &text(&given, &value)?).map_err(fail)?;
    }
    Ok(options)
}

/// Text may be `none` or `stderr`; an object of a path type is always a path.
fn with_info_log(mut options: Options, value: &Bound<'_, PyAny>) -> PyResult<Options> {
    let py = value.py();
    if value.is_instance_of::<PyBytes>() || value.hasattr(intern!(py, "__fspath__"))? {
        let (_, path) = path_of(value)?;
        return Ok(options.info_log(InfoLog::File(path)));
    }
    let Ok(text) = value.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "option info_log takes a str, bytes or os.PathLike, not '{}'",
            value.get_type().name()?
        )));
    };
    match &*text.to_string_lossy() {
        words @ ("" | "none" | "stderr") => {
            let set = options.set("info_log", words);
            set.map_err(|error| to_python(py, &error))?;
            Ok(options)
        }
        _ => {
            let (_, path) = path_of(value)?;
            Ok(options.info_log(InfoLog::File(path)))
        }
    }
}

/// A value as the text that `Options::set` takes.
fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(flag.is_true().to_string());
    }
    if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyString>() {
        return value.str()?.extract();
    }
    Err(PyTypeError::new_err(format!(
        "option {name} takes a str, an int or a bool, not '{}'",
        value.get_type().name()?
    )))
}
