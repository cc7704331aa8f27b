//! The questions that a damaged database is asked, and its permitted answers: the right one, or an error that names a
//! file and a byte in it.
//!
//! Every examination opens the database and reads: every key and some absent keys, alone and many at once, whole walks,
//! bounded walks, seeks. Then it does one [`Deed`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aidb::env::{Env, MemEnv};
use aidb::{Cursor, DB, Error, ErrorKind, IterOptions, Loss, Options, RepairReport};
use aidb_tests::history::{Possible, contents, get_differs, gets_differ, mark_of};
use aidb_tests::{Model, ModelCursor, Random, Walk, shown};

use crate::story::DIR;
use crate::subject::{Subject, bytes_of};

/// All kinds of files that a database needs.
pub const FILES: [&str; 4] = [".sst", ".log", "MANIFEST-", "CURRENT"];

/// Where a checkpoint and a repair put the new database.
const NEW: &str = "/home/new";

/// What the examination does with a damaged database besides reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Opens it read-only and reads.
    Look,
    /// Opens it read-only and verifies.
    VerifyReadOnly,
    /// Writes, and opens it again.
    Write,
    Flush,
    Compact,
    Verify,
    Checkpoint,
    /// Repairs it before opening it.
    Repair,
}

impl Deed {
    /// Picks the expensive ones more rarely.
    pub fn pick(random: &mut Random) -> Deed {
        match random.below(20) {
            0..=1 => Deed::Look,
            2 => Deed::VerifyReadOnly,
            3..=8 => Deed::Write,
            9..=10 => Deed::Flush,
            11..=12 => Deed::Compact,
            13..=15 => Deed::Verify,
            16..=17 => Deed::Checkpoint,
            _ => Deed::Repair,
        }
    }

    fn is_read_only(self) -> bool {
        matches!(self, Deed::Look | Deed::VerifyReadOnly)
    }
}

/// The outcomes of the deeds, and how often each occurred.
pub type Counts = BTreeMap<&'static str, u64>;

/// Outcomes that a run must have seen.
pub const OUTCOMES: [&str; 11] = [
    "read",
    "written",
    "flushed",
    "compacted",
    "compaction refused",
    "verified",
    "verify found it",
    "copied",
    "copied with the damage",
    "repaired",
    "repaired with losses",
];

/// One damage, and its permitted outcomes.
pub struct Examination<'a> {
    pub subject: &'a Subject,
    pub mem: &'a MemEnv,
    /// The files that differ from the originals.
    pub touched: Vec<String>,
    /// The damage touches nothing that the database needs.
    pub is_intact: bool,
    /// The first state that the database may show without an error.
    pub floor: usize,
    /// A log of the other database is in the directory: repair may salvage that log too, but must report it.
    pub has_other_log: bool,
    pub counts: &'a mut Counts,
    pub random: &'a mut Random,
}

