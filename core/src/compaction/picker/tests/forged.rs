//! Plans and edits that the picker must never make: each is refused (PICKER-5), and no plan of the picker's is.

use aidb_test_data::Random;

use super::*;

/// The fault of a plan with these tables; "right" if it has none.
fn verdict(rows: &[Row], levels: [usize; 2], upper: &[u64], lower: &[u64]) -> String {
    verdict_of(&Plan::forged(&version(rows), levels, upper, lower))
}

fn verdict_of(plan: &Plan) -> String {
    match plan.check() {
        Ok(()) => "right".into(),
        Err(error) => {
            assert_eq!(error.kind(), crate::error::ErrorKind::Internal);
            let reported = error
                .message()
                .strip_prefix("a compaction was planned wrongly: ");
            reported
                .expect("the error names the plan as the fault")
                .into()
        }
    }
}

const TREE: &[Row] = &[
    (0, 9, "a", "f", 100),
    (0, 8, "e", "m", 100),
    (0, 7, "k", "z", 100),
    (1, 5, "c", "d", 100),
    (1, 6, "h", "p", 100),
    (2, 3, "a", "g", 100),
    (2, 4, "n", "z", 100),
];

/// CHECK-2, VERSION-3.
#[test]
fn a_plan_that_lets_an_older_entry_pass_a_newer_one_is_wrong() {
    let is_left = |number: u64, level: usize, from: usize, to: usize| {
        format!(
            "table {number:06} of level {level} overlaps the inputs from level {from} to level {to}, but is not one of them"
        )
    };
    let cases: &[(&str, [usize; 2], &[u64], &[u64], String)] = &[
        (
            "all of level 0",
            [0, 1],
            &[9, 8, 7],
            &[5, 6],
            "right".into(),
        ),
        ("the oldest stay newest", [0, 1], &[7], &[6], "right".into()),
        (
            "the newest goes first",
            [0, 1],
            &[9],
            &[5],
            is_left(8, 0, 0, 1),
        ),
        (
            "the oldest is left",
            [0, 1],
            &[9, 8],
            &[5, 6],
            is_left(7, 0, 0, 1),
        ),
        (
            "a table of the output level is left",
            [0, 1],
            &[9, 8, 7],
            &[5],
            is_left(6, 1, 0, 1),
        ),
        (
            "all of the output level is left",
            [1, 2],
            &[5],
            &[],
            is_left(3, 2, 1, 2),
        ),
        (
            "a level is jumped over",
            [0, 2],
            &[9, 8, 7],
            &[3, 4],
            is_left(5, 1, 0, 2),
        ),
        (
            "a table of the level is between the inputs",
            [1, 1],
            &[5, 6],
            &[],
            "right".into(),
        ),
        ("one level down", [1, 2], &[5], &[3], "right".into()),
        (
            "to where it overlaps nothing",
            [2, 3],
            &[3],
            &[],
            "right".into(),
        ),
    ];
    for (name, levels, upper, lower, expected) in cases {
        assert_eq!(&verdict(TREE, *levels, upper, lower), expected, "{name}");
    }
}

/// CHECK-1.
#[test]
fn a_table_that_is_left_out_is_found_in_whatever_order_the_tables_lie() {
    let sorted = version(TREE);
    let reversed = sorted.reversed();
    let cases: [([usize; 2], &[u64], &[u64], &str); 5] = [
        ([0, 1], &[9, 8], &[5, 6], "table 000007 of level 0"),
        ([0, 1], &[7], &[], "table 000006 of level 1"),
        ([1, 2], &[5], &[], "table 000003 of level 2"),
        ([1, 2], &[6], &[], "table 000004 of level 2"),
        ([1, 2], &[5], &[3], "right"),
    ];
    for (levels, upper, lower, expected) in cases {
        for version in [&sorted, &reversed] {
            let plan = Plan::forged(&sorted, levels, upper, lower).ready(version);
            let reported = verdict_of(&plan);
            assert!(reported.starts_with(expected), "{reported}");
        }
    }
}

/// PICKER-4.
#[test]
fn a_rewrite_in_place_around_a_table_of_its_level_is_wrong() {
    let rows = &[
        (3, 1, "a", "b", 1),
        (3, 2, "c", "d", 1),
        (3, 3, "e", "f", 1),
    ];
    assert_eq!(verdict(rows, [3, 3], &[1, 2, 3], &[]), "right");
    assert_eq!(verdict(rows, [3, 3], &[1, 2], &[]), "right");
    let reported = verdict(rows, [3, 3], &[1, 3], &[]);
    assert!(
        reported.starts_with("table 000002 of level 3"),
        "{reported}"
    );
    // If the plan goes down a level, no entry passes the table between the inputs.
    assert_eq!(verdict(rows, [3, 4], &[1, 3], &[]), "right");
}

#[test]
fn a_plan_of_tables_that_are_elsewhere_or_taken_twice_is_wrong() {
    let elsewhere = "an input is not in its level";
    assert_eq!(verdict(TREE, [3, 4], &[5], &[]), elsewhere);
    assert_eq!(verdict(TREE, [2, 3], &[3], &[4]), elsewhere);
    let twice = "it takes no table of its level, or one twice";
    assert_eq!(verdict(TREE, [2, 3], &[3, 3], &[]), twice);
    assert_eq!(verdict(TREE, [1, 2], &[5], &[5, 3]), twice);
    assert_eq!(verdict(TREE, [1, 2], &[], &[3]), twice);
    assert_eq!(
        verdict(TREE, [1, 0], &[5], &[]),
        "it goes from level 1 to level 0"
    );
    // In another version of the tree.
    let (before, after) = (version(TREE), version(&TREE[1..]));
    let plan = Plan::forged(&before, [0, 1], &[9, 8, 7], &[5, 6]);
    assert!(plan.check().is_ok() && plan.ready(&after).check().is_err());
}

