//! Opening: from a directory to a running database.
//!
//! In order: lock, manifest, logs, a new log, orphans, threads.
//!
//! * OPEN-1  Nothing is deleted or cut before the new log and a new manifest are durable: until then a crash
//!           leaves everything as it was. The new log's header cuts off the torn tail of the old log by naming
//!           its good length.
//! * OPEN-2  Replayed logs are synced, but nothing relies on that: if a sync failed before the restart, the
//!           kernel may have dropped the pages and report success now. So the first synced write waits until
//!           the replayed entries are in tables (`commit/`).
//! * OPEN-3  A database opened read-only changes no byte on disk.

use std::path::{Path, PathBuf};

use super::background::start_threads;
use super::recovery::{Recovered, replay};
use super::{Closing, Database, check_path, incomplete};
use crate::cache::TableCache;
use crate::content::Sum;
use crate::db::commit::{Commit, Log};
use crate::db::context::Context;
use crate::db::doorbell::Doorbell;
use crate::db::info_log::{InfoLogger, refuse_own_files};
use crate::db::locks::{Family, Rank};
use crate::db::logs::{LogFile, Logs, log_numbers};
use crate::db::order::Order;
use crate::db::read::Walks;
use crate::db::space::Space;
use crate::db::transactions::Transactions;
use crate::db::tree::{Common, STOP_FACTOR, SuperVersion, Tree};
use crate::env::{DirLock, Env, MemEnv, Names, PathKind};
use crate::error::{Error, Result};
use crate::filename::{self, FileKind, log_path};
use crate::key::KeyspaceId;
use crate::memory;
use crate::memtable::{Memtable, SpareChunks};
use crate::options::{InfoLog, OnOneLine, Options};
use crate::sstable::BlockCache;
use crate::sync::Arc;
use crate::version::{Contents, ObsoleteFiles, VersionEdit, VersionSet, inspect, not_a_directory};
use crate::wal::{DurableLog, Expected, LogId, SyncedFile, SyncedLog, Writer};

/// The process keeps this many descriptors for files other than tables.
const OTHER_FILES: u64 = 24;
/// Memtables and tables are not made smaller than this many bytes, the least that their options
/// allow.
const MIN_FILE: u64 = 4 << 10;
/// Unless the options say how many tables to keep open, the number is within these bounds.
const MIN_TABLES: u64 = 8;
const MAX_TABLES: u64 = 4096;

/// How many allocations of a database are not checked one by one.
const DATABASE_PIECES: usize = 256;

/// Opens the database in `path`; see `DB::open`.
pub(in crate::db) fn open(path: &Path, options: Options) -> Result<Arc<Database>> {
    let locked = lock_directory(path, options)?;
    let doorbell = Arc::new(Doorbell::default());
    let (space, env) = open_space(&locked)?;
    let obsolete = ObsoleteFiles::new(ring(&doorbell));
    let mut versions = find_version(&locked, &env, &obsolete)?;
    let names = env.list(&locked.dir)?;
    let recovered = replay_logs(&locked, &*env, &versions, &names)?;
    versions.identify(recovered.database)?;
    let log = begin_log(&locked, &*env, &versions, &recovered)?;
    if !locked.options.read_only {
        settle_directory(&locked, &*env, &mut versions, &recovered, &log, &names)?;
    }
    assert_fitting(&versions, &recovered, &log);
    let found = Found {
        env,
        space,
        doorbell,
        obsolete,
        versions,
        recovered,
        log,
    };
    let database = assemble(locked, found);
    if !database.context.options().read_only {
        database.tree.begin();
    }
    start_threads(&database)?;
    Ok(database)
}

/// A directory that this process has locked while this exists.
struct LockedDirectory {
    dir: PathBuf,
    options: Options,
    contents: Contents,
    /// Closed before the directory is unlocked.
    info_log: InfoLogger,
    lock: Box<dyn DirLock>,
}

