//! Hundreds of lives of a writer, each ended by SIGKILL at a random moment.
//!
//! The writer reports acknowledgements through a pipe, which outlives it. After each death the database has every
//! acknowledged batch and at most one more of each writer; its contents are exactly those after that many batches, so
//! no batch is halved and no deleted entry is back. A finished checkpoint opens and holds such a state too; an
//! unfinished one either does not open, or holds one. Between the lives the wall clock and the files' times jump.
//!
//! A story's seed decides everything except the exact moment of the kill, which a rerun can only approximate.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aidb::{DB, ErrorKind, Options};
use aidb_tests::work::{self, Written};
use aidb_tests::{Budget, Random, Violations, options, tell_figures};

use crate::role::{Role, kill};

const NAME: &str = "killed_writers_keep_every_acknowledged_write";
/// Lives of one database.
const LIVES: u64 = 40;
/// The fewest lives of a run: a slow machine takes longer for them.
const MIN_LIVES: u64 = 200;
/// At least one death in this many falls inside open. Two kills in five are aimed there.
const LIVES_PER_OPEN: u64 = 10;
/// How many databases are written and killed at the same time.
const STORIES_AT_ONCE: u64 = 6;
/// A life that is not killed by then hangs.
const MAX_LIFE: Duration = Duration::from_secs(60);

/// Every place in which a death must occur, at least once in a run.
const PLACES: [&str; 6] = [
    "open",
    "flush",
    "compact",
    "checkpoint",
    "close",
    "unfinished tables left",
];
/// Everything else that must happen.
const EVENTS: [&str; 5] = [
    "clock set back",
    "clock set forward",
    "file times changed",
    "whole checkpoints",
    "checks",
];

#[derive(Default)]
struct Tally {
    lives: u64,
    acknowledged: u64,
    counts: BTreeMap<&'static str, u64>,
    violations: Violations,
}

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Whether the run needs no more lives.
    fn is_enough(&self, budget: &Budget) -> bool {
        self.violations.count() > 0 || budget.is_spent() && self.lives >= MIN_LIVES
    }
}

#[test]
fn killed_writers_keep_every_acknowledged_write() {
    let budget = Budget::new("system", NAME);
    let tally = Mutex::new(Tally::default());
    let stories = AtomicU64::new(0);
    // A life waits for the disk most of the time.
    std::thread::scope(|scope| {
        for _ in 0..STORIES_AT_ONCE {
            scope.spawn(|| {
                while !tally.lock().unwrap().is_enough(&budget) {
                    let number = stories.fetch_add(1, Ordering::Relaxed);
                    Story::new(budget.seed.wrapping_add(number)).tell(&budget, &tally);
                }
            });
        }
    });
    let (stories, tally) = (stories.into_inner(), tally.into_inner().unwrap());
    println!(
        "lives: {stories} databases, {} lives, {} batches acknowledged, {:?}, {} violations",
        tally.lives,
        tally.acknowledged,
        tally.counts,
        tally.violations.count()
    );
    let count = |what| tally.counts.get(what).copied().unwrap_or_default();
    tell_figures(
        "lives",
        &[
            ("histories", stories),
            ("points", tally.lives),
            ("states", count("checks") + count("whole checkpoints")),
            ("faults", tally.lives),
            ("violations", tally.violations.count()),
        ],
    );
    assert_eq!(tally.violations.count(), 0, "{}", tally.violations.first());
    let in_open = count("open");
    assert!(
        in_open >= tally.lives / LIVES_PER_OPEN,
        "only {in_open} of {} deaths inside open",
        tally.lives
    );
    let clocks = if cfg!(target_os = "linux") { 0 } else { 2 };
    for what in PLACES.iter().chain(&EVENTS[clocks..]) {
        assert!(tally.counts.contains_key(what), "{what} never happened");
    }
}

/// The moment of the kill: `delay` after the line with this beginning has come `times` times.
struct Moment {
    behind: &'static str,
    times: u64,
    delay: Duration,
}

/// The reports of a life.
#[derive(Default)]
struct Heard {
    /// Whether the writer is opening the database, and whether it is closing it.
    is_opening: bool,
    is_closing: bool,
    /// The current call other than a write.
    begun: String,
    opened_in: Vec<Duration>,
    /// Checkpoints that the writer began: the name, the batches acknowledged before, and whether it finished.
    copies: Vec<(String, Vec<u64>, bool)>,
}

