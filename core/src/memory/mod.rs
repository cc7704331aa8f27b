//! Memory whose size depends on data, options or counts.
//!
//! * `door.rs`  allocation, and the error if there is no memory
//! * `slabs.rs` memory in huge pages for the blocks of a large cache: docs/decisions/0024
//! * `kept_key.rs` copies of keys, of which long ones are shared
//! * `gauge.rs` counts the memory of blocks and of read-ahead
//!
//! Elsewhere: pages from the system (`env/pages.rs`); which blocks stay in memory (`sstable/block_cache.rs`); the
//! memtable's arenas (`memtable/chunk.rs`).

mod door;
mod gauge;
mod kept_key;
mod slabs;

pub(crate) use door::{
    Undecoded, allocate, append, collect, lengthen, pass, push, replace, reserve_exact,
    return_large_pieces, zeros,
};
pub use door::{copy_of, reserve, room_ahead, room_for};
pub(crate) use gauge::MemoryGauge;
pub(crate) use kept_key::KeptKey;
pub(crate) use slabs::Slabs;
