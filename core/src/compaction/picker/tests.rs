//! Tests of the picker: versions of the tree, and the plans that it should pick.

mod edges;
mod forged;

use super::*;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::version::{ObsoleteFiles, TableInfo};

pub(super) const OPTIONS: PickerOptions = PickerOptions {
    level0_trigger: 4,
    level_base_size: 1000,
    level_size_multiplier: 10,
    target_file_size: 100,
    max_plan_tables: PLAN_TABLES,
};

/// A table as (level, number, smallest, largest, bytes). Its sequence numbers grow with its number.
type Row = (usize, u64, &'static str, &'static str, u64);

pub(super) fn info(number: u64, smallest: &str, largest: &str, size: u64) -> TableInfo {
    let sequence = SequenceNumber(number * 10);
    let key = |user_key: &str| {
        let trailer = Trailer::new(sequence, ValueKind::Put);
        KeyRef::new(user_key.as_bytes(), trailer).to_vec()
    };
    TableInfo {
        number: FileNumber(number),
        size,
        smallest: key(smallest),
        largest: key(largest),
        smallest_sequence: sequence,
        largest_sequence: sequence,
        entries: 10,
        ..TableInfo::default()
    }
}

fn version(rows: &[Row]) -> Version {
    let mut edit = VersionEdit::default();
    for &(level, number, smallest, largest, size) in rows {
        edit.add(level, info(number, smallest, largest, size));
    }
    let obsolete = ObsoleteFiles::new(|| {});
    Version::empty().apply(&edit, &obsolete).unwrap().0
}

/// "level>output: inputs", with "!" for a trivial move.
pub(super) fn shown(plan: Option<&Plan>) -> String {
    let Some(plan) = plan else {
        return "nothing".into();
    };
    let inputs: Vec<String> = plan
        .inputs()
        .map(|file| file.number.0.to_string())
        .collect();
    let bang = if plan.is_trivial_move() { "!" } else { "" };
    format!(
        "{}>{}: {}{bang}",
        plan.level(),
        plan.output_level(),
        inputs.join(" ")
    )
}

/// The plan that is picked first, then each one that is picked beside all earlier ones.
fn all_picks(rows: &[Row]) -> Vec<String> {
    let version = version(rows);
    let mut running = Vec::new();
    let mut picks = Vec::new();
    while let Some(plan) = pick(&version, &running, &OPTIONS) {
        running.push(plan.running());
        picks.push(shown(Some(&plan)));
    }
    picks
}

