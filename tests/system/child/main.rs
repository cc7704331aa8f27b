//! The processes that the tests of `tests/system` start, kill, starve and fork: `child ROLE ARGUMENT...`.
//!
//! A role prints lines on its standard output. It ends with 0, with a panic if something is wrong, or with [`NOT_RUN`]
//! after a line that says what this machine does not allow.
//!
//! * `writer.rs`     writes until it is killed
//! * `holder.rs`     opens a database and keeps it
//! * `closed.rs`     keeps handles of databases that it closes
//! * `few_files.rs`  works with 64 descriptors
//! * `directories.rs`    directories without write permission for anyone
//! * `forks.rs`      forks, under load and before it is killed
//! * `full_disk.rs`  fills a small file system
//! * `large_value.rs` measures how much memory a large value takes
//! * `limits.rs`     files of a limited size; no standard streams
//! * `refused.rs`    a sandbox that refuses system calls
//! * `memory.rs`     compares its memory with the database's report
//! * `syncs.rs`      watches its own syncs, and makes some fail
//! * `clock.rs`      a wall clock that jumps; `mounts.rs` file systems that only this process sees

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod clock;
mod closed;
mod directories;
mod few_files;
mod forks;
mod full_disk;
mod holder;
mod large_value;
mod limits;
mod memory;
mod mounts;
#[cfg(target_os = "linux")]
mod refused;
#[cfg(target_os = "linux")]
mod syncs;
mod writer;

use std::io::Write;

/// The exit status of a role that this machine does not allow.
const NOT_RUN: i32 = 77;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (role, rest) = arguments.split_first().expect("child ROLE ARGUMENT...");
    match role.as_str() {
        "writer" => writer::run(rest),
        "holder" => holder::run(rest),
        "closed" => closed::run(rest),
        "few-files" => few_files::run(rest),
        "directories" => directories::run(rest),
        "fork-handles" => forks::handles(rest),
        "fork-load" => forks::under_load(rest),
        "fork-lock" => forks::lock(rest),
        "memory" => memory::run(rest),
        "memory-fill" => memory::fill(rest),
        "full-disk" => full_disk::run(rest),
        "large-value" => large_value::one(rest),
        "large-values" => large_value::many(rest),
        "large-keys" => large_value::keys(rest),
        "file-size" => limits::file_size(rest),
        "no-streams" => limits::no_streams(rest),
        #[cfg(target_os = "linux")]
        "refused" => refused::run(rest),
        #[cfg(target_os = "linux")]
        "syncs" => syncs::run(rest),
        _ => panic!("no role {role}"),
    }
}

/// Prints `words` in one write, so that a kill leaves the line whole or not at all.
fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{words}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Ends the process, because this machine does not allow the role.
fn not_run(why: &str) -> ! {
    say(&format!("not run: {why}"));
    std::process::exit(NOT_RUN);
}

/// Waits until the parent closes our standard input, or dies.
fn wait_for_parent() {
    let _ = std::io::stdin().lines().next();
}
