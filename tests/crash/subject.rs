//! A closed database, what it must answer, and its files of earlier moments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aidb::env::{Call, Env, Fault, FaultEnv, MemEnv, PathKind};
use aidb::{DB, Options};
use aidb_tests::history::{End, Marked, Operation, Possible};
use aidb_tests::{Random, options};

use crate::story::{DIR, Story};

/// Length of a log's header.
const LOG_HEADER: u64 = 64;

/// Steps in the life of a database, and in the life of the other one.
const STEPS: usize = 150;
const OTHER_STEPS: usize = 15;

/// File ids are random numbers, which files in memory draw from a fixed seed. The other database skips this many.
const OTHER_IDS: u64 = 100_000;

/// A database at rest.
pub struct Subject {
    pub name: &'static str,
    pub mem: MemEnv,
    pub options: Options,
    pub possible: Possible,
    /// The newest log, unless the database was closed: then the tables hold everything that the logs hold.
    pub tail: Option<Tail>,
    /// Its files at earlier moments.
    pub past: Past,
    /// The files of another database, and its contents.
    pub other: Past,
    pub others: Possible,
}

/// The newest log, and the states that its records make.
pub struct Tail {
    pub log: String,
    /// The state at its beginning: older logs and tables hold everything before.
    begins: usize,
    /// Where the records up to each state end, ascending.
    ends: Vec<(u64, usize)>,
}

impl Tail {
    fn new() -> Tail {
        Tail {
            log: String::new(),
            begins: 0,
            ends: Vec::new(),
        }
    }

    /// Records how the newest log grew while the database went from state `before` to state `after`.
    fn follow(&mut self, mem: &MemEnv, before: usize, after: usize) {
        let log = newest_log(mem);
        let end = records_end(&bytes_of(mem, &log));
        if log != self.log {
            // Whether the last batch was written before this log began.
            let begins = if end > LOG_HEADER { before } else { after };
            *self = Tail {
                log,
                begins,
                ..Tail::new()
            };
        }
        // The last byte of a record may be zero.
        self.ends.push((end + 1, after));
    }

    /// The state that all bytes before `at` make.
    pub fn state_before(&self, at: u64) -> usize {
        let whole = self.ends.iter().rev().find(|(end, _)| *end <= at);
        whole.map_or(self.begins, |(_, state)| *state)
    }
}

/// CURRENT and the manifest that it named, at one moment.
pub struct Head {
    pub current: Arc<[u8]>,
    pub name: String,
    pub manifest: Arc<[u8]>,
}

/// The files of a database at earlier moments.
#[derive(Default)]
pub struct Past {
    /// What each file has held, in order.
    pub versions: BTreeMap<String, Vec<Arc<[u8]>>>,
    /// The last of them is the current one.
    pub heads: Vec<Head>,
}

impl Past {
    /// Keeps every file that has changed.
    fn note(&mut self, mem: &MemEnv) {
        for name in mem.list(Path::new(DIR)).unwrap() {
            let bytes = bytes_of(mem, &name);
            let versions = self.versions.entry(name).or_default();
            if versions.last().is_none_or(|last| last[..] != bytes[..]) {
                versions.push(bytes.into());
            }
        }
        let newest = |name: &str| Arc::clone(self.versions[name].last().unwrap());
        let current = newest("CURRENT");
        let name = str::from_utf8(&current).unwrap().split(' ').nth(2).unwrap();
        let (name, manifest) = (name.to_string(), newest(name));
        let is_new = self.heads.last().is_none_or(|head| {
            !Arc::ptr_eq(&head.current, &current) || !Arc::ptr_eq(&head.manifest, &manifest)
        });
        if is_new {
            self.heads.push(Head {
                current,
                name,
                manifest,
            });
        }
    }
}

/// A running story, with its files of earlier moments.
struct Life {
    mem: MemEnv,
    options: Options,
    story: Story,
    marked: Marked,
    random: Random,
    past: Past,
    tail: Tail,
}

impl Life {
    fn new(seed: u64, mem: MemEnv, steps: usize) -> Life {
        let options = options(&mut Random::new(seed)).manual_background(true);
        let env = FaultEnv::new(Arc::new(mem.clone()), 0);
        let mut life = Life {
            story: Story::new(&mem, env, options.clone(), None),
            mem,
            options,
            marked: Marked::new(seed, false),
            random: Random::new(seed),
            past: Past::default(),
            tail: Tail::new(),
        };
        life.be_born();
        for step in life.marked.take(steps) {
            life.step(&step);
        }
        life
    }

