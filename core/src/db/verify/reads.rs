//! Reads an open database as its users do, and compares what they get with what there is.
//!
//! * READS-1  A table is walked forward block by block, forward reading ahead, and backward: each walk meets what the
//!            check of its raw bytes has counted.
//! * READS-2  A merge of all tables and memtables at one number meets what they hold, each walked by itself.
//! * READS-3  What a reader at that number sees is told from the merge by the plainest rule, which is stated here and
//!            nowhere else: of each key the newest entry at or below the number, and nothing if that is a tombstone. A
//!            cursor forward is compared with it pair by pair, a cursor backward by the stretch, gets and seeks into
//!            the gap before a key by the sample.
//! * READS-4  A difference is a fault of ours, or of the memory: the bytes on disk were found to be right before.
//!            Memory: a few entries, and the blocks that the iterators hold.
//!
//! Elsewhere: the raw bytes (`sstable/reader/check.rs`), when this is done and what of it is told (`verify.rs`).

use std::fmt;
use std::ops::ControlFlow;

use crate::content::Sum;
use crate::error::{Error, Result};
use crate::iterator::InternalIterator;
use crate::iterator::visible::kind_of;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory;

/// Bytes of keys and values walked between two looks at whether it should end.
const LOOK_BYTES: u64 = 1 << 20;
/// A cursor goes backward over so many bytes, or pairs, at a time: what the cursor before it has read is still near.
const STRETCH_BYTES: u64 = 1 << 20;
const STRETCH_PAIRS: u64 = 4096;
/// Of so many keys one is looked up; and so is each with a value larger than that, which blocks store in other ways.
const SAMPLED_KEYS: u64 = 16;
const SAMPLED_VALUE_BYTES: usize = 32 << 10;
/// What a message shows of a key.
const SHOWN_KEY_BYTES: usize = 64;

/// Told of the bytes walked since it was told last; may end the walk.
pub(super) type Walking<'a> = &'a mut dyn FnMut(u64) -> Result<ControlFlow<()>>;

/// Which end a walk begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// What a walk has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Walked {
    pub(super) all: Sum,
    /// The entries at or below the number read at.
    pub(super) seen: Sum,
    /// Bytes of all keys and values.
    pub(super) bytes: u64,
}

/// Walks all entries from one end to the other; `None` if it was told to end.
pub(super) fn walk(
    entries: &mut impl InternalIterator,
    way: Way,
    number: SequenceNumber,
    walking: Walking<'_>,
) -> Result<Option<Walked>> {
    let mut walked = Walked::default();
    let mut told = 0;
    match way {
        Way::Forward => entries.seek_to_first()?,
        Way::Backward => entries.seek_to_last()?,
    }
    while entries.valid() {
        let (key, value) = (entries.key(), entries.value());
        let mut sum = Sum::default();
        // An entry of an unknown kind counts as missing, and the raw bytes have been checked for such.
        sum.add_entry(key.user_key, key.trailer, value);
        walked.all += sum;
        if key.trailer.sequence() <= number {
            walked.seen += sum;
        }
        walked.bytes += (key.user_key.len() + value.len()) as u64;
        if walked.bytes - told >= LOOK_BYTES {
            if walking(walked.bytes - told)?.is_break() {
                return Ok(None);
            }
            told = walked.bytes;
        }
        match way {
            Way::Forward => entries.next()?,
            Way::Backward => entries.prev()?,
        }
    }
    let ended = walking(walked.bytes - told)?;
    Ok(ended.is_continue().then_some(walked))
}

/// Where two walks forward part, in words; `None` if they meet the same.
pub(super) fn first_difference(
    one: &mut impl InternalIterator,
    other: &mut impl InternalIterator,
) -> Result<Option<String>> {
    let mut before: Option<Vec<u8>> = None;
    one.seek_to_first()?;
    other.seek_to_first()?;
    while one.valid() && other.valid() {
        if one.key() != other.key() || one.value() != other.value() {
            break;
        }
        let before = before.get_or_insert_default();
        before.clear();
        before.extend_from_slice(one.key().user_key);
        one.next()?;
        other.next()?;
    }
    let key = |entries: &dyn InternalIterator| match entries.valid() {
        true => Shown(entries.key().user_key).to_string(),
        false => "the end".to_owned(),
    };
    let behind = before
        .as_deref()
        .map_or("the beginning".to_owned(), |key| Shown(key).to_string());
    Ok((one.valid() || other.valid()).then(|| {
        format!(
            "behind {behind} one has {} and the other {}",
            key(one),
            key(other)
        )
    }))
}

