//! Operations as plain data: the parts of a history, and how a seed draws them.
//!
//! * OPERATION-1  An operation contains everything it needs, so a history still makes sense after others are removed.
//! * OPERATION-2  Indices of snapshots and cursors count modulo how many there are; without any the operation does
//!                nothing.
//! * OPERATION-3  Sizes are dealt like cards: each history of a run gets the next sizes at the edges of thresholds, as
//!                lengths of keys and of values. When all are dealt, the deal begins anew.

#![allow(
    missing_docs,
    reason = "operations and their parts are named as in the interface they call"
)]

use crate::{Fill, Model, Random, Sizes, Unit, Walk, edges_up_to};
use aidb::WriteBatch;
use aidb::env::{Call, Fault};

/// A value: its length, its kind and the number that decides its bytes; short to print.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub length: usize,
    pub fill: Fill,
    pub tag: u32,
}

impl Content {
    /// The bytes. Two contents with different tags differ if they are long enough.
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = self.fill.bytes(u64::from(self.tag), self.length);
        for (byte, tag) in bytes.iter_mut().zip(self.tag.to_le_bytes()) {
            *byte = tag;
        }
        bytes
    }
}

/// The key of the mark of a marked history, after all other keys: each write puts a unique content there.
pub const MARK: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff#";

/// A write of one operation, or of none: the last two do nothing if their range is empty.
#[derive(Clone, Debug)]
pub enum Entry {
    Put(Vec<u8>, Content),
    Delete(Vec<u8>),
    DeleteRange(Option<Vec<u8>>, Option<Vec<u8>>),
    DeletePrefix(Vec<u8>),
}

impl Entry {
    /// Puts `content`; `None` deletes.
    pub fn new(key: Vec<u8>, content: Option<Content>) -> Entry {
        match content {
            Some(content) => Entry::Put(key, content),
            None => Entry::Delete(key),
        }
    }

    /// The key that is put or deleted, unless it is a range.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Entry::Put(key, _) | Entry::Delete(key) => Some(key),
            Entry::DeleteRange(..) | Entry::DeletePrefix(_) => None,
        }
    }

    /// The value that is put.
    pub fn content(&self) -> Option<Content> {
        match self {
            Entry::Put(_, content) => Some(*content),
            _ => None,
        }
    }

    /// The range that is deleted: its first key, and the first key after it; `None` if it is empty, or no range.
    pub fn range(&self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        if !self.is_operation() {
            return None;
        }
        match self {
            Entry::DeleteRange(start, end) => {
                Some((start.clone().unwrap_or_default(), end.clone()))
            }
            Entry::DeletePrefix(prefix) => {
                let last = prefix.iter().rposition(|byte| *byte != 0xff);
                let end = last.map(|last| {
                    let mut end = prefix[..=last].to_vec();
                    end[last] += 1;
                    end
                });
                Some((prefix.clone(), end))
            }
            _ => None,
        }
    }

    /// The first key that it may change; `None` if it changes none.
    pub fn first_key(&self) -> Option<&[u8]> {
        match self {
            Entry::Put(key, _) | Entry::Delete(key) | Entry::DeletePrefix(key) => Some(key),
            Entry::DeleteRange(start, _) => self
                .is_operation()
                .then(|| start.as_deref().unwrap_or_default()),
        }
    }

    /// Whether it changes `key`.
    pub fn changes(&self, key: &[u8]) -> bool {
        match self {
            Entry::Put(own, _) | Entry::Delete(own) => own == key,
            Entry::DeletePrefix(prefix) => key.starts_with(prefix),
            Entry::DeleteRange(start, end) => {
                start.as_deref().is_none_or(|start| start <= key)
                    && end.as_deref().is_none_or(|end| key < end)
            }
        }
    }

    /// Whether it is an operation: an empty range is none.
    fn is_operation(&self) -> bool {
        match self {
            Entry::DeleteRange(start, Some(end)) => start.as_deref().unwrap_or_default() != end,
            _ => true,
        }
    }
}

/// How many operations the entries are.
pub fn operations(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.is_operation()).count()
}

