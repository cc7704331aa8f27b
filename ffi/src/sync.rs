//! What the handle table is made of: `--cfg shuttle` puts the model checker under it, as it does for the engine.

#[cfg(not(shuttle))]
pub(crate) use arc_swap::{ArcSwapOption, Guard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic;

#[cfg(shuttle)]
pub(crate) use aidb::sync::{ArcSwapOption, Guard, atomic};
