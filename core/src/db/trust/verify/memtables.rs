//! Checks the memtables: walks each, and gets every visible entry.

use std::ops::ControlFlow;

use super::walk::{Walked, Way, walk};
use super::{Moment, Walk};
use crate::content::Sum;
use crate::error::Result;
use crate::key::{KeyRef, SequenceNumber};
use crate::memtable::Memtable;
use crate::sync::Arc;

impl Walk<'_> {
    /// Walks each memtable by itself; a sealed one whose last number is published must have exactly the
    /// inserted entries.
    pub(super) fn memtables(&mut self, moment: &Moment) -> Result<ControlFlow<()>> {
        let dir = self.database.context.dir();
        let superversion = &moment.superversion;
        let sealed = superversion.sealed().iter().map(|sealed| {
            let is_complete = sealed.last_sequence() <= moment.number();
            (
                sealed.memtable(),
                is_complete.then(|| sealed.memtable().sum()),
            )
        });
        for (memtable, inserted) in sealed.chain([(superversion.active(), None)]) {
            let Some(found) = self.memtable(memtable, moment.number())? else {
                return Ok(ControlFlow::Break(()));
            };
            if let Some(difference) = unlike_inserted(found.all, inserted) {
                self.misread(dir, difference)?;
            }
            self.held.seen += found.seen;
            self.held.bytes += found.bytes;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Walks a memtable, and also gets each entry that is visible at `number`.
    fn memtable(
        &mut self,
        memtable: &Arc<Memtable>,
        number: SequenceNumber,
    ) -> Result<Option<Walked>> {
        let mut not_found = 0u64;
        let get = |key: KeyRef<'_>| {
            if key.trailer.sequence() <= number {
                let found = memtable.get(key.user_key, key.trailer);
                let is_found = found.is_some_and(|(trailer, _)| trailer == key.trailer);
                not_found += u64::from(!is_found);
            }
        };
        // This reads no bytes of files, but the callback may end it.
        let mut tell = |_| self.tell();
        let walked = walk(&mut memtable.iter(), Way::Forward, number, get, &mut tell)?;
        if not_found > 0 {
            let dir = self.database.context.dir();
            let what = format!("gets do not find {not_found} entries that a memtable holds");
            self.misread(dir, what)?;
        }
        Ok(walked)
    }
}

/// The fault of a memtable in which a walk found `found`, if there is one. `inserted`: the entries that were
/// inserted, if known.
fn unlike_inserted(found: Sum, inserted: Option<Sum>) -> Option<String> {
    let inserted = inserted.filter(|inserted| *inserted != found)?;
    Some(format!(
        "a walk through a sealed memtable finds {found}, but {inserted} were inserted"
    ))
}
