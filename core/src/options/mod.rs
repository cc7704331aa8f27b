//! Options: names, units, defaults and valid ranges, in one table (`table.rs`).
//!
//! The snake_case names are the same in every language. [`Options::set`] takes them as text, the builder
//! methods as values. `set` refuses what is out of range; a builder method keeps it, and [`Options::validate`],
//! which every open calls, refuses it. Everything else in the engine is derived from these.

use std::fmt;

use self::table::TABLE;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::sync::Arc;

mod accepts;
mod info_log;
mod setting;
mod size;
mod table;

#[doc(hidden)]
pub use self::{accepts::Accepts, table::Declared};
pub use self::{info_log::InfoLog, table::Options};

/// At most this many names are suggested for an unknown one.
const MAX_NEAR: usize = 3;
/// The most bytes of a name or value given as text: more than the longest path of any system.
const MAX_TEXT_BYTES: usize = 64 << 10;

impl Options {
    /// The names of all options, in the order of the documents.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|declared| declared.name)
    }

    /// The table of options, in the order of the documents.
    #[doc(hidden)]
    pub fn declared() -> &'static [Declared] {
        TABLE
    }

    /// What the option `name` accepts.
    ///
    /// Errors: as for [`Options::get`].
    #[doc(hidden)]
    pub fn accepts(name: &str) -> Result<&'static Accepts> {
        Ok(&lookup(name)?.accepts)
    }

    /// The environment through which to reach files, clock and threads. Default: the operating system.
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

    /// Makes messages call the option `name` by `spelling`, for callers in a language that spells it so.
    ///
    /// Errors: as for [`Options::get`].
    #[doc(hidden)]
    pub fn spell(&mut self, name: &str, spelling: &str) -> Result<()> {
        let name = lookup(name)?.name;
        self.spellings.retain(|(known, _)| *known != name);
        self.spellings.push((name, spelling.to_owned()));
        Ok(())
    }

    /// The spelling of the option `name` in messages.
    pub(crate) fn spelling<'a>(&'a self, name: &'a str) -> &'a str {
        let spelling = self.spellings.iter().find(|(known, _)| *known == name);
        spelling.map_or(name, |(_, spelling)| spelling)
    }

    /// The option names that a caller who wrote `name` may have meant: at most three, the nearest first.
    #[doc(hidden)]
    pub fn names_near(name: &str) -> Vec<&'static str> {
        near(name)
    }

    /// Sets the option `name` (snake_case) from text: `true`/`false`; a number; a size such as `64MiB`, `1GB` or
    /// `4096`; a codec name; for `lock_timeout` milliseconds; for `info_log` `none`, `stderr` or a path.
    ///
    /// Errors: `InvalidArgument` for an unknown name (the message has up to three near ones) or a value out of its
    /// range (the message says the range); the options are unchanged then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let declared = lookup(name)?;
        let (shown, accepts) = (self.spelling(declared.name), &declared.accepts);
        if value.len() > MAX_TEXT_BYTES {
            // A message that repeats the text, or a copy of it as a path, would take as much memory again.
            return Err(Error::invalid_argument(format!(
                "option {shown}: a text of {} bytes is too long: expected {accepts}",
                value.len()
            )));
        }
        if !(declared.setting_mut)(self).set(value, accepts) {
            let shown = self.spelling(declared.name);
            return Err(Error::invalid_argument(format!(
                "option {shown} = {value:?}: expected {accepts}"
            )));
        }
        Ok(())
    }

    /// The value of the option `name` as text that [`Options::set`] takes back.
    ///
    /// Errors: `InvalidArgument` for an unknown name.
    pub fn get(&self, name: &str) -> Result<String> {
        Ok((lookup(name)?.setting)(self).text())
    }

    /// Refuses values out of their range and combinations that cannot work.
    ///
    /// Errors: `InvalidArgument`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        for Declared {
            name,
            accepts,
            setting,
            ..
        } in TABLE
        {
            let number = setting(self).number();
            let Some((value, range)) = number.zip(accepts.range()) else {
                continue;
            };
            if !range.contains(&value) {
                return Err(Error::invalid_argument(format!(
                    "option {} = {value}: expected {accepts}",
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
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}

/// One line for a person: `name=value` of every option, first those whose value is not the default.
pub(crate) struct OnOneLine<'a>(pub(crate) &'a Options);

impl fmt::Display for OnOneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defaults = Options::new();
        let (mut chosen, mut left) = (String::new(), String::new());
        for declared in TABLE {
            let (value, default) = (declared.shown(self.0), declared.shown(&defaults));
            let out = if value == default {
                &mut left
            } else {
                &mut chosen
            };
            *out += &format!(" {}={value}", self.0.spelling(declared.name));
        }
        if chosen.is_empty() {
            chosen.push_str(" nothing but defaults");
        }
        write!(f, "{}; defaults:{left}", chosen.trim_start())
    }
}

/// A line per option, for a person: its value with a unit, and the default if that differs.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defaults = Options::new();
        for declared in TABLE {
            let unit = match declared.accepts {
                Accepts::Millis(_) => " ms",
                _ => "",
            };
            let (name, value) = (declared.name, declared.shown(self));
            let default = declared.shown(&defaults);
            match value == default {
                true => writeln!(f, "{name:<26}{value}{unit}")?,
                false => writeln!(f, "{name:<26}{value}{unit} (default {default}{unit})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Options");
        for declared in TABLE {
            out.field(declared.name, &(declared.setting)(self).text());
        }
        out.finish()
    }
}

/// The table's row for `name`, or an error with similar names.
fn lookup(name: &str) -> Result<&'static Declared> {
    if let Some(declared) = TABLE.iter().find(|declared| declared.name == name) {
        return Ok(declared);
    }
    if name.len() > MAX_TEXT_BYTES {
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

/// The option names that are at most three changes away from `name`, contain it, or are part of it; only the nearest
/// [`MAX_NEAR`].
fn near(name: &str) -> Vec<&'static str> {
    if name.len() > MAX_TEXT_BYTES {
        return Vec::new();
    }
    // Compares names in any spelling: block_cache_size, blockCacheSize, block-cache-size.
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
    near.truncate(MAX_NEAR);
    near.into_iter().map(|(_, name)| name).collect()
}

/// The least number of insertions, deletions and replacements that turn `a` into `b` (Levenshtein).
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

/// How one write is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Acknowledge only when this write, and every write acknowledged before it, would survive power loss.
    /// Default: false; the write then survives only the death of the process.
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

    /// Options that ask for durability against power loss.
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

/// How a transaction is made.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TransactionOptions {
    /// Refuse writes: what it reads is not kept in memory, and it never conflicts. Default: false.
    pub read_only: bool,
}

