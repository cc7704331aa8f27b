//! Checkpoints, verification and repair.

pub(super) use self::repair::repair;
pub use self::report::{Damage, Loss, RepairReport, VerifyProgress, VerifyReport};

mod checkpoint;
mod repair;
mod report;
mod verify;
