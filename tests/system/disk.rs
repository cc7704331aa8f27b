//! A full disk: `child/full_disk.rs` on file systems of 64 MiB, mounted for this test alone.
//!
//! The database loses nothing, opens, reads, and goes on without reopening once another program has made room; also if
//! another program filled the disk.

use aidb_tests::{Budget, tell_figures};

use crate::role::passes_saying;

/// A disk without free bytes, a disk without free inodes, and a file system in memory.
const KINDS: &[&str] = &["ext4", "inodes", "tmpfs"];

fn run(name: &str, part: &str, kinds: &[&str]) {
    let budget = Budget::new("system", name);
    let (mut round, mut disks, mut refused) = (0, 0, 0);
    loop {
        let seed = budget.seed.wrapping_add(round) >> 1;
        for kind in kinds {
            let dir = crate::directory();
            let dir = dir.path().display().to_string();
            let mut last = String::new();
            if passes_saying(
                "full-disk",
                &[part, kind, &dir, &seed.to_string()],
                &mut last,
            ) {
                disks += 1;
                let count = last.rsplit(' ').next().unwrap_or_default();
                refused += count.parse::<u64>().expect("the last word is a count");
            } else {
                println!("{name} on {kind}: not run");
            }
        }
        round += 1;
        if budget.is_spent() {
            break;
        }
    }
    tell_figures(
        "disk",
        &[("histories", disks), ("faults", refused), ("violations", 0)],
    );
}

#[test]
fn a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_space() {
    run(
        "a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_space",
        "keeps",
        KINDS,
    );
}

#[test]
fn a_full_disk_opens_deletes_and_compacts_without_help() {
    run(
        "a_full_disk_opens_deletes_and_compacts_without_help",
        "works",
        &["ext4", "tmpfs"],
    );
}

#[test]
fn a_roomy_disk_that_others_fill_loses_nothing_and_opens_reads_and_deletes() {
    run(
        "a_roomy_disk_that_others_fill_loses_nothing_and_opens_reads_and_deletes",
        "filled",
        &["ext4", "tmpfs"],
    );
}
