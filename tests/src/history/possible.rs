//! The possible contents of a database: now, after its process died, and after a power loss.
//!
//! * POSSIBLE-1  While it is open its contents are known exactly: readers see a failed write as a whole or not at all,
//!               and its sequence number tells which.
//! * POSSIBLE-2  After its process died it holds all writes that readers saw, and perhaps a later one that they did
//!               not.
//! * POSSIBLE-3  After a power loss it holds a prefix of these writes that ends at or after the last durable one.
//! * POSSIBLE-4  A write that readers did not see may be there only until they see another one or everything is
//!               durable.
//! * POSSIBLE-5  What an open finds after a power loss is durable. So is what another open finds, because it syncs the
//!               logs; but not if a sync has failed before, because then a later one proves nothing.
//!
//! All states are kept, and they share their bytes. So a test finds the state that a crash left by its mark alone, and
//! compares it in one walk: the crash tests do that thousands of times a second.

use std::sync::Arc;

use aidb::DB;

use crate::Model;

use super::compare::{difference, holds};
use super::operation::{Entry, MARK, apply};

/// The contents after some write.
#[derive(Clone, Default)]
pub struct State {
    /// The tag of the last mark; 0 if nothing was marked.
    pub mark: u32,
    /// The entries.
    pub model: Arc<Model>,
}

impl State {
    /// The contents after one more write.
    pub(super) fn after(&self, entries: &[Entry]) -> State {
        let mut model = Model::clone(&self.model);
        apply(&mut model, entries);
        let mut marks = entries
            .iter()
            .rev()
            .filter(|entry| entry.key() == Some(MARK));
        let mark = marks.find_map(Entry::content);
        let mark = mark.map_or(self.mark, |content| content.tag);
        let model = Arc::new(model);
        State { mark, model }
    }
}

/// The states a database may be in.
pub struct Possible {
    /// The contents after each write that readers saw, in order; the first is empty.
    states: Vec<State>,
    /// The last of `states` that a power loss cannot remove.
    durable: usize,
    /// The contents after the current write, and after each failed write that readers have not seen since their last
    /// new one: the database may hold one of them at most.
    unseen: Vec<State>,
    /// Power has failed since the database was last opened.
    is_cut: bool,
}

impl Default for Possible {
    fn default() -> Possible {
        Possible {
            states: vec![State::default()],
            durable: 0,
            unseen: Vec::new(),
            is_cut: false,
        }
    }
}

impl Possible {
    /// The contents after each write that readers saw, in order; the first is empty.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The contents of the open database (POSSIBLE-1).
    pub fn now(&self) -> Arc<Model> {
        Arc::clone(&self.states[self.last()].model)
    }

    /// The index of the last state.
    pub fn last(&self) -> usize {
        self.states.len() - 1
    }

    /// The index of the last state that a power loss cannot remove.
    pub fn durable(&self) -> usize {
        self.durable
    }

    /// The state of this index; after the last come the writes that readers did not see.
    pub fn state(&self, index: usize) -> &State {
        let unseen = index.checked_sub(self.states.len());
        unseen.map_or_else(|| &self.states[index], |unseen| &self.unseen[unseen])
    }

    /// A write begins.
    pub fn begin(&mut self, entries: &[Entry]) {
        self.unseen.push(self.states[self.last()].after(entries));
    }

    /// Readers see the latest write.
    pub fn seen(&mut self) {
        self.states.extend(self.unseen.pop());
        self.unseen.clear();
    }

    /// The latest write was refused: it is nowhere.
    pub fn refused(&mut self) {
        self.unseen.pop();
    }

    /// Everything so far survives a power loss.
    pub fn all_durable(&mut self) {
        self.durable = self.last();
        self.unseen.clear();
    }

    /// Power fails.
    pub fn power_cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether the end of the process changes nothing: readers see everything that was written.
    pub fn is_certain(&self) -> bool {
        self.unseen.is_empty()
    }

    /// The database was opened again and holds `found`. `had_faults`: an operation on this disk has failed
    /// (POSSIBLE-5). Errors: what is wrong with `found`.
    pub fn reopened(&mut self, found: &Model, had_faults: bool) -> Result<(), String> {
        let floor = if self.is_cut {
            self.durable
        } else {
            self.last()
        };
        let end = self.states.len() + self.unseen.len();
        let is_found = |index: &usize| *self.state(*index).model == *found;
        let Some(index) = (floor..end).rev().find(is_found) else {
            return Err(format!(
                "no prefix of the writes gives what is there after {}: of {} writes at least {floor} had to survive\n  \
                 beside the least that had to survive: {}\n  beside all writes: {}",
                if self.is_cut {
                    "a power cut"
                } else {
                    "reopening"
                },
                self.last(),
                difference(&self.states[floor].model, found),
                difference(&self.now(), found),
            ));
        };
        let found = self.state(index).clone();
        self.states.truncate(index);
        self.states.push(found);
        match self.is_cut || !had_faults {
            true => self.all_durable(),
            false => self.unseen.clear(),
        }
        self.is_cut = false;
        Ok(())
    }

    /// The index of the state with this mark, as [`Self::state`] takes it.
    pub fn marked(&self, mark: u32) -> Option<usize> {
        let mut candidates = self.states.iter().chain(&self.unseen);
        candidates.position(|state| state.mark == mark)
    }

    /// The index of the state that `db` holds, which must not be before the state `floor`. Errors: what it holds
    /// instead.
    pub fn find(&self, db: &DB, floor: usize) -> Result<usize, String> {
        let mark = mark_of(db).map_err(|error| format!("get: {error}"))?;
        let index = self.marked(mark);
        let index = index.ok_or_else(|| format!("write {mark} was never seen"))?;
        if index < floor {
            let floor = self.states[floor].mark;
            return Err(format!(
                "lost: write {mark} is the last, {floor} must be there"
            ));
        }
        holds(db, &self.state(index).model)
            .map_err(|what| format!("after write {mark}: {what}"))?;
        Ok(index)
    }
}

/// The tag of the last mark in `db`; 0 if there is none.
pub fn mark_of(db: &DB) -> aidb::Result<u32> {
    let mark = db.get(MARK)?;
    // No write made a mark of another length.
    let tag = |mark: &[u8]| mark.try_into().map_or(u32::MAX, u32::from_le_bytes);
    Ok(mark.map_or(0, |mark| tag(&mark)))
}
