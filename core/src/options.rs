//! Options: names, units, defaults and valid ranges, in one table.
//!
//! The snake_case names are the same in every language. [`Options::set`] takes them as text, the builder
//! methods as values; both keep a number as it is and [`Options::validate`], which every open calls, refuses
//! what is out of range. Everything else in the engine is derived from these.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::compression::Compression;
use crate::env::{Env, OsEnv};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::sync::Arc;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Names that are offered for one that is unknown.
const MOST_NEAR: usize = 3;
/// Bytes of a name or value given as text: more than the longest path that any system takes.
const MOST_TEXT_BYTES: usize = 64 << 10;

/// Where the database writes what it does: opening, recovery, flushes, compactions, errors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InfoLog {
    /// Nowhere (the default).
    #[default]
    None,
    /// To the standard error stream.
    Stderr,
    /// To a file, which is created or appended to.
    File(PathBuf),
}

/// How to open a database. Every field has a default that suits most uses; docs/tuning.md says which to touch.
///
/// ```
/// let mut options = aidb::Options::new().write_buffer_size(16 << 20);
/// options.set("block_cache_size", "256MiB")?;
/// assert_eq!(options.get("write_buffer_size")?, "16777216");
/// # Ok::<(), aidb::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) create_if_missing: bool,
    pub(crate) error_if_exists: bool,
    pub(crate) read_only: bool,
    pub(crate) write_buffer_size: u64,
    pub(crate) block_cache_size: u64,
    pub(crate) block_size: u64,
    pub(crate) block_restart_interval: u64,
    pub(crate) compression: Compression,
    pub(crate) bloom_bits_per_key: u64,
    pub(crate) max_open_files: u64,
    pub(crate) level0_compaction_trigger: u64,
    pub(crate) level_base_size: u64,
    pub(crate) level_size_multiplier: u64,
    pub(crate) target_file_size: u64,
    pub(crate) background_threads: u64,
    pub(crate) lock_timeout_millis: u64,
    pub(crate) info_log: InfoLog,
    pub(crate) info_log_file_size: u64,
    pub(crate) info_log_files: u64,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) manual_background: bool,
    /// What the caller calls options, where that is not what core calls them.
    spellings: Vec<(&'static str, String)>,
    /// See `db/context.rs`.
    #[cfg(test)]
    pub(crate) step_hook: Option<Arc<dyn Fn(&'static str) + Send + Sync>>,
}

/// What an option accepts, for messages and documents.
enum Accepts {
    Flag,
    Size { smallest: u64, largest: u64 },
    Count { smallest: u64, largest: u64 },
    Millis { largest: u64 },
    Compression,
    InfoLog,
}

/// Name and range of every option, in the order of the documents.
const TABLE: [(&str, Accepts); 19] = [
    ("create_if_missing", Accepts::Flag),
    ("error_if_exists", Accepts::Flag),
    ("read_only", Accepts::Flag),
    (
        "write_buffer_size",
        Accepts::Size {
            smallest: 4 * KIB,
            largest: 16 * GIB,
        },
    ),
    (
        "block_cache_size",
        Accepts::Size {
            smallest: 0,
            largest: 1024 * GIB,
        },
    ),
    (
        "block_size",
        Accepts::Size {
            smallest: 128,
            largest: 16 * MIB,
        },
    ),
    (
        "block_restart_interval",
        Accepts::Count {
            smallest: 1,
            largest: 1024,
        },
    ),
    ("compression", Accepts::Compression),
    (
        "bloom_bits_per_key",
        Accepts::Count {
            smallest: 0,
            largest: 32,
        },
    ),
    (
        "max_open_files",
        Accepts::Count {
            smallest: 0,
            largest: 1 << 20,
        },
    ),
    (
        "level0_compaction_trigger",
        Accepts::Count {
            smallest: 1,
            largest: 64,
        },
    ),
    (
        "level_base_size",
        Accepts::Size {
            smallest: 4 * KIB,
            largest: 1024 * GIB,
        },
    ),
    (
        "level_size_multiplier",
        Accepts::Count {
            smallest: 2,
            largest: 100,
        },
    ),
    (
        "target_file_size",
        Accepts::Size {
            smallest: 4 * KIB,
            largest: 64 * GIB,
        },
    ),
    (
        "background_threads",
        Accepts::Count {
            smallest: 1,
            largest: 64,
        },
    ),
    (
        "lock_timeout",
        Accepts::Millis {
            largest: 24 * 3600 * 1000,
        },
    ),
    ("info_log", Accepts::InfoLog),
    (
        "info_log_file_size",
        Accepts::Size {
            smallest: 0,
            largest: 1024 * GIB,
        },
    ),
    (
        "info_log_files",
        Accepts::Count {
            smallest: 1,
            largest: 1000,
        },
    ),
];

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options {
            create_if_missing: true,
            error_if_exists: false,
            read_only: false,
            write_buffer_size: 64 * MIB,
            block_cache_size: 256 * MIB,
            block_size: 4 * KIB,
            block_restart_interval: 16,
            compression: Compression::Snappy,
            bloom_bits_per_key: 10,
            max_open_files: 0,
            level0_compaction_trigger: 4,
            level_base_size: 256 * MIB,
            level_size_multiplier: 10,
            target_file_size: 64 * MIB,
            background_threads: 2,
            lock_timeout_millis: 0,
            info_log: InfoLog::None,
            info_log_file_size: 16 * MIB,
            info_log_files: 4,
            env: Arc::new(OsEnv::new()),
            manual_background: false,
            spellings: Vec::new(),
            #[cfg(test)]
            step_hook: None,
        }
    }

    /// The names of all options, in the order of the documents.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(name, _)| *name)
    }

    /// Creates the database if the directory is missing or empty. Default: true.
    pub fn create_if_missing(mut self, yes: bool) -> Self {
        self.create_if_missing = yes;
        self
    }

    /// Refuses to open a database that exists. Default: false.
    pub fn error_if_exists(mut self, yes: bool) -> Self {
        self.error_if_exists = yes;
        self
    }

    /// Opens without writing anything: shares the directory with other readers, refuses a writer. Default: false.
    pub fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Bytes of the memtable before it is sealed and flushed (4 KiB to 16 GiB). Up to three are held at once.
    /// Default: 64 MiB.
    pub fn write_buffer_size(mut self, bytes: u64) -> Self {
        self.write_buffer_size = bytes;
        self
    }

    /// Bytes of data blocks kept in memory (0 to 1 TiB; 0 keeps none). Default: 256 MiB.
    pub fn block_cache_size(mut self, bytes: u64) -> Self {
        self.block_cache_size = bytes;
        self
    }

    /// Bytes of a data block before compression (128 to 16 MiB): larger blocks compress better and scan faster,
    /// smaller ones cost less per get. Default: 4 KiB.
    pub fn block_size(mut self, bytes: u64) -> Self {
        self.block_size = bytes;
        self
    }

    /// Entries between two whole keys in a block (1 to 1024). Default: 16.
    pub fn block_restart_interval(mut self, entries: u64) -> Self {
        self.block_restart_interval = entries;
        self
    }

    /// The codec of new blocks; old ones stay readable. Default: Snappy.
    pub fn compression(mut self, codec: Compression) -> Self {
        self.compression = codec;
        self
    }

    /// Bloom filter bits per key of new tables (0 to 32; 0 builds none). 10 bits let 1 % of absent keys through
    /// to the disk. Default: 10.
    pub fn bloom_bits_per_key(mut self, bits: u64) -> Self {
        self.bloom_bits_per_key = bits;
        self
    }

    /// Tables kept open at once (0 to 1,048,576). Default: 0, half of what the process may open.
    pub fn max_open_files(mut self, files: u64) -> Self {
        self.max_open_files = files;
        self
    }

    /// Tables in level 0 that start a compaction (1 to 64). Default: 4.
    pub fn level0_compaction_trigger(mut self, files: u64) -> Self {
        self.level0_compaction_trigger = files;
        self
    }

    /// Bytes of level 1 before it is compacted into level 2 (4 KiB to 1 TiB). Default: 256 MiB.
    pub fn level_base_size(mut self, bytes: u64) -> Self {
        self.level_base_size = bytes;
        self
    }

    /// How many times larger each level is than the one above (2 to 100). Default: 10.
    pub fn level_size_multiplier(mut self, factor: u64) -> Self {
        self.level_size_multiplier = factor;
        self
    }

    /// Bytes of a table before a compaction starts the next one (4 KiB to 64 GiB). Default: 64 MiB.
    pub fn target_file_size(mut self, bytes: u64) -> Self {
        self.target_file_size = bytes;
        self
    }

    /// Compaction threads (1 to 64), beside one thread that flushes. Default: 2.
    pub fn background_threads(mut self, threads: u64) -> Self {
        self.background_threads = threads;
        self
    }

    /// How long to wait for another opener to let the database go, in whole milliseconds (up to a day).
    /// Default: zero, answer `Locked` at once.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout_millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Where the database writes what it does, a line per event. A line that cannot be written is dropped. Several
    /// databases and processes may share a file, and anybody may rename, empty or remove it. A file of the engine's own, by
    /// whatever path, is refused when the database is opened. Default: nowhere.
    pub fn info_log(mut self, log: InfoLog) -> Self {
        self.info_log = log;
        self
    }

    /// Bytes of the info log's file (0 to 1 TiB) before it is renamed to its name with `.1` after it, and a new one begun;
    /// 0: never. Default: 16 MiB.
    pub fn info_log_file_size(mut self, bytes: u64) -> Self {
        self.info_log_file_size = bytes;
        self
    }

    /// Files of the info log that are kept, renamed ones included (1 to 1000). With 1 a full file is emptied. Default: 4.
    pub fn info_log_files(mut self, files: u64) -> Self {
        self.info_log_files = files;
        self
    }

    /// The environment to reach files, clock and threads through. Default: the operating system.
    pub fn env(mut self, env: Arc<dyn Env>) -> Self {
        self.env = env;
        self
    }

    /// Starts no background thread: flushes and compactions run only inside `DB::run_background_step`, so that a
    /// test decides their order.
    #[doc(hidden)]
    pub fn manual_background(mut self, yes: bool) -> Self {
        self.manual_background = yes;
        self
    }

    /// Has messages call the option `name` by `spelling`, for callers who know it as that.
    ///
    /// Errors: as for [`Options::get`].
    #[doc(hidden)]
    pub fn spell(&mut self, name: &str, spelling: &str) -> Result<()> {
        let (name, _) = lookup(name)?;
        self.spellings.retain(|(known, _)| *known != name);
        self.spellings.push((name, spelling.to_owned()));
        Ok(())
    }

    /// What messages call the option `name`.
    pub(crate) fn spelling<'a>(&'a self, name: &'a str) -> &'a str {
        let spelling = self.spellings.iter().find(|(known, _)| *known == name);
        spelling.map_or(name, |(_, spelling)| spelling)
    }

    /// The names that somebody who wrote `name` may have meant, at most three, the nearest first.
    #[doc(hidden)]
    pub fn names_near(name: &str) -> Vec<&'static str> {
        near(name)
    }

    /// Sets the option `name` (snake_case) from text: `true`/`false`; a number; a size such as `64MiB`, `1GB` or
    /// `4096`; a codec name; for `lock_timeout` milliseconds; for `info_log` `none`, `stderr` or a path.
    ///
    /// Errors: `InvalidArgument` for an unknown name (the message has up to three near ones) or a value out of its range
    /// (the message says the range); the options are unchanged then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, accepts) = lookup(name)?;
        let shown = self.spelling(name);
        if value.len() > MOST_TEXT_BYTES {
            // A message that repeats it, or a copy as a path, would take as much memory again.
            return Err(Error::invalid_argument(format!(
                "option {shown}: a text of {} bytes is too long: {accepts}",
                value.len()
            )));
        }
        let refusal = Error::invalid_argument(format!("option {shown} = {value:?}: {accepts}"));
        let refuse = || refusal;
        let number = match accepts {
            Accepts::Size { .. } => parse_size(value),
            _ => value.trim().parse().ok(),
        };
        match accepts {
            Accepts::Flag => {
                let flag = match value {
                    "true" | "1" | "yes" | "on" => true,
                    "false" | "0" | "no" | "off" => false,
                    _ => return Err(refuse()),
                };
                match name {
                    "create_if_missing" => self.create_if_missing = flag,
                    "error_if_exists" => self.error_if_exists = flag,
                    _ => self.read_only = flag,
                }
            }
            Accepts::Compression => {
                self.compression = Compression::from_name(value).ok_or_else(refuse)?;
            }
            Accepts::InfoLog => {
                self.info_log = match value {
                    // No path, and perhaps a variable that was never set.
                    "" => return Err(refuse()),
                    "none" => InfoLog::None,
                    "stderr" => InfoLog::Stderr,
                    path => InfoLog::File(PathBuf::from(path)),
                };
            }
            Accepts::Size { .. } | Accepts::Count { .. } | Accepts::Millis { .. } => {
                let in_range = number.filter(|number| accepts.contains(*number));
                *self.number(name) = in_range.ok_or_else(refuse)?;
            }
        }
        Ok(())
    }

    /// The value of the option `name` as text that [`Options::set`] takes back.
    ///
    /// Errors: `InvalidArgument` for an unknown name.
    pub fn get(&self, name: &str) -> Result<String> {
        let (name, _) = lookup(name)?;
        Ok(match name {
            "create_if_missing" => self.create_if_missing.to_string(),
            "error_if_exists" => self.error_if_exists.to_string(),
            "read_only" => self.read_only.to_string(),
            "compression" => self.compression.name().to_string(),
            "info_log" => match &self.info_log {
                InfoLog::None => "none".to_string(),
                InfoLog::Stderr => "stderr".to_string(),
                InfoLog::File(path) => path.display().to_string(),
            },
            _ => self.clone().number(name).to_string(),
        })
    }

    /// Refuses values out of their range and combinations that cannot work.
    ///
    /// Errors: `InvalidArgument`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let mut copy = self.clone();
        for (name, accepts) in &TABLE {
            if matches!(
                accepts,
                Accepts::Flag | Accepts::Compression | Accepts::InfoLog
            ) {
                continue;
            }
            let value = *copy.number(name);
            if !accepts.contains(value) {
                return Err(Error::invalid_argument(format!(
                    "option {} = {value}: {accepts}",
                    self.spelling(name)
                )));
            }
        }
        if self.read_only && self.error_if_exists {
            return Err(Error::invalid_argument(format!(
                "options {} and {} exclude each other",
                self.spelling("read_only"),
                self.spelling("error_if_exists")
            )));
        }
        Ok(())
    }

    /// The field of a numeric option.
    fn number(&mut self, name: &str) -> &mut u64 {
        match name {
            "write_buffer_size" => &mut self.write_buffer_size,
            "block_cache_size" => &mut self.block_cache_size,
            "block_size" => &mut self.block_size,
            "block_restart_interval" => &mut self.block_restart_interval,
            "bloom_bits_per_key" => &mut self.bloom_bits_per_key,
            "max_open_files" => &mut self.max_open_files,
            "level0_compaction_trigger" => &mut self.level0_compaction_trigger,
            "level_base_size" => &mut self.level_base_size,
            "level_size_multiplier" => &mut self.level_size_multiplier,
            "target_file_size" => &mut self.target_file_size,
            "background_threads" => &mut self.background_threads,
            "lock_timeout" => &mut self.lock_timeout_millis,
            "info_log_file_size" => &mut self.info_log_file_size,
            "info_log_files" => &mut self.info_log_files,
            _ => unreachable!("TABLE lists no other numeric option"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}

/// One line for a person: `name=value` of every option, first those that have another value than the default.
pub(crate) struct OnOneLine<'a>(pub(crate) &'a Options);

impl fmt::Display for OnOneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut own, mut defaults) = (self.0.clone(), Options::new());
        let (mut chosen, mut left) = (String::new(), String::new());
        for (name, accepts) in &TABLE {
            let text = |options: &mut Options| match accepts {
                Accepts::Size { .. } => size_text(*options.number(name)),
                _ => options.get(name).unwrap_or_default(),
            };
            let (value, default) = (text(&mut own), text(&mut defaults));
            let out = if value == default {
                &mut left
            } else {
                &mut chosen
            };
            *out += &format!(" {}={value}", self.0.spelling(name));
        }
        if chosen.is_empty() {
            chosen.push_str(" nothing but defaults");
        }
        write!(f, "{}; defaults:{left}", chosen.trim_start())
    }
}

