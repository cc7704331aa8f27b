//! `Transaction`: a transaction as JavaScript holds it; each method is one call of core, on another thread.
//!
//! Core refuses a call on a transaction while another is under way. JavaScript need not wait for one call before it
//! makes the next: they run in turn.
//!
//! * ADDON-7  The calls of a transaction and of its iterators take effect in the order in which JavaScript made them.

use std::sync::{Arc, OnceLock};

use aidb::{Error, Result, TransactionOptions, Value, WriteOptions, copy_of};
use napi::Env;
use napi::bindgen_prelude::{Array, Either};
use napi_derive::napi;

use crate::convert::{Bytes, Keys, Outcome, add_operations, failure, owned};
use crate::iterator::Iterator;
use crate::opened::Opened;
use crate::pool::{self, Lane};
use crate::port::PortShared;
use crate::range::Range;
use crate::turns::Turns;

/// JavaScript's handle of a transaction: empty until `Database.begin` has been answered.
#[napi]
pub struct Transaction {
    port: Arc<PortShared>,
    turns: Arc<Turns>,
    begun: Arc<Begun>,
}

#[derive(Default)]
struct Begun(OnceLock<aidb::Transaction>);

impl Begun {
    fn get(&self) -> Result<&aidb::Transaction> {
        self.0.get().ok_or_else(|| Error::closed("the transaction"))
    }
}

impl Transaction {
    /// Begins one, and then delivers the result of call `number`.
    pub(crate) fn begin(
        env: &Env,
        number: u32,
        port: &Arc<PortShared>,
        opened: &Arc<Opened>,
        options: TransactionOptions,
    ) -> napi::Result<Transaction> {
        let transaction = Transaction {
            port: Arc::clone(port),
            turns: Arc::default(),
            begun: Arc::default(),
        };
        let begun = Arc::clone(&transaction.begun);
        let opened = Arc::clone(opened);
        let begin = move || {
            let new = opened.get()?.begin_with(&options)?;
            begun.0.get_or_init(|| new);
            Ok(Outcome::Done)
        };
        let turns = &transaction.turns;
        port.submit_in_turn(env, turns, Lane::Read, number, begin)?;
        Ok(transaction)
    }

    /// Runs `work` in turn, and delivers its result under `number`.
    fn call(
        &self,
        env: &Env,
        lane: Lane,
        number: u32,
        work: impl FnOnce(&aidb::Transaction) -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        let begun = Arc::clone(&self.begun);
        let job = move || work(begun.get()?);
        self.port
            .submit_in_turn(env, &self.turns, lane, number, job)
    }
}

#[napi]
impl Transaction {
    /// Reads one value, as a string if `text`.
    #[napi]
    pub fn get(&self, env: &Env, number: u32, key: Bytes<'_>, text: bool) -> napi::Result<()> {
        let key = owned(key);
        self.call(env, Lane::Read, number, move |transaction| {
            let value = transaction.get(&key?)?;
            let bytes = value.map(Value::try_into_vec).transpose()?;
            Ok(Outcome::Value { bytes, text })
        })
    }

    /// Reads many values. `bytes` are the keys one after the other, `lengths` are their lengths.
    #[napi]
    pub fn get_many(
        &self,
        env: &Env,
        number: u32,
        bytes: &[u8],
        lengths: &[f64],
    ) -> napi::Result<()> {
        let keys = Keys::new(bytes, lengths);
        self.call(env, Lane::Read, number, move |transaction| {
            Outcome::values(transaction.get_many(&keys?.cut()?)?)
        })
    }

    /// Whether a key has a value.
    #[napi]
    pub fn has(&self, env: &Env, number: u32, key: Bytes<'_>) -> napi::Result<()> {
        let key = owned(key);
        self.call(env, Lane::Read, number, move |transaction| {
            Ok(Outcome::Flag(transaction.contains_key(&key?)?))
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
    ) -> napi::Result<()> {
        let keys = Keys::new(bytes, lengths);
        self.call(env, Lane::Read, number, move |transaction| {
            let keys = keys?;
            let keys = keys.cut()?;
            let mut flags = aidb::room_for(keys.len(), "answers")?;
            for key in keys {
                flags.push(transaction.contains_key(key)?);
            }
            Ok(Outcome::Flags(flags))
        })
    }

    /// Adds operations, in the form of `Database.batch`.
    #[napi]
    pub fn batch(&self, env: &Env, number: u32, bytes: &[u8], lengths: &[f64]) -> napi::Result<()> {
        let (bytes, lengths) = (copy_of(bytes, "a batch"), copy_of(lengths, "a batch"));
        // In memory, so that it need not wait for the writers of the pool.
        self.call(env, Lane::Read, number, move |transaction| {
            let mut batch = aidb::WriteBatch::new();
            add_operations(&mut batch, &bytes?, &lengths?)?;
            transaction.write(&batch)?;
            Ok(Outcome::Done)
        })
    }

    /// An iterator with the writes made so far. Returns an array if that failed.
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
    ) -> napi::Result<Either<Iterator, Array<'env>>> {
        let range = match Range::new(gte, gt, lte, lt) {
            Ok(range) => range,
            Err(error) => return Ok(Either::B(failure(env, &error)?)),
        };
        let options = range
            .options()
            .reverse(reverse)
            .keys(keys)
            .values(values)
            .fill_cache(fill_cache);
        let begun = Arc::clone(&self.begun);
        let open = move |options| begun.get()?.cursor(options);
        let (port, turns) = (Arc::clone(&self.port), Arc::clone(&self.turns));
        Ok(Either::A(Iterator::in_turn(port, turns, options, open)))
    }

    /// Delivers the number of a new savepoint.
    #[napi]
    pub fn savepoint(&self, env: &Env, number: u32) -> napi::Result<()> {
        self.call(env, Lane::Read, number, |transaction| {
            Ok(Outcome::Number(transaction.savepoint()?.number() as f64))
        })
    }

    /// Takes back the writes since the savepoint with this number.
    #[napi]
    pub fn rollback_to(&self, env: &Env, number: u32, savepoint: f64) -> napi::Result<()> {
        self.call(env, Lane::Read, number, move |transaction| {
            transaction.rollback_to_number(savepoint as u64)?;
            Ok(Outcome::Done)
        })
    }

    /// Commits, durably if `sync`; delivers the sequence number.
    #[napi]
    pub fn commit(&self, env: &Env, number: u32, sync: bool) -> napi::Result<()> {
        let lane = if sync { Lane::SyncedWrite } else { Lane::Write };
        self.call(env, lane, number, move |transaction| {
            let options = WriteOptions::new().sync(sync);
            Ok(Outcome::Sequence(transaction.commit_with(&options)?))
        })
    }

    /// Ends it without writing anything.
    #[napi]
    pub fn rollback(&self, env: &Env, number: u32) -> napi::Result<()> {
        self.call(env, Lane::Read, number, |transaction| {
            transaction.rollback();
            Ok(Outcome::Done)
        })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // The garbage collector drops this. The calls under way have a share of their own.
        pool::dispose(std::mem::take(&mut self.begun));
    }
}
