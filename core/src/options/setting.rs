//! What an option's value is as text: one type after the other.
//!
//! Elsewhere: which options there are, and what they accept (`table.rs`).

use std::path::PathBuf;
use std::time::Duration;

use super::InfoLog;
use super::table::Accepts;
use crate::compression::Compression;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

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

/// Parses `64MiB`, `64 mib`, `64M`, `64MB` (10^6), `4096`, `1.5GiB`; `None` if it is not a size, not a whole number
/// of bytes, or beyond 64 bits.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "kb" => 1000,
        "m" | "mib" => MIB,
        "mb" => 1_000_000,
        "g" | "gib" => GIB,
        "gb" => 1_000_000_000,
        "t" | "tib" => 1024 * GIB,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    if factor == 1 {
        // Bytes have no fractions.
        return None;
    }
    let (whole, fraction) = number.split_once('.')?;
    let whole: u64 = match whole {
        "" if fraction.is_empty() => return None,
        "" => 0,
        whole => whole.parse().ok()?,
    };
    // Computed in integers, from the last digit on. The sum is a whole number of bytes only if each step is.
    let mut part = 0;
    for digit in fraction.chars().rev() {
        part += u64::from(digit.to_digit(10)?) * factor;
        if !part.is_multiple_of(10) {
            return None;
        }
        part /= 10;
    }
    whole.checked_mul(factor)?.checked_add(part)
}

/// The size in the largest unit that gives a whole number.
pub(super) fn size_text(bytes: u64) -> String {
    for (factor, unit) in [
        (1024 * GIB, "TiB"),
        (GIB, "GiB"),
        (MIB, "MiB"),
        (KIB, "KiB"),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}")
}
