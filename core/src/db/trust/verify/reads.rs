//! Reads an open database through the public read paths, and compares the results with the stored entries.
//!
//! * READS-1  A table is walked forward block by block, forward with read-ahead, and backward: each walk finds
//!            what the check of its raw bytes has counted.
//! * READS-2  A merge of all tables and memtables at one sequence number finds the same entries as walks of
//!            each by itself.
//! * READS-3  The expected result at that number is computed from the merge by the simplest rule, which is
//!            stated only here: for each key the newest entry with a number <= the reader's, and nothing if
//!            that is a tombstone. A forward cursor is compared with it pair by pair, and a backward cursor run
//!            by run. Gets, single and of many keys, and seeks into the gap before a key are compared for a
//!            sample. At the oldest pinned number, if there is one, a forward cursor and both kinds of get are
//!            compared too.
//! * READS-4  A difference is a bug or a memory error: the bytes on disk were checked before. Memory: a few
//!            entries, and the blocks that the iterators hold.
//!
//! Elsewhere: the raw bytes (`sstable/reader/check.rs`), when this runs and what is reported (`users.rs`).

use std::fmt;
use std::ops::ControlFlow;

use crate::content::Sum;
use crate::error::{Error, Result};
use crate::iterator::InternalIterator;
use crate::iterator::visible::kind_of;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory;
use crate::version::TOGETHER;

/// Bytes of keys and values walked between two looks at whether it should end.
const LOOK_BYTES: u64 = 1 << 20;
/// A cursor goes backward over so many bytes, or pairs, at a time: what the cursor before it has read is still near.
const STRETCH_BYTES: u64 = 1 << 20;
const STRETCH_PAIRS: u64 = 4096;
/// Of so many keys one is looked up; and so is each with a value larger than that, which blocks store in other ways.
const SAMPLED_KEYS: u64 = 16;
const SAMPLED_VALUE_BYTES: usize = 32 << 10;
/// A key as shown in a message.
const SHOWN_KEY_BYTES: usize = 64;

/// Called with the bytes walked since its last call; may end the walk.
pub(super) type Walking<'a> = &'a mut dyn FnMut(u64) -> Result<ControlFlow<()>>;

/// Which end a walk begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// The entries found by a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Walked {
    pub(super) all: Sum,
    /// The entries at or below the number read at.
    pub(super) seen: Sum,
    /// Bytes of all keys and values.
    pub(super) bytes: u64,
}

