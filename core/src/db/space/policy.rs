//! Decides how much disk space to reserve. Pure computation: it touches no file.
//!
//! * SPACE-1  Unless the disk is roomy, the target covers what flushing every memtable and the largest compaction
//!            may need.
//! * SPACE-2  A disk with free space for many times that need is roomy: there a small reserve is enough; it grows as
//!            the free space shrinks.
//! * SPACE-3  Compactions do not use the floor, the part that flushes, the log and the manifest may need.
//!
//! Elsewhere: reserving the space (`space/mod.rs`), the work that must not use it (`db/tree/reserve.rs`).

use crate::compaction::MAX_PLAN_TABLES;
use crate::env::MIN_UNIT;

/// A disk is roomy if this many times the need is free.
const ROOMY_FACTOR: u64 = 4;
/// The least disk space of a file.
const FILE_BYTES: u64 = 4 << 10;
/// The space a closed database keeps besides room for its tables: half of the total is for the log and the
/// flushes after the next open.
const LEFT_BYTES: u64 = 2 * MIN_UNIT;

/// The possible needs for space, in bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Needs {
    /// All memtables.
    pub(in crate::db) unflushed: u64,
    /// Whether no memtable holds an entry. Even an empty memtable takes memory, more than a small database leaves on
    /// the disk.
    pub(in crate::db) is_flushed: bool,
    /// The bytes about to be written to the log.
    pub(in crate::db) coming: u64,
    /// See [`largest_compaction`].
    pub(in crate::db) largest_compaction: u64,
}

/// The reserve's own sizes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The smallest reserve.
    pub(super) piece: u64,
    /// The unit that the parts of the reserve are fractions of: `piece`, or less after a small reserve was found.
    pub(super) unit: u64,
}

/// What to set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpacePlan {
    /// Bytes.
    pub(super) target: u64,
    /// The bytes of `target` that compactions may not draw on.
    pub(super) floor: u64,
    pub(super) is_roomy: bool,
}

/// How much to reserve on a disk with `free` bytes besides the reserve.
pub(super) fn plan(free: u64, needs: Needs, sizes: Sizes) -> SpacePlan {
    let flushing = (sizes.piece + needs.unflushed).saturating_add(needs.coming);
    let needed = flushing.saturating_add(needs.largest_compaction);
    let is_roomy = free >= needed.saturating_mul(ROOMY_FACTOR);
    let target = if is_roomy { sizes.piece } else { needed };
    let floor = match needs.is_flushed && sizes.unit < sizes.piece {
        true => sizes.unit.saturating_add(needs.coming),
        false => flushing,
    };
    SpacePlan {
        target,
        floor: floor.min(target),
        is_roomy,
    }
}

/// Bytes that the largest compaction may write on a disk that is not roomy: all bytes of levels 0 and 1 (`upper`),
/// and the largest tables of the levels below them (`deeper`), as many as one plan takes.
pub(in crate::db) fn largest_compaction(
    upper: u64,
    mut deeper: Vec<u64>,
    target_file_size: u64,
) -> u64 {
    let all: u64 = deeper.iter().sum();
    let some = MAX_PLAN_TABLES as usize;
    if deeper.len() > some {
        // This runs at every step of the log and there may be many tables, so they are not sorted.
        deeper.select_nth_unstable_by(some, |a, b| b.cmp(a));
        debug_assert!(
            deeper[..some].iter().min() >= deeper[some..].iter().max(),
            "SPACE-1: the largest tables count"
        );
        deeper.truncate(some);
    }
    // Tables may be larger than the target size: moved from level 0, or written while the option had another value.
    let largest: u64 = deeper.iter().sum();
    let planned = target_file_size.saturating_mul(MAX_PLAN_TABLES);
    upper + all.min(planned.max(largest))
}

