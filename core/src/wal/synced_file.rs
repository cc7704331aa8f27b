//! The file SYNCED: how far the newest log was synced, which that log itself cannot say.
//!
//! No record follows the last synced one, so none says how far it was synced (WAL-3). So the thread that has
//! synced a log writes the offset into the file SYNCED, in one write that is not synced itself. It survives a
//! crash of the process; after a power loss it may hold an older offset or nothing, never one too large.
//! Layout: docs/format.md, "SYNCED".
//!
//! Nothing requires the file: if it is missing, damaged, or about another log, it is ignored.

use std::path::Path;

use super::log_header::LogHeader;
use super::synced::Synced;
use crate::checksum::crc;
use crate::coding::{get_u32, get_u64, put_u32, put_u64};
use crate::env::{ClosedFile, EngineOnly, Env, File, PathKind};
use crate::error::Result;
use crate::filename::SYNCED;
use crate::key::FileNumber;
use crate::sync::{Arc, Mutex};

/// The only version so far.
const VERSION: u32 = 1;
const BYTES: usize = 32;
const _: () = assert!(BYTES == 4 + 4 + 8 + 8 + 8);

/// The content of the file: how far a log was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SyncedLog {
    pub(crate) number: FileNumber,
    pub(crate) log_id: u64,
    pub(crate) synced: Synced,
}

impl SyncedLog {
    /// Reads the file in the database's directory `dir`; the default, which is about no log, if there is none.
    pub(crate) fn read(env: &dyn Env, dir: &Path) -> SyncedLog {
        let found = SyncedLog::read_at(env, &dir.join(SYNCED));
        found.ok().flatten().unwrap_or_default()
    }

    /// Reads the file at `path`, whatever its name; `None` if it is not intact.
    pub(crate) fn read_at(env: &dyn Env, path: &Path) -> Result<Option<SyncedLog>> {
        let mut bytes = [0; BYTES];
        env.open_read(path)?.read_at(0, &mut bytes)?;
        Ok(SyncedLog::decode(&bytes))
    }

    /// Whether `bytes` begin with an intact content, as [`SyncedFile::write`] writes it.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        let bytes = bytes.first_chunk();
        bytes.is_some_and(|bytes| SyncedLog::decode(bytes).is_some())
    }

    /// How far it says that the log with this header was synced.
    pub(crate) fn of(&self, header: &LogHeader) -> Synced {
        match (self.number, self.log_id) == (header.number, header.log_id) {
            true => self.synced,
            false => Synced::NOTHING,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(BYTES);
        put_u32(&mut fields, VERSION);
        put_u64(&mut fields, self.number.0);
        put_u64(&mut fields, self.log_id);
        put_u64(&mut fields, self.synced.length());
        let mut out = Vec::with_capacity(BYTES);
        put_u32(&mut out, crc(&fields));
        out.extend_from_slice(&fields);
        debug_assert!(
            SyncedLog::is_whole(&out),
            "WAL-5: a reader accepts what is written"
        );
        debug_assert!(
            out.len() == BYTES,
            "WAL-5: the fields add up to the file's length"
        );
        out
    }

    fn decode(bytes: &[u8; BYTES]) -> Option<SyncedLog> {
        let input = &mut &bytes[..];
        let is_whole = get_u32(input)? == crc(input);
        let is_ours = is_whole && get_u32(input)? == VERSION;
        let said = SyncedLog {
            number: FileNumber(get_u64(input)?),
            log_id: get_u64(input)?,
            synced: Synced::up_to(get_u64(input)?),
        };
        is_ours.then_some(said)
    }
}

/// The file SYNCED of an open database.
pub(crate) struct SyncedFile(Mutex<Arc<dyn File>>);