#[test]
fn picks() {
    let cases: &[(&str, &[Row], &[&str])] = &[
        ("an empty tree", &[], &[]),
        (
            "level 0 below its trigger",
            &[
                (0, 1, "a", "z", 100),
                (0, 2, "a", "z", 100),
                (0, 3, "a", "z", 100),
            ],
            &[],
        ),
        (
            "level 0 goes with all that overlaps it, newest first, and all of level 1 below",
            &[
                (0, 4, "a", "m", 100),
                (0, 5, "k", "p", 100),
                (0, 6, "c", "d", 100),
                (0, 7, "o", "x", 100),
                (1, 2, "a", "b", 100),
                (1, 3, "w", "z", 100),
            ],
            &["0>1: 7 6 5 4 2 3"],
        ),
        (
            "tables of level 0 beside each other are moved one at a time, the oldest first",
            &[
                (0, 4, "a", "b", 100),
                (0, 5, "c", "d", 100),
                (0, 6, "e", "f", 100),
                (0, 7, "g", "h", 100),
            ],
            &["0>1: 4!"],
        ),
        (
            "another group of level 0 comes along if it needs no more of level 1",
            &[
                (0, 4, "a", "b", 10),
                (0, 5, "c", "d", 10),
                (0, 6, "e", "f", 10),
                (0, 7, "p", "q", 10),
                (1, 1, "a", "k", 100),
            ],
            &["0>1: 4 5 6 1"],
        ),
        (
            "a level over its target moves the table with the least below it",
            &[
                (1, 1, "a", "c", 600),
                (1, 2, "e", "g", 600),
                (2, 3, "a", "b", 300),
                (2, 4, "f", "f", 200),
            ],
            &["1>2: 2 4"],
        ),
        (
            "nothing below: a trivial move; what leaves counts no longer",
            &[
                (1, 1, "a", "c", 600),
                (1, 2, "e", "g", 600),
                (2, 3, "d", "d", 300),
            ],
            &["1>2: 1!"],
        ),
        (
            "too much two levels below: rewritten instead of moved, to cut it up",
            &[(1, 1, "a", "z", 1000), (3, 3, "a", "y", 1001)],
            &["1>2: 1"],
        ),
        (
            "not too much two levels below",
            &[(1, 1, "a", "z", 1000), (3, 3, "a", "y", 1000)],
            &["1>2: 1!"],
        ),
        (
            "the highest score goes first, then others beside it",
            &[
                (0, 11, "a", "c", 100),
                (0, 12, "a", "c", 100),
                (0, 13, "a", "c", 100),
                (0, 14, "a", "c", 100),
                (1, 1, "x", "z", 3000),
            ],
            &["1>2: 1!", "0>1: 14 13 12 11"],
        ),
        (
            "level 0 waits for a table of level 1 that is going down",
            &[
                (0, 11, "a", "z", 100),
                (0, 12, "a", "c", 100),
                (0, 13, "a", "c", 100),
                (0, 14, "a", "c", 100),
                (1, 1, "x", "z", 3000),
            ],
            &["1>2: 1!"],
        ),
        (
            "two compactions into one level keep off each other's range, gaps too",
            &[
                (1, 1, "a", "c", 3000),
                (1, 2, "f", "g", 3000),
                (1, 3, "p", "q", 3000),
                (2, 4, "b", "e", 100),
                (2, 5, "k", "o", 100),
            ],
            // Table 1 takes table 4, and so the range to "e"; tables 2 and 3 are beyond it.
            &["1>2: 2!", "1>2: 3!", "1>2: 1 4"],
        ),
        (
            "a gap in level 2 that a running compaction will write into is not free",
            &[
                (1, 1, "a", "b", 5000),
                (1, 2, "e", "f", 5000),
                (2, 4, "b", "c", 3000),
                (2, 5, "h", "i", 100),
            ],
            &["1>2: 2!", "1>2: 1 4"],
        ),
        (
            "the last level is never due",
            &[(6, 1, "a", "z", u64::MAX / 4)],
            &[],
        ),
    ];
    for (name, rows, expected) in cases {
        assert_eq!(&all_picks(rows), expected, "{name}");
    }
}

#[test]
fn a_range_between_two_inputs_is_kept_free() {
    // Level 0 reaches from "a" to "z". A move of level 0 into the gap of level 1 must wait, and so must a second
    // compaction into level 2 under a wide one.
    let before = version(&[
        (1, 1, "a", "b", 10),
        (1, 2, "y", "z", 10),
        (2, 3, "b", "y", 10),
    ]);
    let RangePlan::Ready(wide) = plan_range(&before, 1, None, None, &[], &OPTIONS) else {
        panic!("nothing is in the way");
    };
    assert_eq!(shown(Some(&wide)), "1>2: 1 2 3");
    let mut edit = VersionEdit::default();
    edit.add(1, info(9, "m", "n", 10));
    let after = before.apply(&edit, &ObsoleteFiles::new(|| {})).unwrap().0;
    let start = Some(&b"c"[..]);
    let found = plan_range(&after, 1, start, Some(b"x"), &[wide.running()], &OPTIONS);
    assert!(matches!(found, RangePlan::Busy), "{found:?}");
}

