//! Transactions in a history: what they see, and whether their commits may succeed.
//!
//! * RIVAL-1  A commit conflicts exactly if a write that readers have seen since the transaction began has changed a
//!            key that it looked up, or one in a range that it walked over; nothing else makes it conflict. Where a
//!            read or another write failed because of a fault, it may.
//! * RIVAL-2  A commit that succeeds all the same has read what is still there (TRANSACTION-1).

use std::collections::BTreeMap;
use std::sync::Arc;

use aidb::{
    Cursor, DB, ErrorKind, IterOptions, Savepoint, Transaction, TransactionOptions, WriteOptions,
};

use super::{Checked, OpenCursor, Run, digest};
use crate::history::compare::value_differs;
use crate::history::operation::{Entry, Move, Step, apply, batch_of, operations};
use crate::{Model, ModelCursor, Walk};

/// A transaction under way.
pub(super) struct OpenTransaction {
    transaction: Transaction,
    read_only: bool,
    /// The contents when it began.
    begun: Arc<Model>,
    /// What it sees.
    view: Model,
    /// Its writes, in order.
    writes: Vec<Entry>,
    /// Its savepoints, each with the view and how many writes there were.
    savepoints: Vec<(Savepoint, Model, usize)>,
    reads: ReadKeys,
    /// What was written since it began, and whether readers have seen that.
    changed: Vec<(Entry, bool)>,
    /// A read failed: it may have read more than is noted.
    is_vague: bool,
}

/// What a transaction has read.
#[derive(Default)]
struct ReadKeys {
    keys: Vec<Vec<u8>>,
    ranges: Vec<ReadRange>,
}

/// The keys of a walk from `start` to `end`, both included. `None`: to the end of the walk's bounds.
struct ReadRange {
    walk: Walk,
    start: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
}

impl ReadRange {
    /// The smallest key that may be in it.
    fn first_key(&self) -> &[u8] {
        let Walk { lower, prefix, .. } = &self.walk;
        let bounds = [lower, prefix, &self.start];
        let bounds = bounds.into_iter().flatten();
        bounds.map(Vec::as_slice).max().unwrap_or_default()
    }

    fn contains(&self, key: &[u8]) -> bool {
        let Walk {
            lower,
            upper,
            prefix,
            ..
        } = &self.walk;
        lower.as_deref().is_none_or(|lower| key >= lower)
            && upper.as_deref().is_none_or(|upper| key < upper)
            && prefix
                .as_deref()
                .is_none_or(|prefix| key.starts_with(prefix))
            && self.start.as_deref().is_none_or(|start| key >= start)
            && self.end.as_deref().is_none_or(|end| key <= end)
    }
}

impl ReadKeys {
    fn contains(&self, key: &[u8]) -> bool {
        self.keys.iter().any(|read| read == key)
            || self.ranges.iter().any(|range| range.contains(key))
    }

    /// Whether `entry` changes something that was read.
    fn meet(&self, entry: &Entry) -> bool {
        let Some(start) = entry.first_key() else {
            return false;
        };
        match entry.key() {
            Some(key) => self.contains(key),
            None => {
                self.keys.iter().any(|read| entry.changes(read))
                    || self.ranges.iter().any(|range| {
                        // If they have a key in common, then the later of their first keys.
                        let first = range.first_key().max(start);
                        range.contains(first) && entry.changes(first)
                    })
            }
        }
    }
}

impl OpenTransaction {
    /// Whether the transaction wrote the key, so that it does not read it from the database.
    fn has_written(&self, key: &[u8]) -> bool {
        self.writes.iter().any(|entry| entry.changes(key))
    }

    fn note_key(&mut self, key: &[u8]) {
        if !self.read_only && !self.has_written(key) {
            self.reads.keys.push(key.to_vec());
        }
    }

    fn write(&mut self, entries: &[Entry]) {
        apply(&mut self.view, entries);
        self.writes.extend_from_slice(entries);
    }

    /// Notes the keys that a move has passed over.
    fn note_move(&mut self, walk: &Walk, step: &Move, from: Option<Vec<u8>>, model: &ModelCursor) {
        if self.read_only {
            return;
        }
        let to = model.entry().map(|(key, _)| key.to_vec());
        let (from, goes_up) = match step {
            Move::First => (None, !walk.reverse),
            Move::Last => (None, walk.reverse),
            Move::Seek(key) => (Some(key.clone()), !walk.reverse),
            Move::SeekForPrev(key) => (Some(key.clone()), walk.reverse),
            Move::Next | Move::Chunk(_) => (from, !walk.reverse),
            Move::Prev => (from, walk.reverse),
        };
        let (start, end) = match goes_up {
            true => (from, to),
            false => (to, from),
        };
        let walk = walk.clone();
        self.reads.ranges.push(ReadRange { walk, start, end });
    }
}

impl Run {
    pub(super) fn begin_transaction(&mut self, db: &DB, read_only: bool) -> Checked<()> {
        let options = TransactionOptions::new().read_only(read_only);
        let transaction = self.sure("begin", db.begin_with(&options))?;
        let begun = self.possible().now();
        self.transactions.push(OpenTransaction {
            transaction,
            read_only,
            view: Model::clone(&begun),
            begun,
            writes: Vec::new(),
            savepoints: Vec::new(),
            reads: ReadKeys::default(),
            changed: Vec::new(),
            is_vague: false,
        });
        Ok(())
    }

