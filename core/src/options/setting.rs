//! The values of options as text, type by type.
//!
//! Elsewhere: the options and the values they accept (`table.rs`).

use std::path::PathBuf;
use std::time::Duration;

use super::accepts::Accepts;
use super::info_log::InfoLog;
use super::size::parse_size;
use crate::compression::Compression;

/// A type of options.
pub(super) trait Setting {
    /// The value as text that [`Setting::set`] takes back.
    fn text(&self) -> String;

    /// Takes the value from `text`. If `accepts` does not allow it, returns `false` and changes nothing.
    fn set(&mut self, text: &str, accepts: &Accepts) -> bool;

    /// The value, if it is a number.
    fn number(&self) -> Option<u64> {
        None
    }

    /// The value to keep of one that a caller passes.
    fn kept(self) -> Self
    where
        Self: Sized,
    {
        self
    }
}

/// Puts `new` into `place` if there is one.
fn replaced<T>(place: &mut T, new: Option<T>) -> bool {
    new.map(|new| *place = new).is_some()
}

impl Setting for bool {
    fn text(&self) -> String {
        self.to_string()
    }

    fn set(&mut self, text: &str, _: &Accepts) -> bool {
        let flag = match text {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        };
        replaced(self, flag)
    }
}

impl Setting for u64 {
    fn text(&self) -> String {
        self.to_string()
    }

    fn set(&mut self, text: &str, accepts: &Accepts) -> bool {
        let number = match accepts {
            Accepts::Size(_) => parse_size(text),
            _ => text.trim().parse().ok(),
        };
        let range = accepts.range();
        replaced(
            self,
            number.filter(|number| range.is_some_and(|range| range.contains(number))),
        )
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

/// Whole milliseconds.
impl Setting for Duration {
    fn text(&self) -> String {
        self.as_millis().to_string()
    }

    fn set(&mut self, text: &str, accepts: &Accepts) -> bool {
        let mut millis: u64 = 0;
        let is_taken = millis.set(text, accepts);
        replaced(self, is_taken.then(|| Duration::from_millis(millis)))
    }

    fn number(&self) -> Option<u64> {
        Some(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
    }

    fn kept(self) -> Duration {
        Duration::from_millis(self.number().unwrap_or_default())
    }
}

impl Setting for Compression {
    fn text(&self) -> String {
        self.name().to_string()
    }

    fn set(&mut self, text: &str, _: &Accepts) -> bool {
        replaced(self, Compression::from_name(text))
    }
}

impl Setting for InfoLog {
    fn text(&self) -> String {
        match self {
            InfoLog::None => "none".to_string(),
            InfoLog::Stderr => "stderr".to_string(),
            InfoLog::File(path) => path.display().to_string(),
        }
    }

    fn set(&mut self, text: &str, _: &Accepts) -> bool {
        let log = match text {
            // Not a path, but perhaps a variable that was never set.
            "" => None,
            "none" => Some(InfoLog::None),
            "stderr" => Some(InfoLog::Stderr),
            path => Some(InfoLog::File(PathBuf::from(path))),
        };
        replaced(self, log)
    }
}
