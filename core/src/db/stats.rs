//! Statistics of an open database, and its reports.

use std::fmt::Write;

use super::json::json_text;
use super::life::Database;
use crate::compaction::scores;
use crate::key::FileNumber;
use crate::sync::Arc;
use crate::version::{LEVELS, Version};

/// Counters since the database was opened, and current sizes. Sizes and amounts are bytes unless a name says
/// otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The sequence number of the last write that readers see.
    pub sequence: u64,
    /// Bytes held by the active memtable and by those waiting for a flush.
    pub memtable_bytes: u64,
    /// Sealed memtables waiting for a flush.
    pub immutable_memtables: u64,
    /// Bytes of blocks in the cache.
    pub block_cache_bytes: u64,
    /// Blocks found in the block cache.
    pub block_cache_hits: u64,
    /// Blocks read from disk.
    pub block_cache_misses: u64,
    /// Blocks evicted from the cache.
    pub block_cache_evictions: u64,
    /// Tables open now.
    pub open_tables: u64,
    /// Snapshots held; several with one sequence number count once.
    pub snapshots: u64,
    /// Operations written.
    pub operations_written: u64,
    /// Batches committed.
    pub batches_written: u64,
    /// Bytes appended to logs.
    pub wal_bytes: u64,
    /// Syncs of logs.
    pub wal_syncs: u64,
    /// Memtables flushed.
    pub flushes: u64,
    /// Bytes of tables written by flushes.
    pub flush_bytes_written: u64,
    /// Compactions done, trivial moves not counted.
    pub compactions: u64,
    /// Tables moved to the next level without rewriting.
    pub trivial_moves: u64,
    /// Bytes read by compactions.
    pub compaction_bytes_read: u64,
    /// Bytes written by compactions.
    pub compaction_bytes_written: u64,
    /// Microseconds that writers were delayed.
    pub stall_micros: u64,
    /// Disk space in bytes reserved for when the disk is full.
    pub reserve_bytes: u64,
    /// Transactions that have begun and not ended.
    pub transactions_open: u64,
    /// Bytes of memory for the reads and writes of the open transactions, and for the keys that recent commits changed.
    pub transaction_bytes: u64,
    /// Transactions committed.
    pub transactions_committed: u64,
    /// Commits of transactions that met a conflict.
    pub transaction_conflicts: u64,
    /// Transactions rolled back because nobody used them for `transaction_timeout`.
    pub transactions_timed_out: u64,
    /// Every level, from 0.
    pub levels: Vec<LevelStats>,
    /// Tables that compactions skip, because an earlier compaction of them would have lost or changed entries, or met
    /// damage. They stay readable. Empty unless something is wrong: see `docs/errors.md`, "When a table is set
    /// aside".
    pub set_aside: Vec<SetAside>,
}

/// A table that compactions skip until the database is opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// The number in the table's file name.
    pub table: FileNumber,
    /// Why: a sentence for a person, which begins with the kind of the error.
    pub error: String,
}

/// One level of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelStats {
    /// Tables in the level.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their entries, tombstones included.
    pub entries: u64,
}

impl Stats {
    fn counters(&self) -> [(&'static str, u64); 26] {
        [
            ("sequence", self.sequence),
            ("memtable_bytes", self.memtable_bytes),
            ("immutable_memtables", self.immutable_memtables),
            ("block_cache_bytes", self.block_cache_bytes),
            ("block_cache_hits", self.block_cache_hits),
            ("block_cache_misses", self.block_cache_misses),
            ("block_cache_evictions", self.block_cache_evictions),
            ("open_tables", self.open_tables),
            ("snapshots", self.snapshots),
            ("operations_written", self.operations_written),
            ("batches_written", self.batches_written),
            ("wal_bytes", self.wal_bytes),
            ("wal_syncs", self.wal_syncs),
            ("flushes", self.flushes),
            ("flush_bytes_written", self.flush_bytes_written),
            ("compactions", self.compactions),
            ("trivial_moves", self.trivial_moves),
            ("compaction_bytes_read", self.compaction_bytes_read),
            ("compaction_bytes_written", self.compaction_bytes_written),
            ("stall_micros", self.stall_micros),
            ("reserve_bytes", self.reserve_bytes),
            ("transactions_open", self.transactions_open),
            ("transaction_bytes", self.transaction_bytes),
            ("transactions_committed", self.transactions_committed),
            ("transaction_conflicts", self.transaction_conflicts),
            ("transactions_timed_out", self.transactions_timed_out),
        ]
    }

    /// The same as a JSON object; the fields keep their names.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in self.counters() {
            let _ = write!(out, "\"{name}\":{value},");
        }
        let levels: Vec<String> = self.levels.iter().map(LevelStats::to_json).collect();
        let set_aside: Vec<String> = self.set_aside.iter().map(SetAside::to_json).collect();
        let _ = write!(
            out,
            "\"levels\":[{}],\"set_aside\":[{}]}}",
            levels.join(","),
            set_aside.join(",")
        );
        out
    }

    /// The same as lines for a person; a level with a score of 1 or more is due for compaction.
    fn to_text(&self, scores: &[f64]) -> String {
        let mut out = String::from("level  tables         bytes       entries  score\n");
        for (number, level) in self.levels.iter().enumerate() {
            let LevelStats {
                tables,
                bytes,
                entries,
            } = level;
            let score = scores.get(number).copied().unwrap_or_default();
            let _ = writeln!(
                out,
                "{number:>5} {tables:>7} {bytes:>13} {entries:>13} {score:>6.2}"
            );
        }
        for (name, value) in self.counters() {
            let _ = writeln!(out, "{name:<24} {value}");
        }
        for SetAside { table, error } in &self.set_aside {
            let _ = writeln!(out, "set aside: table {table}: {error}");
        }
        out
    }
}

