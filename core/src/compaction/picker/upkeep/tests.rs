//! Tests of upkeep: for versions of the tree, which compaction pays, and what upkeep waits for.

use super::super::tests::{OPTIONS, info, shown};
use super::*;
use crate::compaction::readers::Readers;
use crate::range_delete::RangeDelete;
use crate::version::{ObsoleteFiles, Reclaimable, TableInfo, VersionEdit};

const HOUR: u64 = 3600 * 1_000_000;
/// When the tables of these tests were made.
const MADE: u64 = 1000 * HOUR;

/// A table of 100 entries and 100 bytes, made at [`MADE`]. Its sequence numbers are 10 times its own number and the 9
/// after that.
fn table(number: u64, smallest: &str, largest: &str, tombstones: u64, older: u64) -> TableInfo {
    TableInfo {
        entries: 100,
        tombstones,
        smallest_sequence: SequenceNumber(10 * number),
        largest_sequence: SequenceNumber(10 * number + 9),
        reclaimable: (tombstones + older > 0).then_some(Reclaimable {
            older_versions: older,
            created_micros: MADE,
        }),
        ..info(number, smallest, largest, 100)
    }
}

fn version(tables: Vec<(usize, TableInfo)>) -> Version {
    let mut edit = VersionEdit::default();
    for (level, table) in tables {
        edit.add(level, table);
    }
    Version::empty()
        .apply(&edit, &ObsoleteFiles::new(|| {}))
        .unwrap()
        .0
}

fn numbers(pins: &[u64]) -> Vec<SequenceNumber> {
    let latest = [1_000_000];
    pins.iter()
        .chain(&latest)
        .copied()
        .map(SequenceNumber)
        .collect()
}

/// The result at `age` after the tables were made, with snapshots at `pins`.
fn at(version: &Version, age: u64, pins: &[u64]) -> Upkeep {
    let visible = numbers(pins);
    let moment = Moment {
        visible: &visible,
        wall_micros: MADE + age,
        met: None,
    };
    pick_upkeep(version, &[], &OPTIONS, &moment)
}

fn picked(version: &Version, age: u64, pins: &[u64]) -> String {
    shown(at(version, age, pins).plan.as_ref())
}

#[test]
fn a_table_with_nothing_below_is_rewritten_for_a_quarter_of_tombstones_and_for_less_when_it_is_old()
{
    for (tombstones, due) in [(100, 0), (25, 0), (24, 1), (12, 7), (5, 24), (1, 144)] {
        let tree = version(vec![(2, table(5, "c", "d", tombstones, 0))]);
        assert_eq!(picked(&tree, due * HOUR, &[]), "2>2: 5", "{tombstones}");
        if due == 0 {
            continue;
        }
        let early = at(&tree, 0, &[]);
        assert!(early.plan.is_none(), "{tombstones}");
        let at_last = early.due_micros.expect("it is due some time") - MADE;
        assert!(at_last <= due * HOUR + 1_000_000, "{tombstones}: {at_last}");
        assert_eq!(picked(&tree, at_last, &[]), "2>2: 5", "{tombstones}");
        // A little earlier it is not due: one wait is enough, and not far too long.
        let earlier = at(&tree, at_last - 2_000_000, &[]);
        assert_eq!(shown(earlier.plan.as_ref()), "nothing", "{tombstones}");
        assert_eq!(earlier.due_micros, Some(MADE + at_last));
    }
}

#[test]
fn a_table_whose_age_is_not_known_waits_for_no_time() {
    let mut unknown = table(5, "c", "d", 10, 0);
    unknown.reclaimable = Some(Reclaimable::default());
    let earlier_build = TableInfo {
        reclaimable: None,
        ..table(6, "f", "g", 10, 0)
    };
    let tree = version(vec![(2, unknown), (2, earlier_build)]);
    let answer = at(&tree, 1000 * HOUR, &[]);
    assert_eq!(shown(answer.plan.as_ref()), "nothing");
    assert_eq!(answer.due_micros, None);
    let clean = version(vec![
        (0, table(1, "a", "b", 0, 0)),
        (1, table(2, "a", "b", 0, 0)),
    ]);
    let answer = at(&clean, 1000 * HOUR, &[3]);
    assert!(answer.plan.is_none() && answer.due_micros.is_none() && answer.waits_for.is_empty());
}

