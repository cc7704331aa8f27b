//! Which failed operations a call may bear: all others are told by an error of the call in which they failed.
//!
//! Judged by the operations that the call asked for, in their order, which only a run without threads knows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aidb::env::Call;
use aidb_tests::history::FaultPlan;

use crate::story::{DIR, ROOT};

/// An operation that a call asked for.
pub struct Asked {
    pub operation: Call,
    pub path: PathBuf,
    /// Whether it was made to fail.
    pub is_due: bool,
}

impl Asked {
    fn is(&self, operation: Call, kind: Kind) -> bool {
        self.operation == operation && Kind::of(&self.path) == kind
    }

    fn works(&self, operation: Call, kind: Kind) -> bool {
        self.is(operation, kind) && !self.is_due
    }

    fn is_like(&self, other: &Asked) -> bool {
        self.operation == other.operation && self.path == other.path
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Log,
    Manifest,
    Current,
    /// The next CURRENT, before it has its name.
    Temporary,
    /// What the next log is to begin in.
    BlankLog,
    Reserve,
    Synced,
    /// The directory of a copy before it has its name, or the mark in it.
    Beside,
    /// The database's directory, or a copy's.
    Directory,
    Other,
}

impl Kind {
    fn of(path: &Path) -> Kind {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match &name[..] {
            "CURRENT" => Kind::Current,
            "CURRENT.tmp" => Kind::Temporary,
            "BLANK-LOG.tmp" => Kind::BlankLog,
            "RESERVE" => Kind::Reserve,
            "SYNCED" => Kind::Synced,
            _ if path.to_string_lossy().contains("/.aidb-new-") => Kind::Beside,
            _ if name.starts_with("MANIFEST-") => Kind::Manifest,
            _ if name.ends_with(".sst") => Kind::Table,
            _ if name.ends_with(".log") => Kind::Log,
            _ if path.parent() == Some(Path::new(ROOT)) => Kind::Directory,
            _ => Kind::Other,
        }
    }
}

/// A failed operation, among all that its call asked for.
struct Failure<'a> {
    before: &'a [Asked],
    failed: &'a Asked,
    after: &'a [Asked],
}