#[test]
fn tables_full_of_tombstones_go_first() {
    let mut edit = VersionEdit::default();
    edit.add(1, info(1, "a", "c", 600));
    let dead = TableInfo {
        tombstones: 10,
        ..info(2, "e", "g", 600)
    };
    edit.add(1, dead);
    edit.add(2, info(3, "a", "b", 200));
    edit.add(2, info(4, "e", "f", 300));
    let version = Version::empty()
        .apply(&edit, &ObsoleteFiles::new(|| {}))
        .unwrap()
        .0;
    assert_eq!(shown(pick(&version, &[], &OPTIONS).as_ref()), "1>2: 2 4");
}

#[test]
fn a_range_goes_down_level_by_level_and_is_rewritten_at_last() {
    let version = version(&[
        (0, 11, "a", "c", 100),
        (0, 12, "b", "k", 100),
        (0, 13, "p", "q", 100),
        (1, 5, "d", "e", 1000),
        (1, 6, "f", "g", 2000),
        (1, 7, "h", "i", 100),
        (3, 1, "a", "d", 10),
        (3, 2, "f", "g", 10),
        (3, 30, "h", "i", 10),
        (3, 3, "k", "l", 10),
    ]);
    let range = |level, start: &str, end: &str| {
        let (start, end) = (Some(start.as_bytes()), Some(end.as_bytes()));
        match plan_range(&version, level, start, end, &[], &OPTIONS) {
            RangePlan::Ready(plan) => shown(Some(&plan)),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(range(0, "c", "c"), "0>1: 12 11 5 6 7");
    assert_eq!(range(0, "l", "o"), "Done");
    assert_eq!(range(0, "z", "a"), "Done");
    // Cut where a plan is large enough.
    assert_eq!(range(1, "d", "z"), "1>2: 5!");
    assert_eq!(range(1, "e\0", "z"), "1>2: 6 7");
    assert_eq!(range(2, "a", "z"), "Done");
    assert_eq!(range(6, "a", "z"), "Done");
    let rewrite = |start: &[u8]| {
        let before = FileNumber(20);
        let found = plan_rewrite(&version, 3, Some(start), None, before, &[], &OPTIONS);
        match found {
            RangePlan::Ready(plan) => (shown(Some(&plan)), plan.next_start()),
            other => (format!("{other:?}"), Vec::new()),
        }
    };
    assert_eq!(rewrite(b""), ("3>3: 1 2".into(), b"g\0".to_vec()));
    assert_eq!(rewrite(b"g\0"), ("3>3: 3".into(), b"l\0".to_vec()));
    assert_eq!(rewrite(b"l\0").0, "Done");
}

#[test]
fn debt_counts_what_has_to_move() {
    assert_eq!(debt_bytes(&version(&[]), &OPTIONS), 0);
    let calm = version(&[(0, 1, "a", "b", 100), (1, 2, "a", "b", 1000)]);
    assert_eq!(debt_bytes(&calm, &OPTIONS), 0);
    let behind = version(&[(1, 2, "a", "b", 1500), (2, 3, "a", "b", 10_000)]);
    // 500 bytes go into level 2, and as many out of it again.
    assert_eq!(debt_bytes(&behind, &OPTIONS), 1000);
    assert!((scores(&behind, &OPTIONS)[1] - 1.5).abs() < 1e-9);
}

#[test]
fn a_manual_plan_of_small_tables_is_cut_where_they_lie_over_much() {
    // Small tables of tombstones, each over five tables of the level below.
    let rows = [
        (1, 1, "a", "b", 10),
        (1, 2, "c", "d", 10),
        (1, 3, "e", "f", 10),
        (2, 4, "a", "b", 500),
        (2, 5, "c", "d", 500),
        (2, 6, "e", "f", 500),
    ];
    let found = |max_plan_tables| {
        let options = PickerOptions {
            max_plan_tables,
            ..OPTIONS
        };
        match plan_range(&version(&rows), 1, None, None, &[], &options) {
            RangePlan::Ready(plan) => shown(Some(&plan)),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(found(25), "1>2: 1 2 3 4 5 6");
    assert_eq!(found(13), "1>2: 1 2 4 5");
    assert_eq!(found(1), "1>2: 1 4");
}