/// The state that was found in the directory, and the files that were begun in it.
struct Found {
    /// The environment that draws on the reserve.
    env: Arc<dyn Env>,
    space: Space,
    doorbell: Arc<Doorbell>,
    obsolete: Arc<ObsoleteFiles>,
    versions: VersionSet,
    recovered: Recovered,
    log: FirstLog,
}

/// The first log of this open database, and its memtable.
struct FirstLog {
    writer: Writer,
    file: Arc<LogFile>,
    /// `None` if it is not on disk (OPEN-3).
    durable: Option<DurableLog>,
    synced_file: Option<SyncedFile>,
    memtable: Arc<Memtable>,
    spare_chunks: Arc<SpareChunks>,
}

/// Checks the options and locks the directory. Makes the directory if the options allow it.
fn lock_directory(path: &Path, mut options: Options) -> Result<LockedDirectory> {
    options.validate()?;
    check_path(path)?;
    memory::room_ahead(DATABASE_PIECES, "a database")?;
    let env = Arc::clone(&options.env);
    if let InfoLog::File(log) = &options.info_log {
        check_path(log).map_err(|error| error.context("option info_log"))?;
        refuse_own_files(path, log, &options)?;
    }
    let most = most_level0_trigger(&*env);
    options.level0_compaction_trigger = options.level0_compaction_trigger.min(most);
    keep_files_small(&mut options);
    make_directory(&*env, path, &options)?;
    let dir = env.canonical(path)?;
    // Checked before locking, because locking leaves a file; and checked again under the lock.
    let contents = inspect(&*env, &dir)?;
    refuse_by_options(contents, &dir, &options)?;
    let lock = env.lock(&dir, !options.read_only, options.lock_timeout)?;
    let contents = inspect(&*env, &dir)?;
    refuse_by_options(contents, &dir, &options)?;
    if contents == Contents::Incomplete {
        return Err(incomplete(&*env, &dir));
    }
    let info_log = InfoLogger::open(&dir, &options)?;
    info_log.write(&*env, format_args!("opening with {}", OnOneLine(&options)));
    Ok(LockedDirectory {
        dir,
        options,
        contents,
        lock,
        info_log,
    })
}

/// The space of the database, and the environment that draws on it.
fn open_space(locked: &LockedDirectory) -> Result<(Space, Arc<dyn Env>)> {
    let (env, dir) = (&locked.options.env, &locked.dir);
    match locked.options.read_only {
        // OPEN-3.
        true => Space::open(env, &nowhere(dir)?, dir, &locked.options),
        false => Space::open(env, env, dir, &locked.options),
    }
}

/// The contents of the manifest. In an empty directory makes a new manifest.
fn find_version(
    locked: &LockedDirectory,
    env: &Arc<dyn Env>,
    obsolete: &Arc<ObsoleteFiles>,
) -> Result<VersionSet> {
    let (dir, env, obsolete) = (&locked.dir, Arc::clone(env), Arc::clone(obsolete));
    match locked.contents {
        Contents::Database => {
            let found = VersionSet::recover(env, dir, obsolete, locked.options.read_only)?;
            found.confirm_creation()?;
            Ok(found)
        }
        Contents::Incomplete => Err(incomplete(&*env, dir)),
        Contents::Nothing => {
            // The directory exists, but the process that made it may have been killed before it made it
            // durable.
            env.create_dir_all(dir)?;
            VersionSet::create(env, dir, obsolete)
        }
    }
}

/// The writes that are in no table, from the logs among the files `names`.
fn replay_logs(
    locked: &LockedDirectory,
    env: &dyn Env,
    versions: &VersionSet,
    names: &[String],
) -> Result<Recovered> {
    let recovered = replay(
        env,
        &locked.dir,
        &log_numbers(names),
        &Expected {
            needed: versions.log_number(),
            synced_log: versions.synced_log(),
            synced_file: SyncedLog::read(env, &locked.dir),
            last_sequence: versions.last_sequence(),
            database: versions.database(),
        },
        &versions.flushed(),
        locked.options.write_buffer_size,
    )?;
    let last = recovered.end.last_sequence;
    locked
        .info_log
        .write(env, format_args!("recovered up to number {last}"));
    Ok(recovered)
}

