//! The file SYNCED: how far the newest log was synced, which that log itself cannot say.
//!
//! No record follows the last synced one, so none has it below its watermark (WAL-3). So the thread that has
//! synced a log writes the offset into the file SYNCED, in one write that is not synced itself. It survives a
//! crash of the process; after a loss of power it may hold an older offset or nothing, never one too large.
//! Layout: docs/format.md, "SYNCED".
//!
//! Nothing requires the file: if it is missing, damaged, or about another log, it is ignored.

use std::path::Path;

use super::format::LogHeader;
use crate::checksum::crc;
use crate::coding::{get_u32, get_u64, put_u32, put_u64};
use crate::env::{ClosedFile, EngineOnly, Env, File, PathKind};
use crate::error::Result;
use crate::filename::SYNCED;
use crate::key::FileNumber;
use crate::sync::{Arc, Mutex};

/// The only version there is.
const VERSION: u32 = 1;
const BYTES: usize = 32;
const _: () = assert!(BYTES == 4 + 4 + 8 + 8 + 8);

/// A log, and how many of its bytes a finished sync has covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Watermark {
    pub(crate) number: FileNumber,
    pub(crate) log_id: u64,
    pub(crate) length: u64,
}

impl Watermark {
    /// The one in the database's directory `dir`; that of no log if none is known.
    pub(crate) fn read(env: &dyn Env, dir: &Path) -> Watermark {
        let found = Watermark::read_at(env, &dir.join(SYNCED));
        found.ok().flatten().unwrap_or_default()
    }

    /// The one in the file at `path`, whatever its name; `None` if it says nothing.
    pub(crate) fn read_at(env: &dyn Env, path: &Path) -> Result<Option<Watermark>> {
        let mut bytes = [0; BYTES];
        env.open_read(path)?.read_at(0, &mut bytes)?;
        Ok(Watermark::decode(&bytes))
    }

    /// Whether `bytes` begin with what [`WatermarkWriter::write`] writes.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        let bytes = bytes.first_chunk();
        bytes.is_some_and(|bytes| Watermark::decode(bytes).is_some())
    }

    /// How many bytes of the log with this header are known to be durable.
    pub(crate) fn length_of(&self, header: &LogHeader) -> u64 {
        match (self.number, self.log_id) == (header.number, header.log_id) {
            true => self.length,
            false => 0,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(BYTES);
        put_u32(&mut fields, VERSION);
        put_u64(&mut fields, self.number.0);
        put_u64(&mut fields, self.log_id);
        put_u64(&mut fields, self.length);
        let mut out = Vec::with_capacity(BYTES);
        put_u32(&mut out, crc(&fields));
        out.extend_from_slice(&fields);
        out
    }

    fn decode(bytes: &[u8; BYTES]) -> Option<Watermark> {
        let input = &mut &bytes[..];
        let is_whole = get_u32(input)? == crc(input);
        let is_ours = is_whole && get_u32(input)? == VERSION;
        let watermark = Watermark {
            number: FileNumber(get_u64(input)?),
            log_id: get_u64(input)?,
            length: get_u64(input)?,
        };
        is_ours.then_some(watermark)
    }
}

/// The file SYNCED of an open database.
pub(crate) struct WatermarkWriter(Mutex<Arc<dyn File>>);

impl WatermarkWriter {
    /// Opens the one in `dir`, or makes one. What an earlier life left in it stays until the next write.
    pub(crate) fn open(env: &dyn Env, dir: &Path) -> Result<WatermarkWriter> {
        let path = dir.join(SYNCED);
        let file = match env.kind(&path)? {
            PathKind::Missing => env.create_new(&path)?,
            _ => env.open_write(&path)?,
        };
        Ok(WatermarkWriter(Mutex::new(file)))
    }

    /// Notes that `watermark` is durable.
    pub(crate) fn write(&self, watermark: Watermark) {
        // What it speaks of is durable without it: a disk that has no room for it, or refuses it, is no reason to fail.
        let file = Arc::clone(&*self.0.lock());
        let _ = file.write_if_room(0, &watermark.encode(), EngineOnly);
    }

    /// Closes the file; what is noted later is not.
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

    const WATERMARK: Watermark = Watermark {
        number: FileNumber(7),
        log_id: 0x0123_4567_89ab_cdef,
        length: 82,
    };

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
        assert_eq!(Watermark::read(&env, dir), Watermark::default());
        let file = WatermarkWriter::open(&env, dir).unwrap();
        assert_eq!(Watermark::read(&env, dir), Watermark::default());
        file.write(WATERMARK);
        drop(file);
        let _opened_again = WatermarkWriter::open(&env, dir).unwrap();
        let read = Watermark::read(&env, dir);
        assert_eq!(read, WATERMARK);
        assert_eq!(read.length_of(&header(7, WATERMARK.log_id)), 82);
        assert_eq!(read.length_of(&header(8, WATERMARK.log_id)), 0);
        assert_eq!(read.length_of(&header(7, 1)), 0);
    }

    #[test]
    fn what_is_noted_behind_the_close_is_not_written() {
        let env = MemEnv::new();
        let dir = Path::new("/");
        let writer = WatermarkWriter::open(&env, dir).unwrap();
        writer.write(WATERMARK);
        writer.let_go();
        writer.write(Watermark {
            length: 83,
            ..WATERMARK
        });
        assert_eq!(Watermark::read(&env, dir), WATERMARK);
    }

    #[test]
    fn only_an_intact_one_is_told_to_be_whole() {
        let bytes = WATERMARK.encode();
        assert!(Watermark::is_whole(&bytes));
        assert!(Watermark::is_whole(&[&bytes[..], b"more"].concat()));
        assert!(!Watermark::is_whole(&bytes[..BYTES - 1]));
        let mut flipped = bytes;
        flipped[BYTES - 1] ^= 1;
        assert!(!Watermark::is_whole(&flipped));
    }

    #[test]
    fn a_damaged_one_says_nothing() {
        let good = WATERMARK.encode();
        for bit in 0..BYTES * 8 {
            let mut bytes: [u8; BYTES] = good.clone().try_into().unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Watermark::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Watermark::decode(&[0; BYTES]), None);
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
        let bytes = WATERMARK.encode();
        let written: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, documented);
    }
}
