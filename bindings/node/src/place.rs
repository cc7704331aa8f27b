//! Memory of JavaScript's for small values: the native half of `lib/pool.js`.

use std::ptr;

use napi::bindgen_prelude::FromNapiValue;
use napi::{check_status, sys};

/// A `Uint8Array`. Only the thread that has it as an argument uses its free part. This code never makes a reference
/// to it, because a key may be in the used part.
pub struct Place {
    data: *mut u8,
    length: usize,
}

impl Place {
    /// Copies `value` to byte `at`; false if it does not fit.
    #[expect(unsafe_code, reason = "a reference to the whole could overlap a key")]
    pub(crate) fn put(&self, at: usize, value: &[u8]) -> bool {
        let fits = self
            .length
            .checked_sub(at)
            .is_some_and(|room| value.len() <= room);
        if fits {
            // SAFETY: the bytes are within the array, which lives as long as the call whose argument it is. They are
            // free, so neither the value, which is in the engine's memory, nor a key overlaps them.
            unsafe { ptr::copy_nonoverlapping(value.as_ptr(), self.data.add(at), value.len()) };
        }
        fits
    }
}

impl FromNapiValue for Place {
    #[expect(unsafe_code, reason = "napi has no safe call that makes no reference")]
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
        let (buffer, offset) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the caller's `env` and `value`; places for results that are not wanted may be null.
        check_status!(unsafe {
            sys::napi_get_typedarray_info(
                env,
                value,
                &mut kind,
                &mut length,
                &mut data,
                buffer,
                offset,
            )
        })?;
        let is_of_bytes = kind == sys::TypedarrayType::uint8_array;
        Ok(Place {
            data: data.cast(),
            length: if is_of_bytes { length } else { 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_put_only_where_it_fits() {
        let mut bytes = [0; 10];
        let place = Place {
            data: bytes.as_mut_ptr(),
            length: bytes.len(),
        };
        assert!(place.put(0, b"ab") && place.put(8, b"cd") && place.put(10, b""));
        for (at, value) in [(9, &b"xy"[..]), (10, b"x"), (11, b""), (usize::MAX, b"x")] {
            assert!(!place.put(at, value), "{at}");
        }
        assert_eq!(&bytes, b"ab\0\0\0\0\0\0cd");
    }
}
