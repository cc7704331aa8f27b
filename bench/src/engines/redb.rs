//! redb: a copy-on-write B-tree in one file, with a cache of its own.
//!
//! No compression, filter or background thread. Every write is a transaction of its own, every get and walk a read
//! transaction; many keys at once share one. redb's `Durability::None` would lose commits with the process, so every
//! commit is `Immediate`. Where the other engines do not sync, the file below redb omits the sync ([`Unsynced`]):
//! commits are in the system's page cache and survive a process crash, as with the others.

use std::io;
use std::ops::Bound;
use std::path::Path;

use ::redb::backends::FileBackend;
use ::redb::{Database, ReadableDatabase, StorageBackend, TableDefinition};

use super::*;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bench");

pub struct Redb(Database);

/// A file whose syncs do nothing.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

impl Redb {
    pub fn open(path: &Path, config: Config<'_>) -> Result<Redb, Failure> {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("redb"))?;
        let file = FileBackend::new(file)?;
        let mut builder = Database::builder();
        builder.set_cache_size(config.cache_bytes);
        let db = match config.synced {
            true => builder.create_with_backend(file)?,
            false => builder.create_with_backend(Unsynced(file))?,
        };
        let transaction = db.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Redb(db))
    }
}

impl Engine for Redb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.put_batch(&[(key, value)])
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        transaction.open_table(TABLE)?.remove(key)?;
        Ok(transaction.commit()?)
    }

    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key, value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| touch(value.value())))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut found = 0;
        for key in keys {
            if let Some(value) = table.get(key)? {
                touch(value.value());
                found += 1;
            }
        }
        Ok(found)
    }

    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut walk = match (start, backwards) {
            (Start::End, _) => table.range::<&[u8]>(..)?,
            (Start::Key(key), false) => table.range(key..)?,
            (Start::Key(key), true) => {
                table.range::<&[u8]>((Bound::Unbounded, Bound::Included(key)))?
            }
        };
        let mut met = 0;
        while met < most {
            let entry = match backwards {
                false => walk.next(),
                true => walk.next_back(),
            };
            let Some(entry) = entry else { break };
            let (key, value) = entry?;
            touch(key.value());
            touch(value.value());
            met += 1;
        }
        Ok(met)
    }

    fn flush(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn compact(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        transaction
            .open_table(TABLE)?
            .retain_in(from..to, |_, _| false)?;
        Ok(transaction.commit()?)
    }
}

impl Transactions for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Engine::get(self, key)
    }

    fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<usize>, Failure> {
        let transaction = self.0.begin_write()?;
        let found = {
            let mut table = transaction.open_table(TABLE)?;
            let old = table.insert(key, value)?;
            old.map(|value| touch(value.value()))
        };
        transaction.commit()?;
        Ok(found)
    }
}
