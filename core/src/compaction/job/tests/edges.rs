//! How often a job checks whether to stop, where it cuts its outputs, and what it has made durable when it ends.

use aidb_test_data::Fill;

use super::*;
use crate::compaction::job::looks::STOP_BYTES;
use crate::env::{Call, Fault, FaultEnv};

/// A tree with a plan for two tables of level 0; each holds every second one of `entries` entries.
fn plan_over(entries: usize, value_bytes: usize) -> (Tree, Plan) {
    let mut tree = Tree::new();
    for part in 0..2 {
        let keys = (0..entries).filter(|key| key % 2 == part);
        let writes = keys.map(|key| {
            let key = format!("key-{key:05}").into_bytes();
            (key, Some(vec![b'v'; value_bytes]))
        });
        tree.flush(writes.collect());
    }
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    assert!(!plan.is_trivial_move());
    assert_eq!(
        plan.inputs().map(|file| file.entries).sum::<u64>(),
        entries as u64
    );
    (tree, plan)
}

/// COMPACT-2.
#[test]
fn a_job_asks_whether_to_stop_every_256_entries_and_every_megabyte() {
    // Keys have nine bytes.
    let megabyte = STOP_BYTES as usize;
    for (entries, value_bytes, expected) in [
        (3, 10, 1),
        (256, 10, 1),
        (257, 10, 2),
        (512, 10, 2),
        (513, 10, 3),
        (8, megabyte / 4 - 9, 2),
        (9, megabyte / 4 - 9, 3),
        (8, megabyte / 4 - 10, 2),
        (10, megabyte / 4 - 10, 2),
        (11, megabyte / 4 - 10, 3),
        (3, megabyte, 3),
    ] {
        let (tree, plan) = plan_over(entries, value_bytes);
        let asked = Cell::new(0);
        let never = || {
            asked.set(asked.get() + 1);
            false
        };
        tree.run(&plan, &never).unwrap();
        assert_eq!(asked.get(), expected, "{entries} entries of {value_bytes}");
    }
}

#[test]
fn outputs_are_cut_where_they_would_lie_over_much_and_what_lies_before_them_does_not_count() {
    let mut tree = Tree::new();
    let row = |first: usize| (first..first + 5).map(|key| format!("key-{key:03}").into_bytes());
    // Far more than ten target sizes are below the keys 0 to 9, and as much between 9 and 500.
    let mut edit = VersionEdit::default();
    for first in [0, 5, 100, 500] {
        let mut entries = Entries::new();
        for key in row(first) {
            insert(&mut entries, &key, 1, Some(b"old"));
        }
        let table = TableInfo {
            size: 8 * OPTIONS.target_file_size,
            ..tree.bench.table(&entries)
        };
        edit.add(2, table);
    }
    tree.apply(&edit);
    tree.last = 1;
    for _ in 0..2 {
        let writes = row(0).chain(row(5)).chain(row(500)).chain(row(600));
        tree.flush(writes.map(|key| (key, Some(b"new".to_vec()))).collect());
    }
    let found = plan_range(&tree.version, 0, None, None, &[], &OPTIONS);
    let RangePlan::Ready(plan) = found else {
        panic!("{found:?}");
    };
    let output = tree.run(&plan, &|| false).unwrap();
    let outputs: Vec<_> = (output.edit.added.iter())
        .map(|(_, table)| {
            let [first, last] = [&table.smallest, &table.largest].map(|key| {
                KeyRef::decode(key)
                    .unwrap()
                    .user_key
                    .escape_ascii()
                    .to_string()
            });
            format!("{first} to {last}")
        })
        .collect();
    // At 500 sixteen target sizes have been passed, after three tables. The new output has passed none of them.
    assert_eq!(outputs, ["key-000 to key-009", "key-500 to key-604"]);
}

#[test]
fn shortened_bounds_of_outputs_stay_within_those_of_the_inputs() {
    let mut tree = Tree::new();
    // Keys so long that bounds are shortened where possible: between two keys, but not at either end.
    let keys = [b'b', b'm', b'y'].map(|byte| vec![byte; 1500]);
    for _ in 0..2 {
        // Each value has the target size, so that every key gets its own output.
        let value = Fill::Noise.bytes(1, OPTIONS.target_file_size as usize);
        let writes = keys.iter().map(|key| (key.clone(), Some(value.clone())));
        tree.flush(writes.collect());
    }
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    assert_eq!(plan.range(), (&keys[0][..], &keys[2][..]));
    let output = tree.run(&plan, &|| false).unwrap();
    let outputs = output.edit.added.iter().map(|(_, table)| table);
    let shown: Vec<_> = outputs
        .map(|table| {
            let ends = [table.smallest_key(), table.largest_key()];
            let shortened = [table.shortened.smallest, table.shortened.largest];
            (ends.map(|key| key.user_key[0]), shortened)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ([b'b', b'b'], [false, true]),
            ([b'm', b'm'], [true, true]),
            ([b'y', b'y'], [true, false])
        ]
    );
    // VERSION-2 is checked here.
    tree.apply(&output.edit);
    tree.check("after");
}

/// JOB-1.
#[test]
fn the_names_of_the_outputs_are_durable_when_the_edit_is_returned() {
    let (tree, plan) = plan_over(20, 10);
    let env = FaultEnv::new(tree.bench.env.clone(), 1);
    let context = JobContext {
        env: &env,
        dir: &tree.bench.dir,
        tables: &tree.bench.tables,
        table_options: TableOptions::default(),
        visible: vec![SequenceNumber(tree.last)],
        readers: &|| tree.readers(),
        target_file_size: 1 << 20,
        new_file_number: &|| tree.bench.number(),
        should_stop: &|| false,
        note: &|error| panic!("tried once more: {error}"),
    };
    let output = run(&plan, &context).unwrap();
    assert_eq!(output.edit.added.len(), 1);
    assert_eq!(env.count(Call::SyncDir), 1);
    env.inject(Fault::new(&[Call::SyncDir], libc::EIO));
    let before = tree.table_names();
    let failure = run(&plan, &context).unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Io, "{failure:?}");
    assert_eq!(failure.set_aside, []);
    assert_eq!(tree.table_names(), before, "JOB-2");
}
