//! Merge operators by name: how operands change the value of a key that nobody has read.
//!
//! * `operator.rs`  what an operator promises
//! * `numbers.rs`   `add`, `max`, `min`
//! * `bytes.rs`     `append`, `bit_or`
//! * `patch.rs`     `json_merge_patch`
//! * `json_text.rs` the syntax of JSON

mod bytes;
mod json_text;
mod numbers;
mod operator;
mod patch;

use self::bytes::{Append, BitOr};
use self::numbers::Number;
pub use self::operator::MergeOperator;
use self::patch::JsonMergePatch;
use crate::error::{Error, Result};
use crate::memory;
use crate::sync::Arc;

/// The most bytes of an operator's name, its parameter included.
const MAX_NAME_BYTES: usize = 255;

/// The names of the built-in operators, for messages.
const NAMES: &str = "add, max, min, append, append:SEPARATOR, bit_or, json_merge_patch";

/// The built-in merge operator of this name.
///
/// | name | operand and base | the value |
/// | --- | --- | --- |
/// | `add` | 8 bytes: a signed 64-bit integer, little-endian | the sum, which wraps; an absent base is 0 |
/// | `max`, `min` | as for `add` | the largest, the smallest |
/// | `append:SEPARATOR` | any bytes | the base and the operands, with the separator between two of them |
/// | `append` | any bytes | the same without a separator |
/// | `bit_or` | any bytes | or of the bytes, as long as the longest, where shorter ones end with zeros |
/// | `json_merge_patch` | JSON texts | as in RFC 7396 |
///
/// The separator is all that follows the first colon, as it stands: it has no escapes.
///
/// `json_merge_patch` keeps numbers, strings and arrays as they were written; it writes objects without spaces and with
/// sorted names, of which the last counts if there are several the same. Objects may be nested 100 deep.
///
/// ```
/// let add = aidb::built_in_merge_operator("add")?;
/// let (base, operand) = (40i64.to_le_bytes(), 2i64.to_le_bytes());
/// assert_eq!(add.fold(Some(&base), &[&operand])?, 42i64.to_le_bytes());
/// # Ok::<(), aidb::Error>(())
/// ```
///
/// Errors: `InvalidArgument` if the name is none of these or longer than 255 bytes.
pub fn built_in_merge_operator(name: &str) -> Result<Arc<dyn MergeOperator>> {
    memory::room_ahead(2, "a merge operator")?;
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::invalid_argument(format!(
            "the name of a merge operator has {} bytes, and may have {MAX_NAME_BYTES}",
            name.len()
        )));
    }
    Ok(match name {
        "add" => Arc::new(Number::new("add", i64::wrapping_add)),
        "max" => Arc::new(Number::new("max", i64::max)),
        "min" => Arc::new(Number::new("min", i64::min)),
        "bit_or" => Arc::new(BitOr),
        "json_merge_patch" => Arc::new(JsonMergePatch),
        name => Arc::new(Append::of_name(name).ok_or_else(|| {
            let shown = name.escape_debug();
            Error::invalid_argument(format!(
                "\"{shown}\" is no merge operator; there are {NAMES}"
            ))
        })?),
    })
}

#[cfg(test)]
mod tests;
