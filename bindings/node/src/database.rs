//! `Database`: an open database as JavaScript holds it; each method is one call of core, on another thread.

use std::sync::Arc;

use aidb::{
    CountOptions, CountProgress, DB, Error, IterOptions, Options, ReadOptions, Result, Value,
    VerifyProgress, WriteBatch, WriteOptions, copy_of,
};
use napi::Env;
use napi::bindgen_prelude::{Array, Either};
use napi_derive::napi;

use crate::convert::{Bytes, Outcome, Text, cut, failure, owned};
use crate::iterator::Iterator;
use crate::opened::Opened;
use crate::pool::{self, Lane};
use crate::port::{Port, PortShared};
use crate::reader::{self, Reader};
use crate::snapshot::Snapshot;
use crate::watch::Watch;

/// `clear` deletes in batches of about this size, so that other writers get their turn and memory stays bounded.
const CLEAR_ENTRIES: usize = 1000;
const CLEAR_BYTES: usize = 256 << 10;

/// Flags of a write (`lib/writing.js`): durable, and returning its sequence number.
const SYNC: u32 = 1;
const TELL_NUMBER: u32 = 2;

/// JavaScript's handle of a database: empty until `open` has returned.
#[napi]
pub struct Database {
    port: Arc<PortShared>,
    opened: Arc<Opened>,
}

/// One end of a range of keys.
#[derive(Default)]
struct Range {
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
}

impl Range {
    /// From abstract-level's inclusive and exclusive ends; if both are given, the inclusive one counts.
    fn new(
        gte: Option<Bytes<'_>>,
        gt: Option<Bytes<'_>>,
        lte: Option<Bytes<'_>>,
        lt: Option<Bytes<'_>>,
    ) -> Result<Range> {
        let behind = |key| owned(key).and_then(successor);
        Ok(Range {
            lower: gte.map(owned).or_else(|| gt.map(behind)).transpose()?,
            upper: lte.map(behind).or_else(|| lt.map(owned)).transpose()?,
        })
    }
}

/// The smallest key after `key`.
fn successor(mut key: Vec<u8>) -> Result<Vec<u8>> {
    let length = key.len() + 1;
    let reserved = key.try_reserve_exact(1);
    reserved.map_err(|_| Error::out_of_memory("a key", length))?;
    key.push(0);
    Ok(key)
}

#[napi]
impl Database {
    /// A database that is not open yet.
    #[napi(constructor)]
    pub fn new(port: &Port) -> Database {
        let opened = Arc::<Opened>::default();
        port.shared.register(&opened);
        Database {
            port: Arc::clone(&port.shared),
            opened,
        }
    }