    /// Made by an open that fails after it wrote CURRENT, before it made a log.
    fn be_born(&mut self) {
        for nth in 0.. {
            let env = FaultEnv::new(Arc::new(self.mem.clone()), 0);
            env.inject(Fault::new(&[Call::Create], libc::EIO).after(nth));
            assert!(DB::open(DIR, self.options.clone().env(Arc::new(env))).is_err());
            let names = self.mem.list(Path::new(DIR)).unwrap();
            if names.contains(&"CURRENT".to_string()) {
                return self.past.note(&self.mem);
            }
        }
    }

    /// Creates files with the numbers in `names`: an open starts numbering after all numbers in the directory.
    fn go_along(&mut self, names: &[String]) {
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| name.split(['-', '.']).find_map(|part| part.parse().ok()))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            self.leave(End::Drop);
            // After the log there are the manifest, the next log, the table.
            let before = number.saturating_sub(1 + self.random.below(4));
            let passed = path(&format!("{before:06}.sst"));
            let is_free = self.mem.kind(&passed).unwrap() == PathKind::Missing;
            if is_free {
                self.mem.create_new(&passed).unwrap();
            }
            for _ in 0..4 {
                self.write(false);
            }
            self.step(&Operation::Flush);
        }
    }

    /// Does `work`, and records how it changed the files.
    fn follow(&mut self, work: impl FnOnce(&mut Story)) {
        let before = self.story.run.possible().last();
        work(&mut self.story);
        let after = self.story.run.possible().last();
        self.tail.follow(&self.mem, before, after);
        self.past.note(&self.mem);
    }

    fn step(&mut self, step: &Operation) {
        self.follow(|story| assert!(story.step(step).unwrap()));
    }

    fn write(&mut self, sync: bool) {
        let write = self.marked.batch(sync);
        self.step(&write);
    }

    fn leave(&mut self, end: End) {
        self.story.run.end_life(end).unwrap();
    }

    fn end(mut self, seed: u64, name: &'static str) -> Subject {
        self.leave(End::Drop);
        let mem = MemEnv::new();
        for _ in 0..OTHER_IDS {
            mem.random().unwrap();
        }
        let mut other = Life::new(!seed, mem, OTHER_STEPS);
        other.go_along(&self.mem.list(Path::new(DIR)).unwrap());
        Subject {
            name,
            possible: std::mem::take(&mut self.story.run.possible()),
            mem: self.mem,
            options: self.options,
            tail: (name == "killed").then_some(self.tail),
            past: self.past,
            others: std::mem::take(&mut other.story.run.possible()),
            other: other.past,
        }
    }
}

/// Closed normally: everything is durable.
pub fn closed(seed: u64) -> Subject {
    let mut life = Life::new(seed, MemEnv::new(), STEPS);
    life.follow(|story| {
        story.run.open().unwrap();
        story.run.end_life(End::Close).unwrap();
    });
    life.end(seed, "closed")
}

/// Killed with several logs; in most the newest has synced records, and others after them.
pub fn killed(seed: u64) -> Subject {
    let mut life = Life::new(seed, MemEnv::new(), STEPS);
    life.write(true);
    // The last log ends with a synced batch and up to a dozen unsynced ones.
    for _ in 0..60 {
        let log = life.tail.log.clone();
        life.write(true);
        for _ in 0..seed / 2 % 13 {
            life.write(false);
        }
        if life.tail.log == log {
            break;
        }
    }
    life.end(seed, "killed")
}

pub fn path(file: &str) -> PathBuf {
    Path::new(DIR).join(file)
}

fn newest_log(mem: &MemEnv) -> String {
    let mut logs = mem.list(Path::new(DIR)).unwrap();
    logs.retain(|name| name.ends_with(".log"));
    logs.into_iter().max().unwrap()
}

pub fn bytes_of(mem: &MemEnv, file: &str) -> Vec<u8> {
    let file = mem.open_read(&path(file)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Where the zeros ahead of a log's records begin.
pub fn records_end(log: &[u8]) -> u64 {
    let last = log.iter().rposition(|&byte| byte != 0);
    last.map_or(0, |at| at + 1) as u64
}