/// Begins the first log of this open database, and its memtable.
fn begin_log(
    locked: &LockedDirectory,
    env: &dyn Env,
    versions: &VersionSet,
    recovered: &Recovered,
) -> Result<FirstLog> {
    let name = Names::made_from_now(env);
    let (dir, options) = (&locked.dir, &locked.options);
    let (writer, durable) = start_log(env, dir, versions, recovered, options, name)?;
    let file = LogFile::new(
        writer.number(),
        writer.log_id(),
        Arc::clone(writer.file()),
        writer.len(),
        name,
    );
    let synced_file = match options.read_only {
        true => None,
        // The file is optional, so it does not use the reserve.
        false => SyncedFile::in_dir(&*options.env, dir)
            .inspect_err(|error| locked.info_log.write(env, format_args!("{error}")))
            .ok(),
    };
    let write_buffer_size = options.write_buffer_size as usize;
    let spare_chunks = Memtable::spare_chunks(write_buffer_size);
    let memtable = Memtable::recycling(write_buffer_size, Arc::clone(&spare_chunks))?;
    Ok(FirstLog {
        writer,
        file,
        durable,
        synced_file,
        memtable: Arc::new(memtable),
        spare_chunks,
    })
}

/// Makes a new manifest, and removes unneeded files (OPEN-1). The manifest names the new `log` as the
/// oldest needed one, unless a memtable waits for a flush: then that flush does. If neither did, the old
/// logs would stay for ever.
fn settle_directory(
    locked: &LockedDirectory,
    env: &dyn Env,
    versions: &mut VersionSet,
    recovered: &Recovered,
    log: &FirstLog,
    names: &[String],
) -> Result<()> {
    let mut edit = VersionEdit::default();
    if let Some(durable) = &log.durable
        && recovered.sealed.is_empty()
    {
        edit.begin_logs_with(durable);
    }
    versions.log_and_apply(edit, Sum::default())?;
    debug_assert!(
        versions.log_number() <= log.writer.number(),
        "FLUSH-2: the manifest needs no later log than the newest"
    );
    for error in remove_orphans(env, &locked.dir, names, versions, recovered) {
        locked.info_log.write(env, format_args!("{error}"));
    }
    Ok(())
}

/// Asserts that manifest, logs and the first log fit together.
fn assert_fitting(versions: &VersionSet, recovered: &Recovered, log: &FirstLog) {
    let last_sequence = recovered.end.last_sequence;
    debug_assert!(
        last_sequence >= versions.last_sequence(),
        "REPLAY-1: what is in tables is not written again"
    );
    debug_assert!(
        recovered.sealed.values().all(|memtables| {
            let mut numbers = memtables.iter().map(|sealed| sealed.last_sequence());
            numbers.all(|number| number <= last_sequence)
        }),
        "REPLAY-2: the logs end with the newest memtable's last number, or after it"
    );
    debug_assert!(
        log.writer.number() > versions.log_number() || log.durable.is_some(),
        "OPEN-3: the manifest cannot name a log that is not on disk"
    );
}

/// A function that rings `doorbell`.
fn ring(doorbell: &Arc<Doorbell>) -> impl Fn() + Send + Sync + use<> {
    let doorbell = Arc::clone(doorbell);
    move || doorbell.ring()
}

