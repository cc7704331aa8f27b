//! Opening: from a directory to a running database.
//!
//! In order: lock, manifest, logs, a new log, orphans, threads.
//!
//! * O1  Nothing is deleted or cut before the new log and a new manifest are durable: until then a crash leaves
//!       everything as it was found. The new log's header cuts off the torn tail behind it: it names the good length.
//! * O2  Replayed logs are synced, but that is not relied upon: if a sync failed in the last life, the kernel may have
//!       dropped what it was for and report success now. So the first synced write waits until what was replayed
//!       is in tables ([`Shared::wait_until_durable`]).
//! * O3  A database opened read-only changes no byte on disk.

use std::path::Path;
use std::time::Duration;

use super::background::{COMPACTION_THREAD, FLUSH_THREAD};
use super::blank_log::BlankLog;
use super::destination::incomplete;
use super::doorbell::Doorbell;
use super::files::{delete_orphans, log_numbers};
use super::holds::HoldList;
use super::info_log::{InfoLogger, refuse_own_files};
use super::location::check_path;
use super::publish::Publisher;
use super::recovery::{Expected, Recovered, replay};
use super::shared::{Closing, Log, LogCounts, Shared, State};
use super::space::Space;
use super::stall::Stall;
use super::superversion::SuperVersion;
use super::sync_group::{LogFile, SyncGroup};
use super::upkeep::Watch;
use crate::cache::TableCache;
use crate::content::Sum;
use crate::env::{Env, MemEnv, Names, PathKind};
use crate::error::{Error, Result};
use crate::filename::{FileKind, log_path};
use crate::iterator::alarm::Alarm;
use crate::memory;
use crate::memtable::Memtable;
use crate::metrics::Metrics;
use crate::options::{InfoLog, OnOneLine, Options};
use crate::snapshot::SnapshotList;
use crate::sstable::BlockCache;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, ArcSwap, Condvar, Mutex};
use crate::version::{
    Contents, FileNumbers, ObsoleteFiles, VersionEdit, VersionSet, inspect, not_a_directory,
};
use crate::wal::{Watermark, WatermarkWriter, Writer};

/// Descriptors left to the process beside those of tables.
const OTHER_FILES: u64 = 24;
/// Memtables and tables are not made smaller than this, the least that their options take, in bytes.
const SMALLEST_FILE: u64 = 4 << 10;
/// Tables kept open at once, at least and at most, where the options leave it open.
const FEWEST_TABLES: u64 = 8;
const MOST_TABLES: u64 = 4096;

/// Pieces of memory that a database takes and does not ask for one by one.
const DATABASE_PIECES: usize = 256;