impl Examination<'_> {
    fn options(&self) -> Options {
        let env = Arc::new(self.mem.clone());
        self.subject.options.clone().env(env)
    }

    fn count(&mut self, outcome: &'static str) {
        *self.counts.entry(outcome).or_default() += 1;
    }

    /// Whether an error reported the damage. Errors: the violation, in words.
    pub fn run(&mut self, deed: Deed) -> Result<bool, String> {
        if deed == Deed::Repair {
            self.repair()?;
        }
        let options = self.options().read_only(deed.is_read_only());
        let db = match DB::open(DIR, options) {
            Ok(db) => db,
            // A log under a false number gets in the way, though nobody needs it.
            Err(error)
                if self.is_intact && !self.touched.iter().any(|name| name.ends_with(".log")) =>
            {
                return Err(format!("nothing is damaged: {error}"));
            }
            Err(error) => return proper(&error).map(|()| true),
        };
        let possible = &self.subject.possible;
        let index = match mark_of(&db) {
            Ok(mark) => possible
                .marked(mark)
                .ok_or_else(|| format!("write {mark} was never made"))?,
            Err(error) => proper(&error).map(|()| possible.last())?,
        };
        if index < self.floor {
            return Err(format!(
                "answers as after write {index} of {} without an error",
                possible.last()
            ));
        }
        let state = Model::clone(&possible.state(index).model);
        let mut before = self.answers(&db, &state)?;
        before.hides_damage = before.is_whole && self.hides_damage(&db)?;
        if self.is_intact && !before.is_whole {
            return Err("nothing is damaged, and it answers an error".to_string());
        }
        match deed {
            Deed::Look | Deed::Repair => self.count("read"),
            Deed::Write if !before.is_whole => {}
            Deed::Write => {
                let state = self.probe(&db, state)?;
                drop(db);
                self.reopen(&state, &before)?;
                self.count("written");
            }
            Deed::Flush | Deed::Compact => self.rewrite(db, state, &before, deed)?,
            Deed::Verify | Deed::VerifyReadOnly => self.verify(&db, &before)?,
            Deed::Checkpoint => self.checkpoint(&db, &state, &before)?,
        }
        Ok(!before.is_whole)
    }

    /// Whether a table is damaged where readers pass over it, because range deletes cover its entries. Whoever rewrites
    /// it finds the damage, and so may a reader after that.
    fn hides_damage(&self, db: &DB) -> Result<bool, String> {
        if !self.touched.iter().any(|name| name.ends_with(".sst")) {
            return Ok(false);
        }
        let report = db.verify().map_err(|error| format!("verify: {error}"))?;
        let is_table = |path: &PathBuf| path.extension().is_some_and(|name| name == "sst");
        Ok(report.damage.iter().any(|one| is_table(&one.file)))
    }

    /// Writes a key that no story writes; the database must then hold `state` and this key.
    fn probe(&self, db: &DB, mut state: Model) -> Result<Model, String> {
        db.put(b"probe", b"1")
            .map_err(|error| format!("put: {error}"))?;
        state.put(b"probe", b"1");
        Ok(state)
    }

    /// A database that could be opened opens again, and shows no less.
    fn reopen(&mut self, state: &Model, before: &Answers) -> Result<(), String> {
        let db = DB::open(DIR, self.options()).map_err(|error| format!("opened again: {error}"))?;
        self.answers_no_less(&db, state, before)
    }

    fn answers_no_less(&mut self, db: &DB, state: &Model, before: &Answers) -> Result<(), String> {
        let after = self.answers(db, state)?;
        if before.must_stay_whole() && !after.is_whole {
            return Err("an undamaged database answers an error".to_string());
        }
        match after.unread.difference(&before.unread).next() {
            Some(key) => Err(format!("{} cannot be read any more", shown(key))),
            None => Ok(()),
        }
    }

    /// A flush or a compaction works, or fails and costs nothing.
    fn rewrite(
        &mut self,
        db: DB,
        state: Model,
        before: &Answers,
        deed: Deed,
    ) -> Result<(), String> {
        let state = match self.probe(&db, state) {
            Ok(state) => state,
            // A writer may have to wait for a compaction, which finds the damage.
            Err(_) if !before.must_stay_whole() => return Ok(()),
            Err(what) => return Err(what),
        };
        let outcome = match deed {
            Deed::Flush => db.flush(),
            _ => db.compact_range(None, None),
        };
        match (&outcome, deed) {
            (Ok(()), Deed::Flush) => self.count("flushed"),
            (Ok(()), _) => self.count("compacted"),
            (Err(error), _) if before.must_stay_whole() => {
                return Err(format!("{deed:?}: {error}"));
            }
            (Err(error), _) => {
                proper(error).map_err(|what| format!("{deed:?} {what}"))?;
                self.count("compaction refused");
            }
        }
        let about = |what: String| format!("after {deed:?} ({}): {what}", outcome.is_ok());
        self.answers_no_less(&db, &state, before).map_err(about)?;
        drop(db);
        self.reopen(&state, before).map_err(about)
    }

    /// Verification reports what reads found, in a file that differs from the original; it reports nothing else.
    fn verify(&mut self, db: &DB, before: &Answers) -> Result<(), String> {
        let report = db.verify().map_err(|error| format!("verify: {error}"))?;
        if !report.is_complete || report.damaged_places < report.damage.len() as u64 {
            return Err(format!("verify reports nonsense: {}", report.to_json()));
        }
        if report.is_ok() {
            self.count("verified");
            return match before.is_whole {
                true => Ok(()),
                false => Err("reads met damage that verify does not find".to_string()),
            };
        }
        self.count("verify found it");
        let is_touched = |path: &PathBuf| self.touched.iter().any(|name| path.ends_with(name));
        match report.damage.iter().find(|one| !is_touched(&one.file)) {
            _ if self.is_intact => Err(format!("verify finds {}", report.to_json())),
            Some(other) => Err(format!(
                "verify accuses {}: {}",
                other.file.display(),
                other.message
            )),
            None => Ok(()),
        }
    }

    /// A copy shows what its source shows, or the checkpoint fails.
    fn checkpoint(&mut self, db: &DB, state: &Model, before: &Answers) -> Result<(), String> {
        let about = |what: String| format!("checkpoint: {what}");
        let refused = match db.checkpoint(NEW) {
            Ok(()) => match DB::open(NEW, self.options().create_if_missing(false)) {
                Ok(copy) => {
                    self.answers_no_less(&copy, state, before).map_err(about)?;
                    self.count(match before.is_whole {
                        true => "copied",
                        false => "copied with the damage",
                    });
                    return self.answers_no_less(db, state, before).map_err(about);
                }
                Err(error) => error,
            },
            Err(error) => {
                if DB::open(NEW, self.options().create_if_missing(false)).is_ok() {
                    return Err("the rest of a failed checkpoint opens".to_string());
                }
                error
            }
        };
        if before.must_stay_whole() {
            return Err(about(refused.to_string()));
        }
        proper(&refused).map_err(about)?;
        self.answers_no_less(db, state, before).map_err(about)
    }

    /// Repair changes nothing in the damaged directory, invents no value, and reports what it could not save.
    fn repair(&mut self) -> Result<(), String> {
        let about = |what: String| format!("repair: {what}");
        let found = files_of(self.mem);
        let report = DB::repair(DIR, NEW, &self.options());
        let report = report.map_err(|error| about(error.to_string()))?;
        if files_of(self.mem) != found {
            return Err(about("the damaged directory has changed".to_string()));
        }
        let db = DB::open(NEW, self.options()).map_err(|error| about(error.to_string()))?;
        let verified = db.verify().map_err(|error| about(error.to_string()))?;
        if !verified.is_ok() {
            return Err(about(verified.to_json()));
        }
        let salvaged = contents(&db).map_err(|error| about(error.to_string()))?;
        self.count(match report.is_ok() {
            true => "repaired",
            false => "repaired with losses",
        });
        if self.is_intact && !report.is_ok() {
            return Err(about(format!("nothing is damaged: {}", report.to_json())));
        }
        self.compare_salvaged(&salvaged, &report).map_err(about)
    }

    /// The repaired database shows a permitted state, or `report` covers every difference by a loss.
    fn compare_salvaged(&self, salvaged: &Model, report: &RepairReport) -> Result<(), String> {
        let possible = &self.subject.possible;
        let mut states = possible.states()[self.floor..].iter();
        if states.any(|state| *state.model == *salvaged) {
            return Ok(());
        }
        let others = self.has_other_log.then_some(&self.subject.others);
        let was = |key: &[u8], value: &[u8]| {
            had(possible, key, value) || others.is_some_and(|one| had(one, key, value))
        };
        if let Some((key, _)) = salvaged.iter().find(|(key, value)| !was(key, value)) {
            return Err(format!("{} is invented", shown(key)));
        }
        let last = possible.now();
        let is_told = |key: &[u8]| match self.has_other_log {
            // This loss may concern any key.
            true => !report.is_ok(),
            false => report.lost.iter().any(|loss| covers(loss, key)),
        };
        let is_newest = |key: &[u8]| salvaged.get(key) == last.get(key);
        let mut keys = salvaged.iter().chain(last.iter()).map(|(key, _)| key);
        match keys.find(|key| !is_newest(key) && !is_told(key)) {
            Some(key) => Err(format!(
                "{} differs, and no loss covers it: {}",
                shown(key),
                report.to_json()
            )),
            None => Ok(()),
        }
    }

    /// Compares every answer of `db` with `model`.
    fn answers(&mut self, db: &DB, model: &Model) -> Result<Answers, String> {
        let mut answers = Answers::default();
        for (key, _) in model.iter() {
            if answers.take(get_differs(db, model, key))? {
                answers.unread.insert(key.to_vec());
            }
        }
        answers.is_whole = answers.unread.is_empty();
        let mut keys: Vec<Vec<u8>> = (0..12).map(|_| self.random.key()).collect();
        for key in &keys {
            answers.take(get_differs(db, model, key))?;
        }
        keys.extend(model.iter().map(|(key, _)| key.to_vec()));
        for _ in 0..4 {
            let keys: Vec<Vec<u8>> = (0..8).map(|_| self.random.pick(&keys).clone()).collect();
            answers.take(gets_differ(db, model, &keys))?;
        }
        for reverse in [false, true] {
            let walk = Walk {
                reverse,
                ..Walk::default()
            };
            self.walk(db, model, &walk, &mut answers)?;
        }
        for _ in 0..3 {
            let bound = |random: &mut Random| random.one_in(2).then(|| random.key());
            let walk = Walk {
                lower: bound(self.random),
                upper: bound(self.random),
                prefix: self.random.one_in(3).then(|| {
                    let mut prefix = self.random.key();
                    prefix.truncate(2);
                    prefix
                }),
                reverse: self.random.one_in(2),
            };
            self.walk(db, model, &walk, &mut answers)?;
            self.seeks(db, model, &walk, &mut answers)?;
        }
        Ok(answers)
    }

    /// A whole walk shows the right entries.
    fn walk(
        &self,
        db: &DB,
        model: &Model,
        walk: &Walk,
        answers: &mut Answers,
    ) -> Result<(), String> {
        let mut expected = ModelCursor::new(model, walk);
        let mut cursor = match db.cursor(options_of(walk)) {
            Ok(cursor) => cursor,
            Err(error) => return answers.note(&error),
        };
        expected.first();
        let mut moved = cursor.first();
        loop {
            if let Err(error) = moved {
                return answers.note(&error);
            }
            if !agree(&cursor, &expected) {
                return Err(differs("walk", walk, &cursor, &expected));
            }
            if !cursor.valid() {
                return cursor.status().or_else(|error| answers.note(&error));
            }
            expected.next();
            moved = cursor.next();
        }
    }

    /// Seeks land at the right entry, and so do steps from there.
    fn seeks(
        &mut self,
        db: &DB,
        model: &Model,
        walk: &Walk,
        answers: &mut Answers,
    ) -> Result<(), String> {
        let mut expected = ModelCursor::new(model, walk);
        let mut cursor = match db.cursor(options_of(walk)) {
            Ok(cursor) => cursor,
            Err(error) => return answers.note(&error),
        };
        for _ in 0..12 {
            let key = self.random.key();
            let moved = match self.random.below(6) {
                0..=1 => {
                    expected.seek(&key);
                    cursor.seek(&key)
                }
                2 => {
                    expected.seek_for_prev(&key);
                    cursor.seek_for_prev(&key)
                }
                3 => {
                    expected.last();
                    cursor.last()
                }
                4 => {
                    expected.next();
                    cursor.next()
                }
                _ => {
                    expected.prev();
                    cursor.prev()
                }
            };
            match moved {
                Err(error) => return answers.note(&error),
                Ok(_) if agree(&cursor, &expected) => {}
                Ok(_) => return Err(differs("seek", walk, &cursor, &expected)),
            }
        }
        Ok(())
    }
}

