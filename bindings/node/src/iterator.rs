//! `Iterator`: a cursor that is read in chunks, off the JavaScript thread.
//!
//! The point in time is pinned when the iterator is made (ADDON-2); the cursor itself, which may read from disk, is
//! made by the first read. Seeking is part of the next read, so it costs no crossing. An iterator of a transaction has
//! to see the writes that were made before it and none that are made later, so its cursor is made in turn with them.
//!
//! * ADDON-5  One read at a time changes the walk: it holds the lock. A close waits for it.
//! * ADDON-6  After a failed read every later one answers the same error, until a seek.
//! * ADDON-8  In a transaction a read ends on the last entry that it delivers, unless it has enough bytes before: what
//!            the cursor passes over counts as read, and must not make transactions conflict that took other entries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aidb::{Chunk, Cursor, Error, IterOptions, Result};
use napi::Env;
use napi_derive::napi;

use crate::convert::{Bytes, Outcome, owned};
use crate::pool::{self, Lane};
use crate::port::PortShared;
use crate::turns::Turns;

/// JavaScript's handle of an iterator.
#[napi]
pub struct Iterator {
    port: Arc<PortShared>,
    /// Of the transaction, if it is an iterator of one.
    turns: Option<Arc<Turns>>,
    walk: Arc<Mutex<Option<Walk>>>,
}

/// Makes the cursor.
type Open = Box<dyn FnMut(IterOptions) -> Result<Cursor> + Send>;

struct Walk {
    open: Open,
    options: IterOptions,
    cursor: Option<Cursor>,
    chunk: Chunk,
    /// Whether it is in a transaction (ADDON-8).
    is_sparing: bool,
    /// In a transaction, whether the cursor is on an entry that has not been delivered.
    is_ahead: bool,
    /// Whether the iteration has ended; only a seek continues it.
    at_end: bool,
    failed: Option<Error>,
}

impl Iterator {
    /// An iterator of a database.
    pub(crate) fn new(
        port: Arc<PortShared>,
        options: IterOptions,
        open: impl FnMut(IterOptions) -> Result<Cursor> + Send + 'static,
    ) -> Iterator {
        Iterator {
            port,
            turns: None,
            walk: Walk::new(options, Box::new(open), false),
        }
    }

    /// An iterator of the transaction whose calls take these turns.
    pub(crate) fn in_turn(
        port: Arc<PortShared>,
        turns: Arc<Turns>,
        options: IterOptions,
        open: impl FnMut(IterOptions) -> Result<Cursor> + Send + 'static,
    ) -> Iterator {
        let walk = Walk::new(options, Box::new(open), true);
        let new = Arc::clone(&walk);
        let begin = move || {
            if let Some(walk) = lock(&new).as_mut() {
                walk.begin();
            }
        };
        // If no thread can be started, the first read makes the cursor.
        let _ = turns.submit(Lane::Read, Box::new(begin));
        Iterator {
            port,
            turns: Some(turns),
            walk,
        }
    }

    /// Runs `job`, and delivers its answer under `number`.
    fn submit(
        &self,
        env: &Env,
        number: u32,
        job: impl FnOnce() -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        match &self.turns {
            None => self.port.submit(env, Lane::Read, number, job),
            Some(turns) => self
                .port
                .submit_in_turn(env, turns, Lane::Read, number, job),
        }
    }
}

fn lock(walk: &Mutex<Option<Walk>>) -> MutexGuard<'_, Option<Walk>> {
    walk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[napi]
impl Iterator {
    /// Delivers, as the result of call `number`, up to `max_entries` entries and not many more than `max_bytes`
    /// bytes: from `target` if it is given, otherwise from the end of the last read.
    #[napi]
    pub fn read(
        &self,
        env: &Env,
        number: u32,
        target: Option<Bytes<'_>>,
        max_entries: u32,
        max_bytes: u32,
    ) -> napi::Result<()> {
        let target = target.map(owned).transpose();
        let walk = Arc::clone(&self.walk);
        self.submit(env, number, move || {
            let mut walk = lock(&walk);
            let walk = walk.as_mut().ok_or_else(|| Error::closed("the iterator"))?;
            let read = walk.read(target?, max_entries as usize, max_bytes as usize);
            if let Err(error) = &read {
                walk.failed = Some(error.clone());
            }
            read
        })
    }

