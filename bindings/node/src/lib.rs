//! The native half of the npm package `aidb`: converts, calls core, converts back.
//!
//! Defaults, iteration and everything that abstract-level asks for are in JavaScript (`../index.js`, `../lib`).
//! Modules, from the outside in, and each uses those after it only: `database`, `transaction`, `iterator`, `snapshot`
//! and `watch` are the classes JavaScript holds, and `reader` has the functions that read on its thread; `port`
//! carries answers back to that; `turns` are jobs that wait for each other; `opened` is the database that they share,
//! and `range` a part of its keys; `pool` has the threads; `convert` knows both sides' types, and `place` is where
//! small values are put.
//!
//! * ADDON-1  Nothing that may touch the disk runs on a JavaScript thread or on libuv's pool, except `getSync`.
//! * ADDON-2  A point in time that a caller asks for (get, iterator, clear, snapshot) is pinned before the call
//!            returns, so that a write made right after it is not seen.
//! * ADDON-3  A call, a batch, and a chunk of an iterator cross the border once for all their keys, never once per key.
//! * ADDON-4  No panic crosses the border: a job that panics answers `Internal`.

#![deny(unsafe_code)]

mod convert;
mod database;
mod iterator;
mod opened;
mod place;
mod pool;
mod port;
mod range;
mod reader;
mod snapshot;
mod transaction;
mod turns;
mod watch;
