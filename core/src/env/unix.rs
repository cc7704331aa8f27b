//! The system calls that std does not offer, each behind a safe function. All unsafe code of `env/` is here.
//!
//! * UNIX-1  A [`LockSlot`] owns the descriptor stored in it: the thread that swaps it out closes it, and no
//!           other does.
//! * UNIX-2  After `fork`, the child's first act is to change [`fork_count`], to clear every place that
//!           [`leaked_or_new`] has filled, and to close every stored descriptor, using only what POSIX allows there:
//!           atomics and close(2). The lists that it walks to find them are never freed.
//! * UNIX-3  Nothing here waits for another thread to finish its work, because in a child that thread may not
//!           exist. The exception is waiting for a fork to end.

#![expect(unsafe_code, reason = "fork handlers and system calls that std lacks")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use crate::sync::process::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

/// The page cache keeps a file in pieces of up to this many bytes, and writes a piece back as a whole.
#[cfg(target_os = "linux")]
const PIECE_BYTES: u64 = 64 << 10;

/// Repeats `call` until it is not interrupted (OS-2 of `os.rs`).
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

/// Asks the kernel to begin writing a range back. Ignores errors; the later sync reports them.
///
/// Leaves the part of the last piece to the next range, which begins where this one ends. The file is growing there,
/// so the piece would be written twice.
pub(super) fn start_writeback(file: &fs::File, offset: u64, length: u64) {
    #[cfg(target_os = "linux")]
    let (offset, length) = {
        let start = offset / PIECE_BYTES * PIECE_BYTES;
        let end = offset.saturating_add(length) / PIECE_BYTES * PIECE_BYTES;
        debug_assert!(start <= end, "the range has its ends in order");
        (start, end - start)
    };
    #[cfg(target_os = "linux")]
    // A length of 0 would mean everything up to the file's end.
    if length > 0
        && let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length))
    {
        // SAFETY: the call takes numbers only, and `file` keeps its descriptor open during it.
        unsafe {
            libc::sync_file_range(
                file.as_raw_fd(),
                offset,
                length,
                libc::SYNC_FILE_RANGE_WRITE,
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file.as_raw_fd(), offset, length);
}

/// Extends `file`, which must not be longer, to `length` bytes, and allocates all of them. `Unsupported` if the file
/// system or the system cannot.
pub(super) fn allocate(file: &fs::File, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let length = i64::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: the call takes numbers only, and `file` keeps its descriptor open during it.
        match unsafe { libc::fallocate64(file.as_raw_fd(), 0, 0, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file.as_raw_fd(), length);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How many bytes an ordinary user may still write to the file system of `dir`; `u64::MAX` if the file system does
/// not say. A ramfs, or a tmpfs without a limit, says that it has 0 blocks in total.
pub(super) fn free_space(dir: &Path) -> io::Result<u64> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut answer = mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a zero, and `answer` has room for the struct that the call fills in.
    if unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled `answer`.
    let answer = unsafe { answer.assume_init() };
    if answer.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    #[expect(clippy::unnecessary_cast, reason = "not u64 on every system")]
    Ok((answer.f_bavail as u64).saturating_mul(answer.f_frsize as u64))
}

/// Asks the allocator to return the free memory in its heaps to the system. Otherwise it keeps memory that was freed
/// in small pieces, and memory below a live allocation. The cost grows with the number of free pieces.
pub(crate) fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes a number, locks the allocator's heaps in turn, and touches no memory in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// 64 bits from the system's generator.
pub(super) fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and the length are those of `bytes`, which lives across the call.
    let result = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from_le_bytes(bytes))
}

/// The soft limit of open descriptors; 256 if the system does not say.
pub(super) fn open_file_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that the call fills in.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        #[expect(clippy::unnecessary_cast, reason = "rlim_t is not u64 on every system")]
        0 => limit.rlim_cur as u64,
        _ => 256,
    }
}

/// How many bytes a file of this process may have (`RLIMIT_FSIZE`); unlimited if the system does not say.
pub(super) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that the call fills in.
    match unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } {
        #[expect(clippy::unnecessary_cast, reason = "rlim_t is not u64 on every system")]
        0 if limit.rlim_cur != libc::RLIM_INFINITY => limit.rlim_cur as u64,
        _ => u64::MAX,
    }
}

/// While it lives, `pthread_cancel` does not end the thread that made it. The engine's own threads keep one for
/// ever, because a cancelled thread would leave locks taken; other threads keep one during C library functions
/// that wait (`cancel.rs` of the C API says why).
pub(super) struct Uncancelled {
    before: libc::c_int,
}

