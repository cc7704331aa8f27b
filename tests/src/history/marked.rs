//! Marked histories: the crash tests run them, one operation after the other, and look at each change of the disk.
//!
//! They consist of changes only: the test decides when to read, and which operations fail.
//!
//! * MARKED-1  Every write is a batch that also puts a unique content under [`MARK`]. So each prefix of the writes
//!             makes another state, and one key tells which of them a crash left.

use std::collections::VecDeque;

use crate::{Fill, Random, Sizes, Unit, edges_up_to};

use super::operation::{Content, Drawer, End, Entry, Flavour, MARK, MAX_SMALL, Operation};

/// The length of the longest key, except the large keys of some histories; no value is larger than [`MAX_SMALL`].
pub const MAX_SHORT_KEY: usize = (1 << 16) + 1;
/// The size limit of the large values and keys of some histories: a test reads them again and again.
const MAX_OF_ALL: usize = (16 << 20) + 1;
/// Batches from a large value to a large key, and from there to the deletion of both: every state keeps its keys.
const BEFORE_LARGE_KEY: u32 = 2;
const BEFORE_THEY_GO: u32 = 5;
/// Batches after the deletion until everything is compacted once more, in case a fault prevented the first compaction.
const BEFORE_THEY_ARE_GONE: u32 = 15;

/// Data far larger than a history usually has.
struct Large {
    /// The batch with the large value.
    batch: u32,
    value: Entry,
    key: Entry,
}

impl Large {
    fn draw(drawer: &mut Drawer) -> Large {
        let random = &mut drawer.random;
        let lengths = edges_up_to(MAX_OF_ALL, Unit::Bytes);
        let lengths = &lengths[lengths.partition_point(|&length| length <= MAX_SMALL)..];
        // Half of the keys are at the limit.
        let mut length = || match random.one_in(2) {
            true => MAX_OF_ALL - random.index(3),
            false => *random.pick(lengths),
        };
        let (value, key) = (length(), length().min(aidb::MAX_KEY_BYTES));
        let mut entry = |key: usize, length: usize| {
            let fills = [(); 2].map(|()| *drawer.random.pick(&Fill::ALL));
            let content = Content {
                length,
                fill: fills[1],
                ..drawer.content()
            };
            Entry::Put(drawer.random.key_of(key, fills[0]), content)
        };
        let (value, key) = (entry(20, value), entry(key, 100));
        Large {
            batch: 15 + drawer.random.below(20) as u32,
            value,
            key,
        }
    }
}

/// Generates a marked history.
pub struct Marked {
    drawer: Drawer,
    batches: u32,
    large: Option<Large>,
    /// How many snapshots a history may hold.
    snapshots: usize,
    /// Operations to do first.
    due: VecDeque<Operation>,
}

impl Marked {
    /// The history of `seed`, with a large value and a large key if `has_large`.
    pub fn new(seed: u64, has_large: bool) -> Marked {
        let mut random = Random::new(seed);
        // Each place of a fault runs the history again, so few histories have large data.
        let sizes = Sizes::new(MAX_SMALL, *random.pick(&[100, 300, 700, 3000]));
        let mut drawer = Drawer {
            random,
            keys: Vec::new(),
            flavour: Flavour::Faults,
            tag: 0,
            syncs_one_in: 8,
            sizes,
            key_sizes: sizes.at_most(MAX_SHORT_KEY),
            bytes_left: usize::MAX,
        };
        Marked {
            large: has_large.then(|| Large::draw(&mut drawer)),
            drawer,
            batches: 0,
            snapshots: 0,
            due: VecDeque::new(),
        }
    }

    /// The next operations.
    pub fn take(&mut self, count: usize) -> Vec<Operation> {
        (0..count).map(|_| self.operation()).collect()
    }

