//! RocksDB through the crate `rocksdb`, which compiles the newest release that it contains.
//!
//! Compiled as RocksDB's own Makefile does on this processor: -O2, SSE4.2 and PCLMUL (its checksums are several times
//! slower without). Besides the common configuration: HyperClockCache, RocksDB's own advice for a cache that threads
//! share; full filters; index and filter blocks outside the cache, which is the default and faster. Levels, WAL,
//! memtable (a skip list with concurrent inserts) and the rest are the defaults. Values are read pinned, without a
//! copy; many keys at once through its batched MultiGet; a range with a new iterator. `sync` is fdatasync.

use std::path::Path;

use ::rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    FlushOptions, OptimisticTransactionDB, OptimisticTransactionOptions, Options, WriteBatch,
    WriteOptions,
};

use super::*;

const FAMILY: &str = "default";

pub struct RocksDb {
    db: DB,
    write: WriteOptions,
}

/// The common configuration.
fn options(config: Config<'_>) -> Options {
    let mut table = BlockBasedOptions::default();
    // 0: the cache estimates the charge of an entry while it runs.
    table.set_block_cache(&Cache::new_hyper_clock_cache(config.cache_bytes, 0));
    table.set_block_size(BLOCK_BYTES);
    table.set_bloom_filter(f64::from(BLOOM_BITS), false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_compression_type(DBCompressionType::Snappy);
    options.set_max_background_jobs(BACKGROUND_THREADS as i32);
    options.set_block_based_table_factory(&table);
    options
}

/// The options of writes.
fn write_options(config: Config<'_>) -> WriteOptions {
    let mut write = WriteOptions::default();
    write.set_sync(config.synced);
    write
}

impl RocksDb {
    pub fn open(path: &Path, config: Config<'_>) -> Result<RocksDb, Failure> {
        let options = options(config);
        // With a name, because one batched call can read many keys only from a named column family.
        let family = ColumnFamilyDescriptor::new(FAMILY, options.clone());
        Ok(RocksDb {
            db: DB::open_cf_descriptors(&options, path, [family])?,
            write: write_options(config),
        })
    }

    fn family(&self) -> Result<&ColumnFamily, Failure> {
        let family = self.db.cf_handle(FAMILY);
        family.ok_or_else(|| "RocksDB has no default column family".into())
    }
}

impl Engine for RocksDb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        Ok(self.db.delete_opt(key, &self.write)?)
    }

    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = WriteBatch::default();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.db.get_pinned(key)?.map(|value| touch(&value)))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure> {
        let family = self.family()?;
        let mut found = 0;
        for value in self
            .db
            .batched_multi_get_cf(family, keys.iter().copied(), false)
        {
            if let Some(value) = value? {
                touch(&value);
                found += 1;
            }
        }
        Ok(found)
    }

    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure> {
        let mut iterator = self.db.raw_iterator();
        match (start, backwards) {
            (Start::End, false) => iterator.seek_to_first(),
            (Start::End, true) => iterator.seek_to_last(),
            (Start::Key(key), false) => iterator.seek(key),
            (Start::Key(key), true) => iterator.seek_for_prev(key),
        }
        let mut met = 0;
        while let Some((key, value)) = iterator.item() {
            touch(key);
            touch(value);
            met += 1;
            if met == most {
                break;
            }
            match backwards {
                false => iterator.next(),
                true => iterator.prev(),
            }
        }
        iterator.status()?;
        Ok(met)
    }

    fn flush(&self) -> Result<(), Failure> {
        Ok(self.db.flush_opt(&FlushOptions::default())?)
    }

    fn compact(&self) -> Result<(), Failure> {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let family = self.family()?;
        Ok(self.db.delete_range_cf_opt(family, from, to, &self.write)?)
    }
}

/// RocksDB's optimistic transactions, which have a database type of their own. A key that is got for update is compared
/// at the commit; without a snapshot, which is the default and cheaper.
pub struct RocksDbTransactions {
    db: OptimisticTransactionDB,
    write: WriteOptions,
    transaction: OptimisticTransactionOptions,
}

impl RocksDbTransactions {
    pub fn open(path: &Path, config: Config<'_>) -> Result<RocksDbTransactions, Failure> {
        Ok(RocksDbTransactions {
            db: OptimisticTransactionDB::open(&options(config), path)?,
            write: write_options(config),
            transaction: OptimisticTransactionOptions::default(),
        })
    }
}

impl Transactions for RocksDbTransactions {
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.db.get_pinned(key)?.map(|value| touch(&value)))
    }

    fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<usize>, Failure> {
        let transaction = self.db.transaction_opt(&self.write, &self.transaction);
        let found = transaction.get_pinned_for_update(key, true)?;
        let found = found.map(|value| touch(&value));
        transaction.put(key, value)?;
        transaction.commit()?;
        Ok(found)
    }
}
