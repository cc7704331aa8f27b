//! The directory in which a checkpoint or a repair makes a database.
//!
//! * DESTINATION-1  Throughout, the directory is durably marked as incomplete, so that no opener takes it for a
//!                  database or for an empty place for one. A missing directory is created with the mark already
//!                  in it, by a rename; in an empty directory the mark is the first file, even before the lock.
//! * DESTINATION-2  The mark is removed last, when everything else is durable. Then the directory is a database.
//! * DESTINATION-3  The directory's lock is held while it is filled. After an error everything that was made is
//!                  removed.
//! * DESTINATION-4  The leftovers of an earlier attempt in a marked directory are removed, if the directory contains
//!                  nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::destroy::remove_database;
use super::location::check_path;
use crate::checksum::crc;
use crate::env::{DirLock, Env, Names, PathKind};
use crate::error::{Error, Result};
use crate::filename::{INCOMPLETE, LOCK, parse};
use crate::sync::Arc;
use crate::version::{MARK, is_marked, not_a_directory, owner};

/// A directory in which a database is being made, and its lock.
pub(in crate::db) struct Destination {
    env: Arc<dyn Env>,
    pub(in crate::db) dir: PathBuf,
    lock: Box<dyn DirLock>,
    /// Whether this call made the directory.
    is_new: bool,
}

impl Destination {
    /// Makes sure that `path` is a directory with nothing in it but the mark, and locks it (DESTINATION-1, 3 and 4).
    pub(in crate::db) fn prepare(env: Arc<dyn Env>, path: &Path) -> Result<Destination> {
        check_path(path)?;
        let (is_new, made_mark) = match env.kind(path)? {
            PathKind::Missing => {
                let is_new = make_marked(&*env, path)?;
                (is_new, is_new)
            }
            PathKind::Directory => {
                refuse_unless_free(&*env, path)?;
                // The directory's own entry may not be durable yet.
                env.create_dir_all(path)?;
                (false, mark(&*env, path)?)
            }
            PathKind::File(_) | PathKind::Other => return Err(not_a_directory(&*env, path)),
        };
        let prepared = Destination::lock(&env, path, is_new).and_then(|destination| {
            destination.clear(made_mark)?;
            Ok(destination)
        });
        if prepared.is_err() && made_mark {
            // Leave the directory as it was found.
            unmark(&*env, path, is_new);
        }
        prepared
    }

    fn lock(env: &Arc<dyn Env>, path: &Path, is_new: bool) -> Result<Destination> {
        let dir = env.canonical(path)?;
        let lock = env.lock(&dir, true, Duration::ZERO)?;
        Ok(Destination {
            env: Arc::clone(env),
            dir,
            lock,
            is_new,
        })
    }

