//! Both sides' types: bytes in, answers and failures out.

use std::error::Error as _;

use aidb::{Error, ErrorKind, Result, SequenceNumber, Value, WriteBatch, copy_of};
use napi::bindgen_prelude::{
    Array, BigInt, Buffer, BufferSlice, Either, FromNapiValue, TypeName, Uint32Array,
    ValidateNapiValue,
};
use napi::{Env, JsString, ValueType, check_status, sys};

/// Up to this many bytes, copying into memory of JavaScript's is cheaper than lending it AiDb's memory with a
/// finalizer.
pub(crate) const COPY_BYTES: usize = 16 << 10;

/// Bytes as JavaScript passes them: a string means its UTF-8.
pub(crate) type Bytes<'env> = Either<Text, &'env [u8]>;

/// A string from JavaScript as its UTF-8, or `OutOfMemory`: napi's own conversion aborts the process if there
/// is no memory. The error is kept for the call or its job to return, so that JavaScript gets it like any other
/// failure.
pub struct Text(Result<Vec<u8>>);

impl Text {
    /// The string as UTF-8.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        self.0.as_deref().map_err(Clone::clone)
    }

    /// The string.
    pub(crate) fn string(self) -> Result<String> {
        String::from_utf8(self.0?).map_err(|_| Error::internal("JavaScript's UTF-8 is none"))
    }
}

impl TypeName for Text {
    fn type_name() -> &'static str {
        String::type_name()
    }

    fn value_type() -> ValueType {
        String::value_type()
    }
}

impl ValidateNapiValue for Text {}

impl FromNapiValue for Text {
    #[expect(
        unsafe_code,
        reason = "napi has no safe call that writes a string to a given place"
    )]
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let (none, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the caller's `env` and `value`; without a place the call returns only the length.
        check_status!(unsafe {
            sys::napi_get_value_string_utf8(env, value, none, 0, &mut length)
        })?;
        // A zero byte follows the string.
        let room = aidb::room_for(length + 1, "a string");
        let mut bytes: Vec<u8> = match room {
            Ok(room) => room,
            Err(error) => return Ok(Text(Err(error))),
        };
        let place = bytes.as_mut_ptr().cast();
        // SAFETY: as above; `place` has `length + 1` bytes, and the call fills at most as many as this size says.
        check_status!(unsafe {
            sys::napi_get_value_string_utf8(env, value, place, length + 1, &mut length)
        })?;
        // SAFETY: the call has written this many bytes, and they fit.
        unsafe { bytes.set_len(length) };
        Ok(Text(Ok(bytes)))
    }
}

/// A copy of the bytes, because JavaScript may change its own at any time. The job returns `OutOfMemory`, so that
/// JavaScript gets it like any other failure.
pub(crate) fn owned(bytes: Bytes<'_>) -> Result<Vec<u8>> {
    match bytes {
        Either::A(text) => text.0,
        Either::B(bytes) => copy_of(bytes, "a key or value"),
    }
}

/// A value as a string. An ASCII string is made without decoding.
pub(crate) fn string<'env>(env: &'env Env, value: &[u8]) -> napi::Result<JsString<'env>> {
    match value.is_ascii() {
        true => env.create_string_latin1(value),
        false => env.create_string(String::from_utf8_lossy(value)),
    }
}

/// The result of a job for JavaScript.
pub(crate) enum Outcome {
    /// No result: `undefined`.
    Done,
    Flag(bool),
    Number(f64),
    /// A `bigint`, because JavaScript's numbers have 53 bits.
    Sequence(SequenceNumber),
    Text(String),
    /// A value, or `undefined`; as a string if `text`.
    Value {
        bytes: Option<Vec<u8>>,
        text: bool,
    },
    /// Many values one after the other, with their lengths (-1 for no value).
    Values {
        bytes: Vec<u8>,
        lengths: Vec<f64>,
    },
    Flags(Vec<bool>),
    /// Entries of an iterator: their bytes, where each key and each value ends, and whether they are the last.
    Chunk {
        bytes: Vec<u8>,
        ends: Vec<u32>,
        last: bool,
    },
}

/// This many entries of an iterator weigh as much as one result.
const ENTRIES_PER_ANSWER: usize = 5;

impl Outcome {
    /// The work for JavaScript, in units of a result with one value.
    pub(crate) fn weight(&self) -> u32 {
        let weight = match self {
            Outcome::Values { lengths, .. } => lengths.len(),
            Outcome::Flags(flags) => flags.len(),
            Outcome::Chunk { ends, .. } => ends.len() / 2 / ENTRIES_PER_ANSWER,
            _ => 1,
        };
        // More than 2^32 do not fit into an array.
        weight.clamp(1, u32::MAX as usize / 2) as u32
    }

