//! The picker's decisions one step on either side of each threshold.

use super::*;

/// A table with `tombstones` of ten entries deleted.
fn with_tombstones(tombstones: u64, table: TableInfo) -> TableInfo {
    TableInfo {
        tombstones,
        ..table
    }
}

fn ready(found: RangePlan) -> Plan {
    match found {
        RangePlan::Ready(plan) => plan,
        other => panic!("{other:?}"),
    }
}

/// "Done", "Busy" or the plan.
fn named(found: &RangePlan) -> String {
    match found {
        RangePlan::Ready(plan) => shown(Some(plan)),
        other => format!("{other:?}"),
    }
}

/// The plan that is picked for level 1, in which two tables of the same size are due.
fn of_two(first: (u64, u64), second: (u64, u64)) -> String {
    let mut edit = VersionEdit::default();
    edit.add(1, with_tombstones(first.0, info(1, "a", "c", 600)));
    edit.add(1, with_tombstones(second.0, info(2, "e", "g", 600)));
    edit.add(2, info(3, "a", "b", first.1));
    edit.add(2, info(4, "e", "f", second.1));
    let obsolete = ObsoleteFiles::new(|| {});
    let version = Version::empty().apply(&edit, &obsolete).unwrap().0;
    shown(pick(&version, &[], &OPTIONS).as_ref())
}

#[test]
fn a_table_of_tombstones_counts_three_times_and_others_in_proportion() {
    // (tombstones of ten entries, bytes below) for each: the table that costs less for its weight goes.
    assert_eq!(of_two((1, 300), (0, 200)), "1>2: 2 4");
    assert_eq!(of_two((1, 239), (0, 200)), "1>2: 1 3");
    assert_eq!(of_two((3, 319), (0, 200)), "1>2: 1 3");
    assert_eq!(of_two((3, 321), (0, 200)), "1>2: 2 4");
    assert_eq!(of_two((10, 599), (0, 200)), "1>2: 1 3");
    assert_eq!(of_two((10, 601), (0, 200)), "1>2: 2 4");
}

#[test]
fn a_plan_and_the_running_compaction_that_it_becomes_tell_who_they_are() {
    let tree = version(&[
        (0, 9, "a", "c", 30),
        (1, 5, "b", "d", 500),
        (1, 6, "k", "l", 7),
    ]);
    let plan = ready(plan_range(&tree, 0, None, None, &[], &OPTIONS));
    assert_eq!(shown(Some(&plan)), "0>1: 9 5");
    assert_eq!(plan.input_bytes(), 530);
    assert_eq!(plan.id(), FileNumber(9));
    assert_eq!(plan.running().id(), FileNumber(9));
    assert!(plan.running().is_of_level0());
    let plan = ready(plan_range(&tree, 1, Some(b"k"), None, &[], &OPTIONS));
    assert_eq!(plan.running().id(), FileNumber(6));
    assert!(!plan.running().is_of_level0());
}

/// PICKER-2.
#[test]
fn a_gap_in_the_range_of_a_running_compaction_is_kept_free_though_no_table_is_shared() {
    let rows = [
        (1, 1, "a", "b", 10),
        (1, 2, "y", "z", 10),
        (2, 3, "a", "c", 10),
        (2, 4, "x", "z", 10),
        (4, 5, "n", "n", 10),
    ];
    let wide = ready(plan_range(&version(&rows), 1, None, None, &[], &OPTIONS));
    assert_eq!(shown(Some(&wide)), "1>2: 1 2 3 4");
    let mut rows = rows.to_vec();
    rows.push((1, 9, "m", "n", 10));
    let after = version(&rows);
    let running = [wide.running()];
    let gap = plan_range(&after, 1, Some(b"m"), Some(b"n"), &running, &OPTIONS);
    assert_eq!(named(&gap), "Busy");
    // The same keys may go into another level.
    let other = plan_range(&after, 4, Some(b"m"), Some(b"n"), &running, &OPTIONS);
    assert_eq!(named(&other), "4>5: 5!");
}