/// Walks all entries from one end to the other and passes each key on; `None` if it was ended.
pub(super) fn walk(
    entries: &mut impl InternalIterator,
    way: Way,
    number: SequenceNumber,
    mut look: impl FnMut(KeyRef<'_>),
    walking: Walking<'_>,
) -> Result<Option<Walked>> {
    let mut walked = Walked::default();
    let mut reported = 0;
    match way {
        Way::Forward => entries.seek_to_first()?,
        Way::Backward => entries.seek_to_last()?,
    }
    while entries.valid() {
        let (key, value) = (entries.key(), entries.value());
        look(key);
        let mut sum = Sum::default();
        // An entry of an unknown kind counts as missing, and the raw bytes have been checked for such.
        sum.add_entry(key.user_key, key.trailer, value);
        walked.all += sum;
        if key.trailer.sequence() <= number {
            walked.seen += sum;
        }
        walked.bytes += (key.user_key.len() + value.len()) as u64;
        if walked.bytes - reported >= LOOK_BYTES {
            if walking(walked.bytes - reported)?.is_break() {
                return Ok(None);
            }
            reported = walked.bytes;
        }
        match way {
            Way::Forward => entries.next()?,
            Way::Backward => entries.prev()?,
        }
    }
    let ended = walking(walked.bytes - reported)?;
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
            "after {behind} one has {} and the other {}",
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

/// The expected result of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Right,
    Missing,
    Another,
}

/// The two ways of looking keys up, at one number.
pub(super) trait Lookups {
    /// `value`: what the key has, `None` if it should have none.
    fn get(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Answer>;
    /// Calls `found` with the value of each key that has one, and its place in `keys`.
    fn get_many(&mut self, keys: &[Vec<u8>], found: &mut dyn FnMut(usize, &[u8])) -> Result<()>;
}

/// READS-3.
pub(super) struct Comparison<I, C, L> {
    pub(super) merged: I,
    pub(super) number: SequenceNumber,
    pub(super) forward: C,
    pub(super) backward: C,
    pub(super) seeking: C,
    pub(super) lookups: L,
    /// A smaller number, and a reader at it.
    pub(super) past: Option<(SequenceNumber, C, L)>,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// READS-2: the entries at or below the number that the merge has met.
    pub(super) met: Sum,
    /// In a sentence each: the first difference of each cursor, and of the gets.
    pub(super) differences: Vec<String>,
    /// The same at the smaller number.
    pub(super) past_differences: Vec<String>,
    /// Keys that were looked up, and if they have a value sought too.
    pub(super) looked_up: u64,
    /// Pairs that a reader sees.
    pub(super) visible: u64,
}

impl<I, C, L> Comparison<I, C, L>
where
    I: InternalIterator,
    C: Pairs,
    L: Lookups,
{
    /// Reads everything in every way; `None` if it was ended.
    pub(super) fn run(self, walking: Walking<'_>) -> Result<Option<Outcome>> {
        let past_number = self.past.as_ref().map(|(number, ..)| *number);
        let mut expected = Expected::new(self.merged, self.number, past_number);
        let mut past = (self.past).map(|(_, cursor, lookups)| Past::new(cursor, lookups));
        let mut outcome = Outcome::default();
        let mut forward = Forward::new(self.forward);
        let mut back = Back::new(self.backward);
        let mut seeking = self.seeking;
        let mut gets = Gets::new(self.lookups);
        let mut seek_differs = false;
        let (mut keys, mut reported) = (0u64, 0);
        while let Some(decided) = expected.next()? {
            let (key, value) = (expected.key(), expected.value());
            let value = (decided.kind == ValueKind::Put).then_some(value);
            if let Some(past) = &mut past {
                past.meet(decided, key, value, &mut outcome.past_differences)?;
            }
            if decided.is_now {
                let is_large = value.is_some_and(|value| value.len() > SAMPLED_VALUE_BYTES);
                if keys.is_multiple_of(SAMPLED_KEYS) || is_large {
                    outcome.looked_up += 1;
                    gets.look_up(key, value, &mut outcome.differences)?;
                    if let (Some(value), false) = (value, seek_differs) {
                        // Right after the pair before, where no key is: this one is next, be it in another block or table.
                        let last = forward.last.as_deref();
                        let mut gap = forward.last.clone().unwrap_or_default();
                        gap.extend(last.is_some().then_some(0));
                        let found = seeking.seek(&gap)?;
                        if !(found && seeking.key() == key && seeking.value() == value) {
                            seek_differs = true;
                            let found = found.then(|| seeking.key());
                            let difference = wrong_step(Step::Seek, last, Some(key), found);
                            outcome.differences.push(difference);
                        }
                    }
                }
                keys += 1;
                if let Some(value) = value {
                    outcome.visible += 1;
                    forward.meet(key, value, &mut outcome.differences)?;
                    back.add(key, value, &mut outcome.differences)?;
                }
            }
            if expected.bytes - reported >= LOOK_BYTES {
                if walking(expected.bytes - reported)?.is_break() {
                    return Ok(None);
                }
                reported = expected.bytes;
            }
        }
        forward.finish(&mut outcome.differences)?;
        back.finish(&mut outcome.differences)?;
        gets.finish(&mut outcome.differences)?;
        if let Some(past) = past {
            past.finish(&mut outcome.past_differences)?;
        }
        outcome.met = expected.met;
        let ended = walking(expected.bytes - reported)?;
        Ok(ended.is_continue().then_some(outcome))
    }
}

/// A reader at the smaller number, and what it should see.
struct Past<C, L> {
    forward: Forward<C>,
    gets: Gets<L>,
    /// The key met last, if nothing decides yet what is seen of it here.
    undecided: Option<Vec<u8>>,
    /// Keys of which something else is seen here than at the larger number, and others.
    changed: u64,
    same: u64,
}

impl<C: Pairs, L: Lookups> Past<C, L> {
    fn new(cursor: C, lookups: L) -> Past<C, L> {
        Past {
            forward: Forward::new(cursor),
            gets: Gets::new(lookups),
            undecided: None,
            changed: 0,
            same: 0,
        }
    }

    fn meet(
        &mut self,
        decided: Decided,
        key: &[u8],
        value: Option<&[u8]>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        let before = self.undecided.take();
        if decided.is_now {
            self.absent(before, differences)?;
        }
        if !decided.is_then {
            return memory::replace(self.undecided.insert(Vec::new()), key, "a key");
        }
        let count = match decided.is_now {
            true => &mut self.same,
            false => &mut self.changed,
        };
        let is_sampled = count.is_multiple_of(SAMPLED_KEYS);
        *count += 1;
        if is_sampled {
            self.gets.look_up(key, value, differences)?;
        }
        match value {
            Some(value) => self.forward.meet(key, value, differences),
            None => Ok(()),
        }
    }

    /// A key of which nothing is seen here, because all there is of it is newer.
    fn absent(&mut self, key: Option<Vec<u8>>, differences: &mut Vec<String>) -> Result<()> {
        let Some(key) = key else {
            return Ok(());
        };
        self.changed += 1;
        match (self.changed - 1).is_multiple_of(SAMPLED_KEYS) {
            true => self.gets.look_up(&key, None, differences),
            false => Ok(()),
        }
    }

    fn finish(mut self, differences: &mut Vec<String>) -> Result<()> {
        let before = self.undecided.take();
        self.absent(before, differences)?;
        self.forward.finish(differences)?;
        self.gets.finish(differences)
    }
}

/// A cursor that goes forward over the pairs there are.
struct Forward<C> {
    cursor: C,
    /// The last pair's key.
    last: Option<Vec<u8>>,
    differs: bool,
}

impl<C: Pairs> Forward<C> {
    fn new(cursor: C) -> Forward<C> {
        Forward {
            cursor,
            last: None,
            differs: false,
        }
    }

    /// Takes the next pair there is.
    fn meet(&mut self, key: &[u8], value: &[u8], differences: &mut Vec<String>) -> Result<()> {
        if !self.differs {
            let cursor = &mut self.cursor;
            let found = cursor.next()?;
            if !(found && cursor.key() == key && cursor.value() == value) {
                self.differs = true;
                let found = found.then(|| cursor.key());
                let last = self.last.as_deref();
                differences.push(wrong_step(Step::Next, last, Some(key), found));
            }
        }
        memory::replace(self.last.get_or_insert_default(), key, "a key")
    }

    /// There is no other pair.
    fn finish(&mut self, differences: &mut Vec<String>) -> Result<()> {
        if !self.differs && self.cursor.next()? {
            let (last, found) = (self.last.as_deref(), Some(self.cursor.key()));
            differences.push(wrong_step(Step::Next, last, None, found));
        }
        Ok(())
    }
}

/// Gets of the sample, each alone and then with others, in groups as large as those that are looked up together.
struct Gets<L> {
    lookups: L,
    keys: Vec<Vec<u8>>,
    /// The pair of each of the keys, as a sum and the bytes of its value; `None` if it should have no value.
    pairs: Vec<Option<(Sum, usize)>>,
    /// Bytes of the group's values.
    bytes: usize,
    differs: bool,
    differs_together: bool,
}

impl<L: Lookups> Gets<L> {
    fn new(lookups: L) -> Gets<L> {
        Gets {
            lookups,
            keys: Vec::new(),
            pairs: Vec::new(),
            bytes: 0,
            differs: false,
            differs_together: false,
        }
    }

    fn look_up(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        let answer = self.lookups.get(key, value)?;
        let bytes = value.map(<[u8]>::len);
        if answer != Answer::Right && !self.differs {
            self.differs = true;
            differences.push(wrong_answer("a get of", key, bytes, answer));
        }
        self.keys.push(memory::copy_of(key, "a key")?);
        self.pairs
            .push(value.map(|value| (pair_sum(key, value), value.len())));
        self.bytes += bytes.unwrap_or_default();
        // All values of a group are held at once.
        match self.keys.len() == TOGETHER || self.bytes >= LOOK_BYTES as usize {
            true => self.look_up_together(differences),
            false => Ok(()),
        }
    }

    fn look_up_together(&mut self, differences: &mut Vec<String>) -> Result<()> {
        let (keys, pairs) = (
            std::mem::take(&mut self.keys),
            std::mem::take(&mut self.pairs),
        );
        self.bytes = 0;
        let mut answers: Vec<_> = (pairs.iter())
            .map(|pair| match pair {
                Some(_) => Answer::Missing,
                None => Answer::Right,
            })
            .collect();
        self.lookups.get_many(&keys, &mut |place, value| {
            let found = Some(pair_sum(&keys[place], value));
            answers[place] = match found == pairs[place].map(|(sum, _)| sum) {
                true => Answer::Right,
                false => Answer::Another,
            };
        })?;
        let wrong = answers.iter().position(|answer| *answer != Answer::Right);
        if let Some(place) = wrong
            && !self.differs_together
        {
            self.differs_together = true;
            let bytes = pairs[place].map(|(_, bytes)| bytes);
            let call = "a get of many keys, among them";
            differences.push(wrong_answer(call, &keys[place], bytes, answers[place]));
        }
        Ok(())
    }

    fn finish(&mut self, differences: &mut Vec<String>) -> Result<()> {
        match self.keys.is_empty() {
            true => Ok(()),
            false => self.look_up_together(differences),
        }
    }
}

/// The effect of an entry.
#[derive(Debug, Clone, Copy)]
struct Decided {
    kind: ValueKind,
    /// The value of its key at the number.
    is_now: bool,
    /// The value of its key at the smaller number.
    is_then: bool,
}

/// The values of each key for a reader at `number` and for one at the smaller `past` (READS-3), computed from
/// entries in order.
struct Expected<I> {
    entries: I,
    number: SequenceNumber,
    past: Option<SequenceNumber>,
    is_begun: bool,
    /// The entry met last, and whether what is seen of its key is decided.
    user_key: Vec<u8>,
    trailer: Trailer,
    is_decided: bool,
    is_past_decided: bool,
    met: Sum,
    bytes: u64,
}

impl<I: InternalIterator> Expected<I> {
    fn new(entries: I, number: SequenceNumber, past: Option<SequenceNumber>) -> Expected<I> {
        Expected {
            entries,
            number,
            past,
            is_begun: false,
            user_key: Vec::new(),
            trailer: Trailer::NEWEST,
            is_decided: false,
            is_past_decided: false,
            met: Sum::default(),
            bytes: 0,
        }
    }

    /// Goes on to the next entry that decides what is seen of its key: a put or a tombstone. `None` at the end.
    fn next(&mut self) -> Result<Option<Decided>> {
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
                    "a merge of all tables and memtables does not ascend after {}",
                    Shown(&self.user_key)
                )));
            }
            if is_first || user_key != self.user_key {
                (self.is_decided, self.is_past_decided) = (false, false);
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
            let is_now = !std::mem::replace(&mut self.is_decided, true);
            let is_past = self.past.is_some_and(|past| trailer.sequence() <= past);
            let is_then = is_past && !std::mem::replace(&mut self.is_past_decided, true);
            if is_now || is_then {
                return Ok(Some(Decided {
                    kind,
                    is_now,
                    is_then,
                }));
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

/// Pairs one after the other.
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

    /// Walks a run of pairs. If the cursor is on an entry, it should be the last pair of the run.
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
            "a cursor going backward from {} to {} finds pairs other than the stored ones, {} instead of {}",
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

fn pair_sum(key: &[u8], value: &[u8]) -> Sum {
    let mut sum = Sum::default();
    add_pair(&mut sum, key, value);
    sum
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
        true => format!("{cursor} finds a different value under {}", Place(found)),
        false => format!(
            "{cursor} finds {} after {behind}, but {} is next",
            Place(found),
            Place(expected)
        ),
    }
}

/// `call` has given a wrong answer about `key`, which has a value of `bytes` bytes or none.
fn wrong_answer(call: &str, key: &[u8], bytes: Option<usize>, answer: Answer) -> String {
    let key = Shown(key);
    match (answer, bytes) {
        (Answer::Missing, Some(bytes)) => {
            format!("{call} {key} finds nothing, but there is a value of {bytes} bytes")
        }
        (_, Some(_)) => format!("{call} {key} finds a value other than the stored one"),
        (_, None) => format!("{call} {key} finds a value, but the key has none"),
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

/// A cursor's position, for a message.
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
