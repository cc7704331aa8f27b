//! Decides which failed operations a call may hide. The call in which any other operation fails must report an error.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aidb::env::Call;
use aidb_tests::history::FaultPlan;

use crate::story::{DIR, ROOT};

/// An operation of a call.
pub struct Asked {
    pub operation: Call,
    pub path: PathBuf,
    /// Whether a fault made it fail.
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

/// The kind of file or directory at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Log,
    Manifest,
    Current,
    /// The next CURRENT, before it is renamed.
    Temporary,
    /// The file in which the next log will begin.
    BlankLog,
    Reserve,
    Synced,
    /// The directory of a copy before it is renamed, or the mark in it.
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

/// A failed operation, among all operations of its call.
struct Failure<'a> {
    before: &'a [Asked],
    failed: &'a Asked,
    after: &'a [Asked],
}

/// Operations that may fail in a call that succeeds.
struct MayHide {
    reason: &'static str,
    operations: &'static [Call],
    kinds: &'static [Kind],
    /// A further condition.
    condition: fn(&Failure<'_>) -> bool,
}

/// Failures that a call may hide. A call always reports these: a failed sync of a log, of a table, of CURRENT, of a
/// manifest in use, or of a directory for their names; a failed write of any of them; a failed read of a table, a
/// manifest or CURRENT, unless it only looks for proof of which engine owns a directory; a failed lock; a failed
/// creation of a directory.
const MAY_HIDE: [MayHide; 13] = [
    // A full disk stops puts and nothing else (docs/durability.md): an operation that finds no space draws on the
    // reserve and tries again. The last try is judged by itself.
    MayHide {
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
    // Without room for a new manifest the edit goes to the manifest that the open found, or to the one that has grown
    // long. The sync of that manifest covers all of it (`VersionSet::persist`).
    MayHide {
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
            // The engine looks for the file it began, and removes it.
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
    // Zeros ahead of the records spare syncs the file's length. If they are missing, the next record's write reports
    // the fault.
    MayHide {
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
    MayHide {
        reason: "a log made ahead",
        operations: &[Call::Create, Call::Write, Call::Sync, Call::Rename],
        kinds: &[Kind::BlankLog],
        condition: |_| true,
    },
    MayHide {
        reason: "a log made ahead",
        operations: &[Call::Open],
        kinds: &[Kind::Log],
        condition: |failure| {
            let before = failure.before.last();
            before.is_some_and(|before| before.works(Call::Rename, Kind::BlankLog))
        },
    },
    // The engine reserves space again after each flush and compaction, and before the next put. Only a full disk
    // refuses it.
    MayHide {
        reason: "space set aside",
        operations: &[Call::Create, Call::SetLen],
        kinds: &[Kind::Reserve],
        condition: |_| true,
    },
    // The synced position of the newest log matters only to an open after damage (decision 0029).
    MayHide {
        reason: "a note of the synced length",
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
    // The reserve also asks how much space is free, and a flush lists the logs that it may remove. An open has to list
    // its files: only its last look, at the free space, may fail; after it the open reserves space. If the open of a
    // copy overlooks a file, the comparison with the copy shows it.
    MayHide {
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
    // The engine gives no number out twice, so files that nobody needs do no harm, and the next open removes them.
    // `destroy` is different: it begins by renaming CURRENT.
    MayHide {
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
    // The engine looks for a manifest before it removes it.
    MayHide {
        reason: "removal of what nobody needs",
        operations: &[Call::Look],
        kinds: &[Kind::Manifest],
        condition: |failure| {
            let is_opened = |asked: &Asked| asked.is(Call::Open, Kind::Current);
            let is_named = |asked: &Asked| asked.works(Call::Rename, Kind::Temporary);
            !failure.before.iter().any(is_opened) || failure.before.iter().any(is_named)
        },
    },
    // A checkpoint copies where a file system has no links.
    MayHide {
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
    // The records before a bad sector of a log count: the engine reads them again, in smaller pieces.
    MayHide {
        reason: "a log read again",
        operations: &[Call::Read],
        kinds: &[Kind::Log],
        condition: |failure| {
            let next = failure.after.first();
            next.is_some_and(|next| next.is_like(failure.failed) && !next.is_due)
        },
    },
    // Any of several files can prove which engine owns a directory. The open has read CURRENT already, to see that no
    // other engine wrote it.
    MayHide {
        reason: "proved by another file",
        operations: &[Call::Look, Call::Open, Call::Read],
        kinds: &[Kind::Current],
        condition: |failure| {
            let path = &failure.failed.path;
            let was_read =
                |asked: &Asked| asked.works(Call::Read, Kind::Current) && asked.path == *path;
            let proves = |asked: &Asked| asked.operation == Call::Read && !asked.is_due;
            let rest = &failure.after;
            // The next read must not be of CURRENT: then the call would need CURRENT itself.
            let next = rest.iter().find(|asked| proves(asked));
            failure.before.iter().any(was_read) && next.is_some_and(|next| next.path != *path)
        },
    },
];

/// Why the call that asked for all of `asked` may succeed although `asked[at]` failed; `None` if it must fail.
pub fn reason(asked: &[Asked], at: usize) -> Option<&'static str> {
    let failure = Failure {
        before: &asked[..at],
        failed: &asked[at],
        after: &asked[at + 1..],
    };
    let kind = Kind::of(&failure.failed.path);
    let row = MAY_HIDE.iter().find(|row| {
        row.operations.contains(&failure.failed.operation)
            && row.kinds.contains(&kind)
            && (row.condition)(&failure)
    });
    row.map(|row| row.reason)
}

/// What sets `asked[at]` apart from other operations of its kind: its purpose, and the operations before it.
pub fn place(asked: &[Asked], at: usize) -> String {
    let before = at.checked_sub(1).map(|before| &asked[before]);
    let before = before.map(|before| (before.operation, Kind::of(&before.path)));
    format!("{:?} after {before:?}", Kind::of(&asked[at].path))
}

/// The operations of the current call. Clones share them.
#[derive(Clone, Default)]
pub struct Trace {
    shared: Arc<Mutex<Traced>>,
}

#[derive(Default)]
struct Traced {
    asked: Vec<Asked>,
    /// The failing kind, and how many operations of it the call has asked for since.
    fault: Option<(FaultPlan, u64)>,
}

impl Trace {
    /// Another call begins.
    pub fn begin(&self) {
        self.shared.lock().unwrap().asked.clear();
    }

    /// From now on faults strike.
    pub fn fails(&self, plan: &FaultPlan) {
        self.shared.lock().unwrap().fault = Some((plan.clone(), 0));
    }

    /// Faults have ended.
    pub fn nothing_fails_any_more(&self) {
        self.shared.lock().unwrap().fault = None;
    }

    /// Records an operation.
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

    /// The call's operations.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.lock().unwrap().asked)
    }
}
