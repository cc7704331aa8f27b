//! Reads the whole database through cursors and gets, as users do, and compares (`reads/`).
//!
//! It compares only if the bytes on disk are right (VERIFY-5).

use std::ops::ControlFlow;

use super::reads::{Answer, Comparison, Lookups, Pairs};
use super::{Moment, Walk, in_proportion};
use crate::db::life::Database;
use crate::db::read::{Cursor, sources};
use crate::db::tree::Get;
use crate::error::Result;
use crate::iterator::merging::MergingIterator;
use crate::options::{IterOptions, ReadOptions};
use crate::snapshot::Snapshot;
use crate::sync::Arc;

impl Walk<'_> {
    /// Reads the whole database in each of the ways that users do (READS-2, READS-3).
    pub(super) fn reads(&mut self, moment: &Moment, end: u64) -> Result<ControlFlow<()>> {
        if !self.is_comparable {
            return Ok(ControlFlow::Continue(()));
        }
        let database = self.database;
        let (number, bytes) = (moment.number(), self.held.bytes);
        let share = end - self.at.bytes_done;
        let options = IterOptions {
            fill_cache: false,
            ..IterOptions::default()
        };
        let cursor_at = |number| {
            let superversion = Arc::clone(&moment.superversion);
            database
                .walks
                .cursor_at(superversion, number, options.clone())
        };
        let cursor = || cursor_at(number);
        let past = moment.oldest.as_ref().map(|snapshot| {
            let number = snapshot.sequence();
            Ok((number, cursor_at(number)?, LookupsAt { database, snapshot }))
        });
        let comparison = Comparison {
            merged: MergingIterator::new(sources(
                &moment.superversion,
                database.tree.tables(),
                &options,
            )?),
            number,
            forward: cursor()?,
            backward: cursor()?,
            seeking: cursor()?,
            lookups: LookupsAt {
                database,
                snapshot: &moment.snapshot,
            },
            past: past.transpose()?,
        };
        let outcome = comparison.run(&mut |walked| {
            let part = in_proportion(walked, share, bytes);
            // The walk also passes entries that were inserted during it, so it may have passed more bytes than
            // expected.
            self.at.bytes_done = end.min(self.at.bytes_done + part);
            self.tell()
        });
        let outcome = match self.noted(database.context.dir(), outcome)? {
            Some(Some(outcome)) => outcome,
            Some(None) => return Ok(ControlFlow::Break(())),
            None => return Ok(ControlFlow::Continue(())),
        };
        if outcome.met != self.held.seen {
            let what = format!(
                "at number {number} a merge of all tables and memtables finds {}, but they have {}",
                outcome.met, self.held.seen
            );
            self.misread(database.context.dir(), what)?;
        }
        for difference in outcome.differences {
            let what = format!("at number {number} {difference}");
            self.misread(database.context.dir(), what)?;
        }
        let past = moment.oldest.as_ref().map(Snapshot::sequence);
        for difference in outcome.past_differences {
            let number = past.unwrap_or_default();
            let what = format!("at number {number}, which a snapshot pins, {difference}");
            self.misread(database.context.dir(), what)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Gets at a snapshot, as users make them.
struct LookupsAt<'a> {
    database: &'a Database,
    snapshot: &'a Snapshot,
}

impl LookupsAt<'_> {
    fn options(&self) -> ReadOptions<'_> {
        ReadOptions {
            snapshot: Some(self.snapshot),
            fill_cache: false,
        }
    }
}

impl Lookups for LookupsAt<'_> {
    fn get(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Answer> {
        let found = (self.database.tree).get(key, &self.options(), Get)?;
        Ok(match (found, value) {
            (None, None) => Answer::Right,
            (None, Some(_)) => Answer::Missing,
            (Some(found), Some(value)) if found == value => Answer::Right,
            (Some(_), _) => Answer::Another,
        })
    }

    fn get_many(&mut self, keys: &[Vec<u8>], found: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        let values = self
            .database
            .tree
            .get_many(keys, &self.options(), usize::MAX)?;
        for (place, value) in values.iter().enumerate() {
            if let Some(value) = value {
                found(place, value);
            }
        }
        Ok(())
    }
}

impl Pairs for Cursor {
    fn next(&mut self) -> Result<bool> {
        Cursor::next(self)
    }

    fn prev(&mut self) -> Result<bool> {
        Cursor::prev(self)
    }

    fn last(&mut self) -> Result<bool> {
        Cursor::last(self)
    }

    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        Cursor::seek(self, key)
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        Cursor::seek_for_prev(self, key)
    }

    fn key(&self) -> &[u8] {
        Cursor::key(self)
    }

    fn value(&self) -> &[u8] {
        Cursor::value(self)
    }
}
