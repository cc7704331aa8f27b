//! Keys in messages.

use std::fmt;

/// Bytes of a key that a message shows.
const SHOWN_KEY_BYTES: usize = 64;

/// A key in a message.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_KEY_BYTES)];
        let rest = if shown.len() < self.0.len() { ".." } else { "" };
        write!(f, "\"{}{rest}\"", shown.escape_ascii())
    }
}