#[test]
fn tombstones_go_down_where_what_they_hide_is_worth_what_is_rewritten() {
    // A hundred tombstones over `tables` tables of a hundred puts: they hide one table's worth of puts.
    let over = |tables: u64| {
        let mut tree = vec![(1, table(90, "a", "y", 100, 0))];
        for (number, start) in (1..=tables).zip(b'a'..) {
            let key = String::from_utf8(vec![start, b'1']).unwrap();
            tree.push((2, table(number, &key, &key, 0, 0)));
        }
        version(tree)
    };
    assert_eq!(picked(&over(1), 0, &[]), "1>2: 90 1");
    assert_eq!(picked(&over(3), 0, &[]), "1>2: 90 1 2 3");
    let answer = at(&over(4), 0, &[]);
    assert_eq!(shown(answer.plan.as_ref()), "nothing");
    assert!(answer.due_micros.is_some());
    assert_eq!(picked(&over(4), 6 * HOUR, &[]), "1>2: 90 1 2 3 4");
    // Tombstones also hide entries two levels below, and the way there is free.
    let deep = version(vec![
        (1, table(90, "a", "b", 50, 0)),
        (3, table(1, "a", "b", 0, 0)),
    ]);
    assert_eq!(picked(&deep, 0, &[]), "1>2: 90!");
}

#[test]
fn level_0_goes_down_for_its_tombstones_before_it_has_its_number_of_tables() {
    let over_puts = version(vec![
        (0, table(9, "a", "c", 100, 0)),
        (1, table(1, "a", "b", 0, 0)),
        (1, table(2, "m", "n", 0, 0)),
    ]);
    assert_eq!(picked(&over_puts, 0, &[]), "0>1: 9 1");
    // A table of tombstones with nothing below is rewritten to nothing, not moved.
    let alone = version(vec![(0, table(9, "a", "c", 100, 0))]);
    assert_eq!(picked(&alone, 0, &[]), "0>1: 9");
    let beside = version(vec![
        (0, table(8, "a", "c", 0, 0)),
        (0, table(9, "b", "d", 60, 0)),
    ]);
    assert_eq!(picked(&beside, 0, &[]), "0>1: 9 8");
    // Older tombstones hide nothing in a newer table.
    let under = version(vec![
        (0, table(8, "a", "c", 30, 0)),
        (0, table(9, "b", "d", 0, 0)),
        (3, table(1, "x", "y", 0, 0)),
    ]);
    assert_eq!(picked(&under, 0, &[]), "nothing");
}

/// UPKEEP-2.
#[test]
fn what_a_snapshot_keeps_is_not_rewritten_until_its_release() {
    // Numbers 50 to 59; half of the entries are older versions.
    let tree = version(vec![(2, table(5, "c", "d", 0, 50))]);
    assert_eq!(picked(&tree, 0, &[]), "2>2: 5");
    for (pins, waits_for) in [
        (&[55][..], Some(55)),
        (&[50, 58, 70], Some(58)),
        (&[49], None),
        (&[59], None),
    ] {
        let answer = at(&tree, 0, pins);
        let expected: Vec<_> = waits_for.into_iter().map(SequenceNumber).collect();
        assert_eq!(answer.waits_for, expected, "{pins:?}");
        assert_eq!(answer.plan.is_none(), waits_for.is_some(), "{pins:?}");
    }
    // Tombstones that hide nothing are dropped whatever is pinned; those over older versions stay with them.
    let mixed = version(vec![(2, table(5, "c", "d", 60, 20))]);
    assert_eq!(picked(&mixed, 0, &[55]), "2>2: 5");
    let kept = version(vec![(2, table(5, "c", "d", 40, 40))]);
    let answer = at(&kept, 1000 * HOUR, &[55]);
    assert_eq!(shown(answer.plan.as_ref()), "nothing");
    assert_eq!(answer.waits_for, [SequenceNumber(55)]);
    // The same below tombstones: the snapshot sees the entries that they hide, or is older than those.
    let over = version(vec![
        (1, table(90, "a", "b", 100, 0)),
        (2, table(5, "a", "b", 0, 0)),
    ]);
    assert_eq!(at(&over, 0, &[60]).waits_for, [SequenceNumber(60)]);
    assert_eq!(picked(&over, 0, &[60]), "nothing");
    assert_eq!(picked(&over, 0, &[49]), "1>2: 90 5");
}