impl TransactionOptions {
    /// The defaults.
    pub fn new() -> TransactionOptions {
        TransactionOptions::default()
    }

    /// Sets [`TransactionOptions::read_only`].
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> TransactionOptions {
        self.read_only = read_only;
        self
    }
}

/// Which entries a count counts, besides the range of keys.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
/// use aidb::CountOptions;
/// use std::ops::ControlFlow;
///
/// let snapshot = db.snapshot()?;
/// db.put(b"fruit", b"apple")?;
/// let options = CountOptions::new().snapshot(&snapshot);
/// let before = db.count_with(None, None, &options, &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!((before, db.count(None, None)?), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CountOptions<'a> {
    /// Count as of this snapshot. Default: as of now.
    pub snapshot: Option<&'a Snapshot>,
    /// Count only keys that start with these bytes. Default: none.
    pub prefix: Option<&'a [u8]>,
    /// Keep blocks read from disk in the block cache. Default: false.
    pub fill_cache: bool,
}

impl<'a> CountOptions<'a> {
    /// The defaults.
    pub fn new() -> CountOptions<'a> {
        CountOptions::default()
    }

    /// Sets [`CountOptions::snapshot`].
    #[must_use]
    pub fn snapshot(mut self, snapshot: impl Into<Option<&'a Snapshot>>) -> CountOptions<'a> {
        self.snapshot = snapshot.into();
        self
    }

    /// Sets [`CountOptions::prefix`].
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Option<&'a [u8]>>) -> CountOptions<'a> {
        self.prefix = prefix.into();
        self
    }

    /// Sets [`CountOptions::fill_cache`].
    #[must_use]
    pub fn fill_cache(mut self, fill_cache: bool) -> CountOptions<'a> {
        self.fill_cache = fill_cache;
        self
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
    /// Show values. Default: true; without them `value` is empty, and the walk copies none and touches those in
    /// memory not at all. A block read from disk is still read whole.
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
    use super::size::parse_size;
    use super::*;
    use std::time::Duration;

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
        assert_eq!(options.lock_timeout, Duration::from_millis(250));
        options.set("info_log", "/tmp/log").unwrap();
        assert_eq!(options.info_log, InfoLog::File("/tmp/log".into()));
    }

    #[test]
    fn sizes_take_units() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1.5KiB", 1536),
            ("16k", 16 << 10),
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
        let reported = |error: Error| error.message().to_owned();
        let message = reported(options.set("block_size", "x").unwrap_err());
        assert!(
            message.starts_with("option my-block_size = \"x\": "),
            "{message}"
        );
        let message = reported(options.validate().unwrap_err());
        assert!(
            message.starts_with("option my-block_size = 1: "),
            "{message}"
        );
        let options = options.block_size(4096).read_only(true);
        let message = reported(options.validate().unwrap_err());
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
        let mut options = Options::new().read_only(true).block_size(8 << 10);
        options.set("info_log", "/tmp/log").unwrap();
        let text = OnOneLine(&options).to_string();
        let (chosen, defaults) = text.split_once("; defaults: ").unwrap();
        assert_eq!(chosen, "read_only=true block_size=8KiB info_log=/tmp/log");
        assert_eq!(defaults.split(' ').count() + 3, Options::names().count());
        // Every shown value can be set.
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
