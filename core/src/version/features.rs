//! `Features`: what a build must know, besides the format version, to read a database without giving wrong answers.
//!
//! Layout: docs/format.md, "Version edit", field 12.
//!
//! * FEATURE-1  The edit that names a feature is durable before, or with, the first record or table that needs it.
//!              Every later manifest and checkpoint names it again, and a repaired database as far as the manifest
//!              can be read. Without it, a build that knows features takes them from the kinds of the entries that
//!              it saves; this build refuses entries of unknown kinds.
//! * FEATURE-2  A build that does not know a feature refuses the database. Only `inspect` reads its manifest.

use std::collections::BTreeSet;

use super::field::bytes;
use crate::coding::{put_length_prefixed, put_varint};
use crate::error::{Error, Result};

/// The names of the features that this build writes, in the order of the bits of [`Needs`].
const NAMES: [&str; 1] = ["range-delete"];
/// The feature of a database that has, or had, keyspaces other than the default one. Only unit tests know it, because
/// only the manifest has them so far.
const KEYSPACES: &str = "keyspaces";
/// The features that unit tests know besides.
const KNOWN_TO_TESTS: [&str; 2] = ["known-to-tests", KEYSPACES];

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 32;
/// An edit with more names is damaged.
const MAX_NAMES: usize = 64;

/// Features that some operations need, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs(u8);

impl Needs {
    /// Nothing but the format version.
    pub(crate) const NOTHING: Needs = Needs(0);
    /// Range deletes, in a table or in a log.
    pub(crate) const RANGE_DELETES: Needs = Needs(1);
    /// What a new database names from the beginning, so that its first range delete need not sync the manifest. Every
    /// released build knows these features.
    pub(crate) const OF_NEW_DATABASES: Needs = Needs::RANGE_DELETES;

    /// The needs with these bits.
    pub(crate) fn from_bits(bits: u8) -> Needs {
        debug_assert!(
            bits >> NAMES.len() == 0,
            "FEATURE-1: each need has its feature"
        );
        Needs(bits)
    }

    /// One bit for each feature.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// These, if `is_needed`.
    pub(crate) fn only_if(self, is_needed: bool) -> Needs {
        match is_needed {
            true => self,
            false => Needs::NOTHING,
        }
    }

    /// These and those of `other`.
    pub(crate) fn and(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }
}

/// A set of names of features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Features(BTreeSet<String>);

impl Features {
    /// A set of these names.
    #[cfg(test)]
    pub(crate) fn named(names: &[&str]) -> Features {
        Features(names.iter().map(|name| name.to_string()).collect())
    }

    /// The features that this build knows, of which unit tests have one.
    #[cfg(test)]
    pub(crate) fn known_to_tests() -> Features {
        let mut known = Features::named(&NAMES);
        known.add(&Features::named(&KNOWN_TO_TESTS));
        known
    }

    /// The features that these needs have.
    pub(crate) fn of(needs: Needs) -> Features {
        let needed = |bit: usize| needs.0 >> bit & 1 == 1;
        let names = NAMES.iter().enumerate();
        let names = names.filter(|(bit, _)| needed(*bit));
        Features(names.map(|(_, name)| (*name).to_owned()).collect())
    }

    /// The feature that a database with several keyspaces needs.
    pub(crate) fn of_keyspaces() -> Features {
        Features([KEYSPACES.to_owned()].into())
    }

    /// Whether the database may have several keyspaces.
    pub(crate) fn have_keyspaces(&self) -> bool {
        self.0.contains(KEYSPACES)
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether these have all of `other`.
    pub(crate) fn include(&self, other: &Features) -> bool {
        other.0.is_subset(&self.0)
    }

    /// Adds those of `other`.
    pub(crate) fn add(&mut self, other: &Features) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Appends one field for each name.
    pub(super) fn encode_to(&self, tag: u64, out: &mut Vec<u8>) {
        debug_assert!(self.0.len() <= MAX_NAMES, "FEATURE-1: it can be read again");
        for name in &self.0 {
            debug_assert!(is_name(name.as_bytes()), "FEATURE-1: it can be read again");
            put_varint(out, tag);
            put_length_prefixed(out, name.as_bytes());
        }
    }

    /// Reads the content of one field.
    pub(super) fn decode_one(&mut self, input: &mut &[u8]) -> Result<()> {
        let name = bytes(input)?;
        if !is_name(name) {
            return Err(Error::internal("the name of a feature is impossible"));
        }
        if self.0.len() == MAX_NAMES {
            return Err(Error::internal("it names too many features"));
        }
        match self.0.insert(String::from_utf8_lossy(name).into_owned()) {
            true => Ok(()),
            false => Err(Error::internal("a version edit names a feature twice")),
        }
    }

    /// Refuses a database with features that this build does not know (FEATURE-2).
    pub(crate) fn check_known(&self) -> Result<()> {
        let unknown: Vec<String> = self
            .names()
            .filter(|name| !is_known(name))
            .map(|name| format!("{name:?}"))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "the database uses {}, which this build does not know; a newer AiDb does",
            unknown.join(" and ")
        )))
    }
}

/// Whether this build knows the feature. Unit tests know one more.
fn is_known(name: &str) -> bool {
    NAMES.contains(&name) || (cfg!(test) && KNOWN_TO_TESTS.contains(&name))
}

/// Whether AiDb would give a feature this name.
fn is_name(name: &[u8]) -> bool {
    let may_have = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.iter().all(may_have)
}

#[cfg(test)]
mod tests;