/// The batch that writes the entries.
pub fn batch_of(entries: &[Entry]) -> aidb::Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    for entry in entries {
        match entry {
            Entry::Put(key, content) => batch.put(key, &content.bytes())?,
            Entry::Delete(key) => batch.delete(key)?,
            Entry::DeleteRange(start, end) => {
                batch.delete_range(start.as_deref(), end.as_deref())?;
            }
            Entry::DeletePrefix(prefix) => batch.delete_prefix(prefix)?,
        }
    }
    Ok(batch)
}

/// Applies the batch of `entries` to the model.
pub fn apply(model: &mut Model, entries: &[Entry]) {
    for entry in entries {
        match entry {
            Entry::Put(key, content) => model.put(key, &content.bytes()),
            Entry::Delete(key) => model.delete(key),
            Entry::DeleteRange(start, end) => model.delete_range(start.as_deref(), end.as_deref()),
            Entry::DeletePrefix(prefix) => model.delete_prefix(prefix),
        }
    }
}

/// A move of a cursor.
#[derive(Clone, Debug)]
pub enum Move {
    First,
    Last,
    Seek(Vec<u8>),
    SeekForPrev(Vec<u8>),
    Next,
    Prev,
    /// This many entries in one chunk.
    Chunk(usize),
}

/// A step of a transaction.
#[derive(Clone, Debug)]
pub enum Step {
    /// One entry alone, several in a batch.
    Write(Vec<Entry>),
    Get(Vec<u8>),
    GetMany(Vec<Vec<u8>>),
    /// Moves of a cursor of its own.
    Walk {
        walk: Walk,
        moves: Vec<Move>,
    },
    Savepoint,
    RollbackTo(usize),
}

/// The disk accesses that fail, and how they fail.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    pub call: Call,
    pub code: i32,
    pub path: &'static str,
    pub after: u64,
    /// `u64::MAX`: until the faults are cleared.
    pub times: u64,
    pub partial: bool,
}

impl FaultPlan {
    pub fn fault(&self) -> Fault {
        let fault = Fault::new(&[self.call], self.code)
            .on_path(self.path)
            .after(self.after)
            .times(self.times);
        match self.partial {
            true => fault.partial(),
            false => fault,
        }
    }
}

/// How a life of the database ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Close,
    Drop,
    PowerCut { seed: u64 },
}

#[derive(Clone, Debug)]
pub enum Operation {
    Put {
        key: Vec<u8>,
        value: Content,
        sync: bool,
    },
    Delete {
        key: Vec<u8>,
        sync: bool,
    },
    DeleteRange {
        start: Option<Vec<u8>>,
        end: Option<Vec<u8>>,
        sync: bool,
    },
    DeletePrefix {
        prefix: Vec<u8>,
        sync: bool,
    },
    Batch {
        entries: Vec<Entry>,
        sync: bool,
    },
    Get {
        key: Vec<u8>,
        snapshot: Option<usize>,
        fill_cache: bool,
    },
    GetMany {
        keys: Vec<Vec<u8>>,
        snapshot: Option<usize>,
    },
    /// Begins a transaction.
    Begin {
        read_only: bool,
    },
    Within {
        transaction: usize,
        steps: Vec<Step>,
    },
    Commit {
        transaction: usize,
        sync: bool,
    },
    RollBack(usize),
    Snapshot,
    /// Reads everything at the snapshot first.
    DropSnapshot(usize),
    OpenCursor {
        walk: Walk,
        snapshot: Option<usize>,
        keys: bool,
        values: bool,
        fill_cache: bool,
    },
    MoveCursor {
        cursor: usize,
        moves: Vec<Move>,
    },
    DropCursor(usize),
    /// Takes entries from both ends, where `true` means the back, then the rest from the front.
    Iterate {
        lower: Option<Vec<u8>>,
        upper: Option<Vec<u8>>,
        from_the_back: Vec<bool>,
    },
    /// Counts the entries of a range, and estimates how many there are.
    Count {
        walk: Walk,
        snapshot: Option<usize>,
        fill_cache: bool,
    },
    Flush,
    Compact {
        start: Option<Vec<u8>>,
        end: Option<Vec<u8>>,
    },
    BackgroundSteps(usize),
    Checkpoint {
        options: u64,
        read_only: bool,
        cut: u64,
    },
    Reopen {
        end: End,
        options: Option<u64>,
        look_first: bool,
        faults: Vec<FaultPlan>,
    },
    Inject(Vec<FaultPlan>),
    ClearFaults,
    Report,
    Compare,
    /// The report shows no damage, if no fault is active.
    Verify,
    /// Leaves the database without closing it, repairs it into another directory, and opens that, if no fault is
    /// active.
    Repair,
    /// Writes with a key of this many bytes, more than a key may have.
    Refuse {
        length: usize,
    },
}