    /// The names of core's options.
    #[napi]
    pub fn option_names() -> Vec<&'static str> {
        Options::names().collect()
    }

    /// The names that `name` may be a misspelling of, at most three, the nearest first.
    #[napi]
    pub fn option_names_near(name: Text) -> Vec<&'static str> {
        // Without memory for the name there are no suggestions.
        name.string()
            .map_or(Vec::new(), |name| Options::names_near(&name))
    }

    /// The version of this library.
    #[napi]
    pub fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Removes the database at `location`.
    #[napi]
    pub fn destroy(port: &Port, env: &Env, number: u32, location: Text) -> napi::Result<()> {
        port.shared.submit_apart(env, number, move || {
            DB::destroy(location.string()?, &Options::new())?;
            Ok(Outcome::Done)
        })
    }

    /// Makes a new database at `into` from what can be read of the damaged one at `location`. The report is the text
    /// of a JSON object. `options` are names and values in turn.
    #[napi]
    pub fn repair(
        port: &Port,
        env: &Env,
        number: u32,
        location: Text,
        into: Text,
        options: Vec<Text>,
    ) -> napi::Result<()> {
        port.shared.submit_apart(env, number, move || {
            let report = DB::repair(location.string()?, into.string()?, &parsed(options)?)?;
            Ok(Outcome::Text(report.to_json()))
        })
    }

    /// Opens the database at `location`; `options` are names and values in turn.
    #[napi]
    pub fn open(
        &self,
        env: &Env,
        number: u32,
        location: Text,
        options: Vec<Text>,
    ) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            opened.set(DB::open(location.string()?, parsed(options)?)?);
            Ok(Outcome::Done)
        })
    }

    /// Closes the database.
    #[napi]
    pub fn close(&self, env: &Env, number: u32) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            opened.get()?.close()?;
            Ok(Outcome::Done)
        })
    }

    /// Stores one value.
    #[napi]
    pub fn put(
        &self,
        env: &Env,
        number: u32,
        key: Bytes<'_>,
        value: Bytes<'_>,
        how: u32,
    ) -> napi::Result<()> {
        let (key, value) = (owned(key), owned(value));
        self.write_job(env, number, how, move |batch| batch.put(&key?, &value?))
    }

    /// Removes one key.
    #[napi]
    pub fn del(&self, env: &Env, number: u32, key: Bytes<'_>, how: u32) -> napi::Result<()> {
        let key = owned(key);
        self.write_job(env, number, how, move |batch| batch.delete(&key?))
    }

    /// Applies a batch. `bytes` are keys and values one after the other; `lengths` are the lengths of each
    /// operation's key and value, with -1 for the value of a delete.
    #[napi]
    pub fn batch(
        &self,
        env: &Env,
        number: u32,
        bytes: &[u8],
        lengths: &[f64],
        how: u32,
    ) -> napi::Result<()> {
        let (bytes, lengths) = (copy_of(bytes, "a batch"), copy_of(lengths, "a batch"));
        self.write_job(env, number, how, move |batch| {
            let (bytes, lengths) = (bytes?, lengths?);
            let mut rest = &bytes[..];
            let mut part = |length: f64| {
                let (part, behind) = rest
                    .split_at_checked(length as usize)
                    .ok_or_else(|| Error::internal("a batch's lengths pass its bytes"))?;
                rest = behind;
                Ok::<_, Error>(part)
            };
            for operation in lengths.chunks_exact(2) {
                let key = part(operation[0])?;
                if operation[1] < 0.0 {
                    batch.delete(key)?;
                } else {
                    batch.put(key, part(operation[1])?)?;
                }
            }
            Ok(())
        })
    }

    /// Reads one value, as a string if `text`.
    #[napi]
    pub fn get(
        &self,
        env: &Env,
        number: u32,
        key: Bytes<'_>,
        text: bool,
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
    ) -> napi::Result<()> {
        let key = owned(key);
        self.read_job(env, number, fill_cache, snapshot, move |db, options| {
            let value = db.get_with(&key?, options)?;
            let bytes = value.map(Value::try_into_vec).transpose()?;
            Ok(Outcome::Value { bytes, text })
        })
    }

    /// `getSync`, as a function of this database (`reader.rs`).
    #[napi]
    pub fn sync_reader<'env>(&self, env: &'env Env) -> napi::Result<Reader<'env>> {
        reader::get_sync(env, Arc::clone(&self.opened))
    }

    /// The same, from memory only.
    #[napi]
    pub fn memory_reader<'env>(&self, env: &'env Env) -> napi::Result<Reader<'env>> {
        reader::get_in_memory(env, Arc::clone(&self.opened))
    }

    /// Reads many values. `bytes` are the keys one after the other, `lengths` are their lengths.
    #[napi]
    pub fn get_many(
        &self,
        env: &Env,
        number: u32,
        bytes: &[u8],
        lengths: &[f64],
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
    ) -> napi::Result<()> {
        let keys = Keys::new(bytes, lengths);
        self.read_job(env, number, fill_cache, snapshot, move |db, options| {
            Outcome::values(db.get_many_with(&keys?.cut()?, options)?)
        })
    }

    /// Whether each of many keys has a value.
    #[napi]
    pub fn has_many(
        &self,
        env: &Env,
        number: u32,
        bytes: &[u8],
        lengths: &[f64],
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
    ) -> napi::Result<()> {
        let keys = Keys::new(bytes, lengths);
        self.read_job(env, number, fill_cache, snapshot, move |db, options| {
            // Looks keys up one at a time, so that at most one value is in memory.
            let keys = keys?;
            let mut flags = aidb::room_for(keys.lengths.len(), "answers")?;
            for key in keys.cut()? {
                flags.push(db.get_with(key, options)?.is_some());
            }
            Ok(Outcome::Flags(flags))
        })
    }

    /// Whether a key has a value.
    #[napi]
    pub fn has(
        &self,
        env: &Env,
        number: u32,
        key: Bytes<'_>,
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
    ) -> napi::Result<()> {
        let key = owned(key);
        self.read_job(env, number, fill_cache, snapshot, move |db, options| {
            Ok(Outcome::Flag(db.get_with(&key?, options)?.is_some()))
        })
    }

    /// Pins the current point. Returns an array if that failed.
    #[napi]
    pub fn snapshot<'env>(&self, env: &'env Env) -> napi::Result<Either<Snapshot, Array<'env>>> {
        Ok(match self.opened.get().and_then(DB::snapshot) {
            Ok(pin) => Either::A(Snapshot::new(pin)),
            Err(error) => Either::B(failure(env, &error)?),
        })
    }

    /// An iterator as of the snapshot, or of now. Returns an array if that failed.
    #[napi]
    pub fn iterator<'env>(
        &self,
        env: &'env Env,
        gte: Option<Bytes<'_>>,
        gt: Option<Bytes<'_>>,
        lte: Option<Bytes<'_>>,
        lt: Option<Bytes<'_>>,
        reverse: bool,
        keys: bool,
        values: bool,
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
    ) -> napi::Result<Either<Iterator, Array<'env>>> {
        let range = Range::new(gte, gt, lte, lt);
        let make = || -> Result<Iterator> {
            let range = range?;
            let options = IterOptions::new()
                .snapshot(Some(self.pin(snapshot)?))
                .lower_bound(range.lower)
                .upper_bound(range.upper)
                .prefix(None)
                .reverse(reverse)
                .keys(keys)
                .values(values)
                .fill_cache(fill_cache);
            let db = self.opened.get()?.clone();
            Ok(Iterator::new(Arc::clone(&self.port), db, options))
        };
        Ok(match make() {
            Ok(iterator) => Either::A(iterator),
            Err(error) => Either::B(failure(env, &error)?),
        })
    }

    /// Deletes the entries of a range as of the snapshot, or of now: `limit` of them, or all if it is negative.
    #[napi]
    pub fn clear(
        &self,
        env: &Env,
        number: u32,
        gte: Option<Bytes<'_>>,
        gt: Option<Bytes<'_>>,
        lte: Option<Bytes<'_>>,
        lt: Option<Bytes<'_>>,
        reverse: bool,
        limit: f64,
        sync: bool,
        snapshot: Option<&Snapshot>,
    ) -> napi::Result<()> {
        let range = Range::new(gte, gt, lte, lt);
        let pin = self.pin(snapshot);
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            let range = range?;
            let options = IterOptions::new()
                .snapshot(Some(pin?))
                .lower_bound(range.lower)
                .upper_bound(range.upper)
                .reverse(reverse)
                .values(false)
                .fill_cache(false);
            let limit = if limit < 0.0 { u64::MAX } else { limit as u64 };
            clear(
                opened.get()?,
                options,
                limit,
                &WriteOptions::new().sync(sync),
            )?;
            Ok(Outcome::Done)
        })
    }

    /// Writes everything acknowledged so far to tables, durably.
    #[napi]
    pub fn flush(&self, env: &Env, number: u32) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            opened.get()?.flush()?;
            Ok(Outcome::Done)
        })
    }

    /// Makes a copy at `location`.
    #[napi]
    pub fn checkpoint(&self, env: &Env, number: u32, location: Text) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            opened.get()?.checkpoint(location.string()?)?;
            Ok(Outcome::Done)
        })
    }

    /// Checks everything on disk. The report is the text of a JSON object.
    #[napi]
    pub fn verify(&self, env: &Env, number: u32, watch: &Watch) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        let mut watch = watch.watch(|at: VerifyProgress| (at.bytes_done, at.bytes_total));
        self.port.submit_apart(env, number, move || {
            Ok(Outcome::Text(
                opened.get()?.verify_with(&mut watch)?.to_json(),
            ))
        })
    }

    /// Compacts `[start, end)`.
    #[napi]
    pub fn compact_range(
        &self,
        env: &Env,
        number: u32,
        start: Option<Bytes<'_>>,
        end: Option<Bytes<'_>>,
    ) -> napi::Result<()> {
        let (start, end) = (start.map(owned).transpose(), end.map(owned).transpose());
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            let db = opened.get()?;
            db.compact_range(start?.as_deref(), end?.as_deref())?;
            Ok(Outcome::Done)
        })
    }

    /// About how many bytes of tables `[start, end)` takes. Either bound may be missing.
    #[napi]
    pub fn approximate_size(
        &self,
        env: &Env,
        number: u32,
        start: Option<Bytes<'_>>,
        end: Option<Bytes<'_>>,
    ) -> napi::Result<()> {
        let (start, end) = (start.map(owned).transpose(), end.map(owned).transpose());
        let opened = Arc::clone(&self.opened);
        self.port.submit(env, Lane::Read, number, move || {
            let db = opened.get()?;
            let bytes = db.approximate_size(start?.as_deref(), end?.as_deref())?;
            Ok(Outcome::Number(bytes as f64))
        })
    }

    /// About how many entries `[start, end)` has. Either bound may be missing.
    #[napi]
    pub fn approximate_count(
        &self,
        env: &Env,
        number: u32,
        start: Option<Bytes<'_>>,
        end: Option<Bytes<'_>>,
    ) -> napi::Result<()> {
        let (start, end) = (start.map(owned).transpose(), end.map(owned).transpose());
        let opened = Arc::clone(&self.opened);
        self.port.submit(env, Lane::Read, number, move || {
            let db = opened.get()?;
            let entries = db.approximate_count(start?.as_deref(), end?.as_deref())?;
            Ok(Outcome::Number(entries as f64))
        })
    }

    /// How many entries `[start, end)` has as of the snapshot, or of now. Either bound may be missing.
    #[napi]
    pub fn count(
        &self,
        env: &Env,
        number: u32,
        start: Option<Bytes<'_>>,
        end: Option<Bytes<'_>>,
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
        watch: &Watch,
    ) -> napi::Result<()> {
        let (start, end) = (start.map(owned).transpose(), end.map(owned).transpose());
        let pin = self.pin(snapshot);
        let opened = Arc::clone(&self.opened);
        let mut watch = watch.watch(|at: CountProgress| (at.counted, at.approximate_total));
        self.port.submit_apart(env, number, move || {
            let (db, pin) = (opened.get()?, pin?);
            let options = CountOptions::new().snapshot(&pin).fill_cache(fill_cache);
            let entries =
                db.count_with(start?.as_deref(), end?.as_deref(), &options, &mut watch)?;
            Ok(Outcome::Number(entries as f64))
        })
    }

    /// The report with this name, or `undefined`. Returns an array if that failed.
    #[napi]
    pub fn property<'env>(
        &self,
        env: &'env Env,
        name: Text,
    ) -> napi::Result<Either<Option<String>, Array<'env>>> {
        let property = || self.opened.get()?.property(&name.string()?);
        Ok(match property() {
            Ok(text) => Either::A(text),
            Err(error) => Either::B(failure(env, &error)?),
        })
    }

    /// Counters and sizes, as the text of a JSON object.
    #[napi]
    pub fn stats(&self, env: &Env, number: u32) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        self.port.submit(env, Lane::Read, number, move || {
            Ok(Outcome::Text(opened.get()?.stats()?.to_json()))
        })
    }
}