#[test]
fn nothing_is_picked_in_the_way_of_another_compaction_or_of_a_table_set_aside() {
    let tree = version(vec![
        (1, table(90, "a", "b", 100, 0)),
        (2, table(5, "a", "b", 0, 0)),
        (2, table(6, "c", "d", 40, 0)),
    ]);
    let visible = numbers(&[]);
    let moment = Moment {
        visible: &visible,
        wall_micros: MADE,
        met: None,
    };
    let mut running = Vec::new();
    let mut picks = Vec::new();
    while let Some(plan) = pick_upkeep(&tree, &running, &OPTIONS, &moment).plan {
        running.push(plan.running());
        picks.push(shown(Some(&plan)));
    }
    assert_eq!(picks, ["1>2: 90 5", "2>2: 6"]);
    let aside = [90, 5].map(|number| {
        let mut running = vec![RunningCompaction::of_table_set_aside(
            crate::key::FileNumber(number),
        )];
        let first = pick_upkeep(&tree, &running, &OPTIONS, &moment).plan;
        running.extend(first.iter().map(Plan::running));
        assert!(
            pick_upkeep(&tree, &running, &OPTIONS, &moment)
                .plan
                .is_none()
        );
        shown(first.as_ref())
    });
    assert_eq!(aside, ["2>2: 6", "2>2: 6"]);
}

#[test]
fn where_a_reader_has_met_garbage_an_eighth_is_enough() {
    let tree = version(vec![
        (2, table(5, "c", "d", 4, 0)),
        (2, table(6, "e", "f", 4, 0)),
        (2, table(7, "g", "h", 3, 0)),
    ]);
    let visible = numbers(&[]);
    let met = |key: &str| {
        let moment = Moment {
            visible: &visible,
            wall_micros: MADE,
            met: Some(key.as_bytes()),
        };
        shown(pick_upkeep(&tree, &[], &OPTIONS, &moment).plan.as_ref())
    };
    assert_eq!(met("c5"), "2>2: 5");
    assert_eq!(met("f"), "2>2: 6");
    assert_eq!(met("g"), "nothing");
    assert_eq!(met("b"), "nothing");
}

#[test]
fn garbage_of_six_hours_has_to_be_half_as_much_and_of_twelve_a_third() {
    for (tombstones, hours) in [(13, 6), (9, 12)] {
        let tree = version(vec![(2, table(5, "c", "d", tombstones, 0))]);
        assert_eq!(picked(&tree, hours * HOUR, &[]), "2>2: 5", "{tombstones}");
        // Nine hundredths are enough after less than eleven hours, thirteen hundredths after more than five and a
        // half.
        let earlier = hours * HOUR * 5 / 6;
        assert_eq!(picked(&tree, earlier, &[]), "nothing", "{tombstones}");
    }
}

#[test]
fn for_a_table_in_use_no_time_and_no_snapshot_is_waited_for() {
    let tree = version(vec![
        (2, table(5, "c", "d", 10, 0)),
        (2, table(6, "e", "f", 0, 60)),
    ]);
    let visible = numbers(&[65]);
    let moment = Moment {
        visible: &visible,
        wall_micros: MADE,
        met: None,
    };
    let free = pick_upkeep(&tree, &[], &OPTIONS, &moment);
    assert!(free.plan.is_none() && free.due_micros.is_some());
    assert_eq!(free.waits_for, [SequenceNumber(65)]);
    let aside = [5, 6].map(crate::key::FileNumber);
    let aside = aside.map(RunningCompaction::of_table_set_aside);
    let busy = pick_upkeep(&tree, &aside, &OPTIONS, &moment);
    assert!(busy.plan.is_none() && busy.due_micros.is_none());
    assert_eq!(busy.waits_for, []);
}

#[test]
fn without_tombstones_a_table_is_rewritten_where_it_is_and_its_snapshot_named_once() {
    let tree = version(vec![
        (1, table(5, "a", "b", 0, 60)),
        (2, table(1, "a", "b", 0, 0)),
    ]);
    assert_eq!(picked(&tree, 0, &[]), "1>1: 5");
    assert_eq!(at(&tree, 0, &[55]).waits_for, [SequenceNumber(55)]);
}

#[test]
fn a_snapshot_is_taken_to_see_the_share_of_a_table_that_its_number_divides() {
    let tree = version(vec![(2, table(5, "c", "d", 0, 0))]);
    let unseen = |pin| unseen_share(&tree.files(2)[0], Some(SequenceNumber(pin)));
    // Numbers 50 to 59.
    assert_eq!([0, 40, 49].map(unseen), [1.0; 3]);
    assert_eq!([50, 54, 58].map(unseen), [0.9, 0.5, 0.1]);
    assert_eq!([59, 60, 100].map(unseen), [0.0; 3]);
    assert_eq!(unseen_share(&tree.files(2)[0], None), 1.0);
}