/// One database and its writers.
struct Story {
    seed: u64,
    random: Random,
    dir: tempfile::TempDir,
    options: Options,
    writers: u64,
    /// How many batches of each writer were acknowledged, or found by an open.
    acknowledged: Vec<u64>,
    models: Vec<Written>,
    /// How many seconds the last life's clock was ahead.
    clock: i64,
    /// How long an open takes, to aim a kill inside one.
    open_time: Duration,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut random = Random::new(seed);
        let writers = *random.pick(&[1, 1, 3]);
        Story {
            seed,
            // Every other database is in memory, where lives are shorter and kills fall between other system calls.
            dir: crate::directory_in(seed.is_multiple_of(2)),
            options: options(&mut Random::new(seed)),
            writers,
            acknowledged: vec![0; writers as usize],
            models: (0..writers)
                .map(|writer| Written::new(seed, writer))
                .collect(),
            clock: 0,
            open_time: Duration::from_millis(20),
            random,
        }
    }

    fn tell(&mut self, budget: &Budget, tally: &Mutex<Tally>) {
        for life in 0..LIVES {
            if tally.lock().unwrap().is_enough(budget) {
                return;
            }
            let mut own = Tally::default();
            let outcome = self.live(life, &mut own);
            let mut tally = tally.lock().unwrap();
            tally.lives += 1;
            tally.acknowledged += own.acknowledged;
            for (what, count) in own.counts {
                *tally.counts.entry(what).or_default() += count;
            }
            if let Err(what) = outcome {
                let place = format!("seed {:#x} life {life}", self.seed);
                tally.violations.add(&place, &what);
            }
        }
    }

    fn live(&mut self, life: u64, tally: &mut Tally) -> Result<(), String> {
        let before: u64 = self.acknowledged.iter().sum();
        let heard = self.run_until_killed(life, tally)?;
        tally.acknowledged += self.acknowledged.iter().sum::<u64>() - before;
        if !heard.opened_in.is_empty() {
            // The longest, so that kills fall near the end too.
            self.open_time = heard.opened_in.iter().max().copied().unwrap_or_default();
        }
        tally.count(heard.place());
        self.check(tally)?;
        self.check_copies(&heard, tally)?;
        self.change_times(tally);
        Ok(())
    }

    /// One life, from its start to its death.
    fn run_until_killed(&mut self, life: u64, tally: &mut Tally) -> Result<Heard, String> {
        let clock = match self.random.below(4) {
            0 => self.clock,
            1 => -(self.random.below(60 * 365 * 86_400) as i64),
            2 => self.random.below(60 * 365 * 86_400) as i64,
            _ => self.clock - self.random.below(7200) as i64,
        };
        let moment = self.moment();
        let dir = self.dir.path().join("db").display().to_string();
        let arguments = [
            dir,
            self.seed.to_string(),
            self.writers.to_string(),
            life.to_string(),
            clock.to_string(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut role = Role::start("writer", &arguments);
        let pid = role.id();
        let mut heard = Heard::default();
        let (strike, struck) = std::sync::mpsc::channel::<Duration>();
        let mut strike = Some(strike);
        let mut left = moment.times;
        let started = Instant::now();
        let (outcome, is_struck) = std::thread::scope(|scope| {
            scope.spawn(move || {
                // The delay is the random moment; nobody waits for an event here.
                std::thread::sleep(struck.recv_timeout(MAX_LIFE).unwrap_or_default());
                kill(pid);
            });
            if moment.behind.is_empty() {
                // From the start of the process, not from any line.
                let _ = strike.take().map(|strike| strike.send(moment.delay));
            }
            let mut opening = Instant::now();
            let mut outcome = Ok(());
            while let (Some(line), Ok(())) = (role.hear(), &outcome) {
                if line == "opening" {
                    opening = Instant::now();
                } else if line.starts_with("open ") {
                    heard.opened_in.push(opening.elapsed());
                }
                if line.starts_with(moment.behind) {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        let _ = strike.take().map(|strike| strike.send(moment.delay));
                    }
                }
                outcome = self.note(&line, &mut heard, clock, tally);
            }
            // A process that has not been killed yet is killed now, whatever is wrong.
            (outcome, strike.take().is_none())
        });
        role.wait();
        outcome?;
        if started.elapsed() >= MAX_LIFE {
            return Err(format!("it hangs: {}", heard.place()));
        }
        if !is_struck {
            return Err(format!("it ended before the kill: {}", heard.place()));
        }
        Ok(heard)
    }

    fn moment(&mut self) -> Moment {
        let random = &mut self.random;
        let (behind, times, micros) = match random.below(20) {
            0 => ("", 1, 10_000),
            1..=6 => ("opening", 1, self.open_time.as_micros() as u64 * 5 / 4),
            7..=8 => ("opening", 2, self.open_time.as_micros() as u64 * 5 / 4),
            9 => ("begin flush", 1 + random.below(3), 3_000),
            10 => ("begin compact", 1 + random.below(3), 6_000),
            11..=12 => ("begin copy", 1, 6_000),
            13..=14 => ("closing", 1, 3_000),
            _ => ("did ", 1 + random.below(300), 300),
        };
        Moment {
            behind,
            times,
            delay: Duration::from_micros(random.below(micros + 1)),
        }
    }

    /// Records one line.
    fn note(
        &mut self,
        line: &str,
        heard: &mut Heard,
        clock: i64,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "clock" => self.note_clock(rest, clock, tally),
            "opening" => heard.is_opening = true,
            "open" => {
                heard.is_opening = false;
                let counts = rest.split(' ').map(|count| count.parse::<u64>().unwrap());
                for (writer, found) in counts.enumerate() {
                    self.found(writer, found)?;
                }
            }
            "did" => {
                let (writer, number) = rest.split_once(' ').unwrap();
                let (writer, number): (usize, u64) =
                    (writer.parse().unwrap(), number.parse().unwrap());
                assert_eq!(number, self.acknowledged[writer], "in order");
                self.acknowledged[writer] = number + 1;
            }
            "begin" => {
                heard.begun = rest.to_string();
                if rest.starts_with("copy") {
                    let before = self.acknowledged.clone();
                    heard.copies.push((rest.to_string(), before, false));
                }
            }
            "end" => {
                heard.begun.clear();
                if let Some(copy) = heard.copies.iter_mut().find(|copy| copy.0 == rest) {
                    copy.2 = true;
                }
            }
            "closing" => heard.is_closing = true,
            "closed" => heard.is_closing = false,
            _ => return Err(format!("it said {line:?}")),
        }
        Ok(())
    }

    /// Counts only a clock that was really set.
    fn note_clock(&mut self, said: &str, clock: i64, tally: &mut Tally) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ahead = said.parse::<i64>().unwrap() - now.unwrap().as_secs() as i64;
        if (ahead - clock).abs() <= 2 && (ahead - self.clock).abs() > 2 {
            tally.count(match ahead < self.clock {
                true => "clock set back",
                false => "clock set forward",
            });
        }
        self.clock = ahead;
    }

    /// `found` batches of `writer` are there: all acknowledged ones, and at most one that was in flight.
    fn found(&mut self, writer: usize, found: u64) -> Result<(), String> {
        let acknowledged = self.acknowledged[writer];
        if found != acknowledged && found != acknowledged + 1 {
            return Err(format!(
                "writer {writer}: {acknowledged} batches were acknowledged, {found} are there"
            ));
        }
        // An open that reports batches promises to keep them.
        self.acknowledged[writer] = found;
        Ok(())
    }

    /// Examines the state after the death in one of several ways, or leaves that to the next life.
    fn check(&mut self, tally: &mut Tally) -> Result<(), String> {
        let dir = self.dir.path().join("db");
        if self.acknowledged.iter().all(|&count| count == 0) && !dir.join("CURRENT").exists() {
            return Ok(());
        }
        let at = |what: &str, error: aidb::Error| format!("{what}: {error}");
        match self.random.below(4) {
            0 => return Ok(()),
            1 => {
                let options = self.options.clone().read_only(true);
                let db = DB::open(&dir, options).map_err(|error| at("read-only open", error))?;
                self.compare(&db)?;
                let live: u64 = db.stats().unwrap().levels.iter().map(|l| l.tables).sum();
                if files(&dir, ".sst") > live {
                    tally.count("unfinished tables left");
                }
            }
            2 => {
                let copy = self.dir.path().join("examined");
                copy_files(&dir, &copy);
                let db = DB::open(&copy, self.options.clone()).map_err(|e| at("open", e))?;
                self.compare(&db)?;
                let report = db.verify().map_err(|error| at("verify", error))?;
                if !report.is_ok() {
                    return Err(format!("verify: {:?}", report.damage));
                }
                db.put(b"\xffprobe", b"1").map_err(|e| at("put", e))?;
                db.close().map_err(|error| at("close", error))?;
                let db = DB::open(&copy, self.options.clone()).map_err(|e| at("reopen", e))?;
                self.compare(&db)?;
                drop(db);
                fs::remove_dir_all(&copy).unwrap();
            }
            _ => {
                let db = DB::open(&dir, self.options.clone()).map_err(|e| at("open", e))?;
                self.compare(&db)?;
                if self.random.one_in(2) {
                    db.close().map_err(|error| at("close", error))?;
                }
            }
        }
        tally.count("checks");
        Ok(())
    }

    /// Checks that `db` holds the acknowledged batches and only batches in their order.
    fn compare(&mut self, db: &DB) -> Result<(), String> {
        for writer in 0..self.writers {
            let found = work::held(db, writer).map_err(|error| format!("get: {error}"))?;
            self.found(writer as usize, found)?;
            let model = &mut self.models[writer as usize];
            model.go_to(found);
            model.compare(db)?;
        }
        Ok(())
    }

    fn check_copies(&mut self, heard: &Heard, tally: &mut Tally) -> Result<(), String> {
        for (name, before, ended) in &heard.copies {
            let dir = self.dir.path().join(name);
            let options = self.options.clone().create_if_missing(false);
            match DB::open(&dir, options) {
                Ok(db) => {
                    for writer in 0..self.writers {
                        let index = writer as usize;
                        let found = work::held(&db, writer).map_err(|error| error.to_string())?;
                        if !(before[index]..=self.acknowledged[index] + 1).contains(&found) {
                            return Err(format!(
                                "{name}, writer {writer}: {} batches were acknowledged before it, {found} are there",
                                before[index]
                            ));
                        }
                        let mut model = self.models[index].clone();
                        model.go_to(found);
                        model
                            .compare(&db)
                            .map_err(|what| format!("{name}: {what}"))?;
                    }
                    tally.count("whole checkpoints");
                }
                Err(error) if *ended => return Err(format!("{name} does not open: {error}")),
                Err(error) => {
                    let kind = error.kind();
                    if !matches!(kind, ErrorKind::InvalidArgument | ErrorKind::Corruption) {
                        return Err(format!("{name}, which is unfinished: {error}"));
                    }
                    tally.count("half checkpoints");
                }
            }
            let _ = fs::remove_dir_all(&dir);
        }
        Ok(())
    }

    /// Moves the times of all files back or forward, as a clock that jumps or a restored backup does.
    fn change_times(&mut self, tally: &mut Tally) {
        let Ok(entries) = fs::read_dir(self.dir.path().join("db")) else {
            return;
        };
        for entry in entries {
            let shift = Duration::from_secs(self.random.below(1 << 30));
            let time = match self.random.below(4) {
                0 => SystemTime::now() + shift,
                1 => SystemTime::now() - shift,
                _ => continue,
            };
            let file = fs::File::open(entry.unwrap().path()).unwrap();
            file.set_modified(time).unwrap();
            tally.count("file times changed");
        }
    }
}

impl Heard {
    /// The place of the death.
    fn place(&self) -> &'static str {
        match &self.begun[..] {
            _ if self.is_opening => "open",
            _ if self.is_closing => "close",
            "" if self.opened_in.is_empty() => "before open",
            "" => "writing",
            "flush" => "flush",
            "compact" => "compact",
            "sync" => "sync",
            "walk" => "walk",
            _ => "checkpoint",
        }
    }
}

fn files(dir: &Path, end: &str) -> u64 {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(end))
        .count() as u64
}

fn copy_files(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