    /// Removes what an earlier attempt left. `made_mark`: this call made the mark, in an empty
    /// directory.
    fn clear(&self, made_mark: bool) -> Result<()> {
        let env = &*self.env;
        let names = env.list(&self.dir)?;
        let is_kept = |name: &str| name == LOCK || name == INCOMPLETE;
        // Another process may have been faster and already finished: then the directory belongs to
        // that process.
        if made_mark && let Some(name) = names.iter().find(|name| !is_kept(name)) {
            return Err(not_empty(&self.dir, name));
        }
        refuse_unless_free(env, &self.dir)?;
        mark(env, &self.dir)?;
        for name in names.iter().filter(|name| !is_kept(name)) {
            env.remove_file(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// Completes the database in the directory (DESTINATION-2), or after an error removes everything that was made.
    /// Then unlocks the directory.
    pub(in crate::db) fn finish(self, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.and_then(|()| {
            let names = Names::made_from_now(&*self.env);
            self.env.remove_file(&self.dir.join(INCOMPLETE))?;
            names.sync(&*self.env, &self.dir)?;
            Ok(())
        });
        if outcome.is_err() {
            // Report the error; the leftovers do not open (DESTINATION-1).
            let removed = remove_database(&*self.env, &self.dir);
            drop(self.lock);
            if removed.is_ok() && self.is_new {
                let _ = self.env.remove_dir(&self.dir);
            }
        }
        outcome
    }
}

/// Makes the directory `path`, with the mark in it from the first moment; returns whether this call
/// made it.
fn make_marked(env: &dyn Env, path: &Path) -> Result<bool> {
    let Some(name) = path.file_name() else {
        env.create_dir_all(path)?;
        return mark(env, path);
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // An earlier call that was cut short may have left it, under the same name.
    let staged = parent.join(format!(".aidb-new-{:08x}", crc(name.as_encoded_bytes())));
    env.create_dir_all(&staged)?;
    let renamed = refuse_unless_free(env, &staged)
        .and_then(|()| mark(env, &staged))
        .and_then(|_| env.rename(&staged, path));
    match renamed {
        Ok(()) => {
            env.sync_dir(parent)
                .inspect_err(|_| unmark(env, path, true))?;
            Ok(true)
        }
        Err(error) => {
            unmark(env, &staged, true);
            match env.kind(path)? {
                // Another process was faster: the lock decides.
                PathKind::Directory => Ok(false),
                _ if error.is_of_no_renaming() => {
                    env.create_dir_all(path)?;
                    mark(env, path)
                }
                _ => Err(error),
            }
        }
    }
}

/// Puts the mark into `dir`, durably; returns whether it was missing. Makes a torn mark whole: later, with more in the
/// directory, the mark has to prove that the directory is AiDb's (IDENTITY-4).
fn mark(env: &dyn Env, dir: &Path) -> Result<bool> {
    let path = dir.join(INCOMPLETE);
    if env.kind(&path)? != PathKind::Missing {
        let file = env.open_write(&path)?;
        if !is_marked(env, dir)? {
            file.write_at(0, MARK.as_bytes())?;
            file.set_len(MARK.len() as u64)?;
        }
        // The process that wrote it may have been killed before it synced it.
        file.sync()?;
        env.sync_dir(dir)?;
        return Ok(false);
    }
    let made = env.create_new(&path).and_then(|file| {
        file.write_at(0, MARK.as_bytes())?;
        file.sync()?;
        env.sync_dir(dir)
    });
    match made {
        Ok(()) => Ok(true),
        Err(error) => {
            // Leave an empty directory empty again.
            let _ = env.remove_file(&path);
            Err(error)
        }
    }
}

/// Removes the mark that was put into `dir`, which contains nothing else; removes `dir` too if this process made it.
///
/// Never fails: the caller reports the error that led to this, and a mark that stays does no harm.
fn unmark(env: &dyn Env, dir: &Path, is_new: bool) {
    let _ = env.remove_file(&dir.join(INCOMPLETE));
    let _ = match is_new {
        true => env.remove_dir(dir),
        false => env.sync_dir(dir),
    };
}

/// Refuses a directory that is not empty, unless an earlier attempt left everything that is in it (DESTINATION-4).
fn refuse_unless_free(env: &dyn Env, dir: &Path) -> Result<()> {
    let names = env.list(dir)?;
    let is_marked = names.iter().any(|name| name == INCOMPLETE);
    let is_left = |name: &&String| match is_marked {
        true => parse(name).is_some(),
        false => *name == LOCK,
    };
    if let Some(name) = names.iter().find(|name| !is_left(name)) {
        return Err(not_empty(dir, name));
    }
    owner(env, dir, &names).map(|_| ())
}

fn not_empty(dir: &Path, name: &str) -> Error {
    Error::invalid_argument(format!("{} is not empty: it holds {name}", dir.display()))
}

/// The error for a directory with a mark; it says what the directory is, and what to do.
pub(in crate::db) fn incomplete(env: &dyn Env, dir: &Path) -> Error {
    let mark = dir.join(INCOMPLETE);
    let mut head = [0; 16];
    let read = env
        .open_read(&mark)
        .and_then(|file| file.read_at(0, &mut head));
    let head = &head[..read.unwrap_or_default()];
    let what = if MARK.as_bytes().starts_with(head) {
        "this is a copy (a checkpoint or a repair) that is not complete: make it again into this directory, or destroy it"
    } else if is_marked(env, dir).unwrap_or(false) {
        // The mark began as CURRENT, or as another file that proved the directory to be AiDb's.
        "this database was being destroyed, and that was cut short: destroy it again"
    } else if head.iter().all(|byte| *byte == 0) {
        "this is a copy (a checkpoint or a repair) that is not complete, or a database that was being destroyed: if it is a \
         copy, make it again into this directory, or destroy it"
    } else {
        "this file marks a database that is not complete, and AiDb did not write it, or it is damaged: remove it by hand if \
         the database in this directory is known to be whole; if it is a copy (a checkpoint or a repair), make it again into \
         this directory, or destroy it"
    };
    Error::corruption(&mark, 0, what)
}

#[cfg(test)]
mod tests;