/// Opens the database in `path`; see `DB::open`.
pub(super) fn open(path: &Path, mut options: Options) -> Result<Arc<Shared>> {
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
    // Looked at before it is locked, because locking leaves a file in it; and again under the lock.
    let contents = inspect(&*env, &dir)?;
    refuse_by_options(contents, &dir, &options)?;
    let timeout = Duration::from_millis(options.lock_timeout_millis);
    let lock = env.lock(&dir, !options.read_only, timeout)?;
    let contents = inspect(&*env, &dir)?;
    refuse_by_options(contents, &dir, &options)?;
    if contents == Contents::Incomplete {
        return Err(incomplete(&*env, &dir));
    }
    let info_log = InfoLogger::open(&dir, &options)?;
    info_log.write(&*env, format_args!("opening with {}", OnOneLine(&options)));

    let (space, env) = match options.read_only {
        // O3.
        true => Space::open(&env, &nowhere(&dir)?, &dir, &options)?,
        false => Space::open(&env, &env, &dir, &options)?,
    };
    let doorbell = Arc::new(Doorbell::default());
    let ring = || {
        let doorbell = Arc::clone(&doorbell);
        move || doorbell.ring()
    };
    let obsolete = ObsoleteFiles::new(ring());
    let mut versions = match contents {
        Contents::Database => {
            let obsolete = Arc::clone(&obsolete);
            let found = VersionSet::recover(Arc::clone(&env), &dir, obsolete, options.read_only)?;
            found.confirm_creation()?;
            found
        }
        Contents::Incomplete => return Err(incomplete(&*env, &dir)),
        Contents::Nothing => {
            // It is there, but whoever made it may have been killed before that was durable.
            env.create_dir_all(&dir)?;
            VersionSet::create(Arc::clone(&env), &dir, Arc::clone(&obsolete))?
        }
    };
    let names = env.list(&dir)?;
    let recovered = replay(
        &*env,
        &dir,
        &log_numbers(&names),
        &Expected {
            needed: versions.log_number(),
            synced: versions.synced_log(),
            watermark: Watermark::read(&*env, &dir),
            last_sequence: versions.last_sequence(),
        },
        options.write_buffer_size,
    )?;
    let last_sequence = recovered.end.last_sequence;
    let unflushed = recovered.sealed.first().map(|sealed| sealed.last_sequence);
    info_log.write(
        &*env,
        format_args!("recovered up to number {last_sequence}"),
    );

    let numbers = versions.numbers();
    let log_name = Names::made_from_now(&*env);
    let writer = start_log(&*env, &dir, &numbers, &recovered, &options)?;
    let log_file = LogFile::new(
        writer.number(),
        writer.log_id(),
        Arc::clone(writer.file()),
        writer.len(),
        0,
        log_name,
    );
    let watermark = match options.read_only {
        true => None,
        // Nobody needs it, so it draws on no reserve.
        false => WatermarkWriter::open(&*options.env, &dir)
            .inspect_err(|error| info_log.write(&*env, format_args!("{error}")))
            .ok(),
    };
    let write_buffer_size = options.write_buffer_size as usize;
    let spare_chunks = Memtable::spare_chunks(write_buffer_size);
    let active = Arc::new(Memtable::recycling(
        write_buffer_size,
        Arc::clone(&spare_chunks),
    )?);
    if !options.read_only {
        // Without anything to flush, nothing else would ever let the old logs go.
        let log_number = recovered.sealed.is_empty().then_some(writer.number());
        let edit = VersionEdit {
            log_number,
            ..VersionEdit::default()
        };
        versions.log_and_apply(edit, Sum::default())?;
        for error in remove_orphans(&*env, &dir, &names, &versions, &recovered) {
            info_log.write(&*env, format_args!("{error}"));
        }
    }
    let superversion = SuperVersion {
        active: Arc::clone(&active),
        active_log: writer.number(),
        sealed: recovered.sealed,
        version: versions.current(),
    };
    let block_cache = BlockCache::new(options.block_cache_size as usize);
    let open_tables = open_tables(&*env, &options);
    let tables = TableCache::new(
        Arc::clone(&env),
        &dir,
        Arc::clone(&block_cache),
        open_tables,
    );
    let counts = LogCounts::default();
    let versions = Arc::new(Mutex::new(versions));
    let to_note = Arc::clone(&versions);
    let shared = Arc::new(Shared {
        block_cache,
        tables,
        spare_chunks,
        snapshots: Arc::new(SnapshotList::new(ring())),
        holds: Arc::new(HoldList::default()),
        publisher: Publisher::new(last_sequence),
        blank_log: BlankLog::default(),
        sync_group: SyncGroup::new(
            Arc::clone(&env),
            dir.clone(),
            Box::new(move |log| to_note.lock().note_synced_log(log)),
            watermark,
            Arc::clone(&log_file),
        ),
        space,
        log: Mutex::new(Log {
            writer,
            file: log_file,
            memtable: active,
            last_sequence,
            reserved_up_to: 0,
            seals_next: false,
            counts,
            is_closed: false,
        }),
        superversion: ArcSwap::from_pointee(superversion),
        file_numbers: numbers,
        recovered: AtomicU64::new(unflushed.map_or(0, |last| last.0)),
        versions,
        state: Mutex::new(State::default()),
        has_no_threads: AtomicBool::new(false),
        callers: Mutex::new(()),
        changed: Condvar::new(),
        met: Alarm::new(ring()),
        watch: Watch::default(),
        doorbell: Arc::clone(&doorbell),
        obsolete,
        stall: Stall::new(),
        metrics: Metrics::default(),
        info_log,
        closed: AtomicBool::new(false),
        forks: crate::env::fork_count(),
        closing: Mutex::new(Closing {
            threads: Vec::new(),
            lock: Some(lock),
        }),
        env,
        dir,
        options,
    });
    if !shared.options.read_only {
        let version = Arc::clone(&shared.superversion.load().version);
        shared.stall.update(shared.pressure(&version));
        shared.adjust_reserve();
    }
    start_threads(&shared)?;
    Ok(shared)
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

/// Starts the log that follows what was recovered, durably (O1, O2).
fn start_log(
    env: &dyn Env,
    dir: &Path,
    numbers: &FileNumbers,
    recovered: &Recovered,
    options: &Options,
) -> Result<Writer> {
    let (number, log_id, expected) = (numbers.allocate(), env.random()?, options.write_buffer_size);
    if options.read_only {
        // O3: nobody appends to it, so it need not exist on disk.
        return Writer::create(
            &*nowhere(dir)?,
            dir,
            number,
            log_id,
            recovered.end,
            expected,
        );
    }
    for &number in &recovered.chain {
        env.open_write(&log_path(dir, number))?.sync()?;
    }
    let writer = Writer::create(env, dir, number, log_id, recovered.end, expected)?;
    // CURRENT too: it may have been renamed by a life that was killed before it synced that.
    env.sync_dir(dir)?;
    Ok(writer)
}

/// An environment in which only `dir` exists, for what a database opened read-only must not write.
fn nowhere(dir: &Path) -> Result<Arc<dyn Env>> {
    let env = MemEnv::new();
    env.create_dir_all(dir)?;
    Ok(Arc::new(env))
}

/// Removes what crashes left behind; answers what could not be removed. `names`: what was there before this life wrote anything.
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

/// The largest trigger of compactions with which the tables of a full level 0, which a walk or a compaction has open
/// all at once, take no more than half the descriptors.
fn most_level0_trigger(env: &dyn Env) -> u64 {
    let tables = env.open_file_limit().saturating_sub(OTHER_FILES) / 2;
    (tables / super::stall::STOP_FACTOR).max(1)
}

/// Where the size of files is limited: makes the memtable, whose log and whose table are files, and the tables of compactions
/// half as large as a file may be, so that they fit in with what is added to them.
fn keep_files_small(options: &mut Options) {
    let most = (options.env.largest_file() / 2).max(SMALLEST_FILE);
    options.write_buffer_size = options.write_buffer_size.min(most);
    options.target_file_size = options.target_file_size.min(most);
}

/// How many tables to keep open.
fn open_tables(env: &dyn Env, options: &Options) -> usize {
    let derived = (env.open_file_limit() / 2).saturating_sub(OTHER_FILES);
    let tables = match options.max_open_files {
        0 => derived.clamp(FEWEST_TABLES, MOST_TABLES),
        asked => asked.max(FEWEST_TABLES),
    };
    tables as usize
}

/// Starts the flush thread and the compaction threads. On failure stops those that run. In a sandbox that refuses every
/// thread, callers do their work.
fn start_threads(shared: &Arc<Shared>) -> Result<()> {
    if shared.options.read_only || shared.options.manual_background {
        return Ok(());
    }
    let start = || -> Result<()> {
        let flusher = Arc::clone(shared);
        let run = move || flusher.flush_loop();
        let thread = match shared.env.spawn(FLUSH_THREAD, Box::new(run)) {
            Err(error) if error.is_refusal() || error.is_want_of_threads() => {
                shared.note(format_args!("callers do the background work: {error}"));
                shared.has_no_threads.store(true, Ordering::Relaxed);
                return Ok(());
            }
            outcome => outcome?,
        };
        shared.closing.lock().threads.push(thread);
        for number in 0..shared.options.background_threads {
            let compactor = Arc::clone(shared);
            let run = move || compactor.compaction_loop();
            let thread = match shared.env.spawn(COMPACTION_THREAD, Box::new(run)) {
                Err(error) if number > 0 && error.is_want_of_threads() => {
                    shared.note(format_args!("{number} threads compact: {error}"));
                    break;
                }
                outcome => outcome?,
            };
            shared.closing.lock().threads.push(thread);
        }
        Ok(())
    };
    let started = start();
    if started.is_err() {
        // The error of starting is the one to tell.
        let _ = shared.close(super::close::Unflushed::LeaveInLogs);
    }
    // What was recovered is flushed now.
    shared.doorbell.ring();
    started
}
