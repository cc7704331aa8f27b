//! Checks of the arguments that C passes: bytes, strings, pointers to results; and the buffers that the library
//! returns.
//!
//! * PTR-1  NULL with a length of 0 is an empty byte string; NULL with any other length is an error.
//! * PTR-2  No length above `isize::MAX` becomes a slice.
//! * PTR-3  A buffer handed over comes from malloc and ends with a zero byte that its length does not count.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr::NonNull;

use aidb::{Error, ErrorKind, Result};

/// `len` bytes at `data` (PTR-1, PTR-2).
///
/// # Safety
/// `data` is NULL or points to `len` bytes that stay unchanged as long as the slice is used.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize, name: &str) -> Result<&'a [u8]> {
    if data.is_null() && len > 0 {
        return Err(Error::invalid_argument(format!(
            "{name} is NULL and its length {len}"
        )));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::invalid_argument(format!(
            "the length of {name}, {len}, is larger than any memory"
        )));
    }
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, at most isize::MAX bytes, and the caller vouches for them.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// [`bytes`], but NULL means that there are none at all.
///
/// # Safety
/// As for [`bytes`].
pub(crate) unsafe fn optional_bytes<'a>(
    data: *const c_void,
    len: usize,
    name: &str,
) -> Result<Option<&'a [u8]>> {
    // SAFETY: the caller's own promise.
    let bytes = unsafe { bytes(data, len, name)? };
    Ok((!data.is_null()).then_some(bytes))
}

/// The bounds of a range, its start and its end; NULL means that there is none.
///
/// # Safety
/// As for [`bytes`], for either of them.
pub(crate) unsafe fn bounds<'a>(
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
) -> Result<(Option<&'a [u8]>, Option<&'a [u8]>)> {
    // SAFETY: the caller's own promise.
    unsafe {
        let start = optional_bytes(start, start_len, "start")?;
        Ok((start, optional_bytes(end, end_len, "end")?))
    }
}

/// `count` values at `data`; `data` may be NULL if there are none.
///
/// # Safety
/// `data` is NULL or points to `count` aligned values that stay unchanged as long as the slice is used.
pub(crate) unsafe fn array<'a, T>(data: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    check_array(data.is_null(), count, size_of::<T>(), name)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, at most isize::MAX bytes, and the caller vouches for the values.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

/// Places for `count` results at `data`; `data` may be NULL if there are none.
///
/// # Safety
/// `data` is NULL or points to `count` aligned places that nothing else uses as long as the slice lives.
pub(crate) unsafe fn array_out<'a, T>(
    data: *mut T,
    count: usize,
    name: &str,
) -> Result<&'a mut [MaybeUninit<T>]> {
    check_array(data.is_null(), count, size_of::<T>(), name)?;
    if count == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as for `array`; `MaybeUninit` needs no value to be there.
    Ok(unsafe { std::slice::from_raw_parts_mut(data.cast(), count) })
}

fn check_array(is_null: bool, count: usize, size: usize, name: &str) -> Result<()> {
    if is_null && count > 0 {
        return Err(Error::invalid_argument(format!(
            "{name} is NULL and its length {count}"
        )));
    }
    if count > isize::MAX as usize / size.max(1) {
        return Err(Error::invalid_argument(format!(
            "the length of {name}, {count}, is larger than any memory"
        )));
    }
    Ok(())
}

/// A zero-terminated string in UTF-8.
///
/// # Safety
/// `text` is NULL or points to a zero-terminated string that stays unchanged as long as the result is used.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: the caller's own promise.
    let bytes = unsafe { c_string(text, name)? };
    std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid_argument(format!("{name} is not valid UTF-8")))
}

/// A zero-terminated path: bytes as the system takes them, or UTF-8 on systems that require it.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn path<'a>(path: *const c_char, name: &str) -> Result<&'a Path> {
    // SAFETY: the caller's own promise.
    let bytes = unsafe { c_string(path, name)? };
    if bytes.is_empty() {
        return Err(Error::invalid_argument(format!("{name} is empty")));
    }
    #[cfg(unix)]
    let path: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    #[cfg(not(unix))]
    let path: &OsStr = std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid_argument(format!("{name} is not valid UTF-8")))?
        .as_ref();
    Ok(Path::new(path))
}