/// A line per option, for a person: its value with a unit, and what the default would be where it is another.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut defaults = Options::new();
        let mut own = self.clone();
        for (name, accepts) in &TABLE {
            let text = |options: &mut Options| match accepts {
                Accepts::Size { .. } => size_text(*options.number(name)),
                Accepts::Millis { .. } => format!("{} ms", options.number(name)),
                _ => options.get(name).unwrap_or_default(),
            };
            let (value, default) = (text(&mut own), text(&mut defaults));
            match value == default {
                true => writeln!(f, "{name:<26}{value}")?,
                false => writeln!(f, "{name:<26}{value} (default {default})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Options");
        for name in Options::names() {
            out.field(name, &self.get(name).unwrap_or_default());
        }
        out.finish()
    }
}

impl Accepts {
    /// Whether a number is in range; what is not a number has no range.
    fn contains(&self, value: u64) -> bool {
        match self {
            Accepts::Size { smallest, largest } | Accepts::Count { smallest, largest } => {
                (*smallest..=*largest).contains(&value)
            }
            Accepts::Millis { largest } => value <= *largest,
            Accepts::Flag | Accepts::Compression | Accepts::InfoLog => true,
        }
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Accepts::Flag => write!(f, "expected true or false"),
            Accepts::Size { smallest, largest } => {
                write!(
                    f,
                    "expected a size from {} to {}",
                    size_text(*smallest),
                    size_text(*largest)
                )
            }
            Accepts::Count { smallest, largest } => {
                write!(f, "expected a whole number from {smallest} to {largest}")
            }
            Accepts::Millis { largest } => write!(f, "expected milliseconds from 0 to {largest}"),
            Accepts::Compression => write!(f, "expected none, snappy, lz4 or zstd"),
            Accepts::InfoLog => write!(f, "expected none, stderr or a path"),
        }
    }
}