    /// Copies many values after each other.
    pub(crate) fn values(values: Vec<Option<Value>>) -> Result<Outcome> {
        let total: usize = values.iter().flatten().map(|value| value.len()).sum();
        let mut bytes = Vec::new();
        let reserved = bytes.try_reserve_exact(total);
        reserved.map_err(|_| Error::out_of_memory("values", total))?;
        let mut lengths = aidb::room_for(values.len(), "lengths")?;
        for value in values {
            lengths.push(value.as_ref().map_or(-1.0, |value| value.len() as f64));
            bytes.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        Ok(Outcome::Values { bytes, lengths })
    }

    /// Makes the JavaScript value and stores it in `out[index]`.
    pub(crate) fn place(self, env: &Env, out: &mut Array<'_>, index: u32) -> napi::Result<()> {
        match self {
            Outcome::Done => out.set(index, ()),
            Outcome::Flag(flag) => out.set(index, flag),
            Outcome::Number(number) => out.set(index, number),
            Outcome::Sequence(sequence) => out.set(index, BigInt::from(sequence.0)),
            Outcome::Text(text) => out.set(index, text),
            Outcome::Value { bytes: None, .. } => out.set(index, ()),
            Outcome::Value {
                bytes: Some(bytes),
                text: true,
            } => out.set(index, string(env, &bytes)?),
            Outcome::Value {
                bytes: Some(bytes), ..
            } => place_bytes(env, out, index, bytes),
            Outcome::Values { bytes, lengths } => {
                let mut pair = env.create_array(2)?;
                place_bytes(env, &mut pair, 0, bytes)?;
                pair.set(1, lengths)?;
                out.set(index, pair)
            }
            Outcome::Flags(flags) => out.set(index, flags),
            Outcome::Chunk { bytes, ends, last } => {
                let mut parts = env.create_array(3)?;
                place_bytes(env, &mut parts, 0, bytes)?;
                parts.set(1, Uint32Array::new(ends))?;
                parts.set(2, last)?;
                out.set(index, parts)
            }
        }
    }
}

fn place_bytes(env: &Env, out: &mut Array<'_>, index: u32, bytes: Vec<u8>) -> napi::Result<()> {
    if bytes.len() <= COPY_BYTES {
        out.set(index, &BufferSlice::copy_from(env, bytes)?)
    } else {
        out.set(index, Buffer::from(bytes))
    }
}

/// The error if JavaScript does not take a value; for example, it has no strings of more than half a GiB.
pub(crate) fn refusal(error: napi::Error) -> Error {
    Error::unsupported(format!("JavaScript cannot hold the result: {error}"))
}

/// The parts from which JavaScript makes its error: `[code, message, message of the cause, errno of the cause]`.
pub(crate) fn failure<'env>(env: &'env Env, error: &Error) -> napi::Result<Array<'env>> {
    let mut out = env.create_array(4)?;
    out.set(0, code(error.kind()))?;
    out.set(1, error.to_string())?;
    if let Some(cause) = error.source() {
        out.set(2, cause.to_string())?;
        let errno = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        out.set(3, errno)?;
    }
    Ok(out)
}

/// The `code` of an error of this kind: abstract-level's own if it has one.
fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "LEVEL_INVALID_ARGUMENT",
        ErrorKind::Io => "LEVEL_IO_ERROR",
        ErrorKind::Corruption => "LEVEL_CORRUPTION",
        ErrorKind::Locked => "LEVEL_LOCKED",
        ErrorKind::Conflict => "LEVEL_CONFLICT",
        ErrorKind::Closed => "LEVEL_DATABASE_NOT_OPEN",
        ErrorKind::Unsupported => "LEVEL_UNSUPPORTED",
        ErrorKind::NoSpace => "LEVEL_NO_SPACE",
        ErrorKind::OutOfMemory => "LEVEL_OUT_OF_MEMORY",
        // `ErrorKind` may grow; a kind without a row here is a bug.
        _ => "LEVEL_INTERNAL",
    }
}

/// Many keys in one piece.
pub(crate) struct Keys {
    bytes: Vec<u8>,
    lengths: Vec<f64>,
}

impl Keys {
    pub(crate) fn new(bytes: &[u8], lengths: &[f64]) -> Result<Keys> {
        Ok(Keys {
            bytes: copy_of(bytes, "keys")?,
            lengths: copy_of(lengths, "keys")?,
        })
    }

    /// Each key.
    pub(crate) fn cut(&self) -> Result<Vec<&[u8]>> {
        cut(&self.bytes, &self.lengths)
    }
}

/// Cuts `bytes` into pieces of these `lengths`. `Internal` if they do not add up, or one is not a length.
fn cut<'bytes>(mut bytes: &'bytes [u8], lengths: &[f64]) -> Result<Vec<&'bytes [u8]>> {
    let no_sum = || Error::internal("the lengths of many keys do not add up");
    let mut parts = aidb::room_for(lengths.len(), "keys")?;
    for &length in lengths {
        let is_length = length >= 0.0 && length.fract() == 0.0;
        let length = is_length.then_some(length as usize).ok_or_else(no_sum)?;
        let (part, rest) = bytes.split_at_checked(length).ok_or_else(no_sum)?;
        parts.push(part);
        bytes = rest;
    }
    bytes.is_empty().then_some(parts).ok_or_else(no_sum)
}

/// Adds operations to `batch`. `bytes` are keys and values one after the other; `lengths` are the lengths of each
/// operation's key and value, with -1 for the value of a delete. Of a range delete the key is the start; the value has
/// the length -2 if there is no end, and otherwise is the end, with -3 less its length.
pub(crate) fn add_operations(batch: &mut WriteBatch, bytes: &[u8], lengths: &[f64]) -> Result<()> {
    let mut rest = bytes;
    let mut part = |length: f64| {
        let (part, behind) = rest
            .split_at_checked(length as usize)
            .ok_or_else(|| Error::internal("a batch's lengths pass its bytes"))?;
        rest = behind;
        Ok::<_, Error>(part)
    };
    for operation in lengths.chunks_exact(2) {
        let (key, length) = (part(operation[0])?, operation[1]);
        if length >= 0.0 {
            batch.put(key, part(length)?)?;
        } else if length == -1.0 {
            batch.delete(key)?;
        } else if length == -2.0 {
            batch.delete_range(Some(key), None)?;
        } else {
            batch.delete_range(Some(key), Some(part(-3.0 - length)?))?;
        }
    }
    Ok(())
}
