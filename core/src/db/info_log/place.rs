//! Checks the path of the info log: it must not be a file of the engine, of this database or of another one.
//!
//! * PLACE-1  The check comes before anything is written; the directory of the database may not exist yet.
//! * PLACE-2  In a database's directory the name decides, after links are followed, whether or not the file exists
//!            yet. A hard link with another name is recognised by the file's identity.

use std::path::{Component, Path, PathBuf};

use crate::env::{Env, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{FileKind, parse};
use crate::options::Options;
use crate::version::{Contents, inspect};

/// At most this many links in a row are followed, as many as the system follows.
const MAX_LINKS: usize = 40;

/// Refuses the info log `log` for a database in `path` if its lines would spoil the database, or if its rotation would
/// move the database away.
pub(in crate::db) fn refuse_own_files(path: &Path, log: &Path, options: &Options) -> Result<()> {
    let env = &*options.env;
    let refuse = |what: String| {
        let (name, log) = (options.spelling("info_log"), log.display());
        Err(Error::invalid_argument(format!(
            "option {name} = \"{log}\": {what}"
        )))
    };
    let dir = resolved(env, path, MAX_LINKS)?;
    let file = resolved(env, log, MAX_LINKS)?;
    if dir.starts_with(&file) {
        return refuse("this is the database's own directory, or a directory around it".to_owned());
    }
    if let Some(moved) = moved_by_rotation(&file, &dir, options) {
        let moved = moved.display();
        return refuse(format!(
            "when it is full it would be renamed to {moved}, which contains the database"
        ));
    }
    let own = |name: &str| format!("{name} is a file of the database itself");
    if let (Some(parent), Some(name)) = (file.parent(), file.file_name())
        && let name = name.to_string_lossy()
        && is_engines(&name)
        && (parent == dir || is_database(env, parent))
    {
        return refuse(own(&name));
    }
    let Some(identity) = env.identity(&file) else {
        return Ok(());
    };
    if env.kind(&dir)? != PathKind::Directory {
        return Ok(());
    }
    for name in env.list(&dir)? {
        if is_engines(&name) && env.identity(&dir.join(&name)) == Some(identity) {
            return refuse(own(&name));
        }
    }
    Ok(())
}

/// Whether the engine gives files this name, other than info logs.
fn is_engines(name: &str) -> bool {
    !matches!(parse(name), None | Some(FileKind::InfoLog))
}

/// Counts a damaged one too: a log line in one of its files may destroy what could still be
/// salvaged.
fn is_database(env: &dyn Env, dir: &Path) -> bool {
    match inspect(env, dir) {
        Ok(contents) => contents != Contents::Nothing,
        Err(error) => error.kind() == ErrorKind::Corruption,
    }
}

/// If rotation would give `file` a name that is now a directory with the database `dir` in it, that directory.
fn moved_by_rotation<'a>(file: &Path, dir: &'a Path, options: &Options) -> Option<&'a Path> {
    dir.ancestors().find(|ancestor| {
        let (Some(name), Some(old)) = (file.file_name(), ancestor.file_name()) else {
            return false;
        };
        let rest = old
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."));
        let number = rest.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        ancestor.parent() == file.parent()
            && number.is_some_and(|number| number < options.info_log_files)
    })
}