impl SyncedFile {
    /// Opens the file in `dir`, or makes it. Its old content stays until the next write.
    pub(crate) fn in_dir(env: &dyn Env, dir: &Path) -> Result<SyncedFile> {
        let path = dir.join(SYNCED);
        let file = match env.kind(&path)? {
            PathKind::Missing => env.create_new(&path)?,
            _ => env.open_write(&path)?,
        };
        Ok(SyncedFile(Mutex::new(file)))
    }

    /// Writes how far a finished sync has covered a log.
    pub(crate) fn write(&self, log: SyncedLog) {
        debug_assert!(log.number.0 > 0, "WAL-5: it is about a log");
        // The log is durable without this file, so errors of writing it, also on a full disk, are ignored.
        let file = Arc::clone(&*self.0.lock());
        let _ = file.write_if_room(0, &log.encode(), EngineOnly);
    }

    /// Closes the file; later writes do nothing.
    pub(crate) fn let_go(&self) {
        let file = std::mem::replace(&mut *self.0.lock(), Arc::new(ClosedFile));
        drop(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MemEnv;
    use crate::wal::Predecessor;

    fn log(length: u64) -> SyncedLog {
        SyncedLog {
            number: FileNumber(7),
            log_id: 0x0123_4567_89ab_cdef,
            synced: Synced::up_to(length),
        }
    }

    fn header(number: u64, log_id: u64) -> LogHeader {
        LogHeader {
            database: 0,
            log_id,
            number: FileNumber(number),
            predecessor: Predecessor::default(),
        }
    }

    /// WAL-5.
    #[test]
    fn what_was_written_is_read_and_counts_for_its_log_only() {
        let (env, dir) = (MemEnv::new(), Path::new("/"));
        assert_eq!(SyncedLog::read(&env, dir), SyncedLog::default());
        let file = SyncedFile::in_dir(&env, dir).unwrap();
        assert_eq!(SyncedLog::read(&env, dir), SyncedLog::default());
        file.write(log(82));
        drop(file);
        let _opened_again = SyncedFile::in_dir(&env, dir).unwrap();
        let read = SyncedLog::read(&env, dir);
        assert_eq!(read, log(82));
        assert_eq!(read.of(&header(7, read.log_id)), Synced::up_to(82));
        assert_eq!(read.of(&header(8, read.log_id)), Synced::NOTHING);
        assert_eq!(read.of(&header(7, 1)), Synced::NOTHING);
    }

    #[test]
    fn what_is_noted_behind_the_close_is_not_written() {
        let env = MemEnv::new();
        let dir = Path::new("/");
        let writer = SyncedFile::in_dir(&env, dir).unwrap();
        writer.write(log(82));
        writer.let_go();
        writer.write(log(83));
        assert_eq!(SyncedLog::read(&env, dir), log(82));
    }

    #[test]
    fn only_an_intact_one_is_whole() {
        let bytes = log(82).encode();
        assert!(SyncedLog::is_whole(&bytes));
        assert!(SyncedLog::is_whole(&[&bytes[..], b"more"].concat()));
        assert!(!SyncedLog::is_whole(&bytes[..BYTES - 1]));
        let mut flipped = bytes;
        flipped[BYTES - 1] ^= 1;
        assert!(!SyncedLog::is_whole(&flipped));
    }

    #[test]
    fn a_damaged_one_says_nothing() {
        let good = log(82).encode();
        for bit in 0..BYTES * 8 {
            let mut bytes: [u8; BYTES] = good.clone().try_into().unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SyncedLog::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(SyncedLog::decode(&[0; BYTES]), None);
    }

    #[test]
    fn the_documented_example_is_what_is_written() {
        let text = include_str!("../../../docs/format.md");
        let (_, text) = text.split_once("<!-- replay: synced -->").unwrap();
        let block = text.split("```").nth(1).unwrap();
        let lines = block.lines().skip(1);
        let documented: Vec<&str> = lines
            .flat_map(|line| line.split("  ").next().unwrap_or("").split(' '))
            .filter(|digits| !digits.is_empty())
            .collect();
        let bytes = log(82).encode();
        let written: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, documented);
    }
}