/// The names that [`Operation::name`] returns.
pub const NAMES: [&str; 35] = [
    "put",
    "delete",
    "delete_range",
    "delete_prefix",
    "batch",
    "synced write",
    "get",
    "get at a snapshot",
    "get_many",
    "begin a transaction",
    "within a transaction",
    "commit",
    "roll back",
    "snapshot",
    "drop a snapshot",
    "cursor",
    "move a cursor",
    "drop a cursor",
    "iterate",
    "count",
    "flush",
    "compact_range",
    "background step",
    "checkpoint",
    "reopen after close",
    "reopen after drop",
    "reopen after a power cut",
    "reopen with other options",
    "inject faults",
    "clear faults",
    "report",
    "compare all",
    "verify",
    "repair",
    "refuse a long key",
];

impl Operation {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Put { sync: true, .. }
            | Operation::Delete { sync: true, .. }
            | Operation::DeleteRange { sync: true, .. }
            | Operation::DeletePrefix { sync: true, .. }
            | Operation::Batch { sync: true, .. } => "synced write",
            Operation::Put { .. } => "put",
            Operation::Delete { .. } => "delete",
            Operation::DeleteRange { .. } => "delete_range",
            Operation::DeletePrefix { .. } => "delete_prefix",
            Operation::Batch { .. } => "batch",
            Operation::Get { snapshot: None, .. } => "get",
            Operation::Get { .. } => "get at a snapshot",
            Operation::GetMany { .. } => "get_many",
            Operation::Begin { .. } => "begin a transaction",
            Operation::Within { .. } => "within a transaction",
            Operation::Commit { .. } => "commit",
            Operation::RollBack(_) => "roll back",
            Operation::Snapshot => "snapshot",
            Operation::DropSnapshot(_) => "drop a snapshot",
            Operation::OpenCursor { .. } => "cursor",
            Operation::MoveCursor { .. } => "move a cursor",
            Operation::DropCursor(_) => "drop a cursor",
            Operation::Iterate { .. } => "iterate",
            Operation::Count { .. } => "count",
            Operation::Flush => "flush",
            Operation::Compact { .. } => "compact_range",
            Operation::BackgroundSteps(_) => "background step",
            Operation::Checkpoint { .. } => "checkpoint",
            Operation::Reopen {
                options: Some(_), ..
            } => "reopen with other options",
            Operation::Reopen { end, .. } => match end {
                End::Close => "reopen after close",
                End::Drop => "reopen after drop",
                End::PowerCut { .. } => "reopen after a power cut",
            },
            Operation::Inject(_) => "inject faults",
            Operation::ClearFaults => "clear faults",
            Operation::Report => "report",
            Operation::Compare => "compare all",
            Operation::Verify => "verify",
            Operation::Repair => "repair",
            Operation::Refuse { .. } => "refuse a long key",
        }
    }
}

/// The faults that a history may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// No faults: two sets of options must answer alike.
    Plain,
    /// Power cuts.
    Cuts,
    /// Power cuts and faults.
    Faults,
}

/// The low bits of a seed are the number of its history in a run. They decide the lengths that the history is dealt
/// (OPERATION-3).
const NUMBER_BITS: u32 = 12;
/// The largest length that is dealt, and the largest of the small ones, of which every history gets some.
const MAX_DEALT: usize = (16 << 20) + 1;
pub const MAX_SMALL: usize = (256 << 10) + 1;
/// Each history gets this many small lengths; one history in this many gets a large one, since that takes a second.
const SMALL_DEALT: usize = 3;
const LARGE_ONE_IN: usize = 24;

/// A length at the edge of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dealt {
    Key(usize),
    Value(usize),
}

impl Dealt {
    pub fn length(self) -> usize {
        match self {
            Dealt::Key(length) | Dealt::Value(length) => length,
        }
    }

    fn is_small(&self) -> bool {
        self.length() <= MAX_SMALL
    }
}