/// `path` made absolute, without links and `..`. Parts at its end that do not exist count as directories and a file
/// still to be made.
fn resolved(env: &dyn Env, path: &Path, links: usize) -> Result<PathBuf> {
    if env.kind(path)? != PathKind::Missing {
        return env.canonical(path);
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if links > 0
        && let Some(target) = env.link_target(path)
    {
        return resolved(env, &parent.join(target), links - 1);
    }
    match path.components().next_back() {
        Some(Component::Normal(name)) => Ok(resolved(env, parent, links)?.join(name)),
        // The part before it does not exist yet, and will be made as a directory, not as a link.
        Some(Component::ParentDir) => {
            let mut directory = resolved(env, parent, links)?;
            directory.pop();
            Ok(directory)
        }
        _ => Ok(path.to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DB;
    use crate::env::test_dir::TestDir;
    use crate::options::InfoLog;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn options(log: &Path) -> Options {
        Options::new().info_log(InfoLog::File(log.to_path_buf()))
    }

    fn open(dir: &Path, log: &Path) -> Result<DB> {
        DB::open(dir, options(log))
    }

    /// The names below `dir`, and the contents of the files.
    fn contents(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(contents(&path));
            }
            let bytes = fs::read(&path).ok();
            found.push((path, bytes));
        }
        found.sort();
        found
    }

    fn refused(about: &str, dir: &Path, log: &Path, around: &Path) {
        let before = contents(around);
        for options in [options(log), options(log).read_only(true)] {
            let error = DB::open(dir, options).map(|_| ()).expect_err(about);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{about}: {error}");
            let start = format!("option info_log = \"{}\": ", log.display());
            assert!(error.message().starts_with(&start), "{about}: {error}");
        }
        assert!(contents(around) == before, "{about}: something was written");
    }

    /// Makes a database with a table, a log and everything else; returns the names of its files.
    fn database(dir: &Path) -> Vec<String> {
        let db = DB::open(dir, Options::new()).unwrap();
        db.put(b"key", b"value").unwrap();
        db.flush().unwrap();
        db.put(b"key", b"other").unwrap();
        db.close().unwrap();
        let names = fs::read_dir(dir).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// PLACE-2.
    /// The lines of the info log were appended to CURRENT, and the database did not open again.
    #[test]
    fn an_info_log_is_no_file_of_the_engine_by_whatever_path() {
        let around = TestDir::new();
        let around = around.path();
        let dir = around.join("db");
        let names = database(&dir);
        for kind in [
            ".log",
            ".sst",
            "MANIFEST-",
            "CURRENT",
            "LOCK",
            "RESERVE",
            "SYNCED",
        ] {
            assert!(
                names.iter().any(|name| name.contains(kind)),
                "{kind}: {names:?}"
            );
        }
        symlink(&dir, around.join("link")).unwrap();
        fs::create_dir(dir.join("below")).unwrap();
        let beside = around.join("beside");
        for name in &names {
            let path = dir.join(name);
            refused(name, &dir, &path, around);
            refused(name, &around.join("link"), &path, around);
            refused(name, &dir, &around.join("link").join(name), around);
            refused(name, &dir, &dir.join("below/..").join(name), around);
            fs::hard_link(&path, &beside).unwrap();
            refused(name, &dir, &beside, around);
            fs::remove_file(&beside).unwrap();
            symlink(&path, &beside).unwrap();
            refused(name, &dir, &beside, around);
            // The files of another database are refused too.
            refused(name, &around.join("other"), &path, around);
            fs::remove_file(&beside).unwrap();
        }
        let damaged = around.join("damaged");
        database(&damaged);
        fs::remove_file(damaged.join("CURRENT")).unwrap();
        for name in ["CURRENT", "000123.log"] {
            refused(name, &around.join("other"), &damaged.join(name), around);
        }
        // One of the engine's files is itself a link.
        fs::rename(dir.join("SYNCED"), &beside).unwrap();
        symlink(&beside, dir.join("SYNCED")).unwrap();
        refused("link", &dir, &beside, around);
        let db = DB::open(&dir, Options::new()).unwrap();
        assert_eq!(db.get(b"key").unwrap().unwrap(), b"other");
    }

    /// PLACE-1.
    #[test]
    fn an_info_log_is_no_file_that_the_engine_will_make() {
        let around = TestDir::new();
        let around = around.path();
        let dir = around.join("new/db");
        let link = around.join("link");
        for name in [
            "CURRENT",
            "CURRENT.tmp",
            "BLANK-LOG.tmp",
            "LOCK",
            "RESERVE",
            "SYNCED",
            "MANIFEST-000001",
            "000007.log",
            "000007.sst",
            "000007.tmp",
            "AIDB-INCOMPLETE",
        ] {
            refused(name, &dir, &dir.join(name), around);
            refused(name, &dir, &dir.join("../db/.").join(name), around);
            // To nothing yet.
            symlink(Path::new("new/../new/db").join(name), &link).unwrap();
            refused(name, &dir, &link, around);
            fs::remove_file(&link).unwrap();
        }
        for (log, dir) in [
            ("db", "db"),
            ("db", "db/below"),
            ("log", "log.1"),
            ("log", "log.3/below/db"),
        ] {
            refused(log, &around.join(dir), &around.join(log), around);
        }
        assert!(contents(around).is_empty());
    }

    #[test]
    fn an_info_log_may_be_any_other_file_in_the_database_or_elsewhere() {
        let around = TestDir::new();
        let around = around.path();
        for (number, (log, dir)) in [
            ("db/LOG", "db"),
            ("db/LOG", "db"),
            ("db/LOG.1", "db"),
            ("db/notes.txt", "db"),
            ("CURRENT", "db"),
            ("000007.log", "db"),
            ("log", "log.4"),
            ("log", "log.x"),
            ("log", "other/log.1"),
            // Shared.
            ("log", "db"),
        ]
        .into_iter()
        .enumerate()
        {
            let db = open(&around.join(dir), &around.join(log)).unwrap();
            db.put(b"key", b"value").unwrap();
            db.close().unwrap();
            let text = fs::read_to_string(around.join(log)).unwrap();
            assert!(text.contains("opening with info_log="), "{number}: {text}");
        }
    }

    /// Rotation gives a log no name that the engine uses.
    #[test]
    fn what_a_full_log_is_renamed_to_is_nothing_of_the_engines() {
        for name in [
            "LOG",
            "CURRENT",
            "000007",
            "MANIFEST-000001",
            "000007.log",
            "LOCK",
        ] {
            for number in [1, 2, 12, 999] {
                let old = format!("{name}.{number}");
                assert!(!is_engines(&old), "{old}");
            }
        }
    }
}