    /// Releases the cursor, and then delivers the result of call `number`.
    #[napi]
    pub fn close(&self, env: &Env, number: u32) -> napi::Result<()> {
        let walk = Arc::clone(&self.walk);
        self.submit(env, number, move || {
            let walk = lock(&walk).take();
            drop(walk);
            Ok(Outcome::Done)
        })
    }
}

impl Drop for Iterator {
    fn drop(&mut self) {
        // After a close the walk is gone and the lock is free; during a read the lock is taken.
        let closed = self.walk.try_lock().is_ok_and(|walk| walk.is_none());
        if !closed {
            pool::dispose(Arc::clone(&self.walk));
        }
    }
}

impl Walk {
    fn new(options: IterOptions, open: Open, is_sparing: bool) -> Arc<Mutex<Option<Walk>>> {
        Arc::new(Mutex::new(Some(Walk {
            open,
            options,
            cursor: None,
            chunk: Chunk::new(),
            is_sparing,
            is_ahead: false,
            at_end: false,
            failed: None,
        })))
    }

    /// Makes the cursor before the first read.
    fn begin(&mut self) {
        match (self.open)(self.options.clone()) {
            Ok(cursor) => self.cursor = Some(cursor),
            Err(error) => self.failed = Some(error),
        }
    }

    fn read(
        &mut self,
        target: Option<Vec<u8>>,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Outcome> {
        if target.is_some() {
            self.failed = None;
            self.at_end = false;
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => none.insert((self.open)(self.options.clone())?),
        };
        if let Some(target) = target {
            // A target outside the range yields no entries; the cursor would go to the range's nearer end.
            self.at_end = !admits(&self.options, &target) || !cursor.seek(&target)?;
            self.is_ahead = !self.at_end;
        }
        let (max_entries, max_bytes) = (max_entries.max(1), max_bytes.max(1));
        if self.at_end {
            return outcome(&Chunk::new(), None, true);
        }
        let chunk = &mut self.chunk;
        if self.is_sparing {
            if !self.is_ahead {
                cursor.next()?;
            }
            cursor.read_chunk(chunk, max_entries - 1, max_bytes)?;
            let has_enough = chunk.bytes().len() >= max_bytes;
            self.at_end = !cursor.valid();
            self.is_ahead = has_enough && cursor.valid();
            let last = cursor.valid() && !has_enough;
            let last = last.then(|| (cursor.key(), cursor.value()));
            return outcome(chunk, last, self.at_end);
        }
        let count = cursor.read_chunk(chunk, max_entries, max_bytes)?;
        self.at_end = count < max_entries && chunk.bytes().len() < max_bytes;
        outcome(chunk, None, self.at_end)
    }
}

/// Whether `key` is within the bounds.
fn admits(options: &IterOptions, key: &[u8]) -> bool {
    options
        .lower_bound
        .as_deref()
        .is_none_or(|lower| key >= lower)
        && options
            .upper_bound
            .as_deref()
            .is_none_or(|upper| key < upper)
}

/// A copy for JavaScript of the chunk and of an entry after it. JavaScript keeps it for as long as it uses one of the
/// entries.
fn outcome(chunk: &Chunk, after: Option<(&[u8], &[u8])>, last: bool) -> Result<Outcome> {
    let (key, value) = after.unwrap_or_default();
    let length = chunk.bytes().len() + key.len() + value.len();
    let mut bytes = aidb::room_for(length, "entries")?;
    bytes.extend_from_slice(chunk.bytes());
    let mut ends = aidb::room_for((chunk.len() + 1) * 2, "entries")?;
    let mut note = |end: usize| {
        ends.push(u32::try_from(end).map_err(|_| {
            Error::unsupported("an entry of 4 GiB does not fit into a JavaScript buffer")
        })?);
        Ok(())
    };
    for &(key_end, value_end) in chunk.ends() {
        note(key_end)?;
        note(value_end)?;
    }
    if after.is_some() {
        bytes.extend_from_slice(key);
        note(bytes.len())?;
        bytes.extend_from_slice(value);
        note(bytes.len())?;
    }
    Ok(Outcome::Chunk { bytes, ends, last })
}