/// Every length that is dealt, small ones first.
pub fn deck() -> Vec<Dealt> {
    let edges = edges_up_to(MAX_DEALT, Unit::Bytes);
    let keys = edges.iter().filter(|edge| **edge <= aidb::MAX_KEY_BYTES);
    let keys = keys.map(|edge| Dealt::Key(*edge));
    let mut deck: Vec<Dealt> = edges
        .iter()
        .map(|edge| Dealt::Value(*edge))
        .chain(keys)
        .collect();
    deck.sort_by_key(|dealt| (!dealt.is_small(), *dealt));
    deck
}

/// After this many histories every length has been dealt.
pub fn whole_deal() -> u64 {
    let (small, large): (Vec<_>, Vec<_>) = deck().into_iter().partition(Dealt::is_small);
    small
        .len()
        .div_ceil(SMALL_DEALT)
        .max(large.len() * LARGE_ONE_IN) as u64
}

/// The seed of the `number`-th history of a run.
pub fn seed_of(first: u64, number: u64) -> u64 {
    let mask = (1 << NUMBER_BITS) - 1;
    Random::new(first.wrapping_add(number)).next() & !mask | number & mask
}

/// The lengths dealt to the history of this seed.
fn hand(seed: u64) -> Vec<Dealt> {
    let number = (seed & ((1 << NUMBER_BITS) - 1)) as usize;
    let (small, large): (Vec<_>, Vec<_>) = deck().into_iter().partition(Dealt::is_small);
    let first = number * SMALL_DEALT;
    let mut hand: Vec<Dealt> = (first..first + SMALL_DEALT)
        .map(|at| small[at % small.len()])
        .collect();
    if number.is_multiple_of(LARGE_ONE_IN) {
        hand.push(large[number / LARGE_ONE_IN % large.len()]);
    }
    hand
}

/// One history, before it is run.
#[derive(Clone, Debug)]
pub struct History {
    pub flavour: Flavour,
    /// The number that decides the options of the first life.
    pub options: u64,
    pub operations: Vec<Operation>,
}

/// The calls that can fail in these histories: all but the start of a thread, since there are no threads.
pub fn calls() -> impl Iterator<Item = Call> {
    Call::ALL.into_iter().filter(|call| *call != Call::Spawn)
}

impl History {
    /// The history of a seed.
    pub fn draw(seed: u64) -> History {
        let mut random = Random::new(seed);
        let flavour = match random.below(10) {
            0..3 => Flavour::Plain,
            3..6 => Flavour::Cuts,
            _ => Flavour::Faults,
        };
        History::draw_of(flavour, seed, random)
    }

    /// The history of a seed without faults.
    pub fn draw_plain(seed: u64) -> History {
        History::draw_of(Flavour::Plain, seed, Random::new(seed))
    }

    fn draw_of(flavour: Flavour, seed: u64, mut random: Random) -> History {
        let (sizes, shorter) = Sizes::of_a_history(&mut random);
        let key_sizes = sizes.at_most(aidb::MAX_KEY_BYTES);
        let pool = (4 + random.below(150)) / shorter + 1;
        let mut drawer = Drawer {
            keys: (0..pool).map(|_| random.any_key(&key_sizes)).collect(),
            flavour,
            tag: 0,
            syncs_one_in: *random.pick(&[3, 10, 50]),
            sizes,
            key_sizes,
            bytes_left: usize::MAX,
            random,
        };
        let options = drawer.random.next();
        let count = (20 + drawer.random.below(380)) / shorter;
        let mut operations = vec![drawer.reopen()];
        operations.extend((0..count).map(|_| drawer.operation()));
        // Every history has a range delete, and reads after it.
        let at = 1 + drawer.random.index(operations.len());
        operations.insert(at, drawer.delete_range());
        for dealt in hand(seed) {
            // Large data slows down everything after it.
            let least = match dealt.is_small() {
                true => 1,
                false => operations.len() - operations.len() / 10,
            };
            let at = least + drawer.random.index(operations.len() + 1 - least);
            operations.insert(at, drawer.write_of(dealt));
            // There are few large lengths, and most of them should be written.
            if !dealt.is_small() && !drawer.random.one_in(3) {
                operations.insert(at, Operation::ClearFaults);
            }
        }
        History {
            flavour,
            options,
            operations,
        }
    }

