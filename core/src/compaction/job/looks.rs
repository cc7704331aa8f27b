//! How often a job looks whether it should stop.

use super::JobContext;
use crate::error::{Error, ErrorKind, Result};

/// After this many entries or bytes `should_stop` is called again.
const STOP_ENTRIES: u64 = 256;
pub(super) const STOP_BYTES: u64 = 1 << 20;

/// Calls `should_stop` before the first entry, and again after a number of entries or bytes.
pub(super) struct Looks<'a> {
    should_stop: &'a dyn Fn() -> bool,
    bytes: u64,
    entries: u64,
}

impl<'a> Looks<'a> {
    pub(super) fn new(context: &JobContext<'a>) -> Looks<'a> {
        Looks {
            should_stop: context.should_stop,
            bytes: 0,
            entries: STOP_ENTRIES,
        }
    }

    /// Counts an entry of `bytes` bytes. `Closed` if the job is to stop.
    #[inline]
    pub(super) fn pass(&mut self, bytes: usize) -> Result<()> {
        if self.entries == STOP_ENTRIES || self.bytes >= STOP_BYTES {
            (self.bytes, self.entries) = (0, 0);
            if (self.should_stop)() {
                return Err(Error::new(ErrorKind::Closed, "the compaction was stopped"));
            }
        }
        self.entries += 1;
        self.bytes += bytes as u64;
        Ok(())
    }
}
