//! The table of options: each is declared here, once, and nowhere else.
//!
//! A row has an option's name, its argument and type, what it accepts, its default, one line of help, and perhaps more
//! lines that only Rust's documentation shows. From it follow the field of [`Options`], the default, the builder method
//! with its documentation, and a [`Declared`], by which options are set, shown and checked as text. The table of the
//! guide and the options in Python's stubs and Node's types are written from those: tests/documents/options.rs.
//!
//! Elsewhere: the text that each type takes (`setting.rs`); what is done with all options (`mod.rs`).

use std::time::Duration;

use super::accepts::Accepts;
use super::info_log::InfoLog;
use super::setting::Setting;
use super::size::size_text;
use crate::compression::Compression;
use crate::env::{Env, OsEnv};
use crate::sync::Arc;

/// An option as the table declares it.
#[doc(hidden)]
pub struct Declared {
    /// The name, the same in every language but for camel case.
    pub name: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// What it may be set to.
    pub accepts: Accepts,
    /// Where its value is.
    pub(super) setting: fn(&Options) -> &dyn Setting,
    /// The same, for changing it.
    pub(super) setting_mut: fn(&mut Options) -> &mut dyn Setting,
}

impl Declared {
    /// The value in `options` for a person: a size has a unit.
    pub fn shown(&self, options: &Options) -> String {
        let setting = (self.setting)(options);
        match (&self.accepts, setting.number()) {
            (Accepts::Size(_), Some(bytes)) => size_text(bytes),
            _ => setting.text(),
        }
    }
}

/// A number with its unit: `64 MiB`.
macro_rules! number {
    ($number:literal) => {
        $number
    };
    ($number:literal KiB) => {
        $number << 10
    };
    ($number:literal MiB) => {
        $number << 20
    };
    ($number:literal GiB) => {
        $number << 30
    };
    ($number:literal TiB) => {
        $number << 40
    };
}

/// Makes one of three things of a row's statement about an option's values: the [`Accepts`], the default, or a line
/// of documentation.
macro_rules! values {
    (accepts: $kind:ident $first:literal $($unit:ident)? ..= $last:literal $($last_unit:ident)?, $($default:tt)+) => {
        Accepts::$kind(number!($first $($unit)?)..=number!($last $($last_unit)?))
    };
    (accepts: $kind:ident, $($default:tt)+) => {
        Accepts::$kind
    };

    (default: Millis $first:literal ..= $last:literal, default $default:literal) => {
        Duration::from_millis($default)
    };
    (default: $kind:ident $first:literal $($first_unit:ident)? ..= $last:literal $($last_unit:ident)?,
     default $default:literal $($unit:ident)?) => {
        number!($default $($unit)?)
    };
    (default: Flag, default $default:literal) => {
        $default
    };
    (default: $type:ident, default $default:ident) => {
        $type::$default
    };

    (doc: $kind:ident $first:literal $($first_unit:ident)? ..= $last:literal $($last_unit:ident)?,
     default $default:literal $($unit:ident)?) => {
        concat!(
            "From ", $first, $(" ", stringify!($first_unit),)?
            " to ", $last, $(" ", stringify!($last_unit),)?
            "; default: ", $default, $(" ", stringify!($unit),)? "."
        )
    };
    (doc: $kind:ident, default $default:tt) => {
        concat!("Default: ", stringify!($default), ".")
    };
}

