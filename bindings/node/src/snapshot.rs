//! `Snapshot`: a pinned point in the sequence of writes, held by JavaScript.

use std::sync::{Mutex, PoisonError};

use aidb::{Error, Result, SequenceNumber};
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;

/// A pinned point; `close` or the garbage collector releases it.
#[napi]
pub struct Snapshot {
    pin: Mutex<Option<aidb::Snapshot>>,
    sequence: SequenceNumber,
}

impl Snapshot {
    pub(crate) fn new(pin: aidb::Snapshot) -> Snapshot {
        Snapshot {
            sequence: pin.sequence(),
            pin: Mutex::new(Some(pin)),
        }
    }

    /// A share of the pin, for a job.
    pub(crate) fn share(&self) -> Result<aidb::Snapshot> {
        let pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        pin.clone().ok_or_else(|| Error::closed("the snapshot"))
    }
}

#[napi]
impl Snapshot {
    /// The number of the last write that it sees, also after it is closed.
    #[napi]
    pub fn sequence(&self) -> BigInt {
        BigInt::from(self.sequence.0)
    }

    /// Releases the snapshot; reads that share it keep it until they end.
    #[napi]
    pub fn close(&self) {
        let pin = self
            .pin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(pin);
    }
}