/// The table's row of `name`, or an error with names near it.
fn lookup(name: &str) -> Result<(&'static str, &'static Accepts)> {
    if let Some((name, accepts)) = TABLE.iter().find(|(known, _)| *known == name) {
        return Ok((name, accepts));
    }
    if name.len() > MOST_TEXT_BYTES {
        return Err(Error::invalid_argument(format!(
            "unknown option, whose name has {} bytes (docs/guide.md lists all)",
            name.len()
        )));
    }
    let near = near(name).join(", ");
    let meant = match near.is_empty() {
        true => String::new(),
        false => format!("; did you mean: {near}?"),
    };
    Err(Error::invalid_argument(format!(
        "unknown option {name:?} (docs/guide.md lists all){meant}"
    )))
}

/// The names that are three changes away from `name`, or in which it is, or that are in it: the nearest [`MOST_NEAR`].
fn near(name: &str) -> Vec<&'static str> {
    if name.len() > MOST_TEXT_BYTES {
        return Vec::new();
    }
    // However it is written: block_cache_size, blockCacheSize, block-cache-size.
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let given = plain(name);
    let mut near: Vec<(usize, &str)> = Options::names()
        .filter_map(|name| {
            let known = plain(name);
            let distance = edit_distance(&given, &known);
            let is_part = given.len() >= 4 && (known.contains(&given) || given.contains(&known));
            (distance <= 3 || is_part).then_some((distance, name))
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.truncate(MOST_NEAR);
    near.into_iter().map(|(_, name)| name).collect()
}

/// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// `64MiB`, `64 mib`, `64M`, `64MB` (10^6), `4096`, `1.5GiB`; `None` if it is no size, no whole number of bytes, or beyond
/// 64 bits.
fn parse_size(text: &str) -> Option<u64> {
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
        // There is no part of a byte.
        return None;
    }
    let (whole, fraction) = number.split_once('.')?;
    let whole: u64 = match whole {
        "" if fraction.is_empty() => return None,
        "" => 0,
        whole => whole.parse().ok()?,
    };
    // In integers, from the last digit on: the sum is whole bytes only if each step is.
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

fn size_text(bytes: u64) -> String {
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

/// How one write is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Acknowledge only when this write, and every write acknowledged before it, would survive loss of power.
    /// Default: false: the write survives the death of the process.
    pub sync: bool,
}

impl WriteOptions {
    /// The defaults.
    pub fn new() -> WriteOptions {
        WriteOptions::default()
    }

    /// Sets [`WriteOptions::sync`].
    #[must_use]
    #[inline]
    pub fn sync(mut self, sync: bool) -> WriteOptions {
        self.sync = sync;
        self
    }

    /// Options that ask for durability against loss of power.
    pub fn synced() -> WriteOptions {
        WriteOptions { sync: true }
    }
}

/// How one get is made.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ReadOptions<'a> {
    /// Read as of this snapshot. Default: as of now.
    pub snapshot: Option<&'a Snapshot>,
    /// Keep blocks read from disk in the block cache. Default: true.
    pub fill_cache: bool,
}

