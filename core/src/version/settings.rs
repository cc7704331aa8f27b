//! `Settings`: what a keyspace is set to, by name, as text. They stay with it when the database is closed.
//!
//! Layout: docs/format.md, "Version edit", field 13. An edit has the changes, and a keyspace what they have led to.
//!
//! * SETTING-1  A build keeps the settings that it does not know. One that a reader must know comes with a feature.
//! * SETTING-2  An empty value unsets. So no keyspace has a setting with an empty value; an edit may.

use std::collections::BTreeMap;

use super::field::bytes;
use crate::coding::{put_length_prefixed, put_varint};
use crate::error::{Error, Result};

/// The longest name, in bytes.
const MAX_SETTING_NAME_BYTES: usize = 32;
/// The longest value, in bytes.
const MAX_SETTING_BYTES: usize = 4096;
/// An edit that has more of one keyspace is damaged.
const MAX_SETTINGS: usize = 64;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Each name with its value, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies the changes of an edit (SETTING-2). `Internal` if there would be too many settings.
    pub(super) fn apply(&mut self, changes: &Settings) -> Result<()> {
        for (name, value) in &changes.0 {
            match value.is_empty() {
                true => self.0.remove(name),
                false => self.0.insert(name.clone(), value.clone()),
            };
        }
        match self.0.len() > MAX_SETTINGS {
            true => Err(Error::internal("a keyspace has too many settings")),
            false => Ok(()),
        }
    }

    /// Appends one field for each setting.
    pub(super) fn encode_to(&self, tag: u64, out: &mut Vec<u8>) {
        debug_assert!(
            self.0.len() <= MAX_SETTINGS,
            "SETTING-1: it can be read again"
        );
        for (name, value) in &self.0 {
            debug_assert!(is_name(name), "SETTING-1: it can be read again");
            put_varint(out, tag);
            put_length_prefixed(out, name.as_bytes());
            put_length_prefixed(out, value.as_bytes());
        }
    }

    /// Reads the content of one field.
    pub(super) fn decode_one(&mut self, input: &mut &[u8]) -> Result<()> {
        let mut text = || std::str::from_utf8(bytes(input)?).map_err(|_| impossible());
        let (name, value) = (text()?, text()?);
        if !is_name(name) || value.len() > MAX_SETTING_BYTES || self.0.len() == MAX_SETTINGS {
            return Err(impossible());
        }
        match self.0.insert(name.to_owned(), value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(Error::internal("a version edit sets something twice")),
        }
    }
}

fn impossible() -> Error {
    Error::internal("a setting of a keyspace is impossible")
}

/// Whether AiDb would give a setting this name.
fn is_name(name: &str) -> bool {
    let may_have = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=MAX_SETTING_NAME_BYTES).contains(&name.len()) && name.bytes().all(may_have)
}

#[cfg(test)]
pub(super) mod tests;
