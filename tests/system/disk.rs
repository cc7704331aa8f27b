//! A full disk: `child/full_disk.rs` on file systems of 64 MiB that are mounted for it alone.
//!
//! It loses nothing, opens, reads, and goes on without reopening when somebody else has made room.

use aidb_tests::Budget;

use crate::role::passes;

/// A disk full of bytes, a disk without inodes, and memory.
const KINDS: [&str; 3] = ["ext4", "inodes", "tmpfs"];

fn run(name: &str, part: &str) {
    let budget = Budget::new("system", name, 0);
    let mut round = 0;
    loop {
        let seed = budget.seed.wrapping_add(round) >> 1;
        for kind in KINDS {
            let dir = crate::directory();
            let dir = dir.path().display().to_string();
            if !passes("full-disk", &[part, kind, &dir, &seed.to_string()]) {
                println!("{name} on {kind}: not run");
            }
        }
        round += 1;
        if budget.is_spent() {
            return;
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_space() {
    run(
        "a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_space",
        "keeps",
    );
}
