//! Tests of the job, alone and under the picker: random histories on real tables in memory, compared with a model
//! at every pinned number before and after each compaction.

mod edges;

use std::cell::Cell;
use std::collections::BTreeMap;

use super::*;
use crate::compaction::PLAN_TABLES;
use crate::compaction::picker::{PickerOptions, RangePlan, pick, plan_range, plan_rewrite};
use crate::filename::parse;
use crate::key::Trailer;
use crate::sstable;
use crate::version::tests::{Bench, Entries, Random, insert};
use crate::version::{LEVELS, Version};

const OPTIONS: PickerOptions = PickerOptions {
    level0_trigger: 2,
    level_base_size: 3000,
    level_size_multiplier: 3,
    target_file_size: 700,
    max_plan_tables: PLAN_TABLES,
};

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

    fn flush_randomly(&mut self, random: &mut Random) {
        let count = 1 + random.below(40);
        let start = random.below(100);
        let width = 1 + random.below(100);
        let mut writes = Vec::new();
        for _ in 0..count {
            let key = format!("key-{:03}", start + random.below(width)).into_bytes();
            let value = (random.below(4) > 0).then(|| vec![b'v'; random.below(60)]);
            writes.push((key, value));
        }
        self.flush(writes);
    }

    fn run(&self, plan: &Plan, should_stop: &dyn Fn() -> bool) -> Result<Output> {
        let numbers = self.pinned.iter().chain([&self.last]);
        let mut visible: Vec<_> = numbers.map(|&number| SequenceNumber(number)).collect();
        visible.sort();
        let context = JobContext {
            env: &*self.bench.env,
            dir: &self.bench.dir,
            tables: &self.bench.tables,
            table_options: TableOptions {
                block_size: 100,
                ..TableOptions::default()
            },
            visible,
            target_file_size: OPTIONS.target_file_size,
            new_file_number: &|| self.bench.number(),
            should_stop,
        };
        run(plan, &context)
    }

    fn compact(&mut self, plan: &Plan) {
        let edit = match plan.is_trivial_move() {
            true => plan.trivial_edit(),
            false => self.run(plan, &|| false).unwrap().edit,
        };
        self.apply(&edit);
    }

    /// Every key answers at every pinned number as the history says.
    fn check(&self, label: &str) {
        for (key, writes) in &self.history {
            for &at in self.pinned.iter().chain([&self.last]) {
                let written = writes.iter().rev().find(|(number, _)| *number <= at);
                let expected = written.and_then(|(_, value)| value.clone());
                let trailer = Trailer::visible_at(SequenceNumber(at));
                let found = self
                    .version
                    .get(
                        sstable::Sought::new(key, trailer),
                        &self.bench.tables,
                        true,
                        |_, value| value.to_vec(),
                    )
                    .unwrap();
                let found = found
                    .filter(|(trailer, _)| trailer.kind() == Some(ValueKind::Put))
                    .map(|(_, value)| value);
                assert_eq!(
                    found, expected,
                    "{label}: {key:?} at {at} in {:?}",
                    self.version
                );
            }
        }
    }

    /// Takes everything to the deepest level and rewrites it there.
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
                    RangePlan::Busy => panic!("nothing runs"),
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
        for round in 0..60 {
            tree.flush_randomly(&mut random);
            if random.below(4) == 0 {
                tree.pinned.push(tree.last);
            }
            if tree.pinned.len() > 4 || random.below(6) == 0 && !tree.pinned.is_empty() {
                let released = random.below(tree.pinned.len());
                tree.pinned.remove(released);
            }
            // Several at once, finished in any order, with flushes in between.
            let mut plans = Vec::new();
            let mut running = Vec::new();
            while let Some(plan) = pick(&tree.version, &running, &OPTIONS) {
                running.push(plan.running());
                plans.push(plan);
                if random.below(3) == 0 || plans.len() == 4 {
                    break;
                }
            }
            while !plans.is_empty() {
                if random.below(3) == 0 {
                    tree.flush_randomly(&mut random);
                }
                let plan = plans.swap_remove(random.below(plans.len()));
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

/// A tree with one plan that is no trivial move.
fn tree_with_a_plan() -> (Tree, Plan) {
    let mut random = Random::new(7);
    let mut tree = Tree::new();
    for _ in 0..8 {
        tree.flush_randomly(&mut random);
    }
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    assert!(!plan.is_trivial_move());
    (tree, plan)
}

#[test]
fn outputs_have_about_the_target_size_and_never_split_a_key() {
    let (mut tree, plan) = tree_with_a_plan();
    // Every version is pinned: keys have many.
    tree.pinned = (1..=tree.last).collect();
    let output = tree.run(&plan, &|| false).unwrap();
    // Only tombstones over nothing go.
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
    // V2 is checked here.
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
        assert_eq!(
            tree.table_names(),
            before,
            "stopped at question {questions}"
        );
    }
    tree.compact(&plan);
    tree.check("carried out after all");
}

#[test]
fn a_damaged_input_is_an_error_and_leaves_nothing_behind() {
    let (tree, plan) = tree_with_a_plan();
    let file = plan.inputs().next().unwrap();
    let path = table_path(&tree.bench.dir, file.number);
    let handle = tree.bench.env.open_write(&path).unwrap();
    let mut byte = [0];
    handle.read_at(file.size / 3, &mut byte).unwrap();
    handle.write_at(file.size / 3, &[byte[0] ^ 1]).unwrap();
    let before = tree.table_names();
    let error = tree.run(&plan, &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert_eq!(tree.table_names(), before);
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
    let before = tree.table_names();
    let error = tree.run(&plan, &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert_eq!(tree.table_names(), before);
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
    // The tombstones of 3 and 4 lie over data, that of 77 over none.
    let dead = [key(3), key(4), key(77)];
    tree.flush(dead.iter().map(|key| (key.clone(), None)).collect());
    tree.flush(vec![(key(2), Some(vec![1])), (key(9), Some(vec![1]))]);
    // Level 0 is merged into level 1, where the data is.
    let plan = pick(&tree.version, &[], &OPTIONS).unwrap();
    tree.compact(&plan);
    tree.check("merged");
    assert_eq!(tree.entries(), (8, 0));
}
