//! Locks, atomics, threads and shared pointers, in one place.
//!
//! The engine uses only these (a test searches the sources for it), so that `--cfg shuttle` puts the model
//! checker shuttle under all of it at once: `modelled.rs` has its versions, `checker.rs` runs the models. The
//! locks (`locks.rs`) do not poison: a panic caught under one stops the database instead. `over_io.rs` has the
//! mutexes that a thread holds over input and output.
//!
//! * MODEL-1  In an ordinary build every name here but the locks' is the crate's own that is named beside it: no
//!            wrapper, no cost.
//! * MODEL-2  Under the checker the process outlives many runs of a model, so statics use [`process`], whose types
//!            are real there too.

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
        AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::sync::atomic;

    fn are_one<A: 'static, B: 'static>() -> bool {
        TypeId::of::<A>() == TypeId::of::<B>()
    }

    /// MODEL-1.
    #[cfg(not(shuttle))]
    #[test]
    fn without_the_checker_names_mean_what_their_crates_made() {
        fn type_of<F: 'static>(_: F) -> TypeId {
            TypeId::of::<F>()
        }
        assert!(are_one::<super::ArcSwap<u8>, arc_swap::ArcSwap<u8>>());
        assert!(are_one::<
            super::ArcSwapOption<u8>,
            arc_swap::ArcSwapOption<u8>,
        >());
        assert!(are_one::<
            super::SwapOption<std::sync::Arc<u8>>,
            arc_swap::ArcSwapOption<u8>,
        >());
        assert!(are_one::<
            super::Guard<super::Arc<u8>>,
            arc_swap::Guard<std::sync::Arc<u8>>,
        >());
        assert!(are_one::<super::Weak<u8>, std::sync::Weak<u8>>());
        assert!(are_one::<super::Backoff, crossbeam_utils::Backoff>());
        assert!(are_one::<super::atomic::AtomicU8, atomic::AtomicU8>());
        assert!(are_one::<super::atomic::AtomicU64, atomic::AtomicU64>());
        assert!(are_one::<super::thread::Thread, std::thread::Thread>());
        assert_eq!(type_of(super::spin_loop), type_of(std::hint::spin_loop));
        assert_eq!(type_of(super::yield_now), type_of(std::thread::yield_now));
    }

    /// MODEL-2.
    #[test]
    fn the_types_of_statics_are_real_with_and_without_the_checker() {
        assert!(are_one::<super::process::AtomicBool, atomic::AtomicBool>());
        assert!(are_one::<super::process::AtomicI32, atomic::AtomicI32>());
        assert!(are_one::<
            super::process::AtomicPtr<u8>,
            atomic::AtomicPtr<u8>,
        >());
        assert!(are_one::<super::process::AtomicU32, atomic::AtomicU32>());
        assert!(are_one::<super::process::AtomicUsize, atomic::AtomicUsize>());
    }
}
