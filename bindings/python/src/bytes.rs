//! Bytes across the border: bytes-like arguments in, `bytes` and memoryviews out.
#![expect(
    unsafe_code,
    reason = "the buffer protocol lends a pointer, and Python has no safe call for it or for bytes that may not fit"
)]

use std::borrow::Cow;
use std::ffi::c_int;
use std::{ptr, slice};

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::errors::to_python as error_to_python;
use crate::patience::look;

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
        if let Ok(buffer) = PyBuffer::<u8>::get(&object)
            && buffer.is_c_contiguous()
            && buffer.len_bytes() > LARGE_BYTES
        {
            let copied = in_pieces(object.py(), buffer.len_bytes(), |copy| {
                // SAFETY: the buffer is lent until it is dropped, so its `len_bytes` bytes stay in place, in one
                // piece. A thread that changes them must be attached to the interpreter, as this one is while it
                // copies.
                copy(unsafe { slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) });
                Ok(true)
            })?;
            return Ok(BytesLike(copied.expect("the bytes are there")));
        }
        let copy = view.call_method0(pyo3::intern!(object.py(), "tobytes"))?;
        Ok(BytesLike(copy.cast_into()?))
    }
}

impl BytesLike<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The bytes for another thread, which may keep them.
    pub(crate) fn shared(&self) -> PyBackedBytes {
        PyBackedBytes::from(self.0.clone())
    }

    /// The key in the database: with the `prefix` of a prefixed view.
    pub(crate) fn behind<'a>(&'a self, prefix: &[u8]) -> PyResult<Cow<'a, [u8]>> {
        Ok(match prefix {
            [] => Cow::Borrowed(self.as_slice()),
            _ => Cow::Owned(self.copy_behind(prefix)?),
        })
    }

    /// The same as a copy, with room for one more byte.
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

/// Copies `bytes` into a new Python object; a failed allocation is a `MemoryError`. Runs no Python code (PYTHON-2).
pub(crate) fn to_python<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // Not `PyBytes::new`, which panics without memory. SAFETY: the pointer and length are a slice's, which Python
    // copies; it returns a new reference, or NULL with an error.
    unsafe {
        let length = bytes.len() as ffi::Py_ssize_t;
        let copy = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), length);
        Ok(Bound::from_owned_ptr_or_err(py, copy)?.cast_into_unchecked())
    }
}

/// Copying or writing more bytes than this takes so long that the call checks for interrupts during it.
pub(crate) const LARGE_BYTES: usize = 4 << 20;

/// Makes a Python object of `length` bytes, [`LARGE_BYTES`] at a time, and checks for signals in between, so the
/// caller must hold no lock. `source` passes all bytes to its argument, or returns false if they are gone; then no
/// object is made.
pub(crate) fn in_pieces<'py>(
    py: Python<'py>,
    length: usize,
    mut source: impl FnMut(&mut dyn FnMut(&[u8])) -> PyResult<bool>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    // SAFETY: without bytes to copy, Python returns a new object with uninitialised bytes, or NULL with an error.
    let (object, begin) = unsafe {
        let object = ffi::PyBytes_FromStringAndSize(ptr::null(), length as ffi::Py_ssize_t);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let begin = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
        (object.cast_into_unchecked::<PyBytes>(), begin)
    };
    let mut done = 0;
    while done < length {
        look(py)?;
        let next = length.min(done + LARGE_BYTES);
        let mut is_copied = false;
        let mut copy = |bytes: &[u8]| {
            let piece = &bytes[done..next];
            is_copied = true;
            // SAFETY: `done..next` is within the `length` bytes of the object. No other code has the object yet, so
            // it may be written to until it is returned. `piece` lies elsewhere, because the object's bytes have not
            // been lent.
            unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), begin.add(done), piece.len()) }
        };
        if !source(&mut copy)? || !is_copied {
            return Ok(None);
        }
        done = next;
    }
    Ok(Some(object))
}

/// [`to_python`] for any number of bytes. The caller must hold no lock.
pub(crate) fn value_to_python<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if value.len() <= LARGE_BYTES {
        return to_python(py, value);
    }
    let object = in_pieces(py, value.len(), |copy| {
        copy(value);
        Ok(true)
    })?;
    Ok(object.expect("the bytes are there"))
}

/// Holds a value read from the database and lends its bytes, read-only. `DB.get_view` returns a view of one.
///
/// Use it through the memoryview that `get_view` returns; the bytes stay until the last view of them is
/// released.
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
        // SAFETY: Python passes a `view` to fill, which is not NULL. The pointer stays valid while it is lent:
        // PyBuffer_FillInfo stores a new reference to `slf` in the view, `slf` is frozen, and an object does not
        // move. So its `Value` and the bytes in it neither change nor are freed before that reference is dropped. The
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
