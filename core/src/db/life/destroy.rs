//! Destroying: removes a database, and nothing else.
//!
//! * DESTROY-1  Only AiDb's files are changed (IDENTITY-1 of `version/identity.rs`), and only while the lock is
//!              held.
//! * DESTROY-2  First, the file that proves the directory (CURRENT, if it is intact) is durably renamed to the
//!              mark of incompleteness. From then on the directory does not open, and the mark proves to the end
//!              that it is AiDb's. A rename takes no space, so it works on a full disk.
//! * DESTROY-3  The mark is removed when the removal of everything else is durable. So a kill or a loss of
//!              power leaves the whole database, a directory that can be destroyed again, or nothing.
//! * DESTROY-4  The removal is durable: the directory is synced, and its parent too if the directory is removed.

use std::path::Path;

use super::location::check_path;
use crate::env::{Env, PathKind};
use crate::error::Result;
use crate::filename::{INCOMPLETE, LOCK};
use crate::options::Options;
use crate::version::{Owner, belongs, not_a_directory, owner};

/// Removes the database in `path`; see `DB::destroy`.
pub(in crate::db) fn destroy(path: &Path, options: &Options) -> Result<()> {
    check_path(path)?;
    let env = &*options.env;
    match env.kind(path)? {
        PathKind::Missing => return Ok(()),
        PathKind::Directory => {}
        PathKind::File(_) | PathKind::Other => return Err(not_a_directory(env, path)),
    }
    let dir = env.canonical(path)?;
    // DESTROY-1. Checked before locking, because locking leaves a file; and checked again under the
    // lock.
    let names = env.list(&dir)?;
    if owner(env, &dir, &names)? == Owner::Nobody {
        return match names.is_empty() {
            true => remove_directory(env, path, &dir),
            false => Ok(()),
        };
    }
    let lock = match env.lock(&dir, true, options.lock_timeout) {
        Ok(lock) => lock,
        // Another call has just destroyed it.
        Err(_) if env.kind(&dir)? == PathKind::Missing => return Ok(()),
        Err(error) => return Err(error),
    };
    remove_database(env, &dir)?;
    drop(lock);
    match env.list(&dir)?.is_empty() {
        true => remove_directory(env, path, &dir),
        false => Ok(()),
    }
}

/// Durably removes the files of the database in `dir`, complete or not. The caller holds the lock of `dir`.
pub(in crate::db) fn remove_database(env: &dyn Env, dir: &Path) -> Result<()> {
    let names = env.list(dir)?;
    let Owner::Ours(proof) = owner(env, dir, &names)? else {
        return Ok(());
    };
    let mut ours = Vec::new();
    for name in names {
        if belongs(env, dir, &name)? {
            ours.push(name);
        }
    }
    let has = |wanted: &str| ours.iter().any(|name| name == wanted);
    // A mark that proves nothing (IDENTITY-4) is replaced. A creation that was cut short has nothing but a LOCK.
    let marked = Some(proof).filter(|proof| proof != LOCK && proof != INCOMPLETE);
    if let Some(name) = &marked {
        env.rename(&dir.join(name), &dir.join(INCOMPLETE))?;
    }
    // DESTROY-2. A mark that was found may not be durable yet either.
    env.sync_dir(dir)?;
    let is_last = |name: &String| name == LOCK || name == INCOMPLETE;
    for name in &ours {
        if !is_last(name) && Some(name) != marked.as_ref() {
            env.remove_file(&dir.join(name))?;
        }
    }
    // DESTROY-3.
    env.sync_dir(dir)?;
    if has(LOCK) {
        env.remove_file(&dir.join(LOCK))?;
    }
    if has(INCOMPLETE) || marked.is_some() {
        env.remove_file(&dir.join(INCOMPLETE))?;
    }
    env.sync_dir(dir)
}

/// Removes the empty directory `path`, which is `dir` without symbolic links.
fn remove_directory(env: &dyn Env, path: &Path, dir: &Path) -> Result<()> {
    if let Err(error) = env.remove_dir(path) {
        return match error.is_of_a_directory_that_stays() || env.kind(path)? == PathKind::Missing {
            true => Ok(()),
            false => Err(error),
        };
    }
    // DESTROY-4.
    match env.sync_dir(dir.parent().unwrap_or(dir)) {
        // The parent may be changed but not read, so it cannot be synced; at worst an empty directory comes back.
        Err(error) if error.is_denied() => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
