//! Handles: what the opaque pointers of the C API stand for.
//!
//! A handle's pointer is a number, never an address: 32 bits of generation, 24 bits of slot, 8 bits of kind. The
//! slot is looked up in a table that only grows (`handle/table.rs`, whose HANDLE-1 to HANDLE-5 hold), so a stale,
//! foreign or made-up pointer finds a slot that holds something else, or no slot at all, and the call refuses it.
//!
//! A call that needs exclusive use of an object tries its lock and fails if another thread holds it: no thread
//! waits for one of these locks. So they can be parking_lot's, although waiting on those does not survive a
//! fork. In a child process, an object that one of the parent's threads was using is refused too, as closed.
//!
//! The opaque types are defined here, so that the files of the nouns can take each other's handles without
//! depending on each other.
//!
//! Elsewhere: the operations on each object, and how it is locked (the file of its noun).

mod table;

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;

use aidb::env::fork_count;
use aidb::{Cursor, DB, Error, ErrorKind, Result, Snapshot, Transaction, Value};
use parking_lot::{Mutex, RwLock};

use self::table::{Found, Table};
use crate::status::Report;

const _: () = assert!(usize::BITS == 64, "a handle needs 64 bits");

/// Why a call failed: a code, a message for a person, and whether trying again may help. Any number of threads
/// may read it; release it with aidb_error_free.
pub struct aidb_error {
    _private: [u8; 0],
}

/// How to open a database. One thread at a time may change it. aidb_open copies it, so the caller may change,
/// reuse or free it afterwards.
pub struct aidb_options {
    _private: [u8; 0],
}

/// An open database: an ordered map from byte-string keys (up to 16 MiB) to byte-string values (up to
/// 4 GiB - 1). Either may be empty; keys sort bytewise. Any number of threads may share it. Close it with
/// aidb_close, on any thread, even while other threads are using it: their calls finish or return AIDB_CLOSED.
pub struct aidb_db {
    _private: [u8; 0],
}

/// A value lent by the database. Its bytes stay where they are until it is freed, even after the database is
/// closed. Any number of threads may read it; release it with aidb_pinned_free.
pub struct aidb_pinned {
    _private: [u8; 0],
}

/// Puts, deletes and range deletes that aidb_write applies together, in the order they were added; for one key the last
/// wins. One thread at a time may change it; several may write it.
pub struct aidb_batch {
    _private: [u8; 0],
}

/// A fixed point in the order of all writes. A read at a snapshot sees exactly the writes acknowledged before
/// the snapshot was created, whatever happens afterwards. Any number of threads may share it; release it with
/// aidb_snapshot_release, on any thread, before or after its database is closed.
pub struct aidb_snapshot {
    _private: [u8; 0],
}

/// A position in the entries of a database as they were at one point in the order of writes. It is on an entry
/// or on none; a new iterator is before the first entry. One thread at a time may use it (a second thread gets
/// AIDB_INVALID_ARGUMENT); it may move between threads. Release it with aidb_iter_free, before or after its
/// database is closed.
pub struct aidb_iterator {
    _private: [u8; 0],
}

/// Reads and writes that take place at once, or not at all. It reads the database as it was when it began, with
/// its own writes over that; nobody else sees its writes before aidb_transaction_commit. The commit returns
/// AIDB_CONFLICT if another commit has since changed a key that the transaction has looked up, or made, changed
/// or removed one in a range that its iterators have passed over. So transactions are serializable: their effect
/// is that of running one after the other, in the order of their commits. Writes alone do not conflict with each
/// other.
///
/// One thread at a time may use it (a second thread gets AIDB_INVALID_ARGUMENT); it may move between threads.
/// After it has ended its calls return AIDB_CLOSED, and the message says how it ended. While it is open, the
/// database keeps the entries that it sees. So one that nobody has used for the option transaction_timeout is
/// rolled back, and its calls then return AIDB_CONFLICT. It takes memory for its writes, and up to about 6 MiB for
/// what it has read; when it has read very much, changes of other keys may count as conflicts too. Release it with
/// aidb_transaction_free, before or after its database is closed.
pub struct aidb_transaction {
    _private: [u8; 0],
}

/// What a handle holds.
pub(crate) enum Object {
    Db(DB),
    Options(Box<RwLock<aidb::Options>>),
    Batch(RwLock<aidb::WriteBatch>),
    Snapshot(Snapshot),
    Iterator(Box<Mutex<Cursor>>),
    Pinned(Value),
    Error(Report),
    Transaction(Transaction),
}

