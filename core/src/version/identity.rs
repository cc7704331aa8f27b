//! Determines what a directory is: a database, an empty place for one, an incomplete copy, or not AiDb's.
//!
//! * IDENTITY-1  Nothing in a directory is changed unless it contains a file that only AiDb writes, which proves
//!               that the directory is AiDb's, or contains only the leftovers of an interrupted creation.
//! * IDENTITY-2  A CURRENT in the form that LevelDB and its descendants write makes the directory theirs, whatever
//!               else is in it.
//! * IDENTITY-3  An AiDb directory with the mark of incompleteness is not a database, whatever else is in it
//!               (`db/life/destination.rs`).
//! * IDENTITY-4  The content of the mark proves that a directory is AiDb's: AiDb's own text, or the beginning of
//!               the file that was renamed to the mark. The mark is durable before any other file is made, so
//!               after a power loss a torn mark has at most a LOCK beside it, which is also what an
//!               interrupted creation leaves. If the mark proves nothing, the other files must.
//!
//! In an AiDb directory, a file is AiDb's if it has one of AiDb's names (`filename.rs`), so that a damaged file is
//! removed with the rest. The exception is the info log, whose name other programs use too.

use std::path::Path;

use super::current::begins_current;
use super::ends::{head_of, tail_of};
use super::foreign::{engine, engine_of_file, names_a_comparator, names_a_manifest};
use super::manifest::begins_manifest;
use super::salvage::salvage;
use super::set::FIRST_MANIFEST;
use crate::env::{Env, PathKind};
use crate::error::{Error, Result};
use crate::filename::{CURRENT, FileKind, INCOMPLETE, LOCK, parse};
use crate::sstable::{begins_table, ends_table};
use crate::wal::{Reader, SyncedLog, begins_log};

/// The beginning of a LOCK while it is held, or if its holder was killed.
const HOLDER: &[u8] = b"pid ";
/// The text of the mark of a copy: the first line is for AiDb, the others are for people.
pub(crate) const MARK: &str = "aidb incomplete\nThis folder is no database yet: a copy is being made in it, or was cut short. Make \
                               the copy again into this folder, or destroy it. Opening it is refused as long as this file is \
                               here.\n";
/// The first line of the mark. A CURRENT, which may be the mark as well, has a digit after `aidb `.
const MARK_MAGIC: &[u8] = b"aidb incomplete\n";
/// A line of the info log begins with a date like this one.
const DATE: &[u8] = b"0000-00-00 00:00:00";

/// What a directory means to an opener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// A database: recover it.
    Database,
    /// Missing, empty, or the remains of an interrupted creation: a database may be created here.
    Nothing,
    /// Marked as incomplete: a copy that was cut short, or a half-destroyed database.
    Incomplete,
}