#[test]
fn what_a_snapshot_keeps_and_is_too_little_yet_is_looked_at_when_it_is_old_enough() {
    // A tenth of it is garbage, which is enough after nine hours. Only the check at that time names the snapshot, if
    // it is still there.
    let tree = version(vec![(2, table(5, "c", "d", 0, 10))]);
    let early = at(&tree, 0, &[55]);
    assert!(early.plan.is_none() && early.waits_for.is_empty());
    let due = early.due_micros.expect("it is due some time") - MADE;
    assert!((9 * HOUR..9 * HOUR + 2_000_000).contains(&due), "{due}");
    assert_eq!(early.due_micros, at(&tree, 0, &[]).due_micros);
    assert_eq!(picked(&tree, due, &[]), "2>2: 5");
    let late = at(&tree, due, &[55]);
    assert!(late.plan.is_none() && late.due_micros.is_none());
    assert_eq!(late.waits_for, [SequenceNumber(55)]);
    // Tombstones that become due by themselves do not wait longer because of the entries that the snapshot keeps
    // beside them.
    let mixed = version(vec![(2, table(5, "c", "d", 20, 10))]);
    let both = at(&mixed, 0, &[55]);
    assert_eq!(both.waits_for, [SequenceNumber(55)]);
    let alone = version(vec![(2, table(5, "c", "d", 10, 0))]);
    assert_eq!(both.due_micros, at(&alone, 0, &[]).due_micros);
}

/// A table that has `deletes` besides its other entries; as (start, end, number), with "" for no end.
fn with_ranges(table: TableInfo, deletes: &[(&str, &str, u64)]) -> TableInfo {
    let range = |&(start, end, number): &(&str, &str, u64)| RangeDelete {
        start: Arc::from(start.as_bytes()),
        end: (!end.is_empty()).then(|| Arc::from(end.as_bytes())),
        number: SequenceNumber(number),
    };
    TableInfo {
        range_deletes: deletes.iter().map(range).collect(),
        ..table
    }
}

/// A table with nothing but these range deletes.
fn only_ranges(number: u64, deletes: &[(&str, &str, u64)]) -> TableInfo {
    let (first, last) = (deletes[0].0, deletes[deletes.len() - 1].0);
    let numbers = deletes.iter().map(|(.., number)| SequenceNumber(*number));
    TableInfo {
        entries: deletes.len() as u64,
        smallest_sequence: numbers.clone().min().unwrap(),
        largest_sequence: numbers.max().unwrap(),
        ..with_ranges(table(number, first, last, 0, 0), deletes)
    }
}

/// DROP-1.
#[test]
fn tables_are_removed_unread_if_all_their_entries_are_covered_and_no_reader_sees_one() {
    let of = |ranges: &[(&str, &str, u64)], tables: Vec<(usize, TableInfo)>| {
        let mut tables = tables;
        tables.push((0, only_ranges(90, ranges)));
        version(tables)
    };
    let middle = || vec![(2, table(5, "c", "f", 0, 0)), (2, table(6, "h", "k", 0, 0))];
    let dropped = |version: &Version, pins: &[u64]| {
        let plan = at(version, 0, pins).plan;
        plan.filter(Plan::is_drop).map(|plan| {
            plan.check().unwrap();
            shown(Some(&plan))
        })
    };
    let both = Some("2>2: 5 6".to_string());
    assert_eq!(dropped(&of(&[("a", "z", 900)], middle()), &[]), both);
    assert_eq!(dropped(&of(&[("a", "", 900)], middle()), &[900]), both);
    // Readers before both tables' entries, or after the range delete, need none of them.
    assert_eq!(dropped(&of(&[("a", "z", 900)], middle()), &[49, 900]), both);
    let one = Some("2>2: 5".to_string());
    let later = Some("2>2: 6".to_string());
    assert_eq!(dropped(&of(&[("a", "z", 900)], middle()), &[55]), later);
    assert_eq!(dropped(&of(&[("a", "z", 900)], middle()), &[60]), None);
    assert_eq!(dropped(&of(&[("a", "i", 900)], middle()), &[]), one);
    // The end is not deleted, and the first key is.
    assert_eq!(dropped(&of(&[("c", "k", 900)], middle()), &[]), one);
    assert_eq!(
        dropped(&of(&[("d", "z", 900)], middle()), &[]),
        Some("2>2: 6".to_string())
    );
    // Two that touch are as good as one; two with a gap are not.
    assert_eq!(
        dropped(&of(&[("a", "d", 900), ("d", "z", 901)], middle()), &[]),
        both
    );
    let gap = of(&[("a", "d", 900), ("e", "i", 901)], middle());
    assert_eq!(dropped(&gap, &[]), None);
    // Some entries are newer than the range delete.
    let newer = of(&[("a", "z", 915)], vec![(2, table(91, "c", "f", 0, 0))]);
    assert_eq!(dropped(&newer, &[]), None);
    // Its own range deletes must not go with it.
    let own = with_ranges(table(5, "c", "f", 0, 0), &[("d", "zz", 52)]);
    assert_eq!(dropped(&of(&[("a", "z", 900)], vec![(2, own)]), &[]), None);
}

