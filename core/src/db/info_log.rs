//! The info log: a line for each notable event. Opening a database fails if the file cannot be opened for another
//! reason than a full disk. No later call fails: a line that cannot be written is dropped. The thread that reports an
//! event writes the line, and may hold the log's lock (`locks.rs`) meanwhile.
//!
//! * NOTE-1  Each entry is exactly one line, written at once, whatever characters its text contains. It names
//!           its database, because several may share a file.
//! * NOTE-2  A file that has reached its size is renamed to `NAME.1`, `NAME.1` to `NAME.2` and so on, and the
//!           last one is replaced. If several databases share the file, only one renames it at a time. A rename
//!           or removal by another one, or by another program, is noticed before the next line.
//!
//! Elsewhere: which files no info log may be (`info_log/place.rs`).

mod place;

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use crate::env::{Env, InfoLogFile, PathKind, utc_text, write_to_stderr};
use crate::error::{ErrorKind, Result};
use crate::options::{InfoLog, Options};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::over_io::{OverIo, Stage};

pub(super) use place::refuse_own_files;

/// Where the lines go.
pub(super) struct InfoLogger {
    /// The database, at the head of each line.
    dir: PathBuf,
    target: Target,
}

enum Target {
    Nowhere,
    Stderr,
    File(Rotated),
}

impl InfoLogger {
    /// Opens the log that the options ask for, for the database in `dir`. A full disk does not make opening
    /// fail.
    pub(super) fn open(dir: &Path, options: &Options) -> Result<InfoLogger> {
        let target = match &options.info_log {
            InfoLog::None => Target::Nowhere,
            InfoLog::Stderr => Target::Stderr,
            InfoLog::File(path) => Target::File(Rotated::open(path, options)?),
        };
        Ok(InfoLogger {
            dir: dir.to_path_buf(),
            target,
        })
    }

    /// Writes one line, with the time and the database before it.
    pub(super) fn write(&self, env: &dyn Env, line: fmt::Arguments<'_>) {
        if matches!(self.target, Target::Nowhere) {
            return;
        }
        let time = utc_text(env.wall_micros() / 1_000_000);
        let mut text = String::new();
        let is_whole = write!(OneLine(&mut text), "{time} {}: {line}", self.dir.display());
        if is_whole.is_err() {
            return;
        }
        debug_assert!(!text.contains('\n'), "NOTE-1: an entry is one line");
        text.push('\n');
        match &self.target {
            Target::Nowhere => {}
            Target::Stderr => write_to_stderr(format!("aidb: {text}").as_bytes()),
            Target::File(file) => file.write(text.as_bytes()),
        }
    }

    /// Closes the file; later lines are dropped.
    pub(super) fn let_go(&self) {
        if let Target::File(file) = &self.target {
            file.let_go();
        }
    }
}

/// Writes control characters as escapes (NOTE-1).
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char.is_control() {
                true => self.0.extend(char.escape_default()),
                false => self.0.push(char),
            }
        }
        Ok(())
    }
}

/// A file that is renamed when it has become large (NOTE-2).
struct Rotated {
    env: Arc<dyn Env>,
    /// Absolute: the program may change its working directory.
    path: PathBuf,
    /// The file may have this many bytes.
    most_bytes: u64,
    /// How many files are kept, this one included.
    files: u64,
    open: OverIo<Option<Box<dyn InfoLogFile>>>,
    /// Whether the log is closed. Changed while `open` is locked.
    is_closed: AtomicBool,
}

impl Rotated {
    fn open(path: &Path, options: &Options) -> Result<Rotated> {
        let env = Arc::clone(&options.env);
        let opened = match env.open_info_log(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == ErrorKind::NoSpace => None,
            Err(error) => return Err(error),
        };
        let path = match &opened {
            Some(_) => env.canonical(path)?,
            None => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
        };
        Ok(Rotated {
            env,
            path,
            most_bytes: match options.info_log_file_size {
                0 => u64::MAX,
                bytes => bytes,
            }
            .min(options.env.largest_file()),
            files: options.info_log_files,
            open: OverIo::new(Stage::File, opened),
            is_closed: AtomicBool::new(false),
        })
    }

    fn write(&self, line: &[u8]) {
        let mut open = self.open.lock();
        if self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        if !open.as_ref().is_some_and(|file| file.has_name(&self.path)) {
            *open = self.env.open_info_log(&self.path).ok();
        }
        if let Some(file) = &*open
            && self.is_full(&**file, line)
        {
            file.alone(&mut || self.rotate(&**file, line));
            *open = self.env.open_info_log(&self.path).ok();
        }
        if let Some(file) = &*open {
            let _ = file.append(line);
        }
    }

    fn let_go(&self) {
        let mut open = self.open.lock();
        self.is_closed.store(true, Ordering::Relaxed);
        let closed = open.take();
        drop(open);
        drop(closed);
    }

    /// Whether `line` would make the file too large. A single line never does.
    fn is_full(&self, file: &dyn InfoLogFile, line: &[u8]) -> bool {
        let bytes = file.len().unwrap_or(0);
        bytes > 0 && bytes.saturating_add(line.len() as u64) > self.most_bytes
    }

    /// Makes room for `line`, unless another handle already has.
    fn rotate(&self, file: &dyn InfoLogFile, line: &[u8]) {
        if !file.has_name(&self.path) || !self.is_full(file, line) {
            return;
        }
        let kind = |number: u64| self.env.kind(&self.old(number));
        let last = self.files.saturating_sub(1);
        let free = (1..last).find(|number| matches!(kind(*number), Ok(PathKind::Missing)));
        let free = free.unwrap_or(last);
        // A directory of that name is not an old log, and stays.
        let is_movable = (1..free).all(|number| matches!(kind(number), Ok(PathKind::File(_))));
        for number in (1..free).rev().filter(|_| is_movable) {
            let _ = self.env.rename(&self.old(number), &self.old(number + 1));
        }
        let is_moved =
            is_movable && self.files > 1 && self.env.rename(&self.path, &self.old(1)).is_ok();
        if !is_moved {
            let _ = file.clear();
        }
    }

    /// The name of the `number`-th file that was renamed, counted from the newest.
    fn old(&self, number: u64) -> PathBuf {
        debug_assert!(
            (1..self.files).contains(&number),
            "NOTE-2: no more files are kept than the options say"
        );
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests;