    /// Tells the open transactions that a write has changed the keys of `entries`, perhaps.
    pub(super) fn tell_transactions(&mut self, entries: &[Entry], is_seen: bool) {
        for open in &mut self.transactions {
            let entries = entries.iter().map(|entry| (entry.clone(), is_seen));
            open.changed.extend(entries);
        }
    }

    pub(super) fn within_transaction(&mut self, at: usize, steps: &[Step]) -> Checked<()> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let at = at % self.transactions.len();
        let mut open = self.transactions.swap_remove(at);
        for step in steps {
            self.step_within(&mut open, step)
                .map_err(|what| format!("{step:?}: {what}"))?;
        }
        self.transactions.push(open);
        Ok(())
    }

    fn step_within(&mut self, open: &mut OpenTransaction, step: &Step) -> Checked<()> {
        match step {
            Step::Write(entries) => self.write_within(open, entries),
            Step::Get(key) => {
                let found = self.call("get", || open.transaction.get(key))?;
                let held = self.call("contains_key", || open.transaction.contains_key(key))?;
                open.note_key(key);
                if let Some(found) = &found
                    && let Some(what) = value_differs(&open.view, key, found.as_deref())
                {
                    return Err(what);
                }
                if held.is_some_and(|held| held != open.view.get(key).is_some()) {
                    return Err(format!("contains_key answered {held:?}"));
                }
                self.answers
                    .push(digest(found.as_ref().map(|found| found.as_deref())));
                Ok(())
            }
            Step::GetMany(keys) => {
                let found = self.call("get_many", || open.transaction.get_many(keys))?;
                keys.iter().for_each(|key| open.note_key(key));
                let Some(found) = found else { return Ok(()) };
                if found.len() != keys.len() {
                    return Err(format!("{} answers for {} keys", found.len(), keys.len()));
                }
                let mut pairs = keys.iter().zip(&found);
                let differs =
                    pairs.find_map(|(key, value)| value_differs(&open.view, key, value.as_deref()));
                let answer: Vec<_> = found.iter().map(|value| value.as_deref()).collect();
                self.answers.push(digest(answer));
                differs.map_or(Ok(()), Err)
            }
            Step::Walk { walk, moves } => self.walk_within(open, walk, moves),
            Step::Savepoint => {
                let savepoint = self.sure("savepoint", open.transaction.savepoint())?;
                let state = (savepoint, open.view.clone(), open.writes.len());
                open.savepoints.push(state);
                Ok(())
            }
            Step::RollbackTo(at) => {
                if open.savepoints.is_empty() {
                    return Ok(());
                }
                let at = at % open.savepoints.len();
                open.savepoints.truncate(at + 1);
                let (savepoint, view, writes) = &open.savepoints[at];
                self.sure("rollback_to", open.transaction.rollback_to(*savepoint))?;
                open.view = view.clone();
                open.writes.truncate(*writes);
                Ok(())
            }
        }
    }

    fn write_within(&self, open: &mut OpenTransaction, entries: &[Entry]) -> Checked<()> {
        let outcome = match entries {
            [Entry::Put(key, content)] => open.transaction.put(key, &content.bytes()),
            [Entry::Delete(key)] => open.transaction.delete(key),
            [Entry::DeleteRange(start, end)] => {
                let transaction = &open.transaction;
                transaction.delete_range(start.as_deref(), end.as_deref())
            }
            [Entry::DeletePrefix(prefix)] => open.transaction.delete_prefix(prefix),
            _ => batch_of(entries).and_then(|batch| open.transaction.write(&batch)),
        };
        match outcome {
            Err(error) if open.read_only && error.kind() == ErrorKind::InvalidArgument => Ok(()),
            Ok(()) if open.read_only && operations(entries) > 0 => {
                Err("a read-only transaction took a write".to_string())
            }
            outcome => {
                self.sure("write", outcome)?;
                if !open.read_only {
                    open.write(entries);
                }
                Ok(())
            }
        }
    }

    fn walk_within(
        &mut self,
        open: &mut OpenTransaction,
        walk: &Walk,
        moves: &[Move],
    ) -> Checked<()> {
        let options = IterOptions::new()
            .lower_bound(walk.lower.clone())
            .upper_bound(walk.upper.clone())
            .prefix(walk.prefix.clone())
            .reverse(walk.reverse);
        let cursor: Cursor = self.sure("cursor", open.transaction.cursor(options))?;
        let mut walked = OpenCursor {
            cursor,
            model: ModelCursor::new(&open.view, walk),
            keys: true,
            values: true,
        };
        for step in moves {
            let from = walked.model.entry().map(|(key, _)| key.to_vec());
            let stays = match step {
                Move::Next | Move::Chunk(_) => walked.model.is_past(true),
                Move::Prev => walked.model.is_past(false),
                _ => false,
            };
            let moved = self
                .move_one(&mut walked, step)
                .map_err(|what| format!("{step:?}: {what}"))?;
            let Some(answer) = moved else {
                open.is_vague = true;
                return Ok(());
            };
            if !stays {
                open.note_move(walk, step, from, &walked.model);
            }
            self.answers.push(answer);
        }
        Ok(())
    }

    pub(super) fn roll_back(&mut self, at: usize) -> Checked<()> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let at = at % self.transactions.len();
        let open = self.transactions.swap_remove(at);
        open.transaction.rollback();
        has_ended(&open.transaction)
    }

    pub(super) fn commit_transaction(&mut self, db: &DB, at: usize, sync: bool) -> Checked<()> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let at = at % self.transactions.len();
        let mut open = self.transactions.swap_remove(at);
        let options = WriteOptions::new().sync(sync);
        let begun = self.sure("sequence", open.transaction.sequence())?;
        let entries = as_committed(std::mem::take(&mut open.writes));
        if entries.is_empty() {
            let seen = self.sure("commit", open.transaction.commit_with(&options))?;
            if seen != begun {
                return Err(format!(
                    "it saw everything up to {begun} and answers {seen}"
                ));
            }
            return has_ended(&open.transaction);
        }
        let before = self.possible().now();
        let first = self.sure("snapshot", db.snapshot())?.sequence();
        let mut conflicts = false;
        self.write(db, &entries, sync, || {
            let outcome = open.transaction.commit_with(&options);
            conflicts = outcome
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::Conflict);
            outcome
        })?;
        has_ended(&open.transaction)?;
        self.answers.push(digest(conflicts));
        self.tally.commits[usize::from(!conflicts)] += 1;
        // Of a commit that a fault failed, readers see all or nothing.
        let is_seen = self.sure("snapshot", db.snapshot())?.sequence() > first;
        match (conflicts, is_seen) {
            (true, _) => open.may_conflict(),
            (false, true) => open.may_commit(&before),
            (false, false) => Ok(()),
        }
    }

    /// The transactions of a closed database say so.
    pub(super) fn transactions_are_closed(&self) -> Checked<()> {
        for open in &self.transactions {
            let outcomes = [
                open.transaction.get(b"a").map(|_| ()),
                open.transaction.put(b"a", b"b"),
                open.transaction.commit().map(|_| ()),
            ];
            let is_closed = |outcome: &aidb::Result<()>| {
                outcome
                    .as_ref()
                    .is_err_and(|error| error.kind() == ErrorKind::Closed)
            };
            if !outcomes.iter().all(is_closed) {
                return Err("a transaction of a closed database answers".to_string());
            }
        }
        Ok(())
    }
}

