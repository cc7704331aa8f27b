//! Tests of the job, alone and under the picker: random histories on real tables in memory, compared with a model
//! at every pinned number before and after each compaction.

mod edges;

use std::cell::Cell;
use std::collections::BTreeMap;

use aidb_test_data::{Random, Sizes};

use super::*;
use crate::compaction::PLAN_TABLES;
use crate::compaction::picker::{PickerOptions, RangePlan, pick, plan_range, plan_rewrite};
use crate::error::ErrorKind;
use crate::filename::parse;
use crate::key::{Trailer, ValueKind};
use crate::sstable;
use crate::sstable::spoiling::while_spoiling;
use crate::version::tests::{Bench, Entries, insert};
use crate::version::{LEVELS, Need, Reading, Version};

const OPTIONS: PickerOptions = PickerOptions {
    level0_trigger: 2,
    level_base_size: 3000,
    level_size_multiplier: 3,
    target_file_size: 700,
    max_plan_tables: PLAN_TABLES,
};

/// Values small enough that several fit the target size.
const SMALL: Sizes = Sizes::new(60, 60);

/// A tree, and every write that ever went into it.
struct Tree {
    bench: Bench,
    version: Version,
    last: u64,
    pinned: Vec<u64>,
    history: BTreeMap<Vec<u8>, Vec<(u64, Option<Vec<u8>>)>>,
}

impl Tree {
    fn new() -> Tree {
        Tree {
            bench: Bench::new(),
            version: Version::empty(),
            last: 0,
            pinned: Vec::new(),
            history: BTreeMap::new(),
        }
    }

    fn apply(&mut self, edit: &VersionEdit) {
        let applied = self.version.apply(edit, &self.bench.obsolete);
        self.version = applied.unwrap_or_else(|e| panic!("{e}: {edit:?}")).0;
    }

    /// Writes `writes` and makes them a table of level 0.
    fn flush(&mut self, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let mut entries = Entries::new();
        for (key, value) in writes {
            self.last += 1;
            insert(&mut entries, &key, self.last, value.as_deref());
            self.history
                .entry(key)
                .or_default()
                .push((self.last, value));
        }
        let mut edit = VersionEdit::default();
        edit.add(0, self.bench.table(&entries));
        self.apply(&edit);
    }

    fn flush_randomly(&mut self, random: &mut Random, sizes: &Sizes) {
        let count = 1 + random.index(40);
        let start = random.index(100);
        let width = 1 + random.index(100);
        let mut writes = Vec::new();
        for _ in 0..count {
            let key = format!("key-{:03}", start + random.index(width)).into_bytes();
            let value = (!random.one_in(4)).then(|| random.value_of(sizes));
            writes.push((key, value));
        }
        self.flush(writes);
    }

    fn run(&self, plan: &Plan, should_stop: &dyn Fn() -> bool) -> Result<Output> {
        let first_tries = Cell::new(0);
        let outcome = self.run_noting(plan, should_stop, &first_tries);
        assert_eq!(first_tries.get(), 0, "no job needed a second try");
        outcome.map_err(|failure| failure.error)
    }

    /// Counts the first tries that failed.
    fn run_noting(
        &self,
        plan: &Plan,
        should_stop: &dyn Fn() -> bool,
        first_tries: &Cell<u32>,
    ) -> std::result::Result<Output, Failure> {
        let numbers = self.pinned.iter().chain([&self.last]);
        let mut visible: Vec<_> = numbers.map(|&number| SequenceNumber(number)).collect();
        visible.sort();
        self.run_for(visible, plan, should_stop, first_tries)
    }

    fn readers(&self) -> Readers {
        Readers {
            published: SequenceNumber(self.last),
            pinned: self.pinned.iter().map(|&at| SequenceNumber(at)).collect(),
        }
    }

