//! Whether a lookup may open a table from disk, or may use memory only.

use std::result::Result;

use crate::cache::{TableCache, TableHandle};
use crate::error::Error;
use crate::key::Trailer;
use crate::sstable::{Sought, TableEntry, Unread};
use crate::sync::Arc;

/// A way to ask one table for a key.
pub(crate) trait Access {
    /// Why there is no answer.
    type Error: From<Error>;

    /// Finds the key's newest entry at or after its trailer in the table; returns what `make` makes of it.
    fn look<T>(
        &self,
        handle: &Arc<TableHandle>,
        sought: Sought<'_>,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> Result<Option<T>, Self::Error>;
}

/// Opens the table and reads the block if they are not in memory.
pub(crate) struct Reading<'a> {
    pub(crate) tables: &'a TableCache,
    /// Whether a block that is read stays in the cache.
    pub(crate) fill_cache: bool,
}

impl Access for Reading<'_> {
    type Error = Error;

    // Inlined, because the call would cost a lookup more than everything else here.
    #[inline(always)]
    fn look<T>(
        &self,
        handle: &Arc<TableHandle>,
        sought: Sought<'_>,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let table = self.tables.get(handle)?;
        if !table.may_hold(sought) {
            return Ok(None);
        }
        table.get_with(sought, self.fill_cache, make)
    }
}

/// Takes no lock, opens no table, and neither reads nor unpacks a block.
pub(crate) struct InMemory;

impl Access for InMemory {
    type Error = Unread;

    fn look<T>(
        &self,
        handle: &Arc<TableHandle>,
        sought: Sought<'_>,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> Result<Option<T>, Unread> {
        let table = handle.get().ok_or(Unread::NotInMemory)?;
        if !table.may_hold(sought) {
            return Ok(None);
        }
        table.get_in_memory(sought, make)
    }
}
