//! AiDb through its Rust interface.
//!
//! The common configuration and nothing else: Snappy, 4 KiB blocks, 10 bits of Bloom filter, a memtable of 64 MiB, two
//! background threads. Each walk of a range uses a new cursor. This is the only engine that takes settings, for tuning.

use std::path::Path;

use ::aidb::{Compression, DB, IterOptions, Options, WriteBatch, WriteOptions};

use super::*;

pub struct AiDb {
    db: DB,
    write: WriteOptions,
}

impl AiDb {
    pub fn open(path: &Path, config: Config<'_>) -> Result<AiDb, Failure> {
        let mut options = Options::new()
            .write_buffer_size(MEMTABLE_BYTES as u64)
            .block_cache_size(config.cache_bytes as u64)
            .block_size(BLOCK_BYTES as u64)
            .bloom_bits_per_key(u64::from(BLOOM_BITS))
            .compression(Compression::Snappy)
            .background_threads(BACKGROUND_THREADS as u64);
        for setting in config.settings {
            let (name, value) = setting.split_once('=').ok_or("expected NAME=VALUE")?;
            options.set(name, value)?;
        }
        let write = match config.synced {
            true => WriteOptions::synced(),
            false => WriteOptions::default(),
        };
        Ok(AiDb {
            db: DB::open(path, options)?,
            write,
        })
    }
}

impl Engine for AiDb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.db.put_with(key, value, &self.write)?;
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.db.delete_with(key, &self.write)?;
        Ok(())
    }

    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = WriteBatch::new();
        for (key, value) in entries {
            batch.put(key, value)?;
        }
        self.db.write_with(&batch, &self.write)?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.db.get(key)?.map(|value| touch(&value)))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure> {
        let mut found = 0;
        for value in self.db.get_many(keys)?.iter().flatten() {
            touch(value);
            found += 1;
        }
        Ok(found)
    }

    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure> {
        let mut cursor = self.db.cursor(IterOptions::default())?;
        let mut valid = match (start, backwards) {
            (Start::End, false) => cursor.first()?,
            (Start::End, true) => cursor.last()?,
            (Start::Key(key), false) => cursor.seek(key)?,
            (Start::Key(key), true) => cursor.seek_for_prev(key)?,
        };
        let mut met = 0;
        while valid {
            touch(cursor.key());
            touch(cursor.value());
            met += 1;
            if met == most {
                break;
            }
            valid = match backwards {
                false => cursor.next()?,
                true => cursor.prev()?,
            };
        }
        Ok(met)
    }

    fn flush(&self) -> Result<(), Failure> {
        Ok(self.db.flush()?)
    }

    fn compact(&self) -> Result<(), Failure> {
        Ok(self.db.compact_range(None, None)?)
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        self.db
            .delete_range_with(Some(from), Some(to), &self.write)?;
        Ok(())
    }
}

impl Transactions for AiDb {
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Engine::get(self, key)
    }

    fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<usize>, Failure> {
        let transaction = self.db.begin()?;
        let found = transaction.get(key)?.map(|value| touch(&value));
        transaction.put(key, value)?;
        transaction.commit_with(&self.write)?;
        Ok(found)
    }
}