/// An opaque type of the header.
pub(crate) trait Handle: Sized {
    /// What it holds.
    type Held;
    /// The low byte of its handles: odd, so that no aligned address looks like one, and different for each kind.
    const TAG: u8;
    /// Its name in messages.
    const NAME: &'static str;
    /// The object as what this type holds.
    fn held(object: &Object) -> Option<&Self::Held>;
}

/// Names of the kinds by tag, for messages.
const KINDS: [(u8, &str); 8] = [
    (0xd1, "aidb_db"),
    (0xd3, "aidb_options"),
    (0xd5, "aidb_batch"),
    (0xd7, "aidb_snapshot"),
    (0xd9, "aidb_iterator"),
    (0xdb, "aidb_pinned"),
    (0xdd, "aidb_error"),
    (0xdf, "aidb_transaction"),
];

macro_rules! handles {
    ($($type:ty, $variant:ident, $held:ty, $row:literal;)*) => {$(
        impl Handle for $type {
            type Held = $held;
            const TAG: u8 = KINDS[$row].0;
            const NAME: &'static str = KINDS[$row].1;
            fn held(object: &Object) -> Option<&$held> {
                match object {
                    Object::$variant(held) => Some(held),
                    _ => None,
                }
            }
        }
    )*};
}

handles! {
    aidb_db, Db, DB, 0;
    aidb_options, Options, RwLock<aidb::Options>, 1;
    aidb_batch, Batch, RwLock<aidb::WriteBatch>, 2;
    aidb_snapshot, Snapshot, Snapshot, 3;
    aidb_iterator, Iterator, Mutex<Cursor>, 4;
    aidb_pinned, Pinned, Value, 5;
    aidb_error, Error, Report, 6;
    aidb_transaction, Transaction, Transaction, 7;
}

/// An object of the table, and the process that made its handle.
struct Made {
    object: Object,
    forks: u32,
}

/// The number of allocations for an object and its handle, besides those made explicitly; options need the
/// most.
const OBJECT_PIECES: usize = 4;

static TABLE: Table<Made> = Table::new();

/// An object kept alive for the length of a call (HANDLE-4).
pub(crate) struct Live<H: Handle> {
    found: Found<Made>,
    kind: PhantomData<H>,
}

impl<H: Handle> Live<H> {
    /// The error for a call that finds another thread using the object. `argument` names the object.
    #[cold]
    pub(crate) fn in_use(&self, argument: &str) -> Error {
        if self.found.forks == fork_count() {
            return Error::invalid_argument(format!("{argument} is used by two threads at once"));
        }
        Error::new(
            ErrorKind::Closed,
            format!("{argument} was in use in the parent process when this one was forked"),
        )
    }
}

impl<H: Handle> Deref for Live<H> {
    type Target = H::Held;

    fn deref(&self) -> &H::Held {
        H::held(&self.found.object)
            .expect("made only by `get` and `take`, which checked the handle and with it the kind")
    }
}

/// Makes a handle of the kind `H` for `object`.
///
/// Errors: `InvalidArgument` if 16 million handles exist, `OutOfMemory`.
pub(crate) fn insert<H: Handle>(object: Object) -> Result<*mut H> {
    debug_assert!(
        H::held(&object).is_some(),
        "the object has the kind of the handle"
    );
    aidb::room_ahead(OBJECT_PIECES, "a handle")?;
    let made = Made {
        object,
        forks: fork_count(),
    };
    let handle = TABLE
        .insert(H::TAG, made)
        .ok_or_else(|| Error::invalid_argument("more than 16 million handles are open"))?;
    Ok(ptr::without_provenance_mut(handle as usize))
}

/// The object of a handle; `argument` names it in messages.
///
/// Errors: `Closed` for a handle that was released; `InvalidArgument` for NULL, for a handle of another kind and for
/// a pointer that is not a handle.
pub(crate) fn get<H: Handle>(pointer: *const H, argument: &str) -> Result<Live<H>> {
    live(pointer, argument, Table::get)
}

/// Ends a handle: later lookups return `Closed`; calls in flight keep the object. Exactly one caller gets the
/// object.
///
/// Errors: as for [`get`].
pub(crate) fn take<H: Handle>(pointer: *const H, argument: &str) -> Result<Live<H>> {
    live(pointer, argument, Table::take)
}

#[inline]
fn live<H: Handle>(
    pointer: *const H,
    argument: &str,
    look_up: impl FnOnce(&Table<Made>, u64) -> Option<Found<Made>>,
) -> Result<Live<H>> {
    let handle = pointer.addr() as u64;
    // A handle of another kind may still be live.
    let found = (handle as u8 == H::TAG)
        .then(|| look_up(&TABLE, handle))
        .flatten();
    found.map_or_else(
        || Err(refusal::<H>(handle, argument)),
        |found| {
            Ok(Live {
                found,
                kind: PhantomData,
            })
        },
    )
}

