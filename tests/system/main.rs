//! Real processes on real file systems: killed, starved of descriptors and of space, forked, locked out.
//!
//! What `tests/crash` proves on a disk in memory is tried here on the operating system's. The processes are the
//! program `child` (`child/main.rs`), because a test binary with its threads can be neither killed nor forked.
//!
//! * `lives.rs`   SIGKILL at random moments, also inside open, flush, compaction and checkpoint
//! * `limits.rs`  64 descriptors; directories that are read-only, not ours, no directories, links
//! * `forks.rs`   what a forked child may and may not do
//! * `disk.rs`    a full disk, on file systems of 64 MiB
//! * `refused.rs` sandboxes that refuse system calls
//! * `syncs.rs`   the syncs that the operating system is asked for
//! * `role.rs`    how a child is started and heard

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

/// A directory in memory, if it is to be there and the machine has one; else on the disk.
fn directory_in(memory: bool) -> TempDir {
    let in_memory = memory.then(|| tempfile::tempdir_in("/dev/shm").ok());
    in_memory.flatten().unwrap_or_else(directory)
}
