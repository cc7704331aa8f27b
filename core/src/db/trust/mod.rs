//! What a database is worth to who doubts it: copies, checks, and what can be saved.

pub(super) use self::repair::repair;
pub use self::report::{Damage, Loss, RepairReport, VerifyProgress, VerifyReport};

mod checkpoint;
mod repair;
mod report;
mod verify;
