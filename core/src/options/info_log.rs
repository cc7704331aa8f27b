//! Where the info log goes.

use std::path::PathBuf;

/// Where the database writes what it does: opening, recovery, flushes, compactions, errors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InfoLog {
    /// Nowhere (the default).
    #[default]
    None,
    /// To the standard error stream.
    Stderr,
    /// To a file, which is created or appended to.
    File(PathBuf),
}