/// RETIRE-1.
#[test]
fn a_table_of_range_deletes_goes_when_nothing_they_cover_is_left() {
    let dropped = |tables: Vec<(usize, TableInfo)>, pins: &[u64]| {
        let plan = at(&version(tables), 0, pins).plan;
        plan.filter(Plan::is_drop).map(|plan| shown(Some(&plan)))
    };
    let ranges = || (0, only_ranges(90, &[("c", "f", 905)]));
    let gone = Some("0>0: 90".to_string());
    assert_eq!(dropped(vec![ranges()], &[]), gone);
    assert_eq!(dropped(vec![ranges()], &[905]), gone);
    assert_eq!(dropped(vec![ranges()], &[904]), None);
    assert_eq!(
        dropped(vec![ranges(), (3, table(5, "f\0", "k", 0, 0))], &[]),
        gone
    );
    assert_eq!(
        dropped(vec![ranges(), (3, table(5, "a", "d", 0, 0))], &[]),
        None
    );
    let swept = |number| TableInfo {
        swept: SequenceNumber(number),
        ..table(5, "a", "d", 0, 0)
    };
    assert_eq!(dropped(vec![ranges(), (3, swept(905))], &[]), gone);
    assert_eq!(dropped(vec![ranges(), (3, swept(904))], &[]), None);
    // A table that stays is the reason why another stays.
    let two = vec![
        (0, only_ranges(80, &[("c", "f", 805)])),
        (0, only_ranges(90, &[("b", "d", 905)])),
    ];
    assert_eq!(dropped(two, &[]), Some("0>0: 90 80".to_string()));
}

/// SWEEPS-1, UPKEEP-2.
#[test]
fn a_table_at_the_edge_of_a_range_is_swept_once_and_a_snapshot_is_waited_for() {
    let edge = |swept| TableInfo {
        swept: SequenceNumber(swept),
        ..table(5, "a", "d", 0, 0)
    };
    let of = |swept| {
        version(vec![
            (0, only_ranges(90, &[("c", "f", 905)])),
            (3, edge(swept)),
        ])
    };
    assert_eq!(picked(&of(0), 0, &[]), "3>3: 5");
    assert_eq!(picked(&of(904), 0, &[]), "3>3: 5");
    assert_eq!(picked(&of(0), 0, &[905]), "3>3: 5");
    let kept = at(&of(0), 0, &[904, 990]);
    assert_eq!(shown(kept.plan.as_ref()), "nothing");
    assert!(kept.waits_for.contains(&SequenceNumber(904)), "{kept:?}");
    // Once it is swept, the range delete goes.
    assert_eq!(picked(&of(905), 0, &[]), "0>0: 90");
    let plan = at(&of(0), 0, &[]).plan.unwrap();
    let up_to = |visible: &[u64]| {
        let visible: Vec<_> = visible
            .iter()
            .map(|number| SequenceNumber(*number))
            .collect();
        plan.sweeps_up_to(&visible).0
    };
    assert_eq!(
        [up_to(&[2000]), up_to(&[904, 2000]), up_to(&[])],
        [905, 904, 0]
    );
}

/// CHECK-3.
#[test]
fn a_drop_of_a_table_that_somebody_may_read_is_not_carried_out() {
    let made = version(vec![
        (0, only_ranges(90, &[("c", "f", 905)])),
        (2, table(5, "c", "e", 0, 0)),
        (3, table(6, "b", "e", 0, 0)),
    ]);
    let checked = |level: usize, number: u64, published: u64, pinned: &[u64]| {
        let mut plan = Plan::forged(&made, [level, level], &[number], &[]);
        plan.is_drop = true;
        let readers = Readers {
            published: SequenceNumber(published),
            pinned: pinned
                .iter()
                .map(|number| SequenceNumber(*number))
                .collect(),
        };
        plan.check_drop(&readers).is_ok()
    };
    assert!(checked(2, 5, 905, &[]) && checked(2, 5, 2000, &[49, 905]));
    assert!(
        !checked(2, 5, 904, &[]) && !checked(2, 5, 2000, &[50]) && !checked(2, 5, 2000, &[904])
    );
    // Not all of it is covered.
    assert!(!checked(3, 6, 2000, &[]));
    // What the range delete covers is still there.
    assert!(!checked(0, 90, 2000, &[]));
}