impl Database {
    /// The given snapshot, or a new one of now (ADDON-2).
    fn pin(&self, snapshot: Option<&Snapshot>) -> Result<aidb::Snapshot> {
        match snapshot {
            Some(snapshot) => snapshot.share(),
            None => self.opened.get()?.snapshot(),
        }
    }

    fn read_job(
        &self,
        env: &Env,
        number: u32,
        fill_cache: bool,
        snapshot: Option<&Snapshot>,
        read: impl FnOnce(&DB, &ReadOptions<'_>) -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        let pin = self.pin(snapshot);
        let opened = Arc::clone(&self.opened);
        self.port.submit(env, Lane::Read, number, move || {
            let pin = pin?;
            let options = ReadOptions::new()
                .snapshot(Some(&pin))
                .fill_cache(fill_cache);
            read(opened.get()?, &options)
        })
    }

    fn write_job(
        &self,
        env: &Env,
        number: u32,
        how: u32,
        fill: impl FnOnce(&mut WriteBatch) -> Result<()> + Send + 'static,
    ) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        let sync = how & SYNC != 0;
        let lane = if sync { Lane::SyncedWrite } else { Lane::Write };
        self.port.submit(env, lane, number, move || {
            let mut batch = WriteBatch::new();
            fill(&mut batch)?;
            let options = WriteOptions::new().sync(sync);
            let sequence = opened.get()?.write_with(&batch, &options)?;
            Ok(match how & TELL_NUMBER {
                0 => Outcome::Done,
                _ => Outcome::Sequence(sequence),
            })
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.opened.is_open() {
            // The garbage collector drops this. Closing writes to disk, so it must not run on this thread (ADDON-1).
            let opened = Arc::clone(&self.opened);
            if pool::run_apart(move || opened.close_quietly()).is_err() {
                self.opened.close_quietly();
            }
        }
    }
}

/// Options from names and values in turn. Messages use their names in JavaScript.
fn parsed(list: Vec<Text>) -> Result<Options> {
    let mut options = Options::new();
    for name in Options::names() {
        options.spell(name, &camel_case(name))?;
    }
    let mut list = list.into_iter();
    while let (Some(name), Some(value)) = (list.next(), list.next()) {
        options.set(&name.string()?, &value.string()?)?;
    }
    Ok(options)
}

/// `blockSize` for `block_size`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        camel += &first.to_uppercase();
        camel += rest;
    }
    camel
}

/// Many keys in one piece.
struct Keys {
    bytes: Vec<u8>,
    lengths: Vec<f64>,
}

impl Keys {
    fn new(bytes: &[u8], lengths: &[f64]) -> Result<Keys> {
        Ok(Keys {
            bytes: copy_of(bytes, "keys")?,
            lengths: copy_of(lengths, "keys")?,
        })
    }

    fn cut(&self) -> Result<Vec<&[u8]>> {
        cut(&self.bytes, &self.lengths)
    }
}

/// Deletes the first `limit` entries that `options` describes.
fn clear(db: &DB, options: IterOptions, limit: u64, write: &WriteOptions) -> Result<()> {
    let mut cursor = db.cursor(options)?;
    let mut chunk = aidb::Chunk::new();
    let mut batch = WriteBatch::new();
    let mut left = limit;
    while left > 0 {
        let entries = left.min(CLEAR_ENTRIES as u64) as usize;
        let count = cursor.read_chunk(&mut chunk, entries, CLEAR_BYTES)?;
        if count == 0 {
            return Ok(());
        }
        batch.clear();
        for (key, _) in chunk.iter() {
            batch.delete(key)?;
        }
        db.write_with(&batch, write)?;
        left -= count as u64;
    }
    Ok(())
}