#[test]
fn ranges_that_share_one_end_key_only_keep_off_each_other() {
    let tree = version(&[
        (1, 1, "c", "e", 10),
        (2, 2, "a", "c", 10),
        (2, 3, "e", "g", 10),
        (1, 4, "h", "i", 10),
    ]);
    let middle = ready(plan_range(&tree, 1, Some(b"c"), Some(b"e"), &[], &OPTIONS));
    assert_eq!(shown(Some(&middle)), "1>2: 1 2 3");
    let mut rest = Vec::new();
    // A plan from another moment: its range begins with the last key of the running one, or ends with the first.
    for (first, last) in [("g", "g"), ("a", "a"), ("g\0", "h"), ("0", "9")] {
        let one = version(&[(1, 8, first, last, 10)]);
        let found = plan_range(&one, 1, None, None, &[middle.running()], &OPTIONS);
        rest.push(named(&found));
    }
    assert_eq!(rest, ["Busy", "Busy", "1>2: 8!", "1>2: 8!"]);
}

/// PICKER-3.
#[test]
fn a_second_compaction_of_level_0_waits_for_the_first_and_deeper_ones_do_not() {
    let tree = version(&[
        (0, 8, "a", "b", 10),
        (0, 9, "x", "y", 10),
        (1, 5, "m", "n", 10),
    ]);
    let first = ready(plan_range(&tree, 0, Some(b"a"), Some(b"b"), &[], &OPTIONS));
    assert_eq!(shown(Some(&first)), "0>1: 8!");
    let running = [first.running()];
    let range = |level, start: &[u8]| {
        named(&plan_range(
            &tree,
            level,
            Some(start),
            None,
            &running,
            &OPTIONS,
        ))
    };
    assert_eq!(range(0, b"x"), "Busy");
    assert_eq!(range(1, b"m"), "1>2: 5!");
}

/// PICKER-3.
#[test]
fn a_manual_plan_of_level_0_takes_all_that_overlaps_whatever_its_size() {
    let tree = version(&[
        (0, 7, "a", "k", 2000),
        (0, 8, "c", "m", 2000),
        (0, 9, "l", "p", 2000),
    ]);
    let plan = plan_range(&tree, 0, Some(b"a"), Some(b"a"), &[], &OPTIONS);
    assert_eq!(named(&plan), "0>1: 9 8 7");
}

#[test]
fn tables_of_the_last_level_go_nowhere_and_are_no_debt() {
    let tree = version(&[(LEVELS - 1, 1, "a", "z", 1 << 40)]);
    let found = plan_range(&tree, LEVELS - 1, None, None, &[], &OPTIONS);
    assert_eq!(named(&found), "Done");
    assert_eq!(debt_bytes(&tree, &OPTIONS), 0);
    let above = version(&[(LEVELS - 2, 1, "a", "z", 1 << 40)]);
    let found = plan_range(&above, LEVELS - 2, None, None, &[], &OPTIONS);
    assert_eq!(named(&found), "5>6: 1!");
    let target = OPTIONS.level_target(LEVELS - 2);
    assert_eq!(debt_bytes(&above, &OPTIONS), (1 << 40) - target);
}

#[test]
fn a_rewrite_takes_neighbours_older_than_asked_within_a_range_of_at_least_one_key() {
    let tree = version(&[
        (3, 1, "a", "d", 10),
        (3, 20, "f", "g", 10),
        (3, 2, "h", "i", 10),
        (3, 3, "k", "z", 10),
    ]);
    let rewrite = |start: &[u8], end: &[u8]| {
        let before = FileNumber(20);
        let (start, end) = (Some(start), Some(end));
        let found = plan_rewrite(&tree, 3, start, end, before, &[], &OPTIONS);
        named(&found)
    };
    // Table 20 is new enough; the next plan takes the tables after it.
    assert_eq!(rewrite(b"a", b"z"), "3>3: 1");
    assert_eq!(rewrite(b"e", b"z"), "3>3: 2 3");
    assert_eq!(rewrite(b"m", b"m"), "3>3: 3");
    // A range that ends before it starts has no key, although a table reaches over both ends.
    assert_eq!(rewrite(b"n", b"m"), "Done");
    assert_eq!(
        named(&plan_range(&tree, 3, Some(b"n"), Some(b"m"), &[], &OPTIONS)),
        "Done"
    );
}