impl Uncancelled {
    #[inline]
    pub(super) fn begin() -> Uncancelled {
        Uncancelled {
            before: set_cancel_state(PTHREAD_CANCEL_DISABLE),
        }
    }
}

impl Drop for Uncancelled {
    #[inline]
    fn drop(&mut self) {
        set_cancel_state(self.before);
    }
}

const PTHREAD_CANCEL_DISABLE: libc::c_int = 1;

/// Sets whether the calling thread may be cancelled; returns the former setting.
#[cfg(all(target_os = "linux", not(miri)))]
#[inline]
fn set_cancel_state(state: libc::c_int) -> libc::c_int {
    unsafe extern "C" {
        /// A POSIX function that the crate libc does not declare.
        fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
    }
    let mut before = PTHREAD_CANCEL_DISABLE;
    // SAFETY: the call stores the former state in `before` and changes nothing but this thread's own state.
    unsafe { pthread_setcancelstate(state, &mut before) };
    before
}

#[cfg(not(all(target_os = "linux", not(miri))))]
#[inline]
fn set_cancel_state(state: libc::c_int) -> libc::c_int {
    state
}

/// This machine's name, or an empty text.
pub(super) fn host_name() -> String {
    let mut bytes = [0u8; 256];
    // SAFETY: the call may write one byte less than the buffer has, so the name always ends with a zero.
    let result = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) };
    if result != 0 {
        return String::new();
    }
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or(&[]);
    String::from_utf8_lossy(name).into_owned()
}

/// A place whose contents belong to one process: a forked child does not inherit its parent's.
trait PerProcess: Sync {
    /// Makes the place empty: one atomic store.
    fn clear(&self);
}

impl<T> PerProcess for AtomicPtr<T> {
    fn clear(&self) {
        self.store(ptr::null_mut(), Ordering::SeqCst);
    }
}

/// A place that the fork handler clears. Never freed.
struct Registered {
    place: &'static dyn PerProcess,
    next: AtomicPtr<Registered>,
}

static PER_PROCESS: AtomicPtr<Registered> = AtomicPtr::new(ptr::null_mut());

