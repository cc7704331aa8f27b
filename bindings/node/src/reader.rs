//! The reads that JavaScript waits for: functions of one database, not methods of its object.
//!
//! A read from memory takes less time than napi needs to look up a method's object and to convert unused
//! arguments. A separate function knows its database, and converts arguments only when it needs them.

use std::sync::Arc;

use aidb::{ReadOptions, Remembered, Result, Value};
use napi::bindgen_prelude::{
    BufferSlice, ClassInstance, FromNapiValue, Function, FunctionCallContext, Null, ToNapiValue,
};
use napi::{Env, check_status, sys};

use crate::convert::{COPY_BYTES, Text, failure, refusal, string};
use crate::opened::Opened;
use crate::place::Place;
use crate::snapshot::Snapshot;

/// The positions of the arguments: the key, flags (below), the pool (absent for strings), a snapshot or `undefined`.
const KEY: usize = 0;
const HOW: usize = 1;
const POOL: usize = 2;
const SNAPSHOT: usize = 3;

/// Bits of the flags: return a string, and fill the cache. The bits above them are the offset of the room in the
/// pool.
const TEXT: u32 = 1;
const FILL_CACHE: u32 = 2;
const HOW_BITS: u32 = 2;

/// Strings of up to this many bytes are copied to the stack as keys.
const SHORT_BYTES: usize = 256;

/// A read on JavaScript's own thread. Returns `undefined`, a string, a buffer, an array that says why it failed
/// (`failure`), or how many bytes of the pool it has filled.
pub type Reader<'env> = Function<'env, (), Answer>;

/// `getSync` of `opened`.
pub(crate) fn get_sync(env: &Env, opened: Arc<Opened>) -> napi::Result<Reader<'_>> {
    env.create_function_from_closure("getSync", move |call: FunctionCallContext<'_>| {
        let how = call.get::<u32>(HOW)?;
        let key = call.get::<Key<'_>>(KEY)?;
        let read = pin(&call)?.and_then(|pin| {
            let options = ReadOptions::new()
                .snapshot(pin.as_ref())
                .fill_cache(how & FILL_CACHE != 0);
            opened.get()?.get_with(key.bytes()?, &options)
        });
        answer(&call, how, read)
    })
}

/// A lookup in memory only: the same as `getSync`, or `null` if memory is not enough. It does not wait.
pub(crate) fn get_in_memory(env: &Env, opened: Arc<Opened>) -> napi::Result<Reader<'_>> {
    env.create_function_from_closure("getInMemory", move |call: FunctionCallContext<'_>| {
        let how = call.get::<u32>(HOW)?;
        let key = call.get::<Key<'_>>(KEY)?;
        let remembered = pin(&call)?.and_then(|pin| {
            let options = ReadOptions::new().snapshot(pin.as_ref());
            opened.get()?.get_in_memory(key.bytes()?, &options)
        });
        match remembered {
            Ok(Remembered::Absent) => answer(&call, how, Ok(None)),
            Ok(Remembered::Value(value)) => answer(&call, how, Ok(Some(value))),
            Ok(_) => Answer::of(call.env, Null),
            Err(error) => answer(&call, how, Err(error)),
        }
    })
}

/// A share of the snapshot in the arguments, if there is one.
fn pin(call: &FunctionCallContext<'_>) -> napi::Result<Result<Option<aidb::Snapshot>>> {
    if call.length() <= SNAPSHOT {
        return Ok(Ok(None));
    }
    let snapshot = call.get::<Option<ClassInstance<'_, Snapshot>>>(SNAPSHOT)?;
    Ok(snapshot.map(|snapshot| snapshot.share()).transpose())
}

/// The result for JavaScript: a string if `how` asks for one; otherwise bytes in the pool if they fit, or else in a
/// buffer of their own.
fn answer(
    call: &FunctionCallContext<'_>,
    how: u32,
    read: Result<Option<Value>>,
) -> napi::Result<Answer> {
    let env: &Env = call.env;
    let outcome = match read {
        Ok(None) => return Ok(Answer::UNDEFINED),
        Ok(Some(value)) if how & TEXT != 0 => {
            let string = string(env, &value);
            string
                .and_then(|string| Answer::of(env, string))
                .map_err(refusal)
        }
        Ok(Some(value)) => {
            let at = (how >> HOW_BITS) as usize;
            if call.get::<Place>(POOL)?.put(at, &value) {
                return Answer::of(env, value.len() as u32);
            }
            buffer(env, value)
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(answer) => Ok(answer),
        Err(error) => Answer::of(env, failure(env, &error)?),
    }
}

fn buffer(env: &Env, value: Value) -> Result<Answer> {
    let buffer = match value.len() <= COPY_BYTES {
        true => BufferSlice::copy_from(env, &value[..]),
        false => BufferSlice::from_data(env, value.try_into_vec()?),
    };
    buffer
        .and_then(|buffer| Answer::of(env, buffer))
        .map_err(refusal)
}

/// A value that JavaScript already has. A type of its own, because `create_function_from_closure` takes no value that
/// lives only during the call.
pub struct Answer(sys::napi_value);

impl Answer {
    /// napi turns this into `undefined`, as for a function without a result.
    const UNDEFINED: Answer = Answer(std::ptr::null_mut());

    #[expect(
        unsafe_code,
        reason = "napi has no safe call that makes a value of any type"
    )]
    fn of(env: &Env, value: impl ToNapiValue) -> napi::Result<Answer> {
        // SAFETY: the environment of the call that returns this answer.
        unsafe { ToNapiValue::to_napi_value(env.raw(), value) }.map(Answer)
    }
}

impl ToNapiValue for Answer {
    #[expect(unsafe_code, reason = "the trait's")]
    unsafe fn to_napi_value(_: sys::napi_env, answer: Self) -> napi::Result<sys::napi_value> {
        Ok(answer.0)
    }
}

/// A key for the length of a call: bytes, or a string's UTF-8.
#[expect(clippy::large_enum_variant, reason = "it has to stay on the stack")]
enum Key<'call> {
    Bytes(&'call [u8]),
    Short([u8; SHORT_BYTES], usize),
    Long(Text),
}

impl Key<'_> {
    fn bytes(&self) -> Result<&[u8]> {
        match self {
            Key::Bytes(bytes) => Ok(bytes),
            Key::Short(bytes, length) => Ok(&bytes[..*length]),
            Key::Long(text) => text.bytes(),
        }
    }
}

impl FromNapiValue for Key<'_> {
    #[expect(unsafe_code, reason = "napi has no safe call that fills a given place")]
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let mut short = [0_u8; SHORT_BYTES];
        let mut length = 0;
        // SAFETY: the caller's `env` and `value`. The call writes at most as many bytes as there is room for, the
        // final zero byte included.
        let status = unsafe {
            let place = short.as_mut_ptr().cast();
            sys::napi_get_value_string_utf8(env, value, place, short.len(), &mut length)
        };
        if status == sys::Status::napi_string_expected {
            // SAFETY: the caller's `env` and `value`.
            return unsafe { FromNapiValue::from_napi_value(env, value) }.map(Key::Bytes);
        }
        check_status!(status)?;
        // If the string was cut off, fewer bytes than one character takes are left.
        if length + 4 < short.len() {
            return Ok(Key::Short(short, length));
        }
        // SAFETY: the caller's `env` and `value`.
        unsafe { Text::from_napi_value(env, value) }.map(Key::Long)
    }
}
