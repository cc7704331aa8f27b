//! `aidb_options`: how to open a database, by the options' names.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use aidb::{Accepts, Error, Options, Result};
use arc_swap::ArcSwapOption;
use parking_lot::RwLock;

use crate::guard::{guard_ok, quietly, releasing};
use crate::handle::{self, Object, aidb_error, aidb_options};
use crate::ptr::{Buffer, out, text};
use crate::status::aidb_status;

/// A copy of the options that a handle holds; NULL means defaults.
pub(crate) fn options_or_default(options: *const aidb_options) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::new());
    }
    let held = handle::get(options, "options")?;
    let read = held.try_read().ok_or_else(|| held.in_use("options"))?;
    Ok(read.clone())
}

/// Makes the default options; release them with aidb_options_free. NULL only if 16 million handles are open or
/// memory is exhausted.
#[unsafe(no_mangle)]
pub extern "C" fn aidb_options_new() -> *mut aidb_options {
    quietly(std::ptr::null_mut(), || {
        handle::insert(Object::Options(Box::new(RwLock::new(Options::new()))))
    })
}

/// Releases options; NULL and options that were freed before are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_options_free(options: *mut aidb_options) {
    releasing(|| handle::take(options, "options"));
}

/// Sets an option from text.
///
/// @param name   for example "block_cache_size"; aidb_options_name lists them all
/// @param value  "true" or "false"; a number; a size such as "64MiB" or "4096"; a codec's name; for
///               lock_timeout milliseconds; for info_log "none", "stderr" or a path
/// @return AIDB_OK, or AIDB_INVALID_ARGUMENT for an unknown name (the message lists similar ones) or a value
///         out of its range (the message gives the range); the options are then unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_options_set(
    options: *mut aidb_options,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let options = handle::get(options, "options")?;
            let mut options = options
                .try_write()
                .ok_or_else(|| options.in_use("options"))?;
            options.set(text(name, "name")?, text(value, "value")?)
        })
    }
}

/// Sets an option that is a number, a size in bytes or a time in milliseconds.
///
/// @return AIDB_OK, or AIDB_INVALID_ARGUMENT as for aidb_options_set, also for an option that is not a number
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_options_set_number(
    options: *mut aidb_options,
    name: *const c_char,
    value: u64,
    error: *mut *mut aidb_error,
) -> aidb_status {
    let is_number = |accepts: &Accepts| accepts.range().is_some();
    let value = value.to_string();
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { set_typed(options, name, &value, ("a number", is_number), error) }
}

/// Sets an option that is a flag.
///
/// @param value  0 is false, anything else true
/// @return AIDB_OK, or AIDB_INVALID_ARGUMENT as for aidb_options_set, also for an option that is not a flag
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_options_set_flag(
    options: *mut aidb_options,
    name: *const c_char,
    value: i32,
    error: *mut *mut aidb_error,
) -> aidb_status {
    let value = if value != 0 { "true" } else { "false" };
    let is_flag = |accepts: &Accepts| matches!(accepts, Accepts::Flag);
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { set_typed(options, name, value, ("a flag", is_flag), error) }
}

/// Sets an option, which must be of the type that `expected` names and recognises.
///
/// # Safety
/// `name` is NULL or a zero-terminated string; `error` is NULL or a place for a pointer.
unsafe fn set_typed(
    options: *mut aidb_options,
    name: *const c_char,
    value: &str,
    expected: (&str, impl Fn(&Accepts) -> bool),
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller's own promise.
    unsafe {
        guard_ok(error, || {
            let options = handle::get(options, "options")?;
            let mut options = options
                .try_write()
                .ok_or_else(|| options.in_use("options"))?;
            let name = text(name, "name")?;
            if !expected.1(Options::accepts(name)?) {
                return Err(Error::invalid_argument(format!(
                    "option {name} is not {}",
                    expected.0
                )));
            }
            options.set(name, value)
        })
    }
}

/// The value of an option as text, in the form that aidb_options_set accepts.
///
/// @param value_out  a zero-terminated string; release it with aidb_free
/// @return AIDB_OK, or AIDB_INVALID_ARGUMENT for an unknown name
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_options_get(
    options: *const aidb_options,
    name: *const c_char,
    value_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let options = handle::get(options, "options")?;
            let value_out = out(value_out, "value_out")?;
            let options = options
                .try_read()
                .ok_or_else(|| options.in_use("options"))?;
            let value = options.get(text(name, "name")?)?;
            value_out.write(Buffer::copy_of(value.as_bytes())?.into_raw());
            Ok(())
        })
    }
}

/// The name of option number `index`, counting from 0; NULL after the last option. Static text.
#[unsafe(no_mangle)]
pub extern "C" fn aidb_options_name(index: usize) -> *const c_char {
    // Set once and never replaced, so its contents stay valid. No thread waits for another to set it: in a
    // child made by `fork` that other thread may not exist.
    static NAMES: ArcSwapOption<Vec<CString>> = ArcSwapOption::const_empty();
    quietly(std::ptr::null(), || {
        if NAMES.load().is_none() {
            let names = Options::names().filter_map(|name| CString::new(name).ok());
            NAMES.compare_and_swap(&None::<Arc<_>>, Some(Arc::new(names.collect())));
        }
        let names = NAMES.load();
        Ok(names
            .iter()
            .flat_map(|names| names.iter())
            .nth(index)
            .map_or(std::ptr::null(), |name| name.as_ptr()))
    })
}
