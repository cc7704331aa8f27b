//! A second oracle, which others wrote: SQLite's answers to a history.
//!
//! Engine and model have the same authors, who may have misread a rule in both. SQLite orders blobs by their bytes, as
//! we do, and has had its own testers for decades. A history without faults runs on a table of keys and values. A batch
//! becomes a transaction. Each snapshot and cursor becomes a connection with an open read transaction, so that the
//! views are SQLite's too.
//!
//! * SQLITE-1  This file digests the same answers in the same order as `history/run.rs`: only then do equal answers
//!             give equal digests.
//!
//! It asks SQL for everything, one row or one range at a time, and keeps no written entries itself.
//!
//! Flushes, compactions, checkpoints and changes of options change no answer, so they do nothing here. Only the moves
//! of a cursor beyond its ends follow our documents: SQL has no such cursor.

use std::path::PathBuf;
use std::rc::Rc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use aidb_tests::Walk;
use aidb_tests::history::{Entry, History, Move, Operation, Step, digest, operations};

type Result<T> = rusqlite::Result<T>;
type Pair = (Vec<u8>, Vec<u8>);

/// The answers to a history that has neither faults nor power cuts. `ours` are the engine's: which commits of
/// transactions conflict is taken from them, because SQLite has other rules for that.
pub fn answers(history: &History, ours: &[u64]) -> std::result::Result<Vec<u64>, String> {
    // The files are in memory if the system has memory files: none of them has to survive.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.map_err(|error| error.to_string())?;
    let mut database = Database::new(dir.path().join("oracle"))
        .map_err(|error| format!("SQLite does not open: {error}"))?;
    for (at, operation) in history.operations.iter().enumerate() {
        database
            .step(operation, ours)
            .map_err(|error| format!("SQLite fails at operation {at}: {error}"))?;
    }
    database
        .finish()
        .map_err(|error| format!("SQLite fails at the end: {error}"))?;
    Ok(database.answers)
}

/// The place of a cursor.
enum Place {
    New,
    Before,
    At(Pair),
    Behind,
}

struct Cursor {
    view: Rc<Connection>,
    walk: Walk,
    keys: bool,
    values: bool,
    place: Place,
}

/// A transaction: a database of its own that begins as a copy.
struct OpenTransaction {
    copy: Rc<Connection>,
    read_only: bool,
    /// To write them to the original.
    writes: Vec<Entry>,
    /// How many writes there were at each savepoint.
    savepoints: Vec<usize>,
}

struct Database {
    path: PathBuf,
    connection: Connection,
    /// Connections of finished views, for reuse.
    idle: Vec<Connection>,
    snapshots: Vec<Rc<Connection>>,
    cursors: Vec<Cursor>,
    transactions: Vec<OpenTransaction>,
    answers: Vec<u64>,
}

fn connect(path: &PathBuf) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    // This journal lets others read an older state during a write.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

const TABLE: &str =
    "CREATE TABLE entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID";

