//! Differences in words.

use std::fmt;

use super::readers::Answer;
use crate::db::trust::verify::shown::Shown;

/// How a cursor reaches the next pair.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Next,
    Seek,
}

/// The message for a cursor that went from `before` to `found`, although `expected` is next.
pub(super) fn wrong_step(
    step: Step,
    before: Option<&[u8]>,
    expected: Option<&[u8]>,
    found: Option<&[u8]>,
) -> String {
    let cursor = match step {
        Step::Next => "a cursor going forward",
        Step::Seek => "a cursor that seeks",
    };
    let previous = match before {
        Some(before) => Shown(before).to_string(),
        None => "the beginning".to_owned(),
    };
    match expected == found {
        true => format!(
            "{cursor} finds a different value under {}",
            ShownPosition(found)
        ),
        false => format!(
            "{cursor} finds {} after {previous}, but {} is next",
            ShownPosition(found),
            ShownPosition(expected)
        ),
    }
}

/// The message for a `call` that gave a wrong answer about `key`, which has a value of `bytes` bytes or none.
pub(super) fn wrong_answer(call: &str, key: &[u8], bytes: Option<usize>, answer: Answer) -> String {
    let key = Shown(key);
    match (answer, bytes) {
        (Answer::Missing, Some(bytes)) => {
            format!("{call} {key} finds nothing, but there is a value of {bytes} bytes")
        }
        (_, Some(_)) => format!("{call} {key} finds a value other than the stored one"),
        (_, None) => format!("{call} {key} finds a value, but the key has none"),
    }
}

/// A cursor's position, for a message.
pub(super) struct ShownPosition<'a>(pub(super) Option<&'a [u8]>);

impl fmt::Display for ShownPosition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => Shown(key).fmt(f),
            None => f.write_str("the end"),
        }
    }
}
