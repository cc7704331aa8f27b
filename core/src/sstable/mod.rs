//! SSTables: immutable sorted files of internal entries, and everything that reads and writes them.
//!
//! * `format/`          header, block trailer, footer, properties
//! * `block_builder.rs` writes a data block          `block/`     a data block in memory
//! * `block_cache.rs`   which data blocks stay in memory
//! * `index.rs`         which block a key belongs to  `filter.rs` a Bloom filter of the keys
//! * `builder.rs`       writes a whole table          `reader.rs` opens one and answers lookups
//! * `iter.rs`          walks a table                 `span.rs`   walks a part of one block, without the merge
//! * `tail.rs`          the parts an open table needs: the header, and all that follows the data blocks
//! * `tally.rs`         counts and sums of the entries in a table's blocks
//! * `salvage.rs`       reads the intact parts of a damaged table
//!
//! Layout: docs/format.md, "SSTable". Elsewhere: the list of live tables (`version`), and which of them are
//! open (`cache`).

mod block;
mod block_builder;
mod block_cache;
mod builder;
#[cfg(test)]
mod edges;
mod filter;
mod format;
mod index;
mod iter;
mod reader;
mod salvage;
mod span;
mod tail;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use block::Block;
#[cfg(feature = "internals")]
pub(crate) use block::{BlockCursor, Damage};
pub(crate) use block_cache::BlockCache;
#[cfg(test)]
pub(crate) use builder::spoiling;
pub(crate) use builder::{Builder, TableOptions, TableSummary};
pub(crate) use format::{begins_table, ends_table};
pub(crate) use iter::{KeptBlock, TableIterator};
pub(crate) use reader::check::Checked;
pub(crate) use reader::{Pending, Sought, Table, TableEntry, TableValue, Unread};
pub(crate) use salvage::{Known, Said, SalvageIterator, SalvagedTable, salvage, table_id};
pub(crate) use span::Span;