    /// The history that `bytes` spell, for a fuzzer. It is short and has few keys and little large data, so that a run
    /// takes milliseconds.
    pub fn decode(bytes: &[u8]) -> History {
        let mut random = Random::of_bytes(bytes);
        let flavour = *random.pick(&[Flavour::Cuts, Flavour::Faults, Flavour::Plain]);
        let options = random.below(1 << 16);
        let mut keys = Random::new(random.below(1 << 8));
        let mut drawer = Drawer {
            keys: (0..DECODED_KEYS).map(|_| keys.key()).collect(),
            flavour,
            tag: 0,
            syncs_one_in: 8,
            sizes: Sizes::new(MAX_SMALL, DECODED_MEAN),
            key_sizes: Sizes::new(MAX_SMALL, DECODED_MEAN),
            bytes_left: DECODED_BYTES,
            random,
        };
        let small: Vec<Dealt> = deck().into_iter().filter(Dealt::is_small).collect();
        let mut operations = vec![drawer.reopen()];
        while operations.len() < DECODED_OPERATIONS && !drawer.random.is_exhausted() {
            operations.push(match drawer.random.below(32) {
                0 => {
                    let dealt = *drawer.random.pick(&small);
                    drawer.write_of(dealt)
                }
                _ => drawer.operation(),
            });
        }
        // A key that is too long teaches a fuzzer nothing, and takes as long as all the rest.
        operations.retain(|operation| !matches!(operation, Operation::Refuse { .. }));
        History {
            flavour,
            options,
            operations,
        }
    }
}

/// The limits of a decoded history: operations, keys to reuse, and bytes of keys and values beyond the short ones.
const DECODED_OPERATIONS: usize = 64;
const DECODED_KEYS: usize = 24;
const DECODED_BYTES: usize = 400 << 10;
const DECODED_MEAN: usize = 200;
/// Data of more bytes counts against the limit.
const SHORT: usize = 100;

pub(super) struct Drawer {
    pub random: Random,
    /// Keys to reuse; without any each key is new.
    pub keys: Vec<Vec<u8>>,
    pub flavour: Flavour,
    pub tag: u32,
    pub syncs_one_in: u64,
    pub sizes: Sizes,
    pub key_sizes: Sizes,
    /// How many bytes the long keys and values may still have in all.
    pub bytes_left: usize,
}

impl Drawer {
    pub fn key(&mut self) -> Vec<u8> {
        if !self.keys.is_empty() && !self.random.one_in(20) {
            return self.random.pick(&self.keys).clone();
        }
        let mut key = self.random.any_key(&self.key_sizes);
        key.truncate(self.affordable(key.len()));
        key
    }

    /// `length`, or less if less is left.
    fn affordable(&mut self, length: usize) -> usize {
        match self.bytes_left.checked_sub(length) {
            _ if length <= SHORT => length,
            Some(left) => {
                self.bytes_left = left;
                length
            }
            None => SHORT,
        }
    }

    fn some_key(&mut self, one_in: u64) -> Option<Vec<u8>> {
        self.random.one_in(one_in).then(|| self.key())
    }

    pub fn content(&mut self) -> Content {
        self.tag += 1;
        let length = self.random.size(&self.sizes);
        Content {
            length: self.affordable(length),
            fill: *self.random.pick(&Fill::ALL),
            tag: self.tag,
        }
    }

    /// Writes the dealt lengths, alone or in the middle of a batch.
    fn write_of(&mut self, dealt: Dealt) -> Operation {
        let fill = *self.random.pick(&Fill::ALL);
        let (mut key, mut value) = (self.key(), self.content());
        match dealt {
            Dealt::Key(length) => {
                let length = self.affordable(length);
                key = self.random.key_of(length, fill);
            }
            Dealt::Value(length) => {
                value = Content {
                    length: self.affordable(length),
                    fill,
                    ..value
                }
            }
        }
        let sync = self.sync();
        if !self.random.one_in(3) {
            return Operation::Put { key, value, sync };
        }
        let mut entries = self.entries(6);
        let at = self.random.index(entries.len() + 1);
        entries.insert(at, Entry::Put(key, value));
        Operation::Batch { entries, sync }
    }

    fn entries(&mut self, at_most: u64) -> Vec<Entry> {
        let count = match self.random.one_in(8) {
            true => self.random.count(300),
            false => self.random.below(at_most),
        };
        (0..count)
            .map(|_| match self.random.below(45) {
                0 => self.range_entry(),
                dice => Entry::new(self.key(), (dice % 3 > 0).then(|| self.content())),
            })
            .collect()
    }