/// The result of reading everything.
#[derive(Default)]
struct Answers {
    /// Keys that are present and whose read failed.
    unread: BTreeSet<Vec<u8>>,
    /// No read failed.
    is_whole: bool,
    /// It is, but only because readers pass over the damage.
    hides_damage: bool,
}

impl Answers {
    /// Whether nothing may fail that works on the database.
    fn must_stay_whole(&self) -> bool {
        self.is_whole && !self.hides_damage
    }

    /// Records the answer to a read. Returns whether it was an error.
    fn take(&mut self, read: aidb::Result<Option<String>>) -> Result<bool, String> {
        match read {
            Ok(None) => Ok(false),
            Ok(Some(what)) => Err(what),
            Err(error) => self.note(&error).map(|()| true),
        }
    }

    fn note(&mut self, error: &Error) -> Result<(), String> {
        self.is_whole = false;
        proper(error)
    }
}

fn options_of(walk: &Walk) -> IterOptions {
    IterOptions::new()
        .lower_bound(walk.lower.clone())
        .upper_bound(walk.upper.clone())
        .prefix(walk.prefix.clone())
        .reverse(walk.reverse)
}

fn agree(cursor: &Cursor, expected: &ModelCursor) -> bool {
    match expected.entry() {
        Some((key, value)) => cursor.valid() && cursor.key() == key && cursor.value() == value,
        None => !cursor.valid(),
    }
}