/// Bytes of reserve that a database with `tables` of these sizes keeps when it closes: enough for opening it, some
/// deletes, a flush, and a compaction of its tables into ones of `target_file_size`.
pub(super) fn left_at_close(tables: impl Iterator<Item = u64>, target_file_size: u64) -> u64 {
    let (count, bytes) = tables.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
    // Small tables become one. Each file's size is rounded up, and the manifest names each file.
    let written = (bytes / target_file_size + 1).min(count);
    LEFT_BYTES + 2 * (bytes.next_multiple_of(FILE_BYTES) + written * FILE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        piece: 1000,
        unit: 1000,
    };

    fn needs(unflushed: u64, coming: u64, largest_compaction: u64) -> Needs {
        Needs {
            unflushed,
            is_flushed: unflushed == 0,
            coming,
            largest_compaction,
        }
    }

    /// SPACE-1, SPACE-2.
    #[test]
    fn a_disk_is_roomy_from_four_times_what_is_needed_on() {
        // 1000 + 200 + 30 for flushing, 5000 for a compaction.
        let needs = needs(200, 30, 5000);
        for (free, is_roomy) in [(4 * 6230 - 1, false), (4 * 6230, true), (u64::MAX, true)] {
            let (target, floor) = if is_roomy { (1000, 1000) } else { (6230, 1230) };
            let expected = SpacePlan {
                target,
                floor,
                is_roomy,
            };
            assert_eq!(plan(free, needs, SIZES), expected, "{free} bytes free");
        }
    }

    /// SPACE-3.
    #[test]
    fn the_floor_of_a_flushed_database_that_left_little_is_what_it_left() {
        let small = Sizes { unit: 64, ..SIZES };
        assert_eq!(plan(0, needs(0, 7, 0), small).floor, 71);
        assert_eq!(plan(0, needs(1, 7, 0), small).floor, 1008);
        assert_eq!(plan(0, needs(0, 7, 0), SIZES).floor, 1007);
        assert_eq!(
            plan(u64::MAX, needs(0, 5000, 0), SIZES).floor,
            1000,
            "at most the target"
        );
    }

    #[test]
    fn no_need_is_too_large_to_add_up() {
        let most = needs(1, u64::MAX, u64::MAX);
        let expected = SpacePlan {
            target: u64::MAX,
            floor: u64::MAX,
            is_roomy: false,
        };
        assert_eq!(plan(u64::MAX - 1, most, SIZES), expected);
    }

    #[test]
    fn the_largest_compaction_takes_two_levels_and_as_many_tables_below_as_a_plan() {
        let some = MAX_PLAN_TABLES;
        assert_eq!(largest_compaction(70, Vec::new(), 10), 70);
        assert_eq!(largest_compaction(70, vec![3, 4], 10), 77, "all there is");
        let many: Vec<u64> = (0..2 * some).map(|_| 10).collect();
        assert_eq!(largest_compaction(0, many, 10), 10 * some);
        let larger: Vec<u64> = (0..2 * some).map(|table| 100 + table).collect();
        let largest: u64 = (some..2 * some).map(|table| 100 + table).sum();
        assert_eq!(largest_compaction(0, larger, 10), largest);
    }

    #[test]
    fn a_closed_database_leaves_room_to_write_its_tables_twice() {
        let left = |sizes: &[u64], target| left_at_close(sizes.iter().copied(), target);
        assert_eq!(left(&[], FILE_BYTES), LEFT_BYTES);
        let one = 2 * FILE_BYTES;
        assert_eq!(left(&[1], FILE_BYTES), LEFT_BYTES + 2 * one);
        // Small tables become one.
        assert_eq!(left(&[1; 9], 1 << 20), LEFT_BYTES + 2 * one);
        assert_eq!(
            left(&[FILE_BYTES; 9], 1 << 20),
            LEFT_BYTES + 20 * FILE_BYTES
        );
        // If tables must be small, there are twice as many.
        assert_eq!(
            left(&[FILE_BYTES; 9], FILE_BYTES),
            LEFT_BYTES + 36 * FILE_BYTES
        );
        assert_eq!(
            left(&[FILE_BYTES; 9], 4 * FILE_BYTES),
            LEFT_BYTES + 24 * FILE_BYTES
        );
        assert_eq!(
            left(&[5 * FILE_BYTES], FILE_BYTES),
            LEFT_BYTES + 12 * FILE_BYTES
        );
    }
}
