//! What every merge operator promises, the built-in ones and those of programs.
//!
//! * OPERATOR-1  Composing neighbouring operands, in any grouping, changes no result: folding what is composed gives
//!               the same bytes as folding the operands one by one.
//! * OPERATOR-2  An operator depends on its arguments alone: the same base and operands give the same bytes whenever
//!               they are folded.
//! * OPERATOR-3  An operator that fails has changed nothing, so its caller still has the base and all operands.

use std::fmt;

use crate::error::{Error, Result};
use crate::key::MAX_VALUE_BYTES;

/// How merge operands change the value of a key.
///
/// An operand is bytes; the newest value is the base with all newer operands folded into it, oldest first. What an
/// operator returns must depend on the arguments alone, and composing neighbouring operands must not change the result
/// of a fold: for all bases and operands, `fold(base, [a, b, c])` is `fold(base, [compose([a, b]), c])` and
/// `fold(base, [a, compose([b, c])])`.
///
/// Errors of an operator lose nothing: base and operands stay as they are.
pub trait MergeOperator: Send + Sync {
    /// The name, with parameters: 1 to 255 bytes.
    fn name(&self) -> &str;

    /// Checks an operand of a caller.
    ///
    /// Errors: any kind; `InvalidArgument` is usual.
    fn check(&self, operand: &[u8]) -> Result<()>;

    /// The value of a key with `base` (`None`: the key was absent) after `operands`, of which there is at least one,
    /// oldest first. Each is one that [`MergeOperator::check`] accepted, or composed of such.
    ///
    /// Errors: any kind, if there is no such value, for example because the base has the wrong form.
    fn fold(&self, base: Option<&[u8]>, operands: &[&[u8]]) -> Result<Vec<u8>>;

    /// One operand with the effect of `operands`, of which there is at least one, oldest first. `None`: there is none,
    /// and they stay as they are.
    ///
    /// Errors: any kind.
    fn compose(&self, operands: &[&[u8]]) -> Result<Option<Vec<u8>>>;
}

/// An argument that an operator cannot use.
pub(super) fn refused(operator: &str, why: impl fmt::Display) -> Error {
    let operator = operator.escape_debug();
    Error::invalid_argument(format!("merge operator \"{operator}\": {why}"))
}

/// Whether a value may have so many bytes.
pub(super) fn is_storable(bytes: u64) -> bool {
    bytes <= MAX_VALUE_BYTES
}

/// The error of a fold whose result could not be stored.
pub(super) fn too_long(operator: &str, bytes: u64) -> Error {
    refused(
        operator,
        format_args!("the value would have {bytes} bytes, and may have {MAX_VALUE_BYTES}"),
    )
}