/// Determines what `dir` is, from its file names and from content that only AiDb writes. Changes nothing.
///
/// `Corruption` if it holds files of a database but no CURRENT; `InvalidArgument` if it contains something
/// else; the message names the engine if it is a known one.
pub(crate) fn inspect(env: &dyn Env, dir: &Path) -> Result<Contents> {
    if env.kind(dir)? == PathKind::Missing {
        return Ok(Contents::Nothing);
    }
    // Most opened directories are databases with many files, and these two show it.
    if proves(env, &dir.join(CURRENT), FileKind::Current)?
        && env.kind(&dir.join(INCOMPLETE))? == PathKind::Missing
    {
        return Ok(Contents::Database);
    }
    let mut names = env.list(dir)?;
    // So the message for a directory does not depend on the order in which the system lists it.
    names.sort_unstable();
    let has_current = names.iter().any(|name| name == CURRENT);
    if has_current && is_of_others(env, dir)? {
        return Err(foreign(env, dir, &names, CURRENT));
    }
    if names.iter().any(|name| name == INCOMPLETE) {
        // IDENTITY-4.
        return owner(env, dir, &names).map(|_| Contents::Incomplete);
    }
    if has_current {
        return match proof(env, dir, &names)? {
            Some(_) => Ok(Contents::Database),
            None => Err(foreign(env, dir, &names, CURRENT)),
        };
    }
    let mut strange = None;
    let mut data = None;
    for name in &names {
        match parse(name) {
            Some(kind) if is_left_by_creation(kind) => {
                if is_strange(env, dir, name, kind)? {
                    strange.get_or_insert(name);
                }
            }
            Some(_) => {
                data.get_or_insert(name);
            }
            None => {
                strange.get_or_insert(name);
            }
        }
    }
    if let Some(name) = data {
        return Err(match proof(env, dir, &names)? {
            Some(_) => {
                let what = format!("CURRENT is missing, but the directory holds {name}");
                Error::corruption(&dir.join(CURRENT), 0, what)
            }
            None => foreign(env, dir, &names, name),
        });
    }
    if let Some(name) = strange {
        return Err(foreign(env, dir, &names, name));
    }
    if names.iter().any(|name| is_first_manifest(name)) && names_tables(env, dir)? {
        let what = "CURRENT is missing, but the manifest names tables";
        return Err(Error::corruption(&dir.join(CURRENT), 0, what));
    }
    Ok(Contents::Nothing)
}

fn is_first_manifest(name: &str) -> bool {
    parse(name) == Some(FileKind::Manifest(FIRST_MANIFEST))
}

/// Whether the manifest in `dir` names a table, or once did. If so there was a CURRENT, because that is durable
/// before the first table is named.
fn names_tables(env: &dyn Env, dir: &Path) -> Result<bool> {
    let manifest = salvage(env, dir, &mut Vec::new())?;
    Ok(!manifest.tables.is_empty() || !manifest.removed.is_empty())
}

/// The owner of a directory, for a caller that wants to remove the database in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It is AiDb's. Holds the name of a file that proves it.
    Ours(String),
    /// It has no owner: it is empty, or has an empty LOCK.
    Nobody,
}

/// Determines the owner of `dir`, which contains `names`. `InvalidArgument` as from [`inspect`] if it is not
/// AiDb's.
pub(crate) fn owner(env: &dyn Env, dir: &Path, names: &[String]) -> Result<Owner> {
    if names.iter().any(|name| name == CURRENT) && is_of_others(env, dir)? {
        return Err(foreign(env, dir, names, CURRENT));
    }
    if let Some(name) = proof(env, dir, names)? {
        return Ok(Owner::Ours(name.clone()));
    }
    let Some(first) = names.first() else {
        return Ok(Owner::Nobody);
    };
    if is_begun_copy(env, dir, names)? {
        return Ok(Owner::Ours(INCOMPLETE.to_string()));
    }
    let (mut strange, mut other) = (None, None);
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    for name in sorted {
        match parse(name).filter(|kind| is_left_by_creation(*kind)) {
            Some(kind) if is_strange(env, dir, name, kind)? => {
                strange.get_or_insert(name);
            }
            Some(_) => {}
            None => {
                other.get_or_insert(name);
            }
        }
    }
    // A file that a creation never leaves proves more than a LOCK, and CURRENT proves the most.
    let current = names.iter().find(|name| *name == CURRENT);
    let strange = current.or(other).or(strange);
    let lock = head_of(env, &dir.join(LOCK))?;
    match strange {
        None if lock.as_deref().is_some_and(names_a_holder) => Ok(Owner::Ours(LOCK.to_string())),
        None if names == [LOCK] && lock.is_some_and(|head| is_blank(&head)) => Ok(Owner::Nobody),
        strange => Err(foreign(env, dir, names, strange.unwrap_or(first))),
    }
}

