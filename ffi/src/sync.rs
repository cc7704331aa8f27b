//! The synchronisation types of the handle table. With `--cfg shuttle` they are the model checker's, as in the
//! engine.

#[cfg(not(shuttle))]
pub(crate) use arc_swap::{ArcSwapOption, Guard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic;

#[cfg(shuttle)]
pub(crate) use aidb::sync::{ArcSwapOption, Guard, atomic};