impl<'a> ReadOptions<'a> {
    /// The defaults.
    pub fn new() -> ReadOptions<'a> {
        ReadOptions::default()
    }

    /// Sets [`ReadOptions::snapshot`].
    #[must_use]
    #[inline]
    pub fn snapshot(mut self, snapshot: impl Into<Option<&'a Snapshot>>) -> ReadOptions<'a> {
        self.snapshot = snapshot.into();
        self
    }

    /// Sets [`ReadOptions::fill_cache`].
    #[must_use]
    #[inline]
    pub fn fill_cache(mut self, fill_cache: bool) -> ReadOptions<'a> {
        self.fill_cache = fill_cache;
        self
    }
}

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        ReadOptions {
            snapshot: None,
            fill_cache: true,
        }
    }
}

/// What a cursor or iterator walks, and how.
///
/// Bounds are user keys. With `prefix` and bounds both set, an entry must satisfy both.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
/// use aidb::IterOptions;
///
/// db.put(b"fruit/apple", b"red")?;
/// let options = IterOptions::new().prefix(b"fruit/".to_vec()).reverse(true);
/// let mut cursor = db.cursor(options)?;
/// assert!(cursor.next()?);
/// assert_eq!(cursor.key(), b"fruit/apple");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IterOptions {
    /// Walk as of this snapshot. Default: as of the iterator's creation.
    pub snapshot: Option<Snapshot>,
    /// The smallest key to show, itself included. Default: none.
    pub lower_bound: Option<Vec<u8>>,
    /// The first key not to show: all shown keys are smaller. Default: none.
    pub upper_bound: Option<Vec<u8>>,
    /// Show only keys that start with these bytes. Default: none.
    pub prefix: Option<Vec<u8>>,
    /// Walk from the largest key down: `first` is the largest key, `next` goes to a smaller one, and `seek` to
    /// the largest key at or before the target. Default: false.
    pub reverse: bool,
    /// Show keys. Default: true; without them `key` is empty.
    pub keys: bool,
    /// Show values. Default: true; without them `value` is empty.
    pub values: bool,
    /// Keep blocks read from disk in the block cache. Default: true.
    pub fill_cache: bool,
}