/// Puts the rooms of a database together, from the lowest up.
fn assemble(locked: LockedDirectory, found: Found) -> Arc<Database> {
    let Found { env, log, .. } = found;
    let (mut recovered, versions, id) = (found.recovered, found.versions, KeyspaceId::DEFAULT);
    let last_sequence = recovered.end.last_sequence;
    let sealed = recovered.sealed.remove(&id).unwrap_or_default();
    debug_assert!(recovered.sealed.is_empty(), "FEATURE-2: there is one tree");
    let unflushed = sealed.first().map(|sealed| sealed.last_sequence());
    let superversion = SuperVersion::new(
        Arc::clone(&log.memtable),
        log.writer.number(),
        sealed,
        versions.current(id),
    );
    let open_tables = open_tables(&*env, &locked.options);
    let (file_numbers, database) = (versions.numbers(), versions.database());
    let locks = Family::new();
    let versions = Arc::new(locks.lock(Rank::Versions, versions));
    let to_note = Arc::clone(&versions);
    let note_synced = Box::new(move |log: &DurableLog| to_note.lock().note_synced_log(log));

    let context = Context::new(locked.dir, env, locked.options, locked.info_log);
    let context = Arc::new(context);
    let order = Arc::new(Order::new(last_sequence, ring(&found.doorbell)));
    let space = Arc::new(found.space);
    let first = Arc::clone(&log.file);
    let logs = Logs::new(
        &context,
        &space,
        database,
        note_synced,
        log.synced_file,
        first,
    );
    let logs = Arc::new(logs);
    let block_cache = BlockCache::new(context.options().block_cache_size as usize);
    let (env, dir) = (context.shared_env(), context.dir());
    let common = Common {
        context: Arc::clone(&context),
        order: Arc::clone(&order),
        space: Arc::clone(&space),
        logs: Arc::clone(&logs),
        doorbell: found.doorbell,
        locks,
        tables: TableCache::new(env, dir, Arc::clone(&block_cache), open_tables),
        block_cache,
        versions,
        file_numbers,
        obsolete: found.obsolete,
    };
    let tree = Arc::new(Tree::new(common, id, superversion, log.spare_chunks));
    let log = Log::new(log.writer, log.file, log.memtable, last_sequence);
    let log = locks.lock(Rank::Log, log);
    let walks = Arc::new(Walks::new(&tree));
    let commit = Commit::new(&order, &space, &logs, &tree, log, unflushed);
    let commit = Arc::new(commit);
    let transactions = Transactions::new(&order, &tree, &commit, &walks);
    Arc::new(Database {
        transactions: Arc::new(transactions),
        walks,
        commit,
        tree,
        logs,
        space,
        order,
        context,
        closing: locks.lock(Rank::Closing, Closing::of(locked.lock)),
    })
}

/// Makes sure the directory is there, if the options allow it.
fn make_directory(env: &dyn Env, path: &Path, options: &Options) -> Result<()> {
    match env.kind(path)? {
        PathKind::Directory => Ok(()),
        PathKind::Missing if options.create_if_missing && !options.read_only => {
            env.create_dir_all(path)
        }
        PathKind::Missing => {
            let (name, is) = match options.read_only {
                true => ("read_only", "set"),
                false => ("create_if_missing", "off"),
            };
            Err(Error::invalid_argument(format!(
                "{} does not exist, and {} is {is}",
                path.display(),
                options.spelling(name)
            )))
        }
        PathKind::File(_) | PathKind::Other => Err(not_a_directory(env, path)),
    }
}

fn refuse_by_options(contents: Contents, dir: &Path, options: &Options) -> Result<()> {
    let refuse = |what: &str, name: &str, is: &str| {
        let (dir, name) = (dir.display(), options.spelling(name));
        Err(Error::invalid_argument(format!(
            "{dir} {what}, and {name} is {is}"
        )))
    };
    match contents {
        Contents::Database if options.error_if_exists => {
            refuse("exists and is a database already", "error_if_exists", "set")
        }
        Contents::Nothing if options.read_only => refuse("holds no database", "read_only", "set"),
        Contents::Nothing if !options.create_if_missing => {
            refuse("holds no database", "create_if_missing", "off")
        }
        _ => Ok(()),
    }
}