    fn operation(&mut self) -> Operation {
        if let Some(due) = self.due.pop_front() {
            return due;
        }
        let random = &mut self.drawer.random;
        match random.below(100) {
            0..=1 => Operation::Flush,
            2 => WHOLE_COMPACTION,
            3 => Operation::Compact {
                start: Some(random.key()),
                end: None,
            },
            4..=17 => Operation::BackgroundSteps(1),
            18..=20 => {
                self.snapshots += 1;
                Operation::Snapshot
            }
            21..=23 if self.snapshots > 0 => {
                self.snapshots -= 1;
                Operation::DropSnapshot(random.index(self.snapshots + 1))
            }
            24 => {
                self.snapshots = 0;
                Operation::Reopen {
                    end: *random.pick(&[End::Close, End::Drop]),
                    options: None,
                    look_first: false,
                    faults: Vec::new(),
                }
            }
            25 => Operation::Batch {
                entries: Vec::new(),
                sync: true,
            },
            26 => Operation::Checkpoint {
                options: random.next(),
                // The open, too, should change the disk.
                read_only: false,
                cut: random.next(),
            },
            _ => self.write(),
        }
    }

    /// A write, randomly synced or not.
    pub fn write(&mut self) -> Operation {
        let sync = self.drawer.sync();
        self.batch(sync)
    }

    /// A write, synced or not as asked.
    pub fn batch(&mut self, sync: bool) -> Operation {
        self.batches += 1;
        let drawer = &mut self.drawer;
        let count = match drawer.random.below(40) {
            0 => drawer.random.count(70),
            1..10 => 1 + drawer.random.below(12),
            _ => 1,
        };
        let mut entries = Vec::new();
        if let Some(large) = &self.large {
            match self.batches.checked_sub(large.batch) {
                Some(0) => entries.push(large.value.clone()),
                Some(BEFORE_LARGE_KEY) => entries.push(large.key.clone()),
                Some(BEFORE_THEY_GO) => {
                    let keys = [&large.value, &large.key]
                        .into_iter()
                        .filter_map(Entry::key);
                    entries.extend(keys.map(|key| Entry::Delete(key.to_vec())));
                    // So that no more files become large than necessary.
                    let held = std::mem::take(&mut self.snapshots);
                    self.due
                        .extend((0..held).map(|_| Operation::DropSnapshot(0)));
                    self.due.push_back(WHOLE_COMPACTION);
                }
                Some(BEFORE_THEY_ARE_GONE) => self.due.push_back(WHOLE_COMPACTION),
                _ => {}
            }
        }
        for _ in 0..count {
            entries.push(match drawer.random.below(24) {
                0..=1 => drawer.range_entry(),
                dice => Entry::new(drawer.key(), (dice % 4 > 0).then(|| drawer.content())),
            });
        }
        drawer.tag += 1;
        let mark = Content {
            length: size_of::<u32>(),
            fill: Fill::Constant,
            tag: drawer.tag,
        };
        entries.push(Entry::Put(MARK.to_vec(), mark));
        Operation::Batch { entries, sync }
    }
}

const WHOLE_COMPACTION: Operation = Operation::Compact {
    start: None,
    end: None,
};

/// MARKED-1.
#[test]
fn every_write_has_a_mark_of_its_own_and_large_data_comes_and_goes() {
    let mut history = Marked::new(1, true);
    let operations = history.take(220);
    let mut state = super::State::default();
    let mut most = (0, 0);
    for operation in &operations {
        let Operation::Batch { entries, .. } = operation else {
            continue;
        };
        let after = state.after(entries);
        assert!(entries.is_empty() || after.mark > state.mark);
        state = after;
        let key = state.model.iter().map(|(key, _)| key.len()).max();
        let value = state.model.iter().map(|(_, value)| value.len()).max();
        most = most.max((key.unwrap_or(0), value.unwrap_or(0)));
        let largest = state.model.iter().next_back();
        assert!(largest.is_none_or(|(key, _)| key == MARK));
    }
    assert!(
        most.0 > MAX_SHORT_KEY && most.1 > MAX_SMALL,
        "{most:?} at once"
    );
    let is_large =
        |(key, value): (&[u8], &[u8])| key.len() > MAX_SHORT_KEY || value.len() > MAX_SMALL;
    assert!(
        !state.model.iter().any(is_large),
        "large data is still there"
    );
}
