//! The info log: a line per event worth knowing afterwards. Never in the way: a line that cannot be written is
//! dropped.

use std::fmt;

use crate::env::{Env, File, PathKind, utc_text};
use crate::error::Result;
use crate::options::InfoLog;
use crate::sync::{Arc, Mutex};

/// Where the lines go.
pub(super) enum InfoLogger {
    Nowhere,
    Stderr,
    File {
        file: Arc<dyn File>,
        end: Mutex<u64>,
    },
}

impl InfoLogger {
    /// Opens the log that the options ask for.
    pub(super) fn open(env: &dyn Env, log: &InfoLog) -> Result<InfoLogger> {
        Ok(match log {
            InfoLog::None => InfoLogger::Nowhere,
            InfoLog::Stderr => InfoLogger::Stderr,
            InfoLog::File(path) => {
                let file = match env.kind(path)? {
                    PathKind::Missing => env.create_new(path)?,
                    _ => env.open_write(path)?,
                };
                let end = Mutex::new(file.len()?);
                InfoLogger::File { file, end }
            }
        })
    }

    /// Writes one line, with the time before it.
    pub(super) fn write(&self, env: &dyn Env, line: fmt::Arguments<'_>) {
        if matches!(self, InfoLogger::Nowhere) {
            return;
        }
        let text = format!("{} {line}\n", utc_text(env.wall_micros() / 1_000_000));
        match self {
            InfoLogger::Nowhere => {}
            InfoLogger::Stderr => eprint!("aidb: {text}"),
            InfoLogger::File { file, end } => {
                let mut end = end.lock();
                if file.write_at(*end, text.as_bytes()).is_ok() {
                    *end += text.len() as u64;
                }
            }
        }
    }
}
