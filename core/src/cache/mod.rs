//! Which tables are open, at most so many of them: `table_cache.rs`.
//!
//! It is a CLOCK over slots that live with what they cache: a version's file metadata has a slot for the open table.
//! A hit is one load; locks are taken only to fill and to evict. Why so: docs/decisions/0010.
//!
//! Elsewhere: which data blocks of open tables stay in memory (`sstable/block_cache.rs`).

mod table_cache;
#[cfg(test)]
mod tests;

pub(crate) use table_cache::{TableCache, TableHandle};
