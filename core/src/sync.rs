//! Locks, atomics, threads and shared pointers, in one place.
//!
//! The engine uses only these (a test searches the sources for it), so that `--cfg shuttle` puts the model
//! checker shuttle under all of it at once: `modelled.rs` has its versions, `checker.rs` runs the models. The
//! locks (`locks.rs`) do not poison: a panic caught under one stops the database instead. `over_io.rs` has the
//! mutexes that a thread holds over input and output.
//!
//! * MODEL-1  In an ordinary build every name here but the locks' is the crate's own that is named beside it: no
//!            wrapper, no cost.
//! * MODEL-2  Under the checker the process outlives many runs of a model, so statics use real types there too:
//!            [`process`].

#[cfg(not(shuttle))]
mod real {
    pub use super::locks::{Condvar, Mutex, MutexGuard, RwLock, WaitTimeoutResult};
    pub use arc_swap::{ArcSwap, ArcSwapOption, Guard, RefCnt};
    pub use crossbeam_utils::Backoff;
    pub use std::hint::spin_loop;
    pub use std::sync::atomic;
    pub use std::thread::{self, yield_now};

    /// A slot for an optional counted pointer other than `Arc`.
    pub type SwapOption<P> = arc_swap::ArcSwapAny<Option<P>>;
}

#[cfg(shuttle)]
pub mod checker;
#[cfg(any(test, not(shuttle)))]
mod locks;
#[cfg(shuttle)]
mod modelled;

pub(crate) mod over_io;

#[cfg(shuttle)]
pub use self::modelled::*;
#[cfg(not(shuttle))]
pub use self::real::*;
pub use std::sync::{Arc, Weak};
pub use std::thread::panicking;

/// The types for statics, with and without the model checker (MODEL-2).
pub mod process {
    pub use std::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering,
    };
}