#[test]
fn the_largest_plan_for_one_table_is_thirteen_target_sizes() {
    // The table itself, ten below it, and the two that only its ends touch (`db/tree/reserve.rs` reserves this much).
    assert_eq!(MAX_PLAN_TABLES, 13);
    assert_eq!(max_grandparent_bytes(7), 70);
    assert_eq!(max_grandparent_bytes(u64::MAX), u64::MAX);
}

#[test]
fn a_plan_that_would_take_a_table_set_aside_names_it_and_others_go_on() {
    let tree = version(&[
        (1, 5, "a", "c", 10),
        (1, 6, "m", "n", 10),
        (2, 3, "b", "d", 10),
        (2, 4, "p", "q", 10),
    ]);
    let answers = |aside: u64| {
        let running = [RunningCompaction::of_table_set_aside(FileNumber(aside))];
        let down = |start: &[u8]| {
            let found = plan_range(&tree, 1, Some(start), Some(start), &running, &OPTIONS);
            named(&found)
        };
        let before = FileNumber(20);
        let rewritten = plan_rewrite(&tree, 2, Some(b"d"), None, before, &running, &OPTIONS);
        [down(b"b"), down(b"m"), named(&rewritten)]
    };
    let aside = |number| format!("{:?}", RangePlan::SetAside(FileNumber(number)));
    let [first, second, rewrite] = ["1>2: 5 3", "1>2: 6!", "2>2: 3 4"].map(String::from);
    assert_eq!(answers(5), [aside(5), second.clone(), rewrite.clone()]);
    assert_eq!(answers(3), [aside(3), second.clone(), aside(3)]);
    assert_eq!(answers(6), [first.clone(), aside(6), rewrite]);
    assert_eq!(answers(4), [first, second, aside(4)]);
}

#[test]
fn level_0_waits_for_a_table_set_aside_only_if_nothing_of_it_can_go_down_without() {
    let rows = [
        (1, 5, "b", "d", 10),
        (0, 8, "a", "c", 10),
        (0, 9, "x", "y", 10),
    ];
    let aside = |number| RunningCompaction::of_table_set_aside(FileNumber(number));
    let waits_for = |rows: &[Row], running: &[RunningCompaction]| {
        level0_waits_for(&version(rows), running, &OPTIONS)
    };
    assert_eq!(waits_for(&rows[..1], &[aside(5)]), None);
    for number in [5, 8] {
        // Table 9 can go, unless it does not exist or is set aside as well.
        let running = [aside(number), aside(9)];
        let expected = Some(FileNumber(number));
        assert_eq!(waits_for(&rows, &running[..1]), None, "{number}");
        assert_eq!(waits_for(&rows[..2], &running), expected, "{number}");
        let either = waits_for(&rows, &running);
        assert!(
            [expected, Some(FileNumber(9))].contains(&either),
            "{either:?}"
        );
    }
    // A running compaction will end, whether it is one of level 0 or only in its way.
    let tree = version(&rows);
    for (level, key) in [(0, b"x"), (1, b"b")] {
        let (start, end) = (Some(&key[..]), Some(&key[..]));
        let plan = ready(plan_range(&tree, level, start, end, &[], &OPTIONS));
        let rows = if level == 0 { &rows[..2] } else { &rows[..] };
        assert_eq!(waits_for(rows, &[plan.running(), aside(9)]), None);
    }
}