    /// Runs a plan in which retention gets `visible`, whatever readers there are.
    fn run_for(
        &self,
        visible: Vec<SequenceNumber>,
        plan: &Plan,
        should_stop: &dyn Fn() -> bool,
        first_tries: &Cell<u32>,
    ) -> std::result::Result<Output, Failure> {
        let context = JobContext {
            env: &*self.bench.env,
            dir: &self.bench.dir,
            tables: &self.bench.tables,
            table_options: TableOptions {
                block_size: 100,
                ..TableOptions::default()
            },
            visible,
            readers: &|| self.readers(),
            target_file_size: OPTIONS.target_file_size,
            new_file_number: &|| self.bench.number(),
            should_stop,
            note: &|_| first_tries.set(first_tries.get() + 1),
        };
        run(plan, &context)
    }

    /// Runs a plan that has to fail twice and leave no files; returns why it failed, and what is set aside.
    fn fail(&self, plan: &Plan) -> Failure {
        let before = self.table_names();
        let first_tries = Cell::new(0);
        let outcome = self.run_noting(plan, &|| false, &first_tries);
        let failure = outcome.expect_err("a job that must not succeed");
        assert_eq!(first_tries.get(), 1, "a second try past the caches");
        assert_eq!(self.table_names(), before);
        failure
    }

    fn compact(&mut self, plan: &Plan) {
        let edit = match plan.is_trivial_move() {
            true => plan.trivial_edit(),
            false => self.run(plan, &|| false).unwrap().edit,
        };
        self.apply(&edit);
    }

    /// Checks that every key has at every pinned number the value that the history says.
    fn check(&self, label: &str) {
        let reading = Reading {
            tables: &self.bench.tables,
            fill_cache: true,
        };
        for (key, writes) in &self.history {
            for &at in self.pinned.iter().chain([&self.last]) {
                let written = writes.iter().rev().find(|(number, _)| *number <= at);
                let expected = written.and_then(|(_, value)| value.clone());
                let trailer = Trailer::visible_at(SequenceNumber(at));
                let mut found = None;
                let mut newest = |trailer: Trailer, value: sstable::TableEntry<'_>| {
                    found = match trailer.kind() {
                        Some(ValueKind::Put) => Some(value.to_vec()),
                        _ => None,
                    };
                    Need::Nothing
                };
                let sought = sstable::Sought::new(key, trailer);
                self.version.feed(sought, &reading, &mut newest).unwrap();
                assert_eq!(
                    found, expected,
                    "{label}: {key:?} at {at} in {:?}",
                    self.version
                );
            }
        }
    }

    /// Compacts everything to the deepest level and rewrites it there.
    fn compact_all(&mut self) {
        let before = self.bench.number();
        let deepest = self.version.deepest_level().unwrap_or(0).max(1);
        for level in 0..=deepest {
            let mut start = Vec::new();
            loop {
                let from = Some(&start[..]);
                let found = match level == deepest {
                    true => plan_rewrite(&self.version, level, from, None, before, &[], &OPTIONS),
                    false => plan_range(&self.version, level, from, None, &[], &OPTIONS),
                };
                match found {
                    RangePlan::Done => break,
                    RangePlan::Busy | RangePlan::SetAside(_) => panic!("nothing is in the way"),
                    RangePlan::Ready(plan) => {
                        self.compact(&plan);
                        start = plan.next_start();
                    }
                }
            }
        }
    }

    fn entries(&self) -> (u64, u64) {
        let files = self.version.all_files();
        files.fold((0, 0), |(entries, tombstones), (_, file)| {
            (entries + file.entries, tombstones + file.tombstones)
        })
    }

    fn table_names(&self) -> usize {
        let names = self.bench.env.list(&self.bench.dir).unwrap();
        let tables = names
            .iter()
            .filter(|name| matches!(parse(name), Some(crate::filename::FileKind::Table(_))));
        tables.count()
    }
}