fn get(connection: &Connection, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM entries WHERE key = ?")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

fn pair(row: &Row<'_>) -> Result<Pair> {
    Ok((row.get(0)?, row.get(1)?))
}

/// The side of a key to search.
#[derive(Clone, Copy)]
enum Side {
    Below,
    UpTo,
    From,
    Above,
}

impl Database {
    fn new(path: PathBuf) -> Result<Database> {
        let connection = connect(&path)?;
        connection.execute_batch(TABLE)?;
        Ok(Database {
            path,
            connection,
            idle: Vec::new(),
            snapshots: Vec::new(),
            cursors: Vec::new(),
            transactions: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// A connection that sees the state of this moment from now on.
    fn view(&mut self) -> Result<Rc<Connection>> {
        let view = match self.idle.pop() {
            Some(view) => view,
            None => connect(&self.path)?,
        };
        // The first read fixes the transaction's view.
        view.execute_batch("BEGIN; SELECT count(*) FROM (SELECT 1 FROM entries LIMIT 1)")?;
        Ok(Rc::new(view))
    }

    /// The connection of snapshot `at`, or one that sees the state of this moment from now on.
    fn view_at(&mut self, at: Option<usize>) -> Result<Rc<Connection>> {
        match at {
            Some(at) if !self.snapshots.is_empty() => {
                Ok(Rc::clone(&self.snapshots[at % self.snapshots.len()]))
            }
            _ => self.view(),
        }
    }

    /// Releases a view. It ends with its last user.
    fn release(&mut self, view: Rc<Connection>) -> Result<()> {
        if let Some(view) = Rc::into_inner(view) {
            view.execute_batch("COMMIT")?;
            self.idle.push(view);
        }
        Ok(())
    }

    fn at(&self, snapshot: Option<usize>) -> &Connection {
        match snapshot {
            Some(at) if !self.snapshots.is_empty() => &self.snapshots[at % self.snapshots.len()],
            _ => &self.connection,
        }
    }

    fn step(&mut self, operation: &Operation, ours: &[u64]) -> Result<()> {
        match operation {
            Operation::Put { key, value, .. } => {
                write(&self.connection, &[Entry::Put(key.clone(), *value)])
            }
            Operation::Delete { key, .. } => write(&self.connection, &[Entry::Delete(key.clone())]),
            Operation::DeleteRange { start, end, .. } => write(
                &self.connection,
                &[Entry::DeleteRange(start.clone(), end.clone())],
            ),
            Operation::DeletePrefix { prefix, .. } => {
                write(&self.connection, &[Entry::DeletePrefix(prefix.clone())])
            }
            Operation::Batch { entries, .. } => write(&self.connection, entries),
            Operation::Begin { read_only } => self.begin(*read_only),
            Operation::Within { transaction, steps } => self.within(*transaction, steps),
            Operation::Commit { transaction, .. } => self.commit(*transaction, ours),
            Operation::RollBack(at) => {
                if !self.transactions.is_empty() {
                    self.transactions.swap_remove(at % self.transactions.len());
                }
                Ok(())
            }
            Operation::Get { key, snapshot, .. } => {
                let found = get(self.at(*snapshot), key)?;
                self.answers.push(digest(Some(found.as_deref())));
                Ok(())
            }
            Operation::GetMany { keys, snapshot } => {
                let view = self.at(*snapshot);
                let found: Result<Vec<_>> = keys.iter().map(|key| get(view, key)).collect();
                self.answers.push(digest(found?));
                Ok(())
            }
            Operation::Snapshot => {
                let view = self.view()?;
                self.snapshots.push(view);
                Ok(())
            }
            Operation::DropSnapshot(at) => {
                if self.snapshots.is_empty() {
                    return Ok(());
                }
                let view = self.snapshots.swap_remove(at % self.snapshots.len());
                self.release(view)
            }
            Operation::OpenCursor {
                walk,
                snapshot,
                keys,
                values,
                ..
            } => {
                let view = self.view_at(*snapshot)?;
                self.cursors.push(Cursor {
                    view,
                    walk: walk.clone(),
                    keys: *keys,
                    values: *values,
                    place: Place::New,
                });
                Ok(())
            }
            Operation::MoveCursor { cursor, moves } => {
                if self.cursors.is_empty() {
                    return Ok(());
                }
                let mut open = self.cursors.swap_remove(cursor % self.cursors.len());
                for step in moves {
                    let answer = open.step(step)?;
                    self.answers.push(answer);
                }
                self.cursors.push(open);
                Ok(())
            }
            Operation::DropCursor(at) => {
                if self.cursors.is_empty() {
                    return Ok(());
                }
                let cursor = self.cursors.swap_remove(at % self.cursors.len());
                self.release(cursor.view)
            }
            Operation::Iterate { lower, upper, .. } => {
                let walk = Walk {
                    lower: lower.clone(),
                    upper: upper.clone(),
                    ..Walk::default()
                };
                let found = entries(&self.connection, &walk)?;
                self.answers.push(digest(found));
                Ok(())
            }
            Operation::Count { walk, snapshot, .. } => {
                let found = entries(self.at(*snapshot), walk)?;
                self.answers.push(found.len() as u64);
                Ok(())
            }
            Operation::Reopen { .. } | Operation::Repair => {
                self.transactions.clear();
                for cursor in std::mem::take(&mut self.cursors) {
                    self.release(cursor.view)?;
                }
                for view in std::mem::take(&mut self.snapshots) {
                    self.release(view)?;
                }
                Ok(())
            }
            Operation::Flush
            | Operation::Compact { .. }
            | Operation::BackgroundSteps(_)
            | Operation::Checkpoint { .. }
            | Operation::Inject(_)
            | Operation::ClearFaults
            | Operation::Report
            | Operation::Compare
            | Operation::Verify
            | Operation::Refuse { .. } => Ok(()),
        }
    }

    fn begin(&mut self, read_only: bool) -> Result<()> {
        let copy = Connection::open_in_memory()?;
        copy.set_prepared_statement_cache_capacity(64);
        copy.execute_batch(TABLE)?;
        {
            let mut put = copy.prepare_cached("INSERT INTO entries VALUES (?, ?)")?;
            for (key, value) in entries(&self.connection, &Walk::default())? {
                put.execute(params![key, value])?;
            }
        }
        // Its savepoints lie in a transaction of SQLite's.
        copy.execute_batch("BEGIN")?;
        self.transactions.push(OpenTransaction {
            copy: Rc::new(copy),
            read_only,
            writes: Vec::new(),
            savepoints: Vec::new(),
        });
        Ok(())
    }

    fn within(&mut self, at: usize, steps: &[Step]) -> Result<()> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let at = at % self.transactions.len();
        let mut open = self.transactions.swap_remove(at);
        for step in steps {
            open.step(step, &mut self.answers)?;
        }
        self.transactions.push(open);
        Ok(())
    }

    fn commit(&mut self, at: usize, ours: &[u64]) -> Result<()> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let at = at % self.transactions.len();
        let open = self.transactions.swap_remove(at);
        if operations(&open.writes) == 0 {
            return Ok(());
        }
        let answer = ours.get(self.answers.len()).copied().unwrap_or_default();
        self.answers.push(answer);
        match answer == digest(true) {
            true => Ok(()),
            false => write(&self.connection, &open.writes),
        }
    }

    fn finish(&mut self) -> Result<()> {
        let found = entries(&self.connection, &Walk::default())?;
        self.answers.push(digest(found));
        Ok(())
    }
}

impl OpenTransaction {
    fn step(&mut self, step: &Step, answers: &mut Vec<u64>) -> Result<()> {
        match step {
            Step::Write(_) if self.read_only => {}
            Step::Write(entries) => {
                write_all(&self.copy, entries)?;
                self.writes.extend_from_slice(entries);
            }
            Step::Get(key) => answers.push(digest(Some(get(&self.copy, key)?.as_deref()))),
            Step::GetMany(keys) => {
                let found: Result<Vec<_>> = keys.iter().map(|key| get(&self.copy, key)).collect();
                answers.push(digest(found?));
            }
            Step::Walk { walk, moves } => {
                let mut cursor = Cursor {
                    view: Rc::clone(&self.copy),
                    walk: walk.clone(),
                    keys: true,
                    values: true,
                    place: Place::New,
                };
                for step in moves {
                    answers.push(cursor.step(step)?);
                }
            }
            Step::Savepoint => {
                let name = format!("SAVEPOINT s{}", self.savepoints.len());
                self.copy.execute_batch(&name)?;
                self.savepoints.push(self.writes.len());
            }
            Step::RollbackTo(at) => {
                if !self.savepoints.is_empty() {
                    let at = at % self.savepoints.len();
                    self.copy.execute_batch(&format!("ROLLBACK TO s{at}"))?;
                    self.savepoints.truncate(at + 1);
                    self.writes.truncate(self.savepoints[at]);
                }
            }
        }
        Ok(())
    }
}

/// Writes the entries at once.
fn write(connection: &Connection, entries: &[Entry]) -> Result<()> {
    let transaction = connection.unchecked_transaction()?;
    write_all(&transaction, entries)?;
    transaction.commit()
}

fn write_all(connection: &Connection, entries: &[Entry]) -> Result<()> {
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?, ?)")?;
    let mut delete = connection.prepare_cached("DELETE FROM entries WHERE key = ?")?;
    let mut delete_range = connection.prepare_cached(
        "DELETE FROM entries WHERE (?1 IS NULL OR key >= ?1) AND (?2 IS NULL OR key < ?2)",
    )?;
    // SQLite's substr returns NULL for an empty key.
    let mut delete_prefix = connection.prepare_cached(
        "DELETE FROM entries WHERE length(?1) = 0 OR substr(key, 1, length(?1)) = ?1",
    )?;
    for entry in entries {
        match entry {
            Entry::Put(key, content) => put.execute(params![key, content.bytes()])?,
            Entry::Delete(key) => delete.execute([key])?,
            Entry::DeleteRange(start, end) => delete_range.execute(params![start, end])?,
            Entry::DeletePrefix(prefix) => delete_prefix.execute([prefix])?,
        };
    }
    Ok(())
}

/// A statement for the entries that `walk` shows on one side of a key, and its parameters.
fn select<'a>(
    connection: &'a Connection,
    walk: &'a Walk,
    side: Option<(Side, &'a [u8])>,
    descending: bool,
    limit: &str,
) -> Result<(CachedStatement<'a>, Vec<&'a [u8]>)> {
    let mut conditions = vec!["1"];
    let mut parameters: Vec<&[u8]> = Vec::new();
    if let Some(lower) = &walk.lower {
        conditions.push("key >= ?");
        parameters.push(lower);
    }
    if let Some(upper) = &walk.upper {
        conditions.push("key < ?");
        parameters.push(upper);
    }
    // Not for the empty prefix, which every key has: SQLite's substr returns NULL for an empty key, and NULL equals
    // nothing.
    if let Some(prefix) = walk.prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        conditions.push("substr(key, 1, length(?)) = ?");
        parameters.extend([&prefix[..], prefix]);
    }
    if let Some((side, key)) = side {
        conditions.push(match side {
            Side::Below => "key < ?",
            Side::UpTo => "key <= ?",
            Side::From => "key >= ?",
            Side::Above => "key > ?",
        });
        parameters.push(key);
    }
    let order = if descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT key, value FROM entries WHERE {} ORDER BY key {order} {limit}",
        conditions.join(" AND ")
    );
    Ok((connection.prepare_cached(&sql)?, parameters))
}

