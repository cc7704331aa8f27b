//! The parts of a database's public interface that are compared with its stored entries.

use crate::error::Result;

/// A cursor of the database.
pub(in crate::db::trust::verify) trait Pairs {
    fn next(&mut self) -> Result<bool>;
    fn prev(&mut self) -> Result<bool>;
    fn last(&mut self) -> Result<bool>;
    fn seek(&mut self, key: &[u8]) -> Result<bool>;
    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool>;
    fn key(&self) -> &[u8];
    fn value(&self) -> &[u8];
}

/// How the result of a lookup compares with the expected value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db::trust::verify) enum Answer {
    Right,
    Missing,
    Another,
}

/// The two ways of looking keys up, at one number.
pub(in crate::db::trust::verify) trait Lookups {
    /// `value`: what the key has, `None` if it should have none.
    fn get(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Answer>;
    /// Calls `found` with the value of each key that has one, and its place in `keys`.
    fn get_many(&mut self, keys: &[Vec<u8>], found: &mut dyn FnMut(usize, &[u8])) -> Result<()>;
}