#[test]
fn a_plan_that_others_are_not_kept_off_or_that_moves_more_than_a_table_is_wrong() {
    let tree = version(TREE);
    let forged = || Plan::forged(&tree, [2, 3], &[3], &[]);
    for spoil in [
        |plan: &mut Plan| plan.smallest = b"b".to_vec(),
        |plan: &mut Plan| plan.largest = b"f".to_vec(),
    ] {
        let mut plan = forged();
        spoil(&mut plan);
        let reported = plan.ready(&tree).check().unwrap_err();
        assert!(
            reported.message().contains("the range it claims is not"),
            "{reported}"
        );
    }
    let mut plan = forged();
    plan.is_trivial_move = true;
    assert!(plan.ready(&tree).check().is_ok());
    for mut plan in [
        Plan::forged(&tree, [2, 3], &[3, 4], &[]),
        Plan::forged(&tree, [1, 2], &[5], &[3]),
        Plan::forged(&tree, [2, 2], &[3], &[]),
    ] {
        assert!(plan.check().is_ok());
        plan.is_trivial_move = true;
        let reported = plan.ready(&tree).check().unwrap_err();
        assert!(
            reported.message().contains("not a move of one table"),
            "{reported}"
        );
    }
    // A plan that was not checked is refused as well.
    let unseen = Plan::new(&tree, 2, 3, forged().upper, Vec::new());
    assert!(unseen.check().is_err());
}

/// PICKER-5.
#[test]
fn an_edit_that_removes_a_table_which_was_not_read_is_wrong() {
    let plan = Plan::forged(&version(TREE), [0, 1], &[9, 8, 7], &[5, 6]);
    let reported = |spoil: &dyn Fn(&mut VersionEdit)| {
        let mut edit = plan.removal();
        edit.add(1, info(10, "a", "z", 100));
        spoil(&mut edit);
        match plan.check_edit(&edit) {
            Ok(()) => "right".into(),
            Err(error) => error.message().to_owned(),
        }
    };
    assert_eq!(reported(&|_| ()), "right");
    for (spoil, words) in [
        (
            &(|edit: &mut VersionEdit| edit.remove(2, FileNumber(3))) as &dyn Fn(&mut VersionEdit),
            "removes table 000003 of level 2, which it does not read",
        ),
        (
            &|edit| edit.remove(1, FileNumber(9)),
            "removes table 000009 of level 1",
        ),
        (
            &|edit| edit.removed.retain(|(_, number)| number.0 != 6),
            "leaves table 000006 in level 1, which it reads",
        ),
        (&|edit| edit.added[0].0 = 2, "adds table 000010 to level 2"),
    ] {
        let reported = reported(spoil);
        assert!(reported.contains(words), "{reported}");
    }
    let mut plan = Plan::forged(&version(TREE), [2, 3], &[3], &[]);
    plan.is_trivial_move = true;
    let mut edit = plan.trivial_edit();
    plan.check_edit(&edit).unwrap();
    edit.added[0].1.entries += 1;
    let error = plan.check_edit(&edit).unwrap_err();
    assert!(
        error
            .message()
            .contains("a table other than the one it moves"),
        "{error}"
    );
}

/// A random tree of tables, which may overlap in level 0 and do not in deeper levels.
fn random_tree(random: &mut Random) -> Version {
    let mut edit = VersionEdit::default();
    let key = |at: u64| format!("{at:03}");
    let mut number = 1;
    for level in (0..5).rev() {
        let mut at = 0;
        for _ in 0..random.below(12) {
            let from = match level {
                0 => random.below(200),
                _ => at + 1 + random.below(20),
            };
            let to = from + random.below(20);
            at = to;
            let table = TableInfo {
                tombstones: random.below(3) * 5,
                ..info(number, &key(from), &key(to), 1 + random.below(500))
            };
            edit.add(level, table);
            number += 1;
        }
    }
    Version::empty()
        .apply(&edit, &ObsoleteFiles::new(|| {}))
        .unwrap()
        .0
}

#[test]
fn no_plan_that_the_picker_makes_is_wrong() {
    let seeds = 0..400;
    let mut plans = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let tree = random_tree(&mut random);
        let mut look = |plan: &Plan| {
            plans += 1;
            plan.check()
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let edit = match plan.is_trivial_move() {
                true => plan.trivial_edit(),
                false => plan.removal(),
            };
            plan.check_edit(&edit)
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        };
        let mut running = Vec::new();
        while let Some(plan) = pick(&tree, &running, &OPTIONS) {
            look(&plan);
            running.push(plan.running());
        }
        for _ in 0..20 {
            let (start, end) = (random.below(200), random.below(200));
            let (start, end) = (format!("{start:03}"), format!("{end:03}"));
            let (start, end) = (Some(start.as_bytes()), Some(end.as_bytes()));
            let level = random.below(5) as usize;
            let taken = &running[..random.below(running.len() as u64 + 1) as usize];
            if let RangePlan::Ready(plan) = plan_range(&tree, level, start, end, taken, &OPTIONS) {
                look(&plan);
            }
            let before = FileNumber(random.below(60));
            let level = level.max(1);
            if let RangePlan::Ready(plan) =
                plan_rewrite(&tree, level, start, end, before, taken, &OPTIONS)
            {
                look(&plan);
            }
        }
        let moment = Moment {
            visible: &[SequenceNumber(10_000)],
            wall_micros: 1,
            met: None,
        };
        if let Some(plan) = pick_upkeep(&tree, &running[..0], &OPTIONS, &moment).plan {
            look(&plan);
        }
    }
    assert!(plans > 1000, "{plans} plans");
}
