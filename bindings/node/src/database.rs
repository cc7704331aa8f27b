//! `Database`: an open database as JavaScript holds it; each method is one call of core, on another thread.

use std::sync::Arc;

use aidb::{
    CountOptions, CountProgress, DB, IterOptions, Options, ReadOptions, Result, TransactionOptions,
    Value, VerifyProgress, WriteBatch, WriteOptions, copy_of,
};
use napi::Env;
use napi::bindgen_prelude::{Array, Either};
use napi_derive::napi;

use crate::convert::{Bytes, Keys, Outcome, Text, add_operations, failure, owned};
use crate::iterator::Iterator;
use crate::opened::Opened;
use crate::pool::{self, Lane};
use crate::port::{Port, PortShared};
use crate::range::Range;
use crate::reader::{self, Reader};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
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
        self.batch_job(env, number, how, move |batch| batch.put(&key?, &value?))
    }

    /// Removes one key.
    #[napi]
    pub fn del(&self, env: &Env, number: u32, key: Bytes<'_>, how: u32) -> napi::Result<()> {
        let key = owned(key);
        self.batch_job(env, number, how, move |batch| batch.delete(&key?))
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
        self.batch_job(env, number, how, move |batch| {
            add_operations(batch, &bytes?, &lengths?)
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
            let keys = keys.cut()?;
            let mut flags = aidb::room_for(keys.len(), "answers")?;
            for key in keys {
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
            let options = range?
                .options()
                .snapshot(Some(self.pin(snapshot)?))
                .reverse(reverse)
                .keys(keys)
                .values(values)
                .fill_cache(fill_cache);
            let db = self.opened.get()?.clone();
            let open = move |options| db.cursor(options);
            Ok(Iterator::new(Arc::clone(&self.port), options, open))
        };
        Ok(match make() {
            Ok(iterator) => Either::A(iterator),
            Err(error) => Either::B(failure(env, &error)?),
        })
    }

    /// Begins a transaction: its handle, for use when call `number` has been answered.
    #[napi]
    pub fn begin(&self, env: &Env, number: u32, read_only: bool) -> napi::Result<Transaction> {
        let options = TransactionOptions::new().read_only(read_only);
        Transaction::begin(env, number, &self.port, &self.opened, options)
    }

    /// If the value under `key` is `expected`, makes it `value`; delivers whether it was. `undefined` is an absent
    /// value.
    #[napi]
    pub fn compare_and_set(
        &self,
        env: &Env,
        number: u32,
        key: Bytes<'_>,
        expected: Option<Bytes<'_>>,
        value: Option<Bytes<'_>>,
        sync: bool,
    ) -> napi::Result<()> {
        let key = owned(key);
        let expected = expected.map(owned).transpose();
        let value = value.map(owned).transpose();
        self.write_job(env, number, sync, move |db, options| {
            let (expected, value) = (expected?, value?);
            let (expected, value) = (expected.as_deref(), value.as_deref());
            let is_set = db.compare_and_set_with(&key?, expected, value, options)?;
            Ok(Outcome::Flag(is_set))
        })
    }

    /// Stores `value` under `key`, or removes the key if there is none; delivers the value before, as a string if
    /// `text`.
    #[napi]
    pub fn get_and_write(
        &self,
        env: &Env,
        number: u32,
        key: Bytes<'_>,
        value: Option<Bytes<'_>>,
        text: bool,
        sync: bool,
    ) -> napi::Result<()> {
        let (key, value) = (owned(key), value.map(owned).transpose());
        self.write_job(env, number, sync, move |db, options| {
            let before = match value? {
                Some(value) => db.get_and_put_with(&key?, &value, options)?,
                None => db.get_and_delete_with(&key?, options)?,
            };
            let bytes = before.map(Value::try_into_vec).transpose()?;
            Ok(Outcome::Value { bytes, text })
        })
    }

    /// Deletes the entries of a range as of the snapshot, or of now: `limit` of them, or all if it is negative. All as
    /// of now are one range delete.
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
        let is_whole = limit < 0.0 && snapshot.is_none();
        if is_whole && range.as_ref().is_ok_and(Range::has_keys_as_ends) {
            return self.write_job(env, number, sync, move |db, options| {
                if let Some((start, end)) = range?.ends() {
                    db.delete_range_with(start, end, options)?;
                }
                Ok(Outcome::Done)
            });
        }
        let pin = self.pin(snapshot);
        let opened = Arc::clone(&self.opened);
        self.port.submit_apart(env, number, move || {
            let options = range?
                .options()
                .snapshot(Some(pin?))
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

    /// How many microseconds to pause after conflict number `conflicts` of a call. `seed` differs between rivals.
    #[napi]
    pub fn pause_after(conflicts: u32, seed: u32) -> f64 {
        aidb::pause_after(conflicts, u64::from(seed)).as_micros() as f64
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

    fn batch_job(
        &self,
        env: &Env,
        number: u32,
        how: u32,
        fill: impl FnOnce(&mut WriteBatch) -> Result<()> + Send + 'static,
    ) -> napi::Result<()> {
        self.write_job(env, number, how & SYNC != 0, move |db, options| {
            let mut batch = WriteBatch::new();
            fill(&mut batch)?;
            let sequence = db.write_with(&batch, options)?;
            Ok(match how & TELL_NUMBER {
                0 => Outcome::Done,
                _ => Outcome::Sequence(sequence),
            })
        })
    }

    /// Runs `write`, which may also read, in the lane of its durability.
    fn write_job(
        &self,
        env: &Env,
        number: u32,
        sync: bool,
        write: impl FnOnce(&DB, &WriteOptions) -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        let opened = Arc::clone(&self.opened);
        let lane = if sync { Lane::SyncedWrite } else { Lane::Write };
        self.port.submit(env, lane, number, move || {
            write(opened.get()?, &WriteOptions::new().sync(sync))
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
