//! What a transaction has read and written, and what recent commits have changed: data and decisions, without locks,
//! input or output.
//!
//! Elsewhere: transactions as users see them (`db/transactions/`).

pub(crate) use self::changes::{Changes, Window};
pub(crate) use self::key_range::KeyRange;
pub(crate) use self::reads::Reads;
pub(crate) use self::writes::{Mark, Undo, Writes};

mod changes;
mod key_range;
mod reads;
mod writes;
