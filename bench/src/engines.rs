//! The operations that the workloads need of every engine, and the list of engines. Each engine has a file, whose head
//! explains its configuration and why that is fair; [`Config`] has the shared part.

use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

mod aidb;
mod fjall;
mod leveldb;
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;

/// Any failure of an engine or of the bench itself.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The memtable size of every LSM.
pub const MEMTABLE_BYTES: usize = 64 << 20;
/// The size of the block cache, or of its counterpart.
pub const CACHE_BYTES: usize = 256 << 20;
/// The data block size of every LSM, before compression.
pub const BLOCK_BYTES: usize = 4 << 10;
/// Bits per key of every LSM's Bloom filters.
pub const BLOOM_BITS: u32 = 10;
/// Threads for flushes and compactions.
pub const BACKGROUND_THREADS: usize = 2;

/// The settings that a workload may change.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a> {
    pub cache_bytes: usize,
    /// AiDb's further options, as NAME=VALUE; rivals take none.
    pub settings: &'a [String],
    /// Every write is on the disk before it returns. Otherwise it survives a process crash.
    pub synced: bool,
}

/// The start of a walk.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// At the first entry, or at the last for a walk backwards.
    End,
    /// At the first entry not before this key, or the last not after it for a walk backwards.
    Key(&'a [u8]),
}

/// An open store, shared by the threads of a workload. Reads touch the bytes they find, by [`touch`].
pub trait Engine: Send + Sync {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure>;
    fn delete(&self, key: &[u8]) -> Result<(), Failure>;
    /// Puts all entries or none.
    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure>;
    /// The length of the value.
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure>;
    /// How many of the keys exist.
    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure>;
    /// How many entries a new iterator shows, at most `most`.
    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure>;
    /// Starts or does whatever writes the recent entries from memory and the log to tables.
    fn flush(&self) -> Result<(), Failure>;
    /// Merges everything, as far as the engine can.
    fn compact(&self) -> Result<(), Failure>;
    /// Deletes the entries from `from`, included, to `to`, excluded, in one call ([`Ability::DeleteRange`]).
    fn delete_range(&self, _from: &[u8], _to: &[u8]) -> Result<(), Failure> {
        Err("the engine has no call that deletes a range".into())
    }
}

/// An open store whose transactions fail, or wait, if another writes what they have read.
pub trait Transactions: Send + Sync {
    /// The length of the value, without a transaction.
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure>;
    /// Gets the value, puts another and commits, in one transaction. Returns the length of the value that it got.
    fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<usize>, Failure>;
}

/// What not every engine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    Transactions,
    DeleteRange,
}

/// Reads the ends of the lent bytes, so that the bench would notice missing ones.
pub fn touch(bytes: &[u8]) -> usize {
    black_box((bytes.first(), bytes.last()));
    bytes.len()
}