impl SetAside {
    fn to_json(&self) -> String {
        let SetAside { table, error } = self;
        format!("{{\"table\":{},\"error\":{}}}", table.0, json_text(error))
    }
}

impl LevelStats {
    fn to_json(&self) -> String {
        let LevelStats {
            tables,
            bytes,
            entries,
        } = self;
        format!("{{\"tables\":{tables},\"bytes\":{bytes},\"entries\":{entries}}}")
    }
}

impl Database {
    pub(super) fn stats(&self) -> Stats {
        let (counts, log_bytes) = self.commit.counts();
        let transactions = self.transactions.counts();
        let superversion = self.tree.load_full();
        let cache = self.tree.block_cache().stats();
        let metrics = self.context.metrics();
        let levels = (0..LEVELS).map(|level| {
            let files = superversion.version().files(level);
            debug_assert!(
                superversion.version().level_bytes(level)
                    == files.iter().map(|file| file.size).sum::<u64>(),
                "VERSION-5: a level's bytes are those of its tables"
            );
            LevelStats {
                tables: files.len() as u64,
                bytes: superversion.version().level_bytes(level),
                entries: files.iter().map(|file| file.entries).sum(),
            }
        });
        Stats {
            sequence: self.order.last().0,
            memtable_bytes: superversion.memtable_bytes() as u64,
            immutable_memtables: superversion.sealed().len() as u64,
            block_cache_bytes: cache.used as u64,
            block_cache_hits: cache.hits,
            block_cache_misses: cache.misses,
            block_cache_evictions: cache.evictions,
            open_tables: self.tree.tables().stats().open as u64,
            snapshots: self.order.snapshots() as u64,
            operations_written: counts.operations,
            batches_written: counts.batches,
            wal_bytes: counts.bytes + log_bytes,
            wal_syncs: self.logs.syncs(),
            flushes: metrics.flushes.get(),
            flush_bytes_written: metrics.flush_bytes_written.get(),
            compactions: metrics.compactions.get(),
            trivial_moves: metrics.trivial_moves.get(),
            compaction_bytes_read: metrics.compaction_bytes_read.get(),
            compaction_bytes_written: metrics.compaction_bytes_written.get(),
            stall_micros: self.tree.stall_micros(),
            reserve_bytes: self.space.bytes(),
            transactions_open: transactions.open,
            transaction_bytes: transactions.bytes,
            transactions_committed: transactions.committed,
            transaction_conflicts: transactions.conflicts,
            transactions_timed_out: transactions.timed_out,
            levels: levels.collect(),
            set_aside: self.set_aside_tables(superversion.version()),
        }
    }

    /// The tables of `version` that compactions skip.
    fn set_aside_tables(&self, version: &Version) -> Vec<SetAside> {
        let set_aside = self.tree.tables_set_aside();
        let is_live = |number: FileNumber| {
            let mut files = version.all_files();
            files.any(|(_, file)| file.number == number)
        };
        let live = set_aside.into_iter().filter(|(table, _)| is_live(*table));
        live.map(|(table, error)| SetAside {
            table,
            error: error.to_string(),
        })
        .collect()
    }

    /// The report with this name; LevelDB's names work too.
    pub(super) fn property(&self, name: &str) -> Option<String> {
        let name = name
            .strip_prefix("aidb.")
            .or_else(|| name.strip_prefix("leveldb."))?;
        if let Some(level) = name.strip_prefix("num-files-at-level") {
            let level = level.parse().ok().filter(|level| *level < LEVELS)?;
            return Some(self.tree.load().version().files(level).len().to_string());
        }
        Some(match name {
            "stats" => {
                let version = Arc::clone(self.tree.load().version());
                self.stats()
                    .to_text(&scores(&version, &self.tree.picker_options()))
            }
            "stats-json" => self.stats().to_json(),
            "sstables" => self.tables_text(),
            "options" => self.context.options().to_string(),
            "approximate-memory-usage" => {
                let blocks = self.tree.block_cache().gauge().resident();
                (self.tree.memtable_bytes() + blocks + self.tree.tables().stats().memory)
                    .to_string()
            }
            "block-cache-usage" => self.tree.block_cache().stats().used.to_string(),
            "num-snapshots" => self.order.snapshots().to_string(),
            // Of everything, it opens no table, so it does not fail.
            "estimate-num-keys" => self.tree.approximate_count(None, None).ok()?.to_string(),
            _ => return None,
        })
    }

    /// A line per table: level, number, bytes, entries, smallest and largest key.
    fn tables_text(&self) -> String {
        let mut out = String::new();
        for (level, file) in self.tree.load().version().all_files() {
            let smallest = file.smallest_key().user_key.escape_ascii();
            let largest = file.largest_key().user_key.escape_ascii();
            let _ = writeln!(
                out,
                "{level} {} {} bytes {} entries [{smallest} .. {largest}]",
                file.number, file.size, file.entries
            );
        }
        out
    }
}