#[test]
fn random_histories_read_the_same_through_every_compaction() {
    for seed in 0..12 {
        let mut random = Random::new(seed + 1);
        let mut tree = Tree::new();
        let sizes = [SMALL, Sizes::new(1 << 19, 2000)][seed as usize % 2];
        for round in 0..60 {
            tree.flush_randomly(&mut random, &sizes);
            if random.index(4) == 0 {
                tree.pinned.push(tree.last);
            }
            if tree.pinned.len() > 4 || random.index(6) == 0 && !tree.pinned.is_empty() {
                let released = random.index(tree.pinned.len());
                tree.pinned.remove(released);
            }
            // Several plans at once, finished in any order, with flushes in between.
            let mut plans = Vec::new();
            let mut running = Vec::new();
            while let Some(plan) = pick(&tree.version, &running, &OPTIONS) {
                running.push(plan.running());
                plans.push(plan);
                if random.index(3) == 0 || plans.len() == 4 {
                    break;
                }
            }
            while !plans.is_empty() {
                if random.index(3) == 0 {
                    tree.flush_randomly(&mut random, &sizes);
                }
                let plan = plans.swap_remove(random.index(plans.len()));
                tree.compact(&plan);
                tree.check(&format!("seed {seed}, round {round}, {plan:?}"));
            }
        }
        let levels = (0..LEVELS).filter(|&level| !tree.version.files(level).is_empty());
        assert!(
            levels.count() >= 3,
            "seed {seed} uses several levels: {:?}",
            tree.version
        );
        tree.compact_all();
        tree.check(&format!("seed {seed}, all"));
        tree.pinned.clear();
        tree.compact_all();
        tree.check(&format!("seed {seed}, all, nothing pinned"));
        let live = tree
            .history
            .values()
            .filter(|writes| writes.last().unwrap().1.is_some());
        assert_eq!(tree.entries(), (live.count() as u64, 0), "seed {seed}");
    }
}

/// A tree with one plan that is not a trivial move.
fn tree_with_a_plan() -> (Tree, Plan) {
    let mut random = Random::new(7);
    let mut tree = Tree::new();
    for _ in 0..8 {
        tree.flush_randomly(&mut random, &SMALL);
    }
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    assert!(!plan.is_trivial_move());
    (tree, plan)
}

#[test]
fn numbers_that_were_met_and_are_not_those_of_the_manifest_do_not_add_up() {
    let (_, plan) = tree_with_a_plan();
    let smallest = plan.inputs().map(|file| file.smallest_sequence.0).min();
    let largest = plan.inputs().map(|file| file.largest_sequence.0).max();
    let (smallest, largest) = (smallest.unwrap(), largest.unwrap());
    let met = |first, last| check_numbers(&plan, SequenceNumber(first), SequenceNumber(last));
    met(smallest, largest).unwrap();
    for (first, last) in [
        (smallest - 1, largest),
        (smallest + 1, largest),
        (smallest, largest - 1),
        (smallest, largest + 1),
    ] {
        assert!(met(first, last).unwrap_err().is_unaccounted());
    }
}

/// JOB-3.
#[test]
fn outputs_have_about_the_target_size_and_never_split_a_key() {
    let (mut tree, plan) = tree_with_a_plan();
    // Every version is pinned, so keys have many.
    tree.pinned = (1..=tree.last).collect();
    let output = tree.run(&plan, &|| false).unwrap();
    // Only tombstones that hide nothing are dropped.
    assert!(output.entries_read - output.entries_written < output.entries_read / 4);
    let sizes: Vec<u64> = output
        .edit
        .added
        .iter()
        .map(|(_, table)| table.size)
        .collect();
    assert!(
        sizes.len() > 3 && sizes.iter().all(|&size| size < 4000),
        "{sizes:?}"
    );
    assert_eq!(output.bytes_written, sizes.iter().sum::<u64>());
    // VERSION-2 is checked here.
    tree.apply(&output.edit);
    tree.check("after");
}