/// Calls `visit` with each place that is registered.
fn each_registered(mut visit: impl FnMut(&'static dyn PerProcess)) {
    let mut at = PER_PROCESS.load(Ordering::SeqCst);
    // SAFETY: every pointer in the list came from `Box::leak` and is never freed (UNIX-2), so it is valid for ever.
    while let Some(registered) = unsafe { at.as_ref() } {
        visit(registered.place);
        at = registered.next.load(Ordering::SeqCst);
    }
}

fn is_registered(place: &'static dyn PerProcess) -> bool {
    let mut is_registered = false;
    each_registered(|other| is_registered |= ptr::addr_eq(other, place));
    is_registered
}

/// Registers `place`, so that the fork handler clears it. Threads that come here at once may register it more than
/// once, which does no harm.
fn register(place: &'static dyn PerProcess) {
    if is_registered(place) {
        return;
    }
    let mut head = PER_PROCESS.load(Ordering::SeqCst);
    let next = AtomicPtr::new(head);
    let registered: &'static Registered = Box::leak(Box::new(Registered { place, next }));
    let pointer = ptr::from_ref(registered).cast_mut();
    while let Err(now) =
        PER_PROCESS.compare_exchange(head, pointer, Ordering::SeqCst, Ordering::SeqCst)
    {
        head = now;
        registered.next.store(head, Ordering::SeqCst);
    }
    debug_assert!(
        is_registered(place),
        "UNIX-2: the fork handler finds the place"
    );
}

/// The value that `place` points to; made and leaked on first use, and made again in a forked child. Only this
/// function and the fork handler change `place`.
pub(super) fn leaked_or_new<T: Default + Sync>(place: &'static AtomicPtr<T>) -> &'static T {
    let mut at = place.load(Ordering::SeqCst);
    if at.is_null() {
        // First, so that no fork leaves the child a value in `place`.
        register(place);
        let new = Box::into_raw(Box::<T>::default());
        let result = place.compare_exchange(at, new, Ordering::SeqCst, Ordering::SeqCst);
        at = match result {
            Ok(_) => new,
            Err(other) => {
                // SAFETY: `new` came from `into_raw` above and was not published, so no other thread has it.
                drop(unsafe { Box::from_raw(new) });
                other
            }
        };
    }
    debug_assert!(!at.is_null(), "UNIX-2: only a fork clears the place");
    // SAFETY: `at` is not null and was leaked by a call of this function; nothing frees what has been published.
    unsafe { &*at }
}

/// Holds one lock's descriptor, so that the fork handler finds it. Never freed; reused after [`LockSlot::take`].
pub(super) struct LockSlot {
    descriptor: AtomicI32,
    next: AtomicPtr<LockSlot>,
}

const EMPTY: i32 = -1;
/// The slot is taken, and its descriptor is about to be stored.
const RESERVED: i32 = -2;

static SLOTS: AtomicPtr<LockSlot> = AtomicPtr::new(ptr::null_mut());
/// How many forks are between this process and the one that loaded the library.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many forks of this process have begun, and how many are over.
static FORKS_BEGUN: AtomicU32 = AtomicU32::new(0);
static FORKS_OVER: AtomicU32 = AtomicU32::new(0);

/// A number that differs between a process and its forked children, once the process has opened a database. Cost: one
/// relaxed load.
///
/// An object that was made under another count belongs to another process. A thread that this process does not have
/// may hold one of its locks, which then is never released.
#[inline]
pub fn fork_count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

extern "C" fn before_fork() {
    FORKS_BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn after_fork_in_parent() {
    FORKS_OVER.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    FORKS_OVER.store(FORKS_BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    each_registered(PerProcess::clear);
    let mut at = SLOTS.load(Ordering::SeqCst);
    // SAFETY: every pointer in the list came from `Box::leak` and is never freed (UNIX-2), so it is valid for ever.
    while let Some(slot) = unsafe { at.as_ref() } {
        let descriptor = slot.descriptor.swap(EMPTY, Ordering::SeqCst);
        if descriptor >= 0 {
            // SAFETY: the slot owned the descriptor (UNIX-1), and this child has one thread, which just took it out.
            // Closing the child's copy leaves the parent's lock alone: it belongs to the shared description.
            unsafe { libc::close(descriptor) };
        }
        at = slot.next.load(Ordering::SeqCst);
    }
}

/// Registers the fork handlers. Threads that come here at once register them more than once, which does no harm: a
/// handler only adds to counters and closes descriptors that are still open. Waiting for another thread would do harm
/// (UNIX-3).
fn watch_forks() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.load(Ordering::SeqCst) {
        return;
    }
    // SAFETY: the three functions live as long as the library, and do only what a fork handler may (UNIX-2).
    // A failure (no memory) means that a child keeps the descriptor, as it would in any program.
    unsafe {
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_in_parent),
            Some(after_fork_in_child),
        )
    };
    REGISTERED.store(true, Ordering::SeqCst);
}

/// Opens a file with `open` and stores it in a slot. The caller then takes the lock on a descriptor that no child,
/// whenever it is forked, keeps a copy of.
pub(super) fn open_in_slot(
    mut open: impl FnMut() -> io::Result<fs::File>,
) -> io::Result<&'static LockSlot> {
    watch_forks();
    let slot = free_slot();
    loop {
        let begun = FORKS_BEGUN.load(Ordering::SeqCst);
        if FORKS_OVER.load(Ordering::SeqCst) != begun {
            crate::sync::yield_now();
            continue;
        }
        debug_assert!(
            slot.descriptor.load(Ordering::SeqCst) == RESERVED,
            "UNIX-1: the slot is this thread's"
        );
        match open() {
            Ok(file) => slot.descriptor.store(file.into_raw_fd(), Ordering::SeqCst),
            Err(error) => {
                slot.descriptor.store(EMPTY, Ordering::SeqCst);
                return Err(error);
            }
        }
        // If a fork began since, it may have copied the descriptor before that was in the slot, so open another one.
        if FORKS_BEGUN.load(Ordering::SeqCst) == begun {
            return Ok(slot);
        }
        drop(slot.swap_out(RESERVED));
    }
}

fn free_slot() -> &'static LockSlot {
    let mut at = SLOTS.load(Ordering::SeqCst);
    // SAFETY: as in `after_fork_in_child`: slots are leaked and never freed (UNIX-2).
    while let Some(slot) = unsafe { at.as_ref() } {
        let taken =
            slot.descriptor
                .compare_exchange(EMPTY, RESERVED, Ordering::SeqCst, Ordering::SeqCst);
        if taken.is_ok() {
            return slot;
        }
        at = slot.next.load(Ordering::SeqCst);
    }
    let slot: &'static LockSlot = Box::leak(Box::new(LockSlot {
        descriptor: AtomicI32::new(RESERVED),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let pointer = ptr::from_ref(slot).cast_mut();
    let mut head = SLOTS.load(Ordering::SeqCst);
    loop {
        slot.next.store(head, Ordering::SeqCst);
        match SLOTS.compare_exchange(head, pointer, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return slot,
            Err(now) => head = now,
        }
    }
}