/// Whether `dir`, which holds `names`, is certainly AiDb's, even if all of its files have lost their beginnings.
///
/// Reads logs from end to end if the other files prove nothing.
pub(crate) fn is_ours(env: &dyn Env, dir: &Path, names: &[String]) -> Result<bool> {
    // A CURRENT that cannot be read is a part of the damage.
    if names.iter().any(|name| name == CURRENT) && is_of_others(env, dir).unwrap_or(false) {
        return Ok(false);
    }
    if proof(env, dir, names)?.is_some() {
        return Ok(true);
    }
    for name in names {
        if let Some(FileKind::Log(number)) = parse(name)
            && Reader::open_damaged(env, &dir.join(name), number)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the file `name` in a directory of AiDb's belongs to the database.
pub(crate) fn belongs(env: &dyn Env, dir: &Path, name: &str) -> Result<bool> {
    let path = dir.join(name);
    Ok(match parse(name) {
        None => false,
        Some(kind @ FileKind::InfoLog) => !is_strange(env, dir, name, kind)?,
        // A directory with such a name belongs to the user.
        Some(_) => matches!(env.kind(&path)?, PathKind::File(_)),
    })
}

/// The error for `dir`, which is not AiDb's. It holds `names`, one of which is `name`.
pub(crate) fn foreign(env: &dyn Env, dir: &Path, names: &[String], name: &str) -> Error {
    let shown = dir.display();
    Error::invalid_argument(match engine(env, dir, names) {
        Some(engine) => format!("{shown} is a database of {engine}, not of AiDb"),
        None if name == CURRENT => {
            format!("{shown} is not a database: it holds a CURRENT that AiDb did not write")
        }
        None if name == INCOMPLETE => {
            format!(
                "{shown} is not a database: it holds {name}, and nothing shows that AiDb wrote it; remove that file by hand \
                 if nobody needs it"
            )
        }
        None if parse(name).is_some() => {
            format!(
                "{shown} is not a database: it holds {name}, and nothing shows that AiDb wrote it"
            )
        }
        None => format!("{shown} is not a database: it holds {name} and no CURRENT"),
    })
}

/// The error for a path that is not a directory.
pub(crate) fn not_a_directory(env: &dyn Env, path: &Path) -> Error {
    let shown = path.display();
    Error::invalid_argument(match engine_of_file(env, path) {
        Some(engine) => format!("{shown} is not a directory, but a database of {engine}"),
        None => format!("{shown} is not a directory"),
    })
}

/// The name of a file that proves that `dir` is AiDb's. The cheapest proofs come first.
fn proof<'a>(env: &dyn Env, dir: &Path, names: &'a [String]) -> Result<Option<&'a String>> {
    let rank = |kind: FileKind| match kind {
        FileKind::Incomplete => 0,
        FileKind::Current => 1,
        FileKind::Manifest(_) => 2,
        FileKind::Synced => 3,
        FileKind::Log(_) | FileKind::Temporary => 4,
        FileKind::Table(_) => 5,
        FileKind::Lock | FileKind::InfoLog | FileKind::Reserve => 6,
    };
    let ours = names.iter().filter_map(|name| Some((name, parse(name)?)));
    let mut ours: Vec<_> = ours.collect();
    ours.sort_by_key(|(_, kind)| rank(*kind));
    let mut unread = None;
    for (name, kind) in ours {
        match proves(env, &dir.join(name), kind) {
            Ok(true) => return Ok(Some(name)),
            Ok(false) => {}
            // Another file may prove it.
            Err(error) => unread = Some(error),
        }
    }
    unread.map_or(Ok(None), Err)
}

fn proves(env: &dyn Env, path: &Path, kind: FileKind) -> Result<bool> {
    let head = match kind {
        FileKind::Lock | FileKind::InfoLog | FileKind::Reserve => return Ok(false),
        _ => head_of(env, path)?,
    };
    let Some(head) = head else {
        return Ok(false);
    };
    let is_table = || Ok(begins_table(&head) || ends_table(&tail_of(env, path)?));
    Ok(match kind {
        FileKind::Current => begins_current(&head),
        FileKind::Manifest(_) => begins_manifest(&head),
        FileKind::Synced => SyncedLog::is_whole(&head),
        FileKind::Log(_) => begins_log(&head),
        FileKind::Table(_) => is_table()?,
        FileKind::Temporary => begins_current(&head) || begins_log(&head) || begins_table(&head),
        // The mark may be any file that proved the directory before it was destroyed.
        FileKind::Incomplete => {
            head.starts_with(MARK_MAGIC)
                || begins_current(&head)
                || begins_manifest(&head)
                || SyncedLog::is_whole(&head)
                || begins_log(&head)
                || is_table()?
        }
        FileKind::Lock | FileKind::InfoLog | FileKind::Reserve => false,
    })
}

