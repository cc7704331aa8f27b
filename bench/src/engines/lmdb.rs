//! LMDB through heed: a B+ tree in a mapped file.
//!
//! It has no memtable, cache, filter, compression or background thread; it reads from the system's page cache. Every
//! write is a transaction of its own. Without `synced` they run with NO_SYNC: a commit writes its pages to the file
//! with pwrite, which survives a process crash. WRITE_MAP is off, which is LMDB's default and its makers' advice for
//! safety. Every get and every walk is a read transaction of its own, so that it sees the newest commit as the other
//! engines do; many keys at once share one. A range is deleted entry by entry, in one transaction of its own.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use super::*;

/// Address space, not memory: a sparse file that grows as it is written.
const MAP_BYTES: usize = 64 << 30;

pub struct Lmdb {
    /// Never closed, because its tables borrow it: a process opens one, and ends.
    env: &'static Env,
    table: Database<'static, Bytes, Bytes>,
}

impl Lmdb {
    pub fn open(path: &Path, config: Config<'_>) -> Result<Lmdb, Failure> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES);
        // SAFETY: the directory belongs to this process alone while it runs; NO_SYNC only risks the state after a power
        // loss.
        let env = unsafe {
            if !config.synced {
                options.flags(EnvFlags::NO_SYNC);
            }
            options.open(path)?
        };
        let env: &'static Env = Box::leak(Box::new(env));
        let opened = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
            let table = opener.create_database(transaction, None)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
        })?;
        let table = opened.unwrap_commit();
        Ok(Lmdb { env, table })
    }
}

/// Walks the entries in either direction.
fn meet<'a>(
    entries: impl Iterator<Item = heed::Result<(&'a [u8], &'a [u8])>>,
    most: usize,
) -> Result<usize, Failure> {
    let mut met = 0;
    for entry in entries.take(most) {
        let (key, value) = entry?;
        touch(key);
        touch(value);
        met += 1;
    }
    Ok(met)
}

impl Engine for Lmdb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let mut transaction = self.env.write_txn()?;
        self.table.put(&mut transaction, key, value)?;
        Ok(transaction.commit()?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let mut transaction = self.env.write_txn()?;
        self.table.delete(&mut transaction, key)?;
        Ok(transaction.commit()?)
    }

    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in entries {
            self.table.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        let transaction = self.env.read_txn()?;
        Ok(self.table.get(&transaction, key)?.map(touch))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure> {
        let transaction = self.env.read_txn()?;
        let mut found = 0;
        for key in keys {
            if let Some(value) = self.table.get(&transaction, key)? {
                touch(value);
                found += 1;
            }
        }
        Ok(found)
    }

    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure> {
        let transaction = self.env.read_txn()?;
        match (start, backwards) {
            (Start::End, false) => meet(self.table.iter(&transaction)?, most),
            (Start::End, true) => meet(self.table.rev_iter(&transaction)?, most),
            (Start::Key(key), false) => {
                let range = (Bound::Included(key), Bound::Unbounded);
                meet(self.table.range(&transaction, &range)?, most)
            }
            (Start::Key(key), true) => {
                let range = (Bound::Unbounded, Bound::Included(key));
                meet(self.table.rev_range(&transaction, &range)?, most)
            }
        }
    }

    fn flush(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn compact(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let mut transaction = self.env.write_txn()?;
        let range = (Bound::Included(from), Bound::Excluded(to));
        self.table.delete_range(&mut transaction, &range)?;
        Ok(transaction.commit()?)
    }
}

impl Transactions for Lmdb {
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Engine::get(self, key)
    }

    fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<usize>, Failure> {
        let mut transaction = self.env.write_txn()?;
        let found = self.table.get(&transaction, key)?.map(touch);
        self.table.put(&mut transaction, key, value)?;
        transaction.commit()?;
        Ok(found)
    }
}
