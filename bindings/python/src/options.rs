//! Keyword arguments as `aidb::Options`.

use aidb::{Error, Options};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString, PyTuple};

use crate::errors::to_python;

/// plyvel's names for options of ours.
const ALIASES: [(&str, &str); 3] = [
    ("lru_cache_size", "block_cache_size"),
    ("bloom_filter_bits", "bloom_bits_per_key"),
    ("max_file_size", "target_file_size"),
];

/// plyvel's switch that has no meaning here: every byte from disk is checked, always.
const IGNORED: &str = "paranoid_checks";

/// The canonical names, as a tuple.
pub(crate) fn names(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    PyTuple::new(py, Options::names().collect::<Vec<_>>())
}

/// Options from keyword arguments: our names or plyvel's; `None` leaves the default, except that
/// `compression=None` is no compression, as in plyvel.
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
            // A misspelt name is an error also without a value.
            options.get(name).map_err(fail)?;
            if name == "compression" {
                options.set(name, "none").map_err(fail)?;
            }
            continue;
        }
        options.set(name, &text(&given, &value)?).map_err(fail)?;
    }
    Ok(options)
}

/// A value as the text that `Options::set` takes.
fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(flag.is_true().to_string());
    }
    if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyString>() {
        return value.str()?.extract();
    }
    let py = value.py();
    if name == "info_log" && value.hasattr(intern!(py, "__fspath__"))? {
        return py
            .import(intern!(py, "os"))?
            .call_method1(intern!(py, "fsdecode"), (value,))?
            .extract();
    }
    Err(PyTypeError::new_err(format!(
        "option {name} takes a str, an int or a bool, not '{}'",
        value.get_type().name()?
    )))
}