/// The engines, in the order of the tables.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Aidb,
    Rocksdb,
    Fjall,
    Leveldb,
    Lmdb,
    Redb,
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::Aidb,
        Kind::Rocksdb,
        Kind::Fjall,
        Kind::Leveldb,
        Kind::Lmdb,
        Kind::Redb,
    ];

    /// The name as its makers write it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Aidb => "AiDb",
            Kind::Rocksdb => "RocksDB",
            Kind::Fjall => "fjall",
            Kind::Leveldb => "LevelDB",
            Kind::Lmdb => "LMDB",
            Kind::Redb => "redb",
        }
    }

    /// Whether it is a rival with a log and a tree of sorted runs.
    pub fn is_rival_lsm(self) -> bool {
        matches!(self, Kind::Rocksdb | Kind::Fjall | Kind::Leveldb)
    }

    pub fn can(self, ability: Ability) -> bool {
        match ability {
            Ability::Transactions => self != Kind::Leveldb,
            Ability::DeleteRange => !matches!(self, Kind::Leveldb | Kind::Fjall),
        }
    }

    /// Opens the store for [`Ability::Transactions`]; some engines have another handle for it.
    pub fn open_transactions(
        self,
        path: &Path,
        config: Config<'_>,
    ) -> Result<Box<dyn Transactions>, Failure> {
        std::fs::create_dir_all(path)?;
        Ok(match self {
            Kind::Aidb => Box::new(aidb::AiDb::open(path, config)?),
            #[cfg(feature = "rocksdb")]
            Kind::Rocksdb => Box::new(rocksdb::RocksDbTransactions::open(path, config)?),
            #[cfg(not(feature = "rocksdb"))]
            Kind::Rocksdb => return Err("this bench was built without the feature rocksdb".into()),
            Kind::Fjall => Box::new(fjall::FjallTransactions::open(path, config)?),
            Kind::Leveldb => return Err("LevelDB has no transactions".into()),
            Kind::Lmdb => Box::new(lmdb::Lmdb::open(path, config)?),
            Kind::Redb => Box::new(redb::Redb::open(path, config)?),
        })
    }

    pub fn open(self, path: &Path, config: Config<'_>) -> Result<Box<dyn Engine>, Failure> {
        std::fs::create_dir_all(path)?;
        Ok(match self {
            Kind::Aidb => Box::new(aidb::AiDb::open(path, config)?),
            #[cfg(feature = "rocksdb")]
            Kind::Rocksdb => Box::new(rocksdb::RocksDb::open(path, config)?),
            #[cfg(not(feature = "rocksdb"))]
            Kind::Rocksdb => return Err("this bench was built without the feature rocksdb".into()),
            Kind::Fjall => Box::new(fjall::Fjall::open(path, config)?),
            Kind::Leveldb => Box::new(leveldb::LevelDb::open(path, config)?),
            Kind::Lmdb => Box::new(lmdb::Lmdb::open(path, config)?),
            Kind::Redb => Box::new(redb::Redb::open(path, config)?),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every engine in this program, against the same small history.
    #[test]
    fn every_adapter_answers_alike() {
        let config = Config {
            cache_bytes: 1 << 20,
            settings: &[],
            synced: false,
        };
        let here = Kind::ALL.into_iter().filter(|kind| match kind {
            Kind::Rocksdb => cfg!(feature = "rocksdb"),
            Kind::Leveldb => std::env::var_os("LEVELDB_LIBRARY").is_some(),
            _ => true,
        });
        for kind in here {
            let dir = tempfile::tempdir().unwrap();
            let engine = kind.open(&dir.path().join("db"), config).unwrap();
            for number in 0..100u8 {
                engine.put(&[b'k', number], &[number; 7]).unwrap();
            }
            engine
                .put_batch(&[(b"ka", b"batched"), (b"z", b"last")])
                .unwrap();
            engine.delete(&[b'k', 50]).unwrap();
            engine.flush().unwrap();
            engine.compact().unwrap();

            assert_eq!(engine.get(&[b'k', 7]).unwrap(), Some(7), "{kind}");
            assert_eq!(engine.get(&[b'k', 50]).unwrap(), None, "{kind}");
            assert_eq!(engine.get_many(&[b"z", b"y", b"ka"]).unwrap(), 2, "{kind}");
            assert_eq!(engine.walk(Start::End, false, 1000).unwrap(), 100, "{kind}");
            assert_eq!(engine.walk(Start::End, true, 1000).unwrap(), 100, "{kind}");
            let from = Start::Key(b"z");
            assert_eq!(engine.walk(from, false, 10).unwrap(), 1, "{kind}");
            assert_eq!(engine.walk(from, true, 10).unwrap(), 10, "{kind}");
            let before = Start::Key(&[b'k', 2, 0]);
            assert_eq!(engine.walk(before, true, 10).unwrap(), 3, "{kind}");

            let deleted = engine.delete_range(&[b'k', 10], &[b'k', 20]);
            assert_eq!(deleted.is_ok(), kind.can(Ability::DeleteRange), "{kind}");
            if deleted.is_ok() {
                assert_eq!(engine.walk(Start::End, false, 1000).unwrap(), 90, "{kind}");
            }
            engine.flush().unwrap();
            drop(engine);

            // LMDB stays open until the process ends.
            if kind.can(Ability::Transactions) && kind != Kind::Lmdb {
                let path = dir.path().join("db");
                let transactions = kind.open_transactions(&path, config).unwrap();
                let got = transactions.get_and_put(b"z", b"written").unwrap();
                assert_eq!(got, Some(4), "{kind}");
                assert_eq!(transactions.get(b"z").unwrap(), Some(7), "{kind}");
            }
        }
    }
}