/// Starts the log that follows what was recovered, durably (OPEN-1, OPEN-2).
fn start_log(
    env: &dyn Env,
    dir: &Path,
    versions: &VersionSet,
    recovered: &Recovered,
    options: &Options,
    name: Names,
) -> Result<(Writer, Option<DurableLog>)> {
    let (number, expected) = (versions.numbers().allocate(), options.write_buffer_size);
    let id = LogId {
        database: versions.database(),
        log: env.random()?,
    };
    debug_assert!(
        recovered.chain.iter().all(|found| *found < number),
        "WAL-2: recovery starts a new file"
    );
    if options.read_only {
        // OPEN-3: nothing is appended to it, so it need not exist on disk.
        let writer = Writer::create(&*nowhere(dir)?, dir, number, id, recovered.end, expected)?;
        return Ok((writer, None));
    }
    for &number in &recovered.chain {
        env.open_write(&log_path(dir, number))?.sync()?;
    }
    let writer = Writer::create(env, dir, number, id, recovered.end, expected)?;
    // This covers CURRENT too: an earlier process may have renamed it and been killed before it
    // synced that.
    let durable = DurableLog::new(number, name.sync(env, dir)?);
    debug_assert!(
        writer.predecessor() == recovered.end,
        "OPEN-1: the header names the good length of the log before it"
    );
    Ok((writer, Some(durable)))
}

/// An environment in which only `dir` exists. A database opened read-only writes there what it must
/// not write to disk.
fn nowhere(dir: &Path) -> Result<Arc<dyn Env>> {
    let env = MemEnv::new();
    env.create_dir_all(dir)?;
    Ok(Arc::new(env))
}

/// Removes the leftovers of crashes; returns which could not be removed, and why. `names`: the files that
/// existed before this process wrote any.
fn remove_orphans(
    env: &dyn Env,
    dir: &Path,
    names: &[String],
    versions: &VersionSet,
    recovered: &Recovered,
) -> Vec<Error> {
    let needed = versions.log_number();
    let live = versions.live_files();
    delete_orphans(env, dir, names, |kind| match kind {
        FileKind::Table(number) => live.contains(&number),
        FileKind::Log(number) => number >= needed && recovered.chain.contains(&number),
        FileKind::Manifest(number) => number == versions.manifest_number(),
        FileKind::Temporary => false,
        FileKind::Current
        | FileKind::Lock
        | FileKind::InfoLog
        | FileKind::Reserve
        | FileKind::Synced
        | FileKind::Incomplete => true,
    })
}

/// Removes what crashes left: tables in no version, logs that are neither needed nor in the chain, replaced
/// manifests, half-made files. A file that is already gone, or cannot be removed now, does not matter: no file
/// number is used twice, and the next open tries again. Returns what went wrong.
fn delete_orphans(
    env: &dyn Env,
    dir: &Path,
    names: &[String],
    is_live: impl Fn(FileKind) -> bool,
) -> Vec<Error> {
    let orphans = names
        .iter()
        .filter(|name| filename::parse(name).is_some_and(|kind| !is_live(kind)));
    orphans
        .filter_map(|name| env.remove_file(&dir.join(name)).err())
        .collect()
}

/// The largest trigger of compactions with which a full level 0 takes at most half the descriptors: a walk or a
/// compaction has all of its tables open at once.
fn most_level0_trigger(env: &dyn Env) -> u64 {
    let tables = env.open_file_limit().saturating_sub(OTHER_FILES) / 2;
    (tables / STOP_FACTOR).max(1)
}

/// If the system limits file sizes, limits memtables and the tables of compactions to half of the largest file.
/// So a memtable's log and table, and the other tables, fit with their overhead.
fn keep_files_small(options: &mut Options) {
    let most = (options.env.largest_file() / 2).max(MIN_FILE);
    options.write_buffer_size = options.write_buffer_size.min(most);
    options.target_file_size = options.target_file_size.min(most);
}

/// How many tables to keep open.
fn open_tables(env: &dyn Env, options: &Options) -> usize {
    let derived = (env.open_file_limit() / 2).saturating_sub(OTHER_FILES);
    let tables = match options.max_open_files {
        0 => derived.clamp(MIN_TABLES, MAX_TABLES),
        asked => asked.max(MIN_TABLES),
    };
    tables as usize
}
