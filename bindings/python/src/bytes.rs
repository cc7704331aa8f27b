//! Bytes across the border: bytes-like arguments in, `bytes` and memoryviews out.
#![expect(
    unsafe_code,
    reason = "the buffer protocol lends a pointer, and Python has no safe call for it or for bytes that may not fit"
)]

use std::borrow::Cow;
use std::ffi::c_int;

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::errors::to_python as error_to_python;

/// A bytes-like argument: `bytes` as it is, any other object with the buffer protocol as a copy, because its
/// owner could change it while the interpreter is released.
pub(crate) struct BytesLike<'py>(Bound<'py, PyBytes>);

impl<'a, 'py> FromPyObject<'a, 'py> for BytesLike<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(BytesLike(bytes.to_owned()));
        }
        let Ok(view) = PyMemoryView::from(&object) else {
            let found = object.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "a bytes-like object is required, not '{found}'"
            )));
        };
        let copy = view.call_method0(pyo3::intern!(object.py(), "tobytes"))?;
        Ok(BytesLike(copy.cast_into()?))
    }
}

impl BytesLike<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key as the database knows it: behind the `prefix` of a prefixed view.
    pub(crate) fn behind<'a>(&'a self, prefix: &[u8]) -> PyResult<Cow<'a, [u8]>> {
        Ok(match prefix {
            [] => Cow::Borrowed(self.as_slice()),
            _ => Cow::Owned(self.copy_behind(prefix)?),
        })
    }

    /// The same as a copy, with room for a byte more.
    pub(crate) fn copy_behind(&self, prefix: &[u8]) -> PyResult<Vec<u8>> {
        let mut copy = Vec::new();
        let length = prefix.len() + self.as_slice().len();
        copy.try_reserve_exact(length + 1).map_err(|_| {
            let error = aidb::Error::out_of_memory("a key", length);
            error_to_python(self.0.py(), &error)
        })?;
        copy.extend_from_slice(prefix);
        copy.extend_from_slice(self.as_slice());
        Ok(copy)
    }
}

/// Copies `bytes` into a new Python object; a failed allocation is a `MemoryError`. Runs no Python code (Y2).
pub(crate) fn to_python<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // Not `PyBytes::new`, which panics without memory.
    // SAFETY: the pointer and length are a slice's, which Python copies; it answers a new reference, or NULL with an error.
    unsafe {
        let length = bytes.len() as ffi::Py_ssize_t;
        let copy = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), length);
        Ok(Bound::from_owned_ptr_or_err(py, copy)?.cast_into_unchecked())
    }
}

/// Holds a value read from the database and lends its bytes, read-only: what is behind `DB.get_view`.
///
/// Use it through the memoryview that `get_view` returns; the bytes live until the last view of them is released.
#[pyclass(frozen, module = "aidb")]
pub(crate) struct ValueBuffer(pub(crate) aidb::Value);

#[pymethods]
impl ValueBuffer {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no buffer to fill"));
        }
        let bytes: &[u8] = &slf.get().0;
        // SAFETY: Python passes a `view` to fill, which is not NULL. The pointer stays good while it is lent:
        // PyBuffer_FillInfo stores a new reference to `slf` in the view, `slf` is frozen and an object does not
        // move, so its `Value` and the bytes behind it neither change nor go before that reference does. The
        // view is read-only (FillInfo refuses PyBUF_WRITABLE), so the cast to a mutable pointer is never used.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len() as ffi::Py_ssize_t,
                1,
                flags,
            )
        };
        if status == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}