    /// A range, mostly a narrow one: two keys that are neighbours among a few. It may be open, or empty.
    fn range(&mut self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let mut keys: Vec<_> = (0..1 + self.random.below(6)).map(|_| self.key()).collect();
        keys.sort();
        let at = self.random.index(keys.len());
        let (start, mut end) = (keys[at].clone(), keys[(at + 1).min(keys.len() - 1)].clone());
        if self.random.one_in(3) {
            // It ends just after a key.
            end.truncate(aidb::MAX_KEY_BYTES - 1);
            end.push(0);
            end = end.max(start.clone());
        }
        (
            (!self.random.one_in(9)).then_some(start),
            (!self.random.one_in(9)).then_some(end),
        )
    }

    fn prefix(&mut self) -> Vec<u8> {
        let mut prefix = self.key();
        let length = prefix.len();
        prefix.truncate(match self.random.below(8) {
            0 => 1,
            1 => 0,
            2 => length,
            _ => length.saturating_sub(1).max(2),
        });
        prefix
    }

    pub fn range_entry(&mut self) -> Entry {
        match self.random.one_in(4) {
            true => Entry::DeletePrefix(self.prefix()),
            false => {
                let (start, end) = self.range();
                Entry::DeleteRange(start, end)
            }
        }
    }

    fn delete_range(&mut self) -> Operation {
        let sync = self.sync();
        match self.range_entry() {
            Entry::DeletePrefix(prefix) => Operation::DeletePrefix { prefix, sync },
            Entry::DeleteRange(start, end) => Operation::DeleteRange { start, end, sync },
            Entry::Put(..) | Entry::Delete(_) => unreachable!("it is a range"),
        }
    }

    fn slot(&mut self, one_in: u64) -> Option<usize> {
        self.random
            .one_in(one_in)
            .then(|| self.random.below(8) as usize)
    }

    pub fn sync(&mut self) -> bool {
        self.random.one_in(self.syncs_one_in)
    }

    fn operation(&mut self) -> Operation {
        match self.random.below(1000) {
            0..25 => self.delete_range(),
            25..210 => Operation::Put {
                key: self.key(),
                value: self.content(),
                sync: self.sync(),
            },
            210..218 => Operation::Begin {
                read_only: self.random.one_in(8),
            },
            218..242 => Operation::Within {
                transaction: self.random.below(8) as usize,
                steps: (0..1 + self.random.below(6)).map(|_| self.step()).collect(),
            },
            242..249 => Operation::Commit {
                transaction: self.random.below(8) as usize,
                sync: self.sync(),
            },
            249 => Operation::RollBack(self.random.below(8) as usize),
            250..340 => Operation::Delete {
                key: self.key(),
                sync: self.sync(),
            },
            340..440 => Operation::Batch {
                entries: self.entries(25),
                sync: self.sync(),
            },
            440..520 => Operation::Get {
                key: self.key(),
                snapshot: self.slot(3),
                fill_cache: self.random.one_in(2),
            },
            520..530 => Operation::Count {
                walk: Walk {
                    reverse: false,
                    ..self.walk()
                },
                snapshot: self.slot(3),
                fill_cache: self.random.one_in(2),
            },
            530..560 => Operation::GetMany {
                keys: (0..self.random.below(12)).map(|_| self.key()).collect(),
                snapshot: self.slot(3),
            },
            560..590 => Operation::Snapshot,
            590..610 => Operation::DropSnapshot(self.random.below(8) as usize),
            610..640 => Operation::OpenCursor {
                walk: self.walk(),
                snapshot: self.slot(3),
                keys: !self.random.one_in(8),
                values: !self.random.one_in(8),
                fill_cache: self.random.one_in(2),
            },
            640..710 => Operation::MoveCursor {
                cursor: self.random.below(8) as usize,
                moves: (0..1 + self.random.below(20))
                    .map(|_| self.cursor_move())
                    .collect(),
            },
            710..715 => Operation::DropCursor(self.random.below(8) as usize),
            715..725 => Operation::Iterate {
                lower: self.some_key(3),
                upper: self.some_key(3),
                from_the_back: (0..self.random.below(40))
                    .map(|_| self.random.one_in(2))
                    .collect(),
            },
            725..755 => Operation::Flush,
            755..785 => Operation::Compact {
                start: self.some_key(2),
                end: self.some_key(2),
            },
            785..850 => Operation::BackgroundSteps(1 + self.random.below(5) as usize),
            850..862 => Operation::Checkpoint {
                options: self.random.next(),
                read_only: self.random.one_in(2),
                cut: self.random.next(),
            },
            862..892 => self.reopen(),
            892..950 if self.flavour == Flavour::Faults => Operation::Inject(self.faults()),
            950..980 if self.flavour == Flavour::Faults => Operation::ClearFaults,
            980..985 => Operation::Report,
            985..991 => Operation::Compare,
            991..994 => Operation::Verify,
            994 => Operation::Repair,
            995 => Operation::Refuse {
                length: aidb::MAX_KEY_BYTES + 1 + self.random.below(2) as usize,
            },
            _ => Operation::Batch {
                entries: self.entries(60),
                sync: self.sync(),
            },
        }
    }