fn entries(connection: &Connection, walk: &Walk) -> Result<Vec<Pair>> {
    let (mut statement, parameters) = select(connection, walk, None, walk.reverse, "")?;
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), pair)?;
    rows.collect()
}

impl Cursor {
    /// The first entry of one side, upwards or downwards in key order.
    fn find(&self, side: Option<(Side, &[u8])>, descending: bool) -> Result<Option<Pair>> {
        let (mut statement, parameters) =
            select(&self.view, &self.walk, side, descending, "LIMIT 1")?;
        statement
            .query_row(rusqlite::params_from_iter(parameters), pair)
            .optional()
    }

    /// The next entry in walking order on this side of where `side` says for an ascending walk.
    fn ahead(&mut self, side: Option<(Side, &[u8])>) -> Result<()> {
        let found = self.find(side.map(|side| self.turned(side)), self.walk.reverse)?;
        self.place = found.map_or(Place::Behind, Place::At);
        Ok(())
    }

    fn back(&mut self, side: Option<(Side, &[u8])>) -> Result<()> {
        let found = self.find(side.map(|side| self.turned(side)), !self.walk.reverse)?;
        self.place = found.map_or(Place::Before, Place::At);
        Ok(())
    }

    /// The side of an ascending walk, translated to this walk's direction.
    fn turned<'a>(&self, (side, key): (Side, &'a [u8])) -> (Side, &'a [u8]) {
        let side = match (self.walk.reverse, side) {
            (false, side) => side,
            (true, Side::Below) => Side::Above,
            (true, Side::UpTo) => Side::From,
            (true, Side::From) => Side::UpTo,
            (true, Side::Above) => Side::Below,
        };
        (side, key)
    }

    fn next(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.place, Place::Behind) {
            Place::New | Place::Before => self.ahead(None),
            Place::At((key, _)) => self.ahead(Some((Side::Above, &key))),
            Place::Behind => Ok(()),
        }
    }

    fn prev(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.place, Place::Before) {
            Place::New | Place::Behind => self.back(None),
            Place::At((key, _)) => self.back(Some((Side::Below, &key))),
            Place::Before => Ok(()),
        }
    }

    /// A digest of its place, as far as it shows keys and values.
    fn shown(&self) -> Option<Pair> {
        let Place::At((key, value)) = &self.place else {
            return None;
        };
        let part = |is_shown: bool, bytes: &Vec<u8>| match is_shown {
            true => bytes.clone(),
            false => Vec::new(),
        };
        Some((part(self.keys, key), part(self.values, value)))
    }

    /// Moves it. Returns a digest of what it shows then.
    fn step(&mut self, step: &Move) -> Result<u64> {
        match step {
            Move::First => self.ahead(None)?,
            Move::Last => self.back(None)?,
            Move::Seek(key) => self.ahead(Some((Side::From, key)))?,
            Move::SeekForPrev(key) => self.back(Some((Side::UpTo, key)))?,
            Move::Next => self.next()?,
            Move::Prev => self.prev()?,
            Move::Chunk(most) => {
                if matches!(self.place, Place::New) {
                    self.ahead(None)?;
                }
                let mut chunk = Vec::new();
                while chunk.len() < *most
                    && let Some(entry) = self.shown()
                {
                    chunk.push(entry);
                    self.next()?;
                }
                return Ok(digest(chunk));
            }
        }
        Ok(digest(self.shown()))
    }
}