/// Makes from the rows what the head of this file says.
macro_rules! options {
    ($(
        #[doc = $help:literal]
        $(#[doc = $more:literal])*
        $name:ident($argument:ident: $type:ty) { $($values:tt)+ }
    )+) => {
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
            $(pub(crate) $name: $type,)+
            pub(crate) env: Arc<dyn Env>,
            pub(crate) manual_background: bool,
            /// The caller's spellings of options, if they differ from core's.
            pub(super) spellings: Vec<(&'static str, String)>,
            /// See `db/context.rs`.
            #[cfg(test)]
            pub(crate) step_hook: Option<Arc<dyn Fn(&'static str) + Send + Sync>>,
        }

        impl Options {
            /// The defaults.
            pub fn new() -> Options {
                Options {
                    $($name: values!(default: $($values)+),)+
                    env: Arc::new(OsEnv::new()),
                    manual_background: false,
                    spellings: Vec::new(),
                    #[cfg(test)]
                    step_hook: None,
                }
            }

            $(
                #[doc = $help]
                $(#[doc = $more])*
                ///
                #[doc = values!(doc: $($values)+)]
                pub fn $name(mut self, $argument: $type) -> Self {
                    self.$name = $argument.kept();
                    self
                }
            )+
        }

        /// Every option, in the order of the documents.
        pub(super) static TABLE: &[Declared] = &[$(
            Declared {
                name: stringify!($name),
                help: $help,
                accepts: values!(accepts: $($values)+),
                setting: |options| &options.$name,
                setting_mut: |options| &mut options.$name,
            },
        )+];
    };
}

options! {
    /// Creates the database if the directory is missing or empty.
    create_if_missing(yes: bool) { Flag, default true }

    /// Refuses to open a database that exists.
    error_if_exists(yes: bool) { Flag, default false }

    /// Opens without writing anything: shares the directory with other readers, refuses a writer.
    read_only(yes: bool) { Flag, default false }

    /// Bytes of the memtable before it is sealed and flushed; up to three are held at once.
    write_buffer_size(bytes: u64) { Size 4 KiB ..= 16 GiB, default 64 MiB }

    /// Bytes of data blocks kept in memory; 0 keeps none.
    block_cache_size(bytes: u64) { Size 0 ..= 1 TiB, default 256 MiB }

    /// Bytes of a data block before compression.
    /// Larger blocks compress better and scan faster, smaller ones cost less per get.
    block_size(bytes: u64) { Size 128 ..= 16 MiB, default 4 KiB }

    /// Entries between two whole keys in a block.
    block_restart_interval(entries: u64) { Count 1 ..= 1024, default 16 }

    /// The codec of new blocks; old ones stay readable.
    compression(codec: Compression) { Compression, default Snappy }

    /// Bloom filter bits per key of new tables; 10 let 1 % of absent keys through to the disk, 0 builds no filter.
    bloom_bits_per_key(bits: u64) { Count 0 ..= 32, default 10 }

    /// Tables kept open at once; 0 takes half of what the process may open.
    max_open_files(files: u64) { Count 0 ..= 1_048_576, default 0 }

    /// Tables in level 0 that start a compaction.
    level0_compaction_trigger(files: u64) { Count 1 ..= 64, default 4 }

    /// Bytes of level 1 before it is compacted into level 2.
    level_base_size(bytes: u64) { Size 4 KiB ..= 1 TiB, default 256 MiB }

    /// How many times larger each level is than the one above.
    level_size_multiplier(factor: u64) { Count 2 ..= 100, default 10 }

    /// Bytes of a table before a compaction starts the next one.
    target_file_size(bytes: u64) { Size 4 KiB ..= 64 GiB, default 64 MiB }

    /// Compaction threads, beside one thread that flushes.
    background_threads(threads: u64) { Count 1 ..= 64, default 2 }

    /// Whole milliseconds to wait for another opener to let the database go; 0 does not wait.
    lock_timeout(timeout: Duration) { Millis 0 ..= 86_400_000, default 0 }

    /// Whole milliseconds after which a transaction that nobody uses is rolled back; 0: never.
    transaction_timeout(timeout: Duration) { Millis 0 ..= 86_400_000, default 600_000 }

    /// Where the database writes what it does, a line per event; a file of the engine's own is refused.
    /// A line that cannot be written is dropped. Several databases and processes may share a file, and anybody may
    /// rename, empty or remove it. A file of the engine's own, by whatever path, is refused when the database is
    /// opened.
    info_log(log: InfoLog) { InfoLog, default None }

    /// Bytes of the info log's file before it is renamed to its name with `.1` after it, and a new one begun; 0: never.
    info_log_file_size(bytes: u64) { Size 0 ..= 1 TiB, default 16 MiB }

    /// Files of the info log that are kept, renamed ones included; with 1 a full file is emptied.
    info_log_files(files: u64) { Count 1 ..= 1000, default 4 }
}
