//! `Iterator`: a cursor that is read in chunks, off the JavaScript thread.
//!
//! The point in time is pinned when the iterator is made (ADDON-2); the cursor itself, which may read from disk, is
//! made by the first read. Seeking is part of the next read, so it costs no crossing.
//!
//! * ADDON-5  One read at a time changes the walk: it holds the lock. A close waits for it.
//! * ADDON-6  After a failed read every later one answers the same error, until a seek.

use std::sync::{Arc, Mutex, PoisonError};

use aidb::{Chunk, Cursor, DB, Error, IterOptions, Result};
use napi::Env;
use napi_derive::napi;

use crate::convert::{Bytes, Outcome, owned};
use crate::pool::{self, Lane};
use crate::port::PortShared;

/// JavaScript's handle of an iterator.
#[napi]
pub struct Iterator {
    port: Arc<PortShared>,
    walk: Arc<Mutex<Option<Walk>>>,
}

struct Walk {
    db: DB,
    options: IterOptions,
    cursor: Option<Cursor>,
    chunk: Chunk,
    /// Whether the iteration has ended; only a seek continues it.
    at_end: bool,
    failed: Option<Error>,
}

impl Iterator {
    pub(crate) fn new(port: Arc<PortShared>, db: DB, options: IterOptions) -> Iterator {
        let walk = Walk {
            db,
            options,
            cursor: None,
            chunk: Chunk::new(),
            at_end: false,
            failed: None,
        };
        Iterator {
            port,
            walk: Arc::new(Mutex::new(Some(walk))),
        }
    }
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
        self.port.submit(env, Lane::Read, number, move || {
            let mut walk = walk.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.port.submit(env, Lane::Read, number, move || {
            let walk = walk.lock().unwrap_or_else(PoisonError::into_inner).take();
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
            none => none.insert(self.db.cursor(self.options.clone())?),
        };
        if let Some(target) = target {
            // A target outside the range yields no entries; the cursor would go to the range's nearer end.
            self.at_end = !admits(&self.options, &target) || !cursor.seek(&target)?;
        }
        if self.at_end {
            return Ok(Outcome::Chunk {
                bytes: Vec::new(),
                ends: Vec::new(),
                last: true,
            });
        }
        let (max_entries, max_bytes) = (max_entries.max(1), max_bytes.max(1));
        let count = cursor.read_chunk(&mut self.chunk, max_entries, max_bytes)?;
        self.at_end = count < max_entries && self.chunk.bytes().len() < max_bytes;
        outcome(&self.chunk, self.at_end)
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

/// A copy of the chunk for JavaScript, which keeps it for as long as it uses one of its entries.
fn outcome(chunk: &Chunk, last: bool) -> Result<Outcome> {
    let mut ends = aidb::room_for(chunk.len() * 2, "entries")?;
    for &(key_end, value_end) in chunk.ends() {
        for end in [key_end, value_end] {
            ends.push(u32::try_from(end).map_err(|_| {
                Error::unsupported("an entry of 4 GiB does not fit into a JavaScript buffer")
            })?);
        }
    }
    Ok(Outcome::Chunk {
        bytes: aidb::copy_of(chunk.bytes(), "entries")?,
        ends,
        last,
    })
}