/// A cursor of the database, as far as it is needed here.
pub(super) trait Pairs {
    fn next(&mut self) -> Result<bool>;
    fn prev(&mut self) -> Result<bool>;
    fn last(&mut self) -> Result<bool>;
    fn seek(&mut self, key: &[u8]) -> Result<bool>;
    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool>;
    fn key(&self) -> &[u8];
    fn value(&self) -> &[u8];
}

/// What a lookup is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Right,
    Missing,
    Another,
}

/// READS-3. `get` is told a key and its value, `None` if there should be none.
pub(super) struct Comparison<I, C, G> {
    pub(super) merged: I,
    pub(super) number: SequenceNumber,
    pub(super) forward: C,
    pub(super) backward: C,
    pub(super) seeking: C,
    pub(super) get: G,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// READS-2: the entries at or below the number that the merge has met.
    pub(super) met: Sum,
    /// In a sentence each: the first difference of each cursor, and of the gets.
    pub(super) differences: Vec<String>,
    /// Keys that were looked up, and if they have a value sought too.
    pub(super) looked_up: u64,
    /// Pairs that a reader sees.
    pub(super) visible: u64,
}

impl<I, C, G> Comparison<I, C, G>
where
    I: InternalIterator,
    C: Pairs,
    G: FnMut(&[u8], Option<&[u8]>) -> Result<Answer>,
{
    /// Reads everything in each way; `None` if it was told to end.
    pub(super) fn run(self, walking: Walking<'_>) -> Result<Option<Outcome>> {
        let Comparison {
            merged,
            number,
            mut forward,
            backward,
            mut seeking,
            mut get,
        } = self;
        let mut expected = Expected::new(merged, number);
        let mut outcome = Outcome::default();
        let mut back = Back::new(backward);
        let (mut forward_differs, mut get_differs, mut seek_differs) = (false, false, false);
        let (mut keys, mut told) = (0u64, 0);
        // A copy of the last visible key, for messages.
        let mut last: Option<Vec<u8>> = None;
        while let Some(kind) = expected.next()? {
            let (key, value) = (expected.key(), expected.value());
            let value = (kind == ValueKind::Put).then_some(value);
            let is_large = value.is_some_and(|value| value.len() > SAMPLED_VALUE_BYTES);
            if keys.is_multiple_of(SAMPLED_KEYS) || is_large {
                outcome.looked_up += 1;
                let answer = get(key, value)?;
                if answer != Answer::Right && !get_differs {
                    get_differs = true;
                    outcome.differences.push(wrong_answer(key, value, answer));
                }
                if let (Some(value), false) = (value, seek_differs) {
                    // Right behind the pair before, where no key is: this one is next, be it in another block or table.
                    let mut gap = last.clone().unwrap_or_default();
                    gap.extend(last.is_some().then_some(0));
                    let found = seeking.seek(&gap)?;
                    if !(found && seeking.key() == key && seeking.value() == value) {
                        seek_differs = true;
                        let found = found.then(|| seeking.key());
                        let step = Step::Seek;
                        let difference = wrong_step(step, last.as_deref(), Some(key), found);
                        outcome.differences.push(difference);
                    }
                }
            }
            keys += 1;
            if let Some(value) = value {
                outcome.visible += 1;
                if !forward_differs {
                    let found = forward.next()?;
                    let is_same = found && forward.key() == key && forward.value() == value;
                    if !is_same {
                        forward_differs = true;
                        let found = found.then(|| forward.key());
                        let step = Step::Next;
                        let difference = wrong_step(step, last.as_deref(), Some(key), found);
                        outcome.differences.push(difference);
                    }
                }
                back.add(key, value, &mut outcome.differences)?;
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
            }
            if expected.bytes - told >= LOOK_BYTES {
                if walking(expected.bytes - told)?.is_break() {
                    return Ok(None);
                }
                told = expected.bytes;
            }
        }
        if !forward_differs && forward.next()? {
            let found = Some(forward.key());
            let difference = wrong_step(Step::Next, last.as_deref(), None, found);
            outcome.differences.push(difference);
        }
        back.finish(&mut outcome.differences)?;
        outcome.met = expected.met;
        let ended = walking(expected.bytes - told)?;
        Ok(ended.is_continue().then_some(outcome))
    }
}