/// Whether the mark in `dir` proves by itself that the directory is AiDb's (IDENTITY-4).
pub(crate) fn is_marked(env: &dyn Env, dir: &Path) -> Result<bool> {
    proves(env, &dir.join(INCOMPLETE), FileKind::Incomplete)
}

/// Whether `dir` has only what a copy leaves if it is cut short in its first moment: a part of the mark, and perhaps
/// a LOCK.
fn is_begun_copy(env: &dyn Env, dir: &Path, names: &[String]) -> Result<bool> {
    if names.iter().any(|name| name != INCOMPLETE && name != LOCK) {
        return Ok(false);
    }
    let Some(head) = head_of(env, &dir.join(INCOMPLETE))? else {
        return Ok(false);
    };
    let is_torn = is_blank(&head) || MARK.as_bytes().starts_with(&head);
    let has_lock = names.iter().any(|name| name == LOCK);
    Ok(is_torn && !(has_lock && is_strange(env, dir, LOCK, FileKind::Lock)?))
}

/// Whether CURRENT belongs to another engine (IDENTITY-2).
fn is_of_others(env: &dyn Env, dir: &Path) -> Result<bool> {
    let head = head_of(env, &dir.join(CURRENT))?;
    Ok(head.is_some_and(|head| names_a_manifest(&head)))
}

/// Whether a creation that was cut short may leave such a file.
fn is_left_by_creation(kind: FileKind) -> bool {
    match kind {
        FileKind::Lock
        | FileKind::InfoLog
        | FileKind::Reserve
        | FileKind::Synced
        | FileKind::Temporary
        | FileKind::Manifest(FIRST_MANIFEST) => true,
        FileKind::Manifest(_)
        | FileKind::Table(_)
        | FileKind::Log(_)
        | FileKind::Current
        | FileKind::Incomplete => false,
    }
}

/// Whether another program wrote a file of a kind that a creation leaves. A power loss may leave AiDb's own
/// files in any state, but never with text or a manifest of another engine.
fn is_strange(env: &dyn Env, dir: &Path, name: &str, kind: FileKind) -> Result<bool> {
    let path = dir.join(name);
    let Some(head) = head_of(env, &path)? else {
        // It was just removed, or it is not a file.
        return Ok(env.kind(&path)? != PathKind::Missing);
    };
    if is_blank(&head) {
        return Ok(false);
    }
    let is_ours = match kind {
        FileKind::Lock => begins_like(&head, HOLDER),
        FileKind::InfoLog => begins_with_date(&head),
        FileKind::Temporary => begins_like(&head, b"aidb "),
        _ => false,
    };
    Ok(!is_ours && (is_text(&head) || names_a_comparator(&head) || kind == FileKind::InfoLog))
}

/// Whether it is the text that AiDb writes as holder of the lock, `pid 7 on host moon`, and not another program's.
fn names_a_holder(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(HOLDER) else {
        return false;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(b" on host ")
}

fn begins_like(head: &[u8], start: &[u8]) -> bool {
    head.starts_with(start) || start.starts_with(head)
}

fn begins_with_date(head: &[u8]) -> bool {
    head.iter().zip(DATE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == shape,
    })
}

fn is_blank(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte == 0)
}

fn is_text(head: &[u8]) -> bool {
    // The last character may be cut in two.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_control() || "\t\r\n".contains(c))
}

#[cfg(test)]
mod tests;
