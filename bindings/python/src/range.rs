//! `Range`: the keys from one to another, for a range delete.

use aidb::after_prefix;
use pyo3::prelude::*;

use crate::bytes::BytesLike;
use crate::errors::to_python;

/// Keys of the database. `None`: it has no end.
#[derive(Clone)]
pub(crate) struct Range {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Range {
    /// The keys from `start` to `stop` of a view with this `prefix`: never keys outside the view.
    pub(crate) fn of(
        py: Python<'_>,
        prefix: &[u8],
        start: Option<&BytesLike<'_>>,
        stop: Option<&BytesLike<'_>>,
    ) -> PyResult<Range> {
        let copy = |key: &BytesLike<'_>| key.copy_behind(prefix);
        let no_memory = |error: aidb::Error| to_python(py, &error);
        Ok(Range {
            start: match start {
                Some(start) => copy(start)?,
                None => aidb::copy_of(prefix, "a bound").map_err(no_memory)?,
            },
            end: match stop {
                Some(stop) => Some(copy(stop)?),
                None => after_prefix(prefix).map_err(no_memory)?,
            },
        })
    }

    /// The keys that begin with `begin` in a view with this `prefix`.
    pub(crate) fn of_prefix(
        py: Python<'_>,
        prefix: &[u8],
        begin: &BytesLike<'_>,
    ) -> PyResult<Range> {
        let start = begin.copy_behind(prefix)?;
        let end = after_prefix(&start).map_err(|error| to_python(py, &error))?;
        Ok(Range { start, end })
    }

    /// The bytes of both bounds.
    pub(crate) fn len(&self) -> usize {
        self.start.len() + self.end.as_ref().map_or(0, Vec::len)
    }

    /// The bounds as core takes them.
    pub(crate) fn bounds(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        (Some(&self.start), self.end.as_deref())
    }
}
