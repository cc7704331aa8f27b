//! Real processes on real file systems: killed, without descriptors, without space, forked, locked out.
//!
//! `tests/crash` uses a disk in memory; these tests use the operating system's. The processes are the program `child`
//! (`child/main.rs`), because a test binary with its threads can be neither killed nor forked.
//!
//! * `lives.rs`   SIGKILL at random moments, also inside open, flush, compaction and checkpoint
//! * `limits.rs`  64 descriptors; directories that are read-only, of another owner, links, or not directories
//! * `forks.rs`   what a forked child may and may not do
//! * `disk.rs`    a full disk, on file systems of 64 MiB
//! * `refused.rs` sandboxes that refuse system calls
//! * `syncs.rs`   the syncs that the engine asks of the operating system
//! * `role.rs`    how to start a child and read its lines

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod disk;
mod forks;
mod limits;
mod lives;
mod refused;
mod role;
mod syncs;

use tempfile::TempDir;

/// A directory on the file system of the build, a disk.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A directory in memory, if the caller wants that and the machine has one; else on the disk.
fn directory_in(memory: bool) -> TempDir {
    let in_memory = memory.then(|| tempfile::tempdir_in("/dev/shm").ok());
    in_memory.flatten().unwrap_or_else(directory)
}
