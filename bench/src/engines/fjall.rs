//! fjall, one keyspace.
//!
//! The common configuration, except LZ4: fjall has no Snappy. Each write goes to the journal with its own write(2),
//! which is fjall's default and survives a process crash; `SyncData` persists synced writes one by one. Otherwise
//! fjall's own defaults: its memtable, its levels, and pinned index and filter blocks of the upper levels.

use std::ops::Bound;
use std::path::Path;

use ::fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
};
use ::fjall::{
    CompressionType, Database, Guard, Keyspace, KeyspaceCreateOptions, OptimisticTxDatabase,
    OptimisticTxKeyspace, PersistMode, Readable,
};

use super::*;

const KEYSPACE: &str = "bench";

pub struct Fjall {
    db: Database,
    keyspace: Keyspace,
    synced: bool,
}

/// The options of the keyspace.
fn keyspace_options() -> KeyspaceCreateOptions {
    let bits = BloomConstructionPolicy::BitsPerKey(BLOOM_BITS as f32);
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES as u64)
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES as u32))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(bits)))
}

impl Fjall {
    pub fn open(path: &Path, config: Config<'_>) -> Result<Fjall, Failure> {
        let db = Database::builder(path)
            .cache_size(config.cache_bytes as u64)
            .worker_threads(BACKGROUND_THREADS)
            .open()?;
        let keyspace = db.keyspace(KEYSPACE, keyspace_options)?;
        Ok(Fjall {
            db,
            keyspace,
            synced: config.synced,
        })
    }

    fn persist(&self) -> Result<(), Failure> {
        if self.synced {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

/// Walks the entries in either direction.
fn meet(entries: impl Iterator<Item = Guard>, most: usize) -> Result<usize, Failure> {
    let mut met = 0;
    for entry in entries.take(most) {
        let (key, value) = entry.into_inner()?;
        touch(&key);
        touch(&value);
        met += 1;
    }
    Ok(met)
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.keyspace.insert(key, value)?;
        self.persist()
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.keyspace.remove(key)?;
        self.persist()
    }

    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = self.db.batch();
        for (key, value) in entries {
            batch.insert(&self.keyspace, *key, *value);
        }
        batch.commit()?;
        self.persist()
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.keyspace.get(key)?.map(|value| touch(&value)))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure> {
        let snapshot = self.db.snapshot();
        let mut found = 0;
        for key in keys {
            if let Some(value) = snapshot.get(&self.keyspace, key)? {
                touch(&value);
                found += 1;
            }
        }
        Ok(found)
    }

    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure> {
        let walk = match (start, backwards) {
            (Start::End, _) => self.keyspace.iter(),
            (Start::Key(key), false) => self.keyspace.range(key..),
            (Start::Key(key), true) => self
                .keyspace
                .range::<&[u8], _>((Bound::Unbounded, Bound::Included(key))),
        };
        match backwards {
            false => meet(walk, most),
            true => meet(walk.rev(), most),
        }
    }

    fn flush(&self) -> Result<(), Failure> {
        Ok(self.keyspace.rotate_memtable_and_wait()?)
    }

    fn compact(&self) -> Result<(), Failure> {
        self.flush()?;
        Ok(self.keyspace.major_compact()?)
    }
}

/// fjall's optimistic transactions, which have a database type of their own.
pub struct FjallTransactions {
    db: OptimisticTxDatabase,
    keyspace: OptimisticTxKeyspace,
}

impl FjallTransactions {
    pub fn open(path: &Path, config: Config<'_>) -> Result<FjallTransactions, Failure> {
        let db = OptimisticTxDatabase::builder(path)
            .cache_size(config.cache_bytes as u64)
            .worker_threads(BACKGROUND_THREADS)
            .open()?;
        let keyspace = db.keyspace(KEYSPACE, keyspace_options)?;
        Ok(FjallTransactions { db, keyspace })
    }
}

impl Transactions for FjallTransactions {
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.keyspace.get(key)?.map(|value| touch(&value)))
    }

    fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<usize>, Failure> {
        let mut transaction = self.db.write_tx()?;
        let found = transaction.get(&self.keyspace, key)?;
        transaction.insert(&self.keyspace, key, value);
        transaction
            .commit()?
            .map_err(|_| "a conflict without a rival")?;
        Ok(found.map(|value| touch(&value)))
    }
}