fn differs(what: &str, walk: &Walk, cursor: &Cursor, expected: &ModelCursor) -> String {
    let found = cursor.valid().then(|| shown(cursor.key()));
    let expected = expected.entry().map(|(key, _)| shown(key));
    format!("the {what} shows {found:?} instead of {expected:?} in {walk:?}")
}

/// Whether `key` ever had `value`.
fn had(possible: &Possible, key: &[u8], value: &[u8]) -> bool {
    let mut states = possible.states().iter();
    states.any(|state| state.model.get(key) == Some(value))
}

fn covers(loss: &Loss, key: &[u8]) -> bool {
    loss.smallest_key
        .as_deref()
        .is_none_or(|smallest| smallest <= key)
        && loss
            .largest_key
            .as_deref()
            .is_none_or(|largest| key <= largest)
}

fn files_of(mem: &MemEnv) -> BTreeMap<String, Vec<u8>> {
    let names = mem.list(Path::new(DIR)).unwrap().into_iter();
    names
        .map(|name| (name.clone(), bytes_of(mem, &name)))
        .collect()
}

/// Whether damage may cause `error`: it names a file and a place in it.
fn proper(error: &Error) -> Result<(), String> {
    let message = error.message();
    let names_file = FILES.iter().any(|part| message.contains(part));
    if error.kind() == ErrorKind::Corruption && names_file && message.contains("at byte") {
        return Ok(());
    }
    Err(format!("answers {error}"))
}