impl IterOptions {
    /// The defaults.
    pub fn new() -> IterOptions {
        IterOptions::default()
    }

    /// Sets [`IterOptions::snapshot`].
    #[must_use]
    pub fn snapshot(mut self, snapshot: impl Into<Option<Snapshot>>) -> IterOptions {
        self.snapshot = snapshot.into();
        self
    }

    /// Sets [`IterOptions::lower_bound`].
    #[must_use]
    pub fn lower_bound(mut self, lower_bound: impl Into<Option<Vec<u8>>>) -> IterOptions {
        self.lower_bound = lower_bound.into();
        self
    }

    /// Sets [`IterOptions::upper_bound`].
    #[must_use]
    pub fn upper_bound(mut self, upper_bound: impl Into<Option<Vec<u8>>>) -> IterOptions {
        self.upper_bound = upper_bound.into();
        self
    }

    /// Sets [`IterOptions::prefix`].
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Option<Vec<u8>>>) -> IterOptions {
        self.prefix = prefix.into();
        self
    }

    /// Sets [`IterOptions::reverse`].
    #[must_use]
    pub fn reverse(mut self, reverse: bool) -> IterOptions {
        self.reverse = reverse;
        self
    }

    /// Sets [`IterOptions::keys`].
    #[must_use]
    pub fn keys(mut self, keys: bool) -> IterOptions {
        self.keys = keys;
        self
    }

    /// Sets [`IterOptions::values`].
    #[must_use]
    pub fn values(mut self, values: bool) -> IterOptions {
        self.values = values;
        self
    }

    /// Sets [`IterOptions::fill_cache`].
    #[must_use]
    pub fn fill_cache(mut self, fill_cache: bool) -> IterOptions {
        self.fill_cache = fill_cache;
        self
    }
}