/// What a reader at `number` sees of each key (READS-3), from entries in their order.
struct Expected<I> {
    entries: I,
    number: SequenceNumber,
    is_begun: bool,
    /// The entry met last, and whether what is seen of its key is decided.
    user_key: Vec<u8>,
    trailer: Trailer,
    is_decided: bool,
    met: Sum,
    bytes: u64,
}

impl<I: InternalIterator> Expected<I> {
    fn new(entries: I, number: SequenceNumber) -> Expected<I> {
        Expected {
            entries,
            number,
            is_begun: false,
            user_key: Vec::new(),
            trailer: Trailer::NEWEST,
            is_decided: false,
            met: Sum::default(),
            bytes: 0,
        }
    }

    /// Goes on to the entry that decides what is seen of the next key: a put or a tombstone. `None` at the end.
    fn next(&mut self) -> Result<Option<ValueKind>> {
        loop {
            let is_first = !self.is_begun;
            match std::mem::replace(&mut self.is_begun, true) {
                false => self.entries.seek_to_first()?,
                true => self.entries.next()?,
            }
            if !self.entries.valid() {
                return Ok(None);
            }
            let KeyRef { user_key, trailer } = self.entries.key();
            let last = KeyRef::new(&self.user_key, self.trailer);
            if !is_first && last >= self.entries.key() {
                return Err(Error::unaccounted(format!(
                    "a merge of all tables and memtables does not ascend behind {}",
                    Shown(&self.user_key)
                )));
            }
            if is_first || user_key != self.user_key {
                self.is_decided = false;
                self.user_key.clear();
                self.user_key.extend_from_slice(user_key);
            }
            self.trailer = trailer;
            self.bytes += (user_key.len() + self.entries.value().len()) as u64;
            if trailer.sequence() > self.number {
                continue;
            }
            let kind = kind_of(trailer)?;
            self.met.add_entry(user_key, trailer, self.entries.value());
            if !std::mem::replace(&mut self.is_decided, true) {
                return Ok(Some(kind));
            }
        }
    }

    fn key(&self) -> &[u8] {
        self.entries.key().user_key
    }

    fn value(&self) -> &[u8] {
        self.entries.value()
    }
}

/// A cursor that goes backward over what is known of it, stretch by stretch, and in each a step beyond it.
struct Back<C> {
    cursor: C,
    stretch: Stretch,
    /// The last key before the stretch.
    before: Option<Vec<u8>>,
    differs: bool,
}

/// Pairs one behind the other.
#[derive(Default)]
struct Stretch {
    first: Vec<u8>,
    last: Vec<u8>,
    sum: Sum,
    bytes: u64,
}

impl Stretch {
    fn is_full(&self) -> bool {
        self.bytes >= STRETCH_BYTES || self.sum.puts >= STRETCH_PAIRS
    }
}

impl<C: Pairs> Back<C> {
    fn new(cursor: C) -> Back<C> {
        Back {
            cursor,
            stretch: Stretch::default(),
            before: None,
            differs: false,
        }
    }