/// Operations that may fail in a call that succeeds.
struct Bearable {
    reason: &'static str,
    operations: &'static [Call],
    kinds: &'static [Kind],
    /// What else must be so.
    condition: fn(&Failure<'_>) -> bool,
}

/// Everything that may be borne. So these are always told: a sync of a log, of a table, of CURRENT, of a manifest
/// that is in use, or of a directory for their names; a write of any of them; a read of a table, a manifest or
/// CURRENT, but for a proof of whose a directory is; the lock; the making of a directory.
const BEARABLE: [Bearable; 13] = [
    // A full disk stops puts and nothing else (docs/durability.md): what finds no space draws on the reserve and is
    // tried again, and the last try is judged by itself.
    Bearable {
        reason: "drawn on the reserve",
        operations: &[Call::Write, Call::Create, Call::Rename],
        kinds: &[
            Kind::Table,
            Kind::Log,
            Kind::Manifest,
            Kind::Temporary,
            Kind::Beside,
        ],
        condition: |failure| {
            let mut after = failure.after.iter();
            after
                .next()
                .is_some_and(|next| next.works(Call::SetLen, Kind::Reserve))
                && after
                    .next()
                    .is_some_and(|next| next.is_like(failure.failed))
        },
    },
    // Without room for a new manifest the one that was found, or has grown long, takes the edit: its sync covers all
    // of it (`VersionSet::persist`).
    Bearable {
        reason: "the old manifest serves",
        operations: &[
            Call::Random,
            Call::Create,
            Call::Write,
            Call::Sync,
            Call::SyncDir,
        ],
        kinds: &[Kind::Manifest, Kind::Directory, Kind::Other],
        condition: |failure| {
            // What was begun is looked for and removed.
            let Some((removal, rest)) = failure.after.split_first() else {
                return false;
            };
            let is_another = |asked: &&Asked| {
                asked.works(Call::Sync, Kind::Manifest) && asked.path != removal.path
            };
            // The record, then the slot that makes it count.
            removal.is(Call::Look, Kind::Manifest) && rest.iter().filter(is_another).count() >= 2
        },
    },
    // Zeros ahead of the records spare syncs the file's length; the next record's write tells what is wrong.
    Bearable {
        reason: "zeros ahead of a log",
        operations: &[Call::Write],
        kinds: &[Kind::Log],
        condition: |failure| {
            let of_log = |asked: &&Asked| asked.path == failure.failed.path && !asked.is_due;
            let last = failure.before.iter().rev().find(of_log);
            last.is_some_and(|last| last.operation == Call::Write)
        },
    },
    // A log can do without a file made ahead (decision 0032).
    Bearable {
        reason: "a log made ahead",
        operations: &[Call::Create, Call::Write, Call::Sync, Call::Rename],
        kinds: &[Kind::BlankLog],
        condition: |_| true,
    },
    Bearable {
        reason: "a log made ahead",
        operations: &[Call::Open],
        kinds: &[Kind::Log],
        condition: |failure| {
            let before = failure.before.last();
            before.is_some_and(|before| before.works(Call::Rename, Kind::BlankLog))
        },
    },
    // Space is set aside again after each flush and compaction, and before the next put. Only a full disk refuses that.
    Bearable {
        reason: "space set aside",
        operations: &[Call::Create, Call::SetLen],
        kinds: &[Kind::Reserve],
        condition: |_| true,
    },
    // How far the newest log was synced is of use to an open after damage only (decision 0029).
    Bearable {
        reason: "a note of what was synced",
        operations: &[
            Call::Look,
            Call::Create,
            Call::Open,
            Call::Read,
            Call::Write,
        ],
        kinds: &[Kind::Synced],
        condition: |_| true,
    },
    // The same asks how much is free; and a flush lists the logs that it may remove. An open needs to know its files:
    // only its last look, at what is free, may fail, after which it sets space aside. What a copy's open overlooks the
    // comparison with the copy shows.
    Bearable {
        reason: "free space, old logs",
        operations: &[Call::Look],
        kinds: &[Kind::Directory],
        condition: |failure| {
            let is_lock =
                |asked: &Asked| asked.operation == Call::Lock && asked.path == failure.failed.path;
            let mut others = failure.before.iter().chain(failure.after);
            let is_copy = failure.failed.path != Path::new(DIR);
            let is_reserve = |asked: &Asked| Kind::of(&asked.path) == Kind::Reserve;
            is_copy || failure.after.iter().all(is_reserve) || !others.any(is_lock)
        },
    },
    // No number is given out twice, so files that nobody needs do no harm, and the next open removes them. Not so in
    // `destroy`, which begins by giving CURRENT another name.
    Bearable {
        reason: "removal of what nobody needs",
        operations: &[Call::Remove],
        kinds: &[Kind::Table, Kind::Log, Kind::BlankLog, Kind::Manifest],
        condition: |failure| {
            let dir = failure.failed.path.parent();
            let is_end =
                |asked: &Asked| asked.is(Call::Rename, Kind::Current) && asked.path.parent() == dir;
            !failure.before.iter().any(is_end)
        },
    },
    // A manifest is looked for before it is removed.
    Bearable {
        reason: "removal of what nobody needs",
        operations: &[Call::Look],
        kinds: &[Kind::Manifest],
        condition: |failure| {
            let is_opened = |asked: &Asked| asked.is(Call::Open, Kind::Current);
            let is_named = |asked: &Asked| asked.works(Call::Rename, Kind::Temporary);
            !failure.before.iter().any(is_opened) || failure.before.iter().any(is_named)
        },
    },
    // Where a file system has no links a checkpoint copies.
    Bearable {
        reason: "copied instead of linked",
        operations: &[Call::Link],
        kinds: &[Kind::Table],
        condition: |failure| {
            let is_copy = |asked: &Asked| {
                asked.works(Call::Create, Kind::Table) && asked.path == failure.failed.path
            };
            failure.after.iter().any(is_copy)
        },
    },
    // What lies before a bad sector of a log counts: it is read again, in smaller pieces.
    Bearable {
        reason: "a log read again",
        operations: &[Call::Read],
        kinds: &[Kind::Log],
        condition: |failure| {
            let next = failure.after.first();
            next.is_some_and(|next| next.is_like(failure.failed) && !next.is_due)
        },
    },
    // Whose a directory is each of several files can prove. CURRENT was read before, to see that no other engine
    // wrote it.
    Bearable {
        reason: "proved by another file",
        operations: &[Call::Look, Call::Open, Call::Read],
        kinds: &[Kind::Current],
        condition: |failure| {
            let path = &failure.failed.path;
            let was_read =
                |asked: &Asked| asked.works(Call::Read, Kind::Current) && asked.path == *path;
            let proves = |asked: &Asked| asked.operation == Call::Read && !asked.is_due;
            let rest = &failure.after;
            // The next that is read is not CURRENT itself, which would be what the call is about.
            let next = rest.iter().find(|asked| proves(asked));
            failure.before.iter().any(was_read) && next.is_some_and(|next| next.path != *path)
        },
    },
];

/// Why the call that asked for all of `asked` may succeed although `asked[at]` failed; `None` if it must not.
pub fn reason(asked: &[Asked], at: usize) -> Option<&'static str> {
    let failure = Failure {
        before: &asked[..at],
        failed: &asked[at],
        after: &asked[at + 1..],
    };
    let kind = Kind::of(&failure.failed.path);
    let row = BEARABLE.iter().find(|row| {
        row.operations.contains(&failure.failed.operation)
            && row.kinds.contains(&kind)
            && (row.condition)(&failure)
    });
    row.map(|row| row.reason)
}

/// What tells `asked[at]` from other operations of its kind: what it is for, and what came before it.
pub fn place(asked: &[Asked], at: usize) -> String {
    let before = at.checked_sub(1).map(|before| &asked[before]);
    let before = before.map(|before| (before.operation, Kind::of(&before.path)));
    format!("{:?} behind {before:?}", Kind::of(&asked[at].path))
}

/// What the call under way has asked for. Clones share it.
#[derive(Clone, Default)]
pub struct Trace {
    shared: Arc<Mutex<Traced>>,
}

#[derive(Default)]
struct Traced {
    asked: Vec<Asked>,
    /// What fails, and how many operations of its kind were asked for since it does.
    fault: Option<(FaultPlan, u64)>,
}

impl Trace {
    /// Another call begins.
    pub fn begin(&self) {
        self.shared.lock().unwrap().asked.clear();
    }

    /// From now on something fails.
    pub fn fails(&self, plan: &FaultPlan) {
        self.shared.lock().unwrap().fault = Some((plan.clone(), 0));
    }

    /// Faults have ended.
    pub fn nothing_fails_any_more(&self) {
        self.shared.lock().unwrap().fault = None;
    }

    /// Takes in an operation.
    pub fn note(&self, operation: Call, path: &Path) {
        let traced = &mut *self.shared.lock().unwrap();
        let mut is_due = false;
        if let Some((plan, count)) = &mut traced.fault
            && operation == plan.call
        {
            is_due = *count >= plan.after && *count - plan.after < plan.times;
            *count += 1;
        }
        traced.asked.push(Asked {
            operation,
            path: path.to_path_buf(),
            is_due,
        });
    }

    /// What the call asked for.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.lock().unwrap().asked)
    }
}