    fn walk(&mut self) -> Walk {
        Walk {
            lower: self.some_key(3),
            upper: self.some_key(3),
            prefix: self.some_key(4).map(|mut key| {
                key.truncate(match key.len() {
                    0..1000 => 2,
                    length => length - 2,
                });
                key
            }),
            reverse: self.random.one_in(2),
        }
    }

    fn step(&mut self) -> Step {
        match self.random.below(16) {
            0..5 => {
                let put = !self.random.one_in(3);
                Step::Write(vec![Entry::new(self.key(), put.then(|| self.content()))])
            }
            5 if self.random.one_in(2) => Step::Write(vec![self.range_entry()]),
            5 => Step::Write(self.entries(6)),
            6..9 => Step::Get(self.key()),
            9 => Step::GetMany((0..self.random.below(6)).map(|_| self.key()).collect()),
            10..13 => Step::Walk {
                walk: self.walk(),
                moves: (0..1 + self.random.below(6))
                    .map(|_| self.cursor_move())
                    .collect(),
            },
            13 | 14 => Step::Savepoint,
            _ => Step::RollbackTo(self.random.below(8) as usize),
        }
    }

    fn cursor_move(&mut self) -> Move {
        match self.random.below(20) {
            0 => Move::First,
            1 => Move::Last,
            2..4 => Move::Seek(self.key()),
            4..6 => Move::SeekForPrev(self.key()),
            6..12 => Move::Prev,
            12 => Move::Chunk(1 + self.random.below(9) as usize),
            _ => Move::Next,
        }
    }

    fn reopen(&mut self) -> Operation {
        let end = match self.random.below(5) {
            0 => End::Close,
            1 | 2 => End::Drop,
            _ if self.flavour == Flavour::Plain => End::Close,
            _ => End::PowerCut {
                seed: self.random.next(),
            },
        };
        let faults = match self.flavour == Flavour::Faults && self.random.one_in(3) {
            true => self.faults(),
            false => Vec::new(),
        };
        Operation::Reopen {
            end,
            options: self.random.one_in(2).then(|| self.random.next()),
            look_first: self.random.one_in(4),
            faults,
        }
    }

    fn faults(&mut self) -> Vec<FaultPlan> {
        let count = 1 + u64::from(self.random.one_in(4));
        (0..count).map(|_| self.fault()).collect()
    }

    fn fault(&mut self) -> FaultPlan {
        // Writes and syncs decide about durability. The other operations are rare, so faults must aim at them.
        let (call, is_frequent) = match self.random.below(16) {
            0..4 => (Call::Write, true),
            4..8 => (Call::Sync, true),
            // Only a shrinking reserve sets a length.
            8 => (Call::SetLen, false),
            _ => {
                let call = *self.random.pick(&calls().collect::<Vec<_>>());
                (call, matches!(call, Call::Write | Call::Sync | Call::Read))
            }
        };
        let path = match is_frequent {
            true => *self
                .random
                .pick::<&str>(&["", "", "", ".log", ".sst", "MANIFEST"]),
            false => "",
        };
        FaultPlan {
            call,
            code: *self.random.pick(&[libc::EIO, libc::ENOSPC]),
            path,
            after: match is_frequent && self.random.one_in(2) {
                true => self.random.below(12),
                false => self.random.below(2),
            },
            times: *self.random.pick(&[1, 1, 2, u64::MAX]),
            partial: call == Call::Write && self.random.one_in(2),
        }
    }
}