impl LockSlot {
    /// Takes the file out and frees the slot; `None` in a forked child, whose descriptor is already closed.
    pub(super) fn take(&self) -> Option<fs::File> {
        self.swap_out(EMPTY)
    }

    fn swap_out(&self, replacement: i32) -> Option<fs::File> {
        let descriptor = self.descriptor.swap(replacement, Ordering::SeqCst);
        debug_assert!(
            descriptor != RESERVED,
            "UNIX-1: a slot is emptied after its file was stored"
        );
        // SAFETY: the slot owned the descriptor (UNIX-1); the swap made us its only owner.
        (descriptor >= 0).then(|| unsafe { fs::File::from_raw_fd(descriptor) })
    }

    /// Runs `work` on the stored file, without taking it out. The caller is the slot's only user.
    pub(super) fn with<T>(&self, work: impl FnOnce(&fs::File) -> T) -> Option<T> {
        let descriptor = self.descriptor.load(Ordering::SeqCst);
        debug_assert!(
            descriptor != RESERVED,
            "UNIX-1: a slot is used after its file was stored"
        );
        if descriptor < 0 {
            return None;
        }
        // SAFETY: only the slot's user calls `take`, and it is here now, so the descriptor stays open during `work`
        // (UNIX-1). ManuallyDrop leaves the descriptor to the slot.
        let file = std::mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(descriptor) });
        Some(work(&file))
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::io::{PipeWriter, pipe};
    use std::os::fd::AsRawFd;

    /// A forked child that has run a function and waits for the order to end.
    pub(in super::super) struct Child {
        pid: libc::pid_t,
        tell: PipeWriter,
    }

    impl Child {
        /// Forks. The child runs `work`, which may use only atomics, because other threads' locks may stay taken
        /// there.
        pub(in super::super) fn fork(work: impl Fn() -> i32) -> Child {
            let (wait, tell) = pipe().unwrap();
            // SAFETY: the child calls `work` (atomics only, see above), close, read and _exit, all of which
            // POSIX allows after fork in a program with threads.
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0, "fork failed");
            if pid == 0 {
                let result = work();
                let mut byte = 0u8;
                // SAFETY: as above; `byte` is one writable byte. The descriptors are this child's copies.
                unsafe {
                    libc::close(tell.as_raw_fd());
                    libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1);
                    libc::_exit(result);
                }
            }
            Child { pid, tell }
        }

        /// Lets the child end; returns its exit status.
        pub(in super::super) fn finish(self) -> i32 {
            drop(self.tell);
            let mut status = 0;
            // SAFETY: `pid` is our own child, waited for once; `status` is a writable int.
            let waited = unsafe { libc::waitpid(self.pid, &mut status, 0) };
            assert_eq!(waited, self.pid);
            libc::WEXITSTATUS(status)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OS-2 of `os.rs`.
    #[test]
    fn a_call_is_repeated_until_no_signal_interrupts_it() {
        for last in [Ok(7), Err(io::ErrorKind::NotFound)] {
            let mut calls = 0;
            let outcome = retry(|| {
                calls += 1;
                match calls {
                    1 | 2 => Err(io::Error::from_raw_os_error(libc::EINTR)),
                    _ => last.map_err(io::Error::from),
                }
            });
            assert_eq!((outcome.map_err(|error| error.kind()), calls), (last, 3));
        }
    }

    /// UNIX-1.
    #[test]
    fn a_slot_gives_its_file_out_once() {
        // Not in the list, so that no lock takes it during the test.
        let slot = LockSlot {
            descriptor: AtomicI32::new(EMPTY),
            next: AtomicPtr::new(ptr::null_mut()),
        };
        let take = || slot.take().is_some();
        assert!(!take());
        let file = fs::File::open("/dev/null").unwrap();
        slot.descriptor.store(file.into_raw_fd(), Ordering::SeqCst);
        assert!(slot.with(|file| file.metadata().is_ok()).unwrap());
        assert!(take());
        assert!(!take());
        assert!(slot.with(|_| ()).is_none());
    }
}