impl OpenTransaction {
    /// RIVAL-1.
    fn may_conflict(&self) -> Checked<()> {
        let may = |(entry, _): &(Entry, bool)| self.reads.meet(entry);
        match self.is_vague || self.changed.iter().any(may) {
            true => Ok(()),
            false => Err("a commit conflicts, and nobody has changed what it read".to_string()),
        }
    }

    /// RIVAL-1, RIVAL-2. `before`: the contents just before the commit.
    fn may_commit(&self, before: &Model) -> Checked<()> {
        let keys = before.iter().chain(self.begun.iter()).map(|(key, _)| key);
        let mut read = keys.filter(|key| self.reads.contains(key));
        let differs = read.find(|key| {
            before.get(key) != self.begun.get(key)
                && (self.changed.iter()).any(|(entry, is_seen)| *is_seen && entry.changes(key))
        });
        match differs {
            None => Ok(()),
            Some(key) => Err(format!(
                "it was committed although \"{}\" had changed since it read that",
                crate::shown(key)
            )),
        }
    }
}

/// The operations of a transaction's batch: the deleted ranges, joined where they touch, then each key once, with its
/// last write unless a later range has it.
fn as_committed(writes: Vec<Entry>) -> Vec<Entry> {
    let mut last: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    let mut ranges: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    for entry in writes {
        match entry.range() {
            Some(range) => {
                last.retain(|key, _| !entry.changes(key));
                ranges.push(range);
            }
            None => {
                if let Some(key) = entry.key() {
                    last.insert(key.to_vec(), entry);
                }
            }
        }
    }
    ranges.sort();
    let mut joined: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some((_, None)) => {}
            Some((_, last)) if last.as_ref().is_some_and(|last| start <= *last) => {
                // No end is the largest.
                *last = match (last.take(), end) {
                    (Some(last), Some(end)) => Some(last.max(end)),
                    _ => None,
                };
            }
            _ => joined.push((start, end)),
        }
    }
    let deleted = joined.into_iter();
    let deleted = deleted.map(|(start, end)| Entry::DeleteRange(Some(start), end));
    deleted.chain(last.into_values()).collect()
}

fn has_ended(transaction: &Transaction) -> Checked<()> {
    match transaction.get(b"a").map_err(|error| error.kind()) {
        Err(ErrorKind::Closed) => Ok(()),
        other => Err(format!(
            "an ended transaction answers: {:?}",
            other.map(|value| value.is_some())
        )),
    }
}