unsafe fn c_string<'a>(text: *const c_char, name: &str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(Error::invalid_argument(format!("{name} is NULL")));
    }
    // SAFETY: not NULL, and the caller vouches for the terminator.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A place for a result; its `write` is safe to call because this checked it.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// Writes `value` to the place.
    pub(crate) fn write(self, value: T) {
        // SAFETY: not NULL, and the caller of `out` vouched for the place for the length of its own call, which this
        // value does not outlive.
        unsafe { self.0.write(value) }
    }
}

/// The place at `place`.
///
/// # Safety
/// `place` is NULL or points to an aligned place for a `T`, for as long as the result is used.
pub(crate) unsafe fn out<T>(place: *mut T, name: &str) -> Result<Out<T>> {
    NonNull::new(place)
        .map(Out)
        .ok_or_else(|| Error::invalid_argument(format!("{name} is NULL")))
}

/// [`out`], but NULL means that the result is not wanted.
///
/// # Safety
/// As for [`out`].
pub(crate) unsafe fn optional_out<T>(place: *mut T) -> Option<Out<T>> {
    NonNull::new(place).map(Out)
}

/// Reads a structure whose first field is its size as the caller knows it. Fields that the caller's version
/// lacks come from `defaults`; fields unknown here must be zero.
///
/// # Safety
/// `options` is NULL, meaning `defaults`, or points to a structure that begins with its size, a `size_t`. `T` is
/// `repr(C)`, has no padding and takes any bits.
pub(crate) unsafe fn growing<T: Copy>(
    options: *const T,
    defaults: T,
    smallest: usize,
    name: &str,
) -> Result<T> {
    /// Larger than any version of any structure. A larger size means that the field was never set.
    const MAX_STRUCT_BYTES: usize = 4096;
    if options.is_null() {
        return Ok(defaults);
    }
    // SAFETY: not NULL, and the first field is a `size_t`.
    let size = unsafe { options.cast::<usize>().read_unaligned() };
    if !(smallest..=MAX_STRUCT_BYTES).contains(&size) {
        return Err(Error::invalid_argument(format!(
            "{name}.struct_size is {size}: start from the structure's _INIT macro"
        )));
    }
    // SAFETY: the caller vouches for `size` bytes.
    let given = unsafe { bytes(options.cast(), size, name)? };
    let known = size.min(size_of::<T>());
    if given[known..].iter().any(|byte| *byte != 0) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{name} sets an option that is newer than this library"),
        ));
    }
    let mut taken = defaults;
    // SAFETY: `known` is within both, they do not overlap, and a `T` takes any bits.
    unsafe {
        (&raw mut taken)
            .cast::<u8>()
            .copy_from_nonoverlapping(given.as_ptr(), known)
    };
    Ok(taken)
}

/// A buffer from malloc, for `aidb_free` (PTR-3). Dropping it frees it, unless it was passed to the caller.
pub(crate) struct Buffer {
    data: NonNull<u8>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes, all zero.
    ///
    /// Errors: `OutOfMemory`.
    pub(crate) fn zeroed(len: usize) -> Result<Buffer> {
        let no_memory = || Error::out_of_memory("a result", len);
        let with_end = len.checked_add(1).ok_or_else(no_memory)?;
        // SAFETY: calloc takes any size.
        let data = unsafe { libc::calloc(with_end, 1) };
        let data = NonNull::new(data.cast()).ok_or_else(no_memory)?;
        Ok(Buffer { data, len })
    }

