//! The table cache: keeps tables open, up to a limit (`table_cache.rs`).
//!
//! It is a CLOCK over slots; each slot is in the metadata of the file whose open table it caches. A hit is one
//! load; locks are taken only to fill and to evict. The reasons: docs/decisions/0010.
//!
//! Elsewhere: which data blocks of open tables stay in memory (`sstable/block_cache.rs`).

mod table_cache;
#[cfg(test)]
mod tests;

pub(crate) use table_cache::{TableCache, TableHandle};