impl Default for IterOptions {
    fn default() -> Self {
        IterOptions {
            snapshot: None,
            lower_bound: None,
            upper_bound: None,
            prefix: None,
            reverse: false,
            keys: true,
            values: true,
            fill_cache: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_option_reads_back_what_it_was_set_to() {
        let mut options = Options::new();
        for name in Options::names() {
            let text = options.get(name).unwrap();
            options.set(name, &text).unwrap();
            assert_eq!(options.get(name).unwrap(), text, "{name}");
        }
        options.set("lock_timeout", "250").unwrap();
        options.set("block_cache_size", "1.5GiB").unwrap();
        let text = options.to_string();
        assert_eq!(text.lines().count(), Options::names().count());
        for line in [
            "lock_timeout              250 ms (default 0 ms)",
            "block_cache_size          1536MiB (default 256MiB)",
            "write_buffer_size         64MiB",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(options.lock_timeout_millis, 250);
        options.set("info_log", "/tmp/log").unwrap();
        assert_eq!(options.info_log, InfoLog::File(PathBuf::from("/tmp/log")));
    }

    #[test]
    fn sizes_take_units() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64MiB", 64 * MIB),
            ("64 mib", 64 * MIB),
            ("1GB", 1_000_000_000),
            ("1.5KiB", 1536),
            ("16k", 16 * KIB),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "12 parsecs",
            "4096.5",
            "0.5b",
            "99999999999999999999",
            "1e400GiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_misspelt_name_lists_near_ones() {
        let error = Options::new().set("block_cach_size", "1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("block_cache_size"), "{error}");
        for name in ["blockCachSize", "BLOCK-CACHE-SIZE", "blockcachesize"] {
            let error = Options::new().get(name).unwrap_err();
            assert!(
                error.message().ends_with("did you mean: block_cache_size?"),
                "{error}"
            );
        }
        let error = Options::new().get("zzz").unwrap_err();
        let message = "unknown option \"zzz\" (docs/guide.md lists all)";
        assert_eq!(error.message(), message);
    }

    #[test]
    fn messages_call_an_option_what_the_caller_calls_it() {
        let mut options = Options::new().error_if_exists(true).block_size(1);
        for name in Options::names() {
            options.spell(name, &format!("my-{name}")).unwrap();
        }
        assert!(options.spell("blok_size", "blokSize").is_err());
        let told = |error: Error| error.message().to_owned();
        let message = told(options.set("block_size", "x").unwrap_err());
        assert!(
            message.starts_with("option my-block_size = \"x\": "),
            "{message}"
        );
        let message = told(options.validate().unwrap_err());
        assert!(
            message.starts_with("option my-block_size = 1: "),
            "{message}"
        );
        let options = options.block_size(4096).read_only(true);
        let message = told(options.validate().unwrap_err());
        assert_eq!(
            message,
            "options my-read_only and my-error_if_exists exclude each other"
        );
    }

    #[test]
    fn one_line_has_every_option_and_first_what_is_no_default() {
        let text = OnOneLine(&Options::new()).to_string();
        assert!(
            text.starts_with("nothing but defaults; defaults: create_if_missing=true "),
            "{text}"
        );
        let mut options = Options::new().read_only(true).block_size(8 * KIB);
        options.set("info_log", "/tmp/log").unwrap();
        let text = OnOneLine(&options).to_string();
        let (chosen, defaults) = text.split_once("; defaults: ").unwrap();
        assert_eq!(chosen, "read_only=true block_size=8KiB info_log=/tmp/log");
        assert_eq!(defaults.split(' ').count() + 3, Options::names().count());
        // What stands there can be set.
        let mut again = Options::new();
        for pair in chosen.split(' ').chain(defaults.split(' ')) {
            let (name, value) = pair.split_once('=').unwrap();
            again.set(name, value).unwrap();
        }
        assert_eq!(format!("{again:?}"), format!("{options:?}"));
    }

    #[test]
    fn a_value_out_of_range_names_the_range() {
        let mut options = Options::new();
        let error = options.set("level_size_multiplier", "1").unwrap_err();
        assert!(error.message().contains("from 2 to 100"), "{error}");
        let error = Options::new().write_buffer_size(1).validate().unwrap_err();
        assert!(error.message().contains("from 4KiB to 16GiB"), "{error}");
        for (name, value) in [
            ("compression", "rar"),
            ("read_only", "maybe"),
            ("block_size", "many"),
        ] {
            let error = Options::new().set(name, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}");
        }
    }
}

#[cfg(test)]
mod edges;