    /// A copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Buffer> {
        let len = bytes.len();
        let no_memory = || Error::out_of_memory("a result", len);
        // SAFETY: malloc takes any size, and a slice's length is at most isize::MAX.
        let data = unsafe { libc::malloc(len + 1) };
        let data: NonNull<u8> = NonNull::new(data.cast()).ok_or_else(no_memory)?;
        // SAFETY: the new buffer has room for `len` bytes and the zero, and overlaps nothing.
        unsafe {
            data.copy_from_nonoverlapping(NonNull::from(bytes).cast(), len);
            data.add(len).write(0);
        }
        Ok(Buffer { data, len })
    }

    /// The bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `data` holds `len` initialised bytes that only this buffer owns.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }

    /// Passes the buffer to the caller, who releases it with `aidb_free`.
    pub(crate) fn into_raw(self) -> *mut c_char {
        let data = self.data.as_ptr().cast();
        std::mem::forget(self);
        data
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it came from malloc or calloc and was not passed to the caller.
        unsafe { libc::free(self.data.as_ptr().cast()) };
    }
}

/// Releases a buffer that a function of this library returned; NULL is ignored.
///
/// @param buffer  from a function whose description says "release it with aidb_free"
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_free(buffer: *mut c_void) {
    // SAFETY: the caller passes NULL or a pointer that `Buffer::into_raw` returned, once.
    unsafe { libc::free(buffer) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    /// PTR-1, PTR-2.
    #[test]
    fn null_is_empty_and_nothing_more() {
        // SAFETY: NULL is allowed, and the calls with other pointers read nothing.
        unsafe {
            assert_eq!(bytes(ptr::null(), 0, "key").unwrap(), b"");
            assert!(bytes(ptr::null(), 1, "key").is_err());
            assert!(bytes(c"x".as_ptr().cast(), usize::MAX, "key").is_err());
            assert_eq!(optional_bytes(ptr::null(), 0, "key").unwrap(), None);
            assert_eq!(
                optional_bytes(c"".as_ptr().cast(), 0, "key").unwrap(),
                Some(&b""[..])
            );
            assert!(array::<u64>(ptr::null(), 1, "keys").is_err());
            assert!(array::<u64>(ptr::without_provenance(8), usize::MAX / 4, "keys").is_err());
            assert!(array_out::<u64>(ptr::null_mut(), 1, "values").is_err());
            assert!(text(ptr::null(), "name").is_err());
            assert!(text(c"\xff".as_ptr(), "name").is_err());
            assert!(path(c"".as_ptr(), "path").is_err());
            assert!(out::<u64>(ptr::null_mut(), "size_out").is_err());
        }
    }

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Grown {
        struct_size: usize,
        old: u64,
        new: u64,
    }

    const DEFAULTS: Grown = Grown {
        struct_size: size_of::<Grown>(),
        old: 1,
        new: 2,
    };

    #[test]
    fn structures_grow_without_breaking_old_callers() {
        let read = |words: &[usize]| {
            // SAFETY: every size below is within its array, or refused before it is used.
            unsafe { growing(words.as_ptr().cast::<Grown>(), DEFAULTS, 16, "options") }
        };
        // SAFETY: NULL means defaults.
        let defaults = unsafe { growing(ptr::null(), DEFAULTS, 16, "options") };
        assert_eq!(defaults.unwrap(), DEFAULTS);
        let old = read(&[16, 7]).unwrap();
        assert_eq!((old.old, old.new), (7, 2));
        let same = read(&[24, 7, 8]).unwrap();
        assert_eq!((same.old, same.new), (7, 8));
        let newer = read(&[32, 7, 8, 0]).unwrap();
        assert_eq!((newer.old, newer.new), (7, 8));
        let unknown = read(&[32, 7, 8, 9]).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Unsupported);
        for size in [0, 15, 4097, usize::MAX] {
            let error = read(&[size, 7, 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{size}");
        }
    }

    #[test]
    fn buffers_end_with_a_zero_and_report_a_lack_of_memory() {
        let raw = Buffer::copy_of(b"ab").unwrap().into_raw();
        // SAFETY: three bytes were allocated; it is freed once.
        unsafe {
            assert_eq!(CStr::from_ptr(raw), c"ab");
            aidb_free(raw.cast());
            aidb_free(ptr::null_mut());
        }
        let error = Buffer::zeroed(usize::MAX).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(Buffer::zeroed(isize::MAX as usize).is_err());
    }
}