#[test]
fn a_stopped_job_leaves_nothing_behind() {
    let mut tree = Tree::new();
    for _ in 0..2 {
        let keys = (0..500).map(|key| format!("key-{key:03}").into_bytes());
        tree.flush(keys.map(|key| (key, Some(vec![1; 20]))).collect());
    }
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    let before = tree.table_names();
    for questions in 0..3 {
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == questions;
        let error = tree.run(&plan, &stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(tree.table_names(), before, "stopped at call {questions}");
    }
    tree.compact(&plan);
    tree.check("carried out in the end");
}

#[test]
fn a_damaged_input_is_named_set_aside_and_leaves_nothing_behind() {
    let (tree, plan) = tree_with_a_plan();
    let file = plan.inputs().next().unwrap();
    let path = table_path(&tree.bench.dir, file.number);
    let handle = tree.bench.env.open_write(&path).unwrap();
    let mut byte = [0];
    handle.read_at(file.size / 3, &mut byte).unwrap();
    handle.write_at(file.size / 3, &[byte[0] ^ 1]).unwrap();
    let failure = tree.fail(&plan);
    assert_eq!(failure.error.kind(), ErrorKind::Corruption);
    assert_eq!(failure.error.place().unwrap().0, path);
    assert_eq!(failure.set_aside, [file.number]);
}

/// A tree with two tables in level 0. `spoil` falsifies the manifest's facts about the second.
fn tree_that_is_lied_to(spoil: impl Fn(&mut TableInfo)) -> (Tree, Plan) {
    let mut tree = Tree::new();
    let mut edit = VersionEdit::default();
    for sequence in [1, 3] {
        let mut entries = Entries::new();
        insert(&mut entries, b"k", sequence, Some(b"v"));
        insert(&mut entries, b"l", sequence + 1, Some(b"w"));
        edit.add(0, tree.bench.table(&entries));
    }
    spoil(&mut edit.added[1].1);
    tree.last = 4;
    tree.apply(&edit);
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    (tree, plan)
}

/// JOB-4.
#[test]
fn an_input_that_is_not_what_the_manifest_says_is_corruption_that_names_it() {
    let key = |key: &[u8], sequence| {
        let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
        KeyRef::new(key, trailer).to_vec()
    };
    let spoils: Vec<Box<dyn Fn(&mut TableInfo)>> = vec![
        Box::new(|table| table.content_sum = table.content_sum.map(|sum| sum ^ 1)),
        Box::new(|table| table.entries += 1),
        Box::new(|table| table.tombstones += 1),
        // The table begins with "k" at 3 and ends with "l" at 4.
        Box::new(|table| table.smallest = key(b"kk", 3)),
        Box::new(|table| table.smallest = key(b"k", 4)),
        Box::new(|table| table.smallest = key(b"j", 3)),
        Box::new(|table| {
            table.smallest = key(b"kk", 3);
            table.shortened.smallest = true;
        }),
        Box::new(|table| table.largest = key(b"kk", 4)),
        Box::new(|table| table.largest = key(b"m", 4)),
        Box::new(|table| {
            table.largest = key(b"kk", 4);
            table.shortened.largest = true;
        }),
        Box::new(|table| table.smallest_sequence = SequenceNumber(2)),
        Box::new(|table| table.smallest_sequence = SequenceNumber(4)),
        Box::new(|table| table.largest_sequence = SequenceNumber(3)),
        Box::new(|table| table.largest_sequence = SequenceNumber(5)),
    ];
    for spoil in spoils {
        let (tree, plan) = tree_that_is_lied_to(spoil);
        let failure = tree.fail(&plan);
        assert_eq!(failure.error.kind(), ErrorKind::Corruption, "{failure:?}");
        let liar = tree.version.files(0)[0].number;
        assert_eq!(failure.set_aside, [liar], "{}", failure.error);
        let path = table_path(&tree.bench.dir, liar);
        assert_eq!(failure.error.place().unwrap().0, path);
    }
}

#[test]
fn a_job_that_does_not_add_up_although_its_inputs_do_sets_all_of_them_aside() {
    let (tree, plan) = tree_that_is_lied_to(|_| ());
    let failure = blame(
        &plan,
        &JobContext {
            env: &*tree.bench.env,
            dir: &tree.bench.dir,
            tables: &tree.bench.tables,
            table_options: TableOptions::default(),
            visible: Vec::new(),
            readers: &|| tree.readers(),
            target_file_size: 1,
            new_file_number: &|| tree.bench.number(),
            should_stop: &|| false,
            note: &|_| (),
        },
        Error::unaccounted("an entry was lost"),
    );
    assert_eq!(failure.error.kind(), ErrorKind::Internal);
    let inputs: Vec<_> = plan.inputs().map(|file| file.number).collect();
    assert_eq!(failure.set_aside, inputs);
}

/// Asserts that a job was refused because it dropped an entry that a reader needs, and that it left no files.
fn assert_refused(tree: &Tree, before: usize, outcome: std::result::Result<Output, Failure>) {
    let error = outcome.expect_err("a job that must not succeed").error;
    assert!(error.is_unaccounted(), "{error}");
    assert!(error.to_string().contains("wrongly dropped"), "{error}");
    assert_eq!(tree.table_names(), before, "JOB-2");
}

/// LEDGER-3.
#[test]
fn a_job_whose_retention_was_not_told_of_a_snapshot_is_refused() {
    let mut tree = Tree::new();
    let key = b"key".to_vec();
    for pinned in [true, true, false] {
        tree.flush(vec![(key.clone(), Some(vec![1]))]);
        tree.pinned.extend(pinned.then_some(tree.last));
    }
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    let before = tree.table_names();
    let all = [1, 2, 3].map(SequenceNumber);
    for missing in 0..2 {
        let mut visible = all.to_vec();
        visible.remove(missing);
        let outcome = tree.run_for(visible, &plan, &|| false, &Cell::new(0));
        assert_refused(&tree, before, outcome);
    }
    let outcome = tree.run_for(all.to_vec(), &plan, &|| false, &Cell::new(0));
    assert_eq!(outcome.unwrap().entries_written, 3);
}

#[test]
fn a_job_whose_plan_lacks_a_deeper_level_or_a_table_of_one_is_refused() {
    // One of the two levels below the output holds the key that the tombstone hides.
    for holder in [2, 3] {
        let mut tree = Tree::new();
        let put = |tree: &mut Tree, level: usize, keys: &[&[u8]]| {
            for key in keys {
                tree.flush(vec![(key.to_vec(), Some(vec![1]))]);
                let mut edit = VersionEdit::default();
                let file = tree.version.files(0)[0].clone();
                edit.remove(0, file.number);
                edit.add(level, file.info.clone());
                tree.apply(&edit);
            }
        };
        put(&mut tree, holder, &[b"a", b"key", b"z"]);
        put(&mut tree, 5 - holder, &[b"a", b"z"]);
        for key in [b"a", b"z"] {
            tree.flush(vec![(key.to_vec(), Some(vec![2]))]);
        }
        tree.flush(vec![
            (b"a".to_vec(), Some(vec![3])),
            (b"key".to_vec(), None),
        ]);
        tree.flush(vec![(b"a".to_vec(), Some(vec![4])), (b"z".to_vec(), None)]);
        let before = tree.table_names();
        for is_whole in [true, false] {
            let mut plan = pick(&tree.version, &[], &OPTIONS).unwrap();
            assert_eq!((plan.level(), plan.output_level()), (0, 1));
            let of_holder = &mut plan.deeper[holder - 2];
            match is_whole {
                true => of_holder.clear(),
                false => drop(of_holder.remove(1)),
            }
            let outcome = tree.run_noting(&plan, &|| false, &Cell::new(0));
            assert_refused(&tree, before, outcome);
        }
        let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
        tree.compact(&plan);
        tree.check("merged");
    }
}

#[test]
fn damage_that_is_gone_at_the_second_look_is_passed_over() {
    let (mut tree, plan) = tree_with_a_plan();
    let file = plan.inputs().next().unwrap();
    let path = table_path(&tree.bench.dir, file.number);
    let handle = tree.bench.env.open_write(&path).unwrap();
    let mut byte = [0];
    handle.read_at(file.size / 3, &mut byte).unwrap();
    handle.write_at(file.size / 3, &[byte[0] ^ 1]).unwrap();
    let first_tries = Cell::new(0);
    let context = JobContext {
        env: &*tree.bench.env,
        dir: &tree.bench.dir,
        tables: &tree.bench.tables,
        table_options: TableOptions::default(),
        visible: vec![SequenceNumber(tree.last)],
        readers: &|| tree.readers(),
        target_file_size: OPTIONS.target_file_size,
        new_file_number: &|| tree.bench.number(),
        should_stop: &|| false,
        note: &|_| {
            first_tries.set(first_tries.get() + 1);
            handle.write_at(file.size / 3, &byte).unwrap();
        },
    };
    let output = run(&plan, &context)
        .map_err(|failure| failure.error)
        .unwrap();
    assert_eq!(first_tries.get(), 1);
    tree.apply(&output.edit);
    tree.check("after the second try");
}

#[test]
fn a_job_that_is_stopped_at_its_second_try_is_closed_and_blames_no_input() {
    // The error is found at the end of a try, when everything is read.
    let (tree, plan) = tree_that_is_lied_to(|table| {
        table.content_sum = table.content_sum.map(|sum| sum ^ 1);
    });
    let before = tree.table_names();
    let first_tries = Cell::new(0);
    let outcome = tree.run_noting(&plan, &|| first_tries.get() > 0, &first_tries);
    let failure = outcome.expect_err("a job that was stopped");
    assert_eq!(first_tries.get(), 1);
    assert_eq!(failure.error.kind(), ErrorKind::Closed, "{failure:?}");
    assert_eq!(failure.set_aside, []);
    assert_eq!(tree.table_names(), before, "JOB-2");
}

#[test]
fn an_output_that_its_builder_refuses_is_tried_once_more_and_then_sets_the_inputs_aside() {
    let (mut tree, plan) = tree_with_a_plan();
    let first_tries = Cell::new(0);
    let (outcome, spoiled) =
        while_spoiling(0..1, || tree.run_noting(&plan, &|| false, &first_tries));
    assert_eq!((spoiled, first_tries.get()), (1, 1));
    let output = outcome.map_err(|failure| failure.error).unwrap();
    // Each try ends at its first spoiled block.
    let (failure, spoiled) = while_spoiling(0..u64::MAX, || tree.fail(&plan));
    assert_eq!(spoiled, 2);
    assert_eq!(failure.error.kind(), ErrorKind::Internal);
    let message = failure.error.message();
    assert!(message.contains("cannot be read back"), "{message}");
    let inputs: Vec<_> = plan.inputs().map(|file| file.number).collect();
    assert_eq!(failure.set_aside, inputs, "none of them is to blame");
    tree.apply(&output.edit);
    tree.check("after the second try");
}

#[test]
fn a_table_without_a_known_sum_is_read_first_and_gets_one() {
    let (mut tree, plan) = tree_that_is_lied_to(|table| table.content_sum = None);
    let output = tree.run(&plan, &|| false).unwrap();
    tree.apply(&output.edit);
    assert!(
        tree.version
            .all_files()
            .all(|(_, file)| file.content_sum.is_some())
    );
}

#[test]
fn an_input_with_fewer_entries_than_the_manifest_says_is_corruption() {
    let mut tree = Tree::new();
    let mut entries = Entries::new();
    insert(&mut entries, b"k", 1, Some(b"v"));
    let mut edit = VersionEdit::default();
    for _ in 0..2 {
        let mut table = tree.bench.table(&entries);
        table.entries += 1;
        edit.add(0, table);
        entries.clear();
        insert(&mut entries, b"k", 2, Some(b"w"));
    }
    tree.last = 2;
    tree.apply(&edit);
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    let failure = tree.fail(&plan);
    assert_eq!(failure.error.kind(), ErrorKind::Corruption);
}

#[test]
fn a_tombstone_stays_over_deeper_data_and_goes_at_the_bottom() {
    let mut tree = Tree::new();
    let key = |number: usize| format!("key-{number}").into_bytes();
    tree.flush(
        (0..10)
            .map(|number| (key(number), Some(vec![0; 10])))
            .collect(),
    );
    tree.compact_all();
    // The tombstones of 3 and 4 hide data in level 1; that of 77 hides nothing.
    let dead = [key(3), key(4), key(77)];
    tree.flush(dead.iter().map(|key| (key.clone(), None)).collect());
    tree.flush(vec![(key(2), Some(vec![1])), (key(9), Some(vec![1]))]);
    // Level 0 is merged into level 1, where the data is.
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    tree.compact(&plan);
    tree.check("merged");
    assert_eq!(tree.entries(), (8, 0));
}