/// Why `handle` is refused, once a lookup has failed.
#[cold]
fn refusal<H: Handle>(handle: u64, argument: &str) -> Error {
    if handle == 0 {
        return Error::invalid_argument(format!("{argument} is NULL"));
    }
    let given_out = TABLE.was_given_out(handle);
    let kind = KINDS.iter().find(|(tag, _)| *tag == handle as u8);
    match kind {
        Some((tag, _)) if given_out && *tag == H::TAG => Error::new(
            ErrorKind::Closed,
            format!("{argument} has been closed or freed"),
        ),
        Some((_, name)) if given_out => Error::invalid_argument(format!(
            "{argument} is a handle of the type {name}, expected {}",
            H::NAME
        )),
        _ => Error::invalid_argument(format!("{argument} is not a handle of AiDb")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn batch() -> *mut aidb_batch {
        insert(Object::Batch(RwLock::new(aidb::WriteBatch::new()))).unwrap()
    }

    fn refused<H: Handle>(pointer: *const H) -> (ErrorKind, String) {
        let error = get(pointer, "it").err().unwrap();
        (error.kind(), error.message().to_string())
    }

    #[test]
    fn a_handle_finds_its_object_until_it_is_taken() {
        let handle = batch();
        assert_eq!(get(handle, "it").unwrap().read().len(), 0);
        take(handle, "it").unwrap();
        assert_eq!(refused(handle).0, ErrorKind::Closed);
        assert_eq!(take(handle, "it").err().unwrap().kind(), ErrorKind::Closed);
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_handle() {
        let old = batch();
        take(old, "it").unwrap();
        let mut new = Vec::new();
        // Other tests share the table, so make handles until the slot is in use again.
        while new.len() < 10_000 {
            let handle = batch();
            new.push(handle);
            if handle.addr() as u32 == old.addr() as u32 {
                assert_ne!(handle, old);
                break;
            }
        }
        assert_eq!(refused(old).0, ErrorKind::Closed);
        for handle in new {
            take(handle, "it").unwrap();
        }
    }

    #[test]
    fn what_is_no_live_handle_is_refused_by_name() {
        let handle = batch();
        let (kind, message) = refused(ptr::null::<aidb_batch>());
        assert_eq!(
            (kind, &message[..]),
            (ErrorKind::InvalidArgument, "it is NULL")
        );
        let (kind, message) = refused(handle.cast::<aidb_snapshot>());
        assert_eq!(kind, ErrorKind::InvalidArgument);
        assert!(message.contains("aidb_batch"), "{message}");
        let local = 5u64;
        for foreign in [
            (&raw const local).addr(),
            8,
            usize::MAX,
            handle.addr() | 1 << 63,
            handle.addr() & 0xffff_ffff,
            handle.addr() | 0xffff_ff00,
        ] {
            let (kind, message) = refused(ptr::without_provenance::<aidb_batch>(foreign));
            assert_eq!(kind, ErrorKind::InvalidArgument, "{foreign:x}: {message}");
        }
        take(handle, "it").unwrap();
    }

    #[test]
    fn an_object_in_use_outlives_its_handle() {
        let handle = batch();
        let live = get(handle, "it").unwrap();
        live.write().put(b"k", b"v").unwrap();
        drop(take(handle, "it").unwrap());
        assert_eq!(live.read().len(), 1);
    }

    #[test]
    fn of_many_threads_exactly_one_takes_a_handle() {
        let live: Vec<usize> = (0..500).map(|_| batch().addr()).collect();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for address in &live {
                        let handle = ptr::without_provenance::<aidb_batch>(*address);
                        let before = get(handle, "it");
                        if take(handle, "it").is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                        drop(before);
                        // Keeps the free lists changing while other threads use them.
                        take(batch(), "it").unwrap();
                    }
                });
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), live.len());
    }

    #[test]
    fn a_slot_is_retired_after_its_last_generation() {
        let handle = batch();
        let index = (handle.addr() >> 8) as u32 & 0xff_ffff;
        TABLE.wear_out(handle.addr() as u64);
        take(handle, "it").unwrap();
        let later: Vec<_> = (0..5_000).map(|_| batch()).collect();
        for handle in later {
            assert_ne!((handle.addr() >> 8) as u32 & 0xff_ffff, index);
            take(handle, "it").unwrap();
        }
        assert_eq!(refused(handle).0, ErrorKind::Closed);
    }
}