    /// Takes the next pair there is, going forward; looks at a stretch once it is full.
    fn add(&mut self, key: &[u8], value: &[u8], differences: &mut Vec<String>) -> Result<()> {
        if self.differs {
            return Ok(());
        }
        if self.stretch.is_full() {
            // Not the last one, since there is this pair.
            let found = self.cursor.seek_for_prev(&self.stretch.last)?;
            self.look(found, differences)?;
            self.before = Some(std::mem::take(&mut self.stretch).last);
        }
        let stretch = &mut self.stretch;
        if stretch.sum.puts == 0 {
            memory::replace(&mut stretch.first, key, "a key")?;
        }
        memory::replace(&mut stretch.last, key, "a key")?;
        stretch.bytes += (key.len() + value.len()) as u64;
        add_pair(&mut stretch.sum, key, value);
        Ok(())
    }

    /// Looks at the last stretch, from the end of the database.
    fn finish(&mut self, differences: &mut Vec<String>) -> Result<()> {
        if self.differs {
            return Ok(());
        }
        let found = self.cursor.last()?;
        self.look(found, differences)
    }

    /// Walks the stretch, at whose last pair the cursor should stand if it stands on one.
    fn look(&mut self, mut found: bool, differences: &mut Vec<String>) -> Result<()> {
        let stretch = &self.stretch;
        let mut sum = Sum::default();
        let is_at_last = found && self.cursor.key() == stretch.last;
        while found && stretch.sum.puts > 0 && self.cursor.key() >= &stretch.first[..] {
            add_pair(&mut sum, self.cursor.key(), self.cursor.value());
            found = self.cursor.prev()?;
        }
        let next = found.then(|| self.cursor.key());
        let is_empty = stretch.sum.puts == 0 && next.is_none();
        if is_empty || (is_at_last && sum == stretch.sum && next == self.before.as_deref()) {
            return Ok(());
        }
        self.differs = true;
        let mut difference = format!(
            "a cursor going backward from {} to {} meets other pairs than there are, {} instead of {}",
            Shown(&stretch.last),
            Shown(&stretch.first),
            sum.puts,
            stretch.sum.puts,
        );
        if next != self.before.as_deref() {
            let (next, before) = (Place(next), Place(self.before.as_deref()));
            difference.push_str(&format!("; and then {next}, where {before} is next"));
        }
        differences.push(difference);
        Ok(())
    }
}

/// Adds a pair; its number is not known to a cursor.
fn add_pair(sum: &mut Sum, key: &[u8], value: &[u8]) {
    sum.add_entry(key, Trailer::new(SequenceNumber(0), ValueKind::Put), value);
}

/// How a cursor comes to the next pair.
#[derive(Clone, Copy)]
enum Step {
    Next,
    Seek,
}

/// A cursor has gone from `before` to `found` where `expected` is next.
fn wrong_step(
    step: Step,
    before: Option<&[u8]>,
    expected: Option<&[u8]>,
    found: Option<&[u8]>,
) -> String {
    let cursor = match step {
        Step::Next => "a cursor going forward",
        Step::Seek => "a cursor that seeks",
    };
    let behind = match before {
        Some(before) => Shown(before).to_string(),
        None => "the beginning".to_owned(),
    };
    match expected == found {
        true => format!("{cursor} meets another value under {}", Place(found)),
        false => format!(
            "{cursor} meets {} behind {behind}, where {} is next",
            Place(found),
            Place(expected)
        ),
    }
}

fn wrong_answer(key: &[u8], value: Option<&[u8]>, answer: Answer) -> String {
    let key = Shown(key);
    match (answer, value) {
        (Answer::Missing, Some(value)) => {
            let bytes = value.len();
            format!("a get of {key} finds nothing, where a value of {bytes} bytes is")
        }
        (_, Some(_)) => format!("a get of {key} finds another value than the one that is there"),
        (_, None) => format!("a get of {key} finds a value, where it is deleted"),
    }
}

/// A key in a message.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_KEY_BYTES)];
        let rest = if shown.len() < self.0.len() { ".." } else { "" };
        write!(f, "\"{}{rest}\"", shown.escape_ascii())
    }
}

/// Where a cursor stands, in a message.
struct Place<'a>(Option<&'a [u8]>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => Shown(key).fmt(f),
            None => f.write_str("the end"),
        }
    }
}

#[cfg(test)]
mod tests;
