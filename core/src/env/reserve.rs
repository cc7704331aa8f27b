//! The file RESERVE, which reserves disk space, and an environment whose writes use it when the disk is full.
//!
//! * RESERVE-1  If a write, a creation or a rename finds no space, it releases a part of the reserve and tries
//!              again, until it succeeds or nothing is left. A failed sync is not repeated: it may have dropped
//!              its pages. Less urgent work leaves the parts for more urgent work. The first part is small,
//!              because any program may take the released space. Each further part for the same work is twice
//!              as large: if the file system is short of names instead of bytes, no part helps, and it may take
//!              long to say so.
//! * RESERVE-2  Once a part is released, the reserve is not whole until [`Reserve::hold`] has filled it again.
//! * RESERVE-6  The reserve is optional: if anything except a full disk prevents making or checking it (a
//!              sandbox without statfs or fallocate, a file size limit, a broken sector), no call fails because
//!              of that.
//!
//! Nothing reads the file. Its content, and whether it survives a crash, do not matter.
//!
//! Elsewhere: how much is reserved, and the work that must not use it (`db/tree/reserve.rs`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::DirSyncs;
use super::{
    DirLock, EngineOnly, Env, File, FileIdentity, InfoLogFile, PathKind, Thread, ThreadName,
};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::over_io::{OverIo, Stage};

/// The part of a unit that only the log and the manifest may draw on.
const MIN_DIVISOR: u64 = 4;
/// The part of a unit that is released first, unless more is needed.
const FIRST_DIVISOR: u64 = 8;
/// Fewer bytes than this are not worth setting aside.
const MIN_PART: u64 = 4 << 10;
/// The smallest unit, unless a piece is smaller.
pub(crate) const MIN_UNIT: u64 = 32 << 10;

/// The reserve: a file that only occupies space.
pub(crate) struct Reserve {
    env: Arc<dyn Env>,
    path: PathBuf,
    /// Bytes of the smallest reserve.
    piece: u64,
    /// The unit that the parts of the reserve are fractions of: a piece; or, if less was found at open, half of that
    /// until a piece is held.
    unit: AtomicU64,
    held: OverIo<Held>,
    is_whole: AtomicBool,
    /// The bytes that only some work may draw on.
    floor: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// The file; opened or created when it is first needed.
    file: Option<Arc<dyn File>>,
    bytes: u64,
}

impl Held {
    fn grow(&mut self, target: u64) -> Result<()> {
        debug_assert!(target >= self.bytes, "RESERVE-2: it is filled, not cut");
        let Some(file) = &self.file else {
            return Ok(());
        };
        match file.allocate(target) {
            Ok(()) => {
                self.bytes = target;
                Ok(())
            }
            Err(error) => {
                // A part of the bytes may have been allocated.
                let _ = file.set_len(self.bytes);
                Err(error)
            }
        }
    }

    fn shrink(&mut self, target: u64) -> Result<()> {
        debug_assert!(
            target <= self.bytes,
            "RESERVE-1: a part is released, nothing is added"
        );
        if let Some(file) = &self.file {
            file.set_len(target)?;
            self.bytes = target;
        }
        Ok(())
    }

    /// Adds `bytes`, or as much of them as there is: tries `bytes`, then a half, then a quarter, and so on, because
    /// the file system needs some space for itself.
    fn grow_by_at_most(&mut self, mut bytes: u64) {
        let most = self.bytes + bytes;
        while bytes >= MIN_PART && self.grow(self.bytes + bytes).is_err() {
            bytes /= 2;
        }
        debug_assert!(
            self.bytes <= most,
            "RESERVE-2: it is filled by no more than was asked for"
        );
    }
}

impl Reserve {
    /// The reserve in the file `path`, in its present size; empty if the file is missing. `piece`: bytes of the
    /// smallest reserve.
    pub(crate) fn open(env: Arc<dyn Env>, path: PathBuf, piece: u64) -> Result<Arc<Reserve>> {
        let mut held = Held::default();
        if env.kind(&path)? != PathKind::Missing {
            let file = env.open_write(&path)?;
            held.bytes = file.len()?;
            held.file = Some(file);
        }
        // Half of the remaining reserve is for the log and flushes, half for compactions.
        let unit = match held.file.is_some() && held.bytes < piece {
            true => (held.bytes / 2).max(MIN_UNIT).min(piece),
            false => piece,
        };
        debug_assert!(
            unit <= piece,
            "RESERVE-1: the parts are fractions of a piece"
        );
        Ok(Arc::new(Reserve {
            env,
            path,
            piece,
            unit: AtomicU64::new(unit),
            held: OverIo::new(Stage::File, held),
            is_whole: AtomicBool::new(false),
            floor: AtomicU64::new(0),
        }))
    }

    /// Closes the file and keeps its space; from now on none of it is released.
    pub(crate) fn let_go(&self) {
        let held = std::mem::take(&mut *self.held.lock());
        drop(held);
    }

    /// Whether the last [`Reserve::hold`] succeeded, and nothing has drawn on the reserve since.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Relaxed)
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> u64 {
        self.held.lock().bytes
    }

    /// Bytes of the smallest reserve.
    pub(crate) fn piece(&self) -> u64 {
        self.piece
    }

    /// The unit of which the released parts are fractions.
    pub(crate) fn unit(&self) -> u64 {
        self.unit.load(Ordering::Relaxed)
    }

    /// Free bytes on the disk besides the reserve; `u64::MAX` if the system does not say (RESERVE-6).
    pub(crate) fn free_space(&self) -> u64 {
        let dir = self.path.parent().unwrap_or(&self.path);
        self.env.free_space(dir).unwrap_or(u64::MAX)
    }

    /// Sets the bytes that only work with [`Share::All`] or [`Share::AboveLeast`] may draw on.
    pub(crate) fn set_floor(&self, bytes: u64) {
        self.floor.store(bytes, Ordering::Relaxed);
    }

    /// Makes the reserve `target` bytes large, or leaves it up to a piece larger. `NoSpace` if the `free` bytes
    /// besides it are not enough: then it keeps its size, or takes all free space if `or_less`. That is the
    /// only error: if space cannot be reserved at all, the reserve counts as whole (RESERVE-6).
    pub(crate) fn hold(&self, target: u64, free: u64, or_less: bool) -> Result<()> {
        let mut held = self.held.lock();
        if held.bytes < target {
            match self.grow(&mut held, target, free) {
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    self.is_whole.store(false, Ordering::Relaxed);
                    if or_less {
                        let lacking = target.saturating_sub(held.bytes);
                        held.grow_by_at_most(lacking.min(free));
                        debug_assert!(
                            held.bytes <= target,
                            "RESERVE-2: it is filled up to the target"
                        );
                    }
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        } else if held.bytes > target.saturating_add(self.piece) {
            // If that fails, the reserve is just larger than necessary.
            let _ = held.shrink(target);
        }
        if held.bytes >= self.piece {
            self.unit.store(self.piece, Ordering::Relaxed);
        }
        debug_assert!(
            held.bytes == 0 || held.file.is_some(),
            "RESERVE-2: what is held is in the file"
        );
        self.is_whole.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back everything above `bytes`, for a database that closes. If that fails, the reserve is just larger
    /// than necessary.
    pub(crate) fn leave(&self, bytes: u64) {
        let mut held = self.held.lock();
        if held.bytes > bytes {
            self.is_whole.store(false, Ordering::Relaxed);
            let _ = held.shrink(bytes);
            debug_assert!(held.bytes >= bytes, "RESERVE-1: the rest stays");
        }
    }

    fn grow(&self, held: &mut Held, target: u64, free: u64) -> Result<()> {
        if held.file.is_none() {
            held.file = Some(self.env.create_new(&self.path)?);
        }
        match held.bytes.saturating_add(free) < target {
            true => Err(self.no_space()),
            false => held.grow(target),
        }
    }

    fn no_space(&self) -> Error {
        let source = io::Error::from_raw_os_error(libc::ENOSPC);
        Error::io("set space aside in", &self.path, source)
    }

    /// Gives `bytes` bytes back to the disk, or fewer if there are fewer above `floor`; returns whether there were
    /// any.
    fn release(&self, bytes: u64, floor: u64) -> bool {
        let mut held = self.held.lock();
        let rest = held.bytes.saturating_sub(bytes).max(floor);
        if held.bytes <= rest || held.shrink(rest).is_err() {
            return false;
        }
        debug_assert!(held.bytes >= floor, "RESERVE-1: the floor stays");
        self.is_whole.store(false, Ordering::Relaxed);
        true
    }

    /// Does `work`, which needs about `bytes`, drawing on the reserve (RESERVE-1).
    fn drawn<T>(&self, share: Share, bytes: u64, work: impl Fn() -> Result<T>) -> Result<T> {
        debug_assert!(
            self.unit() <= self.piece,
            "RESERVE-1: the parts are fractions of a piece"
        );
        let mut part = bytes.max(self.unit() / FIRST_DIVISOR);
        loop {
            let floor = match share {
                Share::All => 0,
                Share::AboveLeast => self.unit() / MIN_DIVISOR,
                Share::AboveFloor => self.floor.load(Ordering::Relaxed),
            };
            match work() {
                Err(error) if error.kind() == ErrorKind::NoSpace && self.release(part, floor) => {
                    part = part.saturating_mul(2);
                }
                outcome => return outcome,
            }
        }
    }
}

/// How much of a reserve an environment may draw on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// All of it.
    All,
    /// The part above a quarter of a unit.
    AboveLeast,
    /// The part above [`Reserve::set_floor`].
    AboveFloor,
}

/// Wraps an environment: its writes use a reserve (RESERVE-1), and it counts failed syncs of directories.
pub(crate) struct ReservingEnv {
    inner: Arc<dyn Env>,
    reserve: Arc<Reserve>,
    share: Share,
    dir_syncs: Arc<DirSyncs>,
}

impl ReservingEnv {
    pub(crate) fn new(
        inner: Arc<dyn Env>,
        reserve: Arc<Reserve>,
        share: Share,
        dir_syncs: Arc<DirSyncs>,
    ) -> ReservingEnv {
        ReservingEnv {
            inner,
            reserve,
            share,
            dir_syncs,
        }
    }

    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(ReservingFile {
            inner,
            reserve: Arc::clone(&self.reserve),
            share: self.share,
        })
    }
}

struct ReservingFile {
    inner: Arc<dyn File>,
    reserve: Arc<Reserve>,
    share: Share,
}

impl File for ReservingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.reserve.drawn(self.share, bytes.len() as u64, || {
            self.inner.write_at(offset, bytes)
        })
    }

    fn write_if_room(&self, offset: u64, bytes: &[u8], _: EngineOnly) -> Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn start_writeback(&self, offset: u64, length: u64) {
        self.inner.start_writeback(offset, length);
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.inner.set_len(length)
    }

    fn allocate(&self, length: u64) -> Result<()> {
        self.inner.allocate(length)
    }

    fn forget_unsynced(&self, only: EngineOnly) {
        self.inner.forget_unsynced(only);
    }
}

impl Env for ReservingEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.inner.open_read(path)
    }

    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.inner.open_write(path).map(|file| self.file(file))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        let created = self
            .reserve
            .drawn(self.share, 0, || self.inner.create_new(path));
        created.map(|file| self.file(file))
    }

    fn open_info_log(&self, path: &Path) -> Result<Box<dyn InfoLogFile>> {
        self.inner.open_info_log(path)
    }

    fn kind(&self, path: &Path) -> Result<PathKind> {
        self.inner.kind(path)
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        self.inner.link_target(path)
    }

    fn identity(&self, path: &Path) -> Option<FileIdentity> {
        self.inner.identity(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.inner.remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.reserve
            .drawn(self.share, 0, || self.inner.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.dir_syncs.run(|| self.inner.sync_dir(dir))
    }

    fn failed_dir_syncs(&self, _: EngineOnly) -> u64 {
        self.dir_syncs.failures()
    }

    fn dir_sync_failure(&self, _: EngineOnly) -> Option<Error> {
        self.dir_syncs.last_failure()
    }

    fn forget_unsynced(&self, dir: &Path, only: EngineOnly) {
        self.inner.forget_unsynced(dir, only);
    }

    fn free_space(&self, dir: &Path) -> Result<u64> {
        self.inner.free_space(dir)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        self.inner.canonical(path)
    }

    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>> {
        self.inner.lock(dir, exclusive, timeout)
    }

    fn now_micros(&self) -> u64 {
        self.inner.now_micros()
    }

    fn wall_micros(&self) -> u64 {
        self.inner.wall_micros()
    }

    fn random(&self) -> Result<u64> {
        self.inner.random()
    }

    fn open_file_limit(&self) -> u64 {
        self.inner.open_file_limit()
    }

    fn largest_file(&self) -> u64 {
        self.inner.largest_file()
    }

    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
        self.inner.spawn(name, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Call, Fault, FaultEnv, MemEnv};

    const PIECE: u64 = 16 << 10;

    #[test]
    fn a_full_disk_draws_on_the_reserve_part_by_part_as_far_as_its_share_goes() {
        let mem = MemEnv::new();
        let disk: Arc<dyn Env> = Arc::new(mem.clone());
        let reserve = Reserve::open(Arc::clone(&disk), PathBuf::from("/RESERVE"), PIECE).unwrap();
        mem.set_quota(Some(8 * PIECE));
        let held = |reserve: &Reserve| (reserve.bytes(), reserve.is_whole());
        assert_eq!(held(&reserve), (0, false));
        let free = reserve.free_space();
        reserve.hold(4 * PIECE, free, false).unwrap();
        assert_eq!(held(&reserve), (4 * PIECE, true));
        reserve.set_floor(3 * PIECE);
        let env = |share| {
            let dir_syncs = Arc::new(DirSyncs::default());
            ReservingEnv::new(Arc::clone(&disk), Arc::clone(&reserve), share, dir_syncs)
        };
        let (log, flush) = (env(Share::All), env(Share::AboveLeast));
        let compaction = env(Share::AboveFloor);
        let bytes = vec![1; PIECE as usize];
        let file = flush.create_new(Path::new("/flush")).unwrap();
        for piece in 0..4 {
            file.write_at(piece * PIECE, &bytes).unwrap();
        }
        assert_eq!(held(&reserve), (4 * PIECE, true), "there was room");
        let other = compaction.create_new(Path::new("/compaction")).unwrap();
        other.write_at(0, &bytes).unwrap();
        assert_eq!(held(&reserve), (3 * PIECE, false), "RESERVE-2");
        let refused = other.write_at(PIECE, &bytes).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::NoSpace,
            "RESERVE-1: the floor stays"
        );
        for piece in 4..6 {
            file.write_at(piece * PIECE, &bytes).unwrap();
        }
        let refused = file.write_at(6 * PIECE, &bytes).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::NoSpace,
            "RESERVE-1: the least part stays too"
        );
        assert_eq!(held(&reserve), (PIECE / 4, false));
        let file = log.create_new(Path::new("/log")).unwrap();
        file.write_at(0, &bytes[..bytes.len() / 4]).unwrap();
        assert_eq!(held(&reserve), (0, false));
        let refused = file.write_at(PIECE, &bytes).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NoSpace);
        // The reserve is not whole again until it is filled.
        mem.set_quota(None);
        assert!(!reserve.is_whole());
        reserve.hold(4 * PIECE, u64::MAX, false).unwrap();
        assert_eq!(held(&reserve), (4 * PIECE, true));
    }

    /// RESERVE-6.
    #[test]
    fn what_cannot_be_set_aside_or_looked_at_fails_nothing() {
        for (operation, code) in [
            (Call::SetLen, libc::EFBIG),
            (Call::SetLen, libc::EPERM),
            (Call::Create, libc::EACCES),
            (Call::Look, libc::ENOSYS),
        ] {
            let env = FaultEnv::new(Arc::new(MemEnv::new()), 1);
            let disk: Arc<dyn Env> = Arc::new(env.clone());
            let reserve = Reserve::open(disk, PathBuf::from("/RESERVE"), PIECE).unwrap();
            env.inject(Fault::new(&[operation], code).always());
            let free = reserve.free_space();
            reserve.hold(4 * PIECE, free, false).unwrap();
            assert!(env.injected() > 0, "{operation:?}");
            assert!(reserve.is_whole(), "puts are taken");
            if operation != Call::Look {
                assert_eq!(reserve.bytes(), 0);
            }
            // As soon as space can be reserved again, it is.
            env.clear();
            reserve.hold(4 * PIECE, u64::MAX, false).unwrap();
            assert_eq!(reserve.bytes(), 4 * PIECE);
        }
    }

    #[test]
    fn where_names_are_short_the_reserve_is_given_back_in_few_attempts() {
        // On ext4 without free inodes each attempt waits four times for the journal.
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 1);
        let disk: Arc<dyn Env> = Arc::new(env.clone());
        let reserve = Reserve::open(Arc::clone(&disk), PathBuf::from("/RESERVE"), PIECE).unwrap();
        reserve.hold(1023 * PIECE, u64::MAX, false).unwrap();
        let (share, dir_syncs) = (Share::All, Arc::new(DirSyncs::default()));
        let drawing = ReservingEnv::new(disk, Arc::clone(&reserve), share, dir_syncs);
        env.inject(Fault::new(&[Call::Create], libc::ENOSPC).always());
        let refused = drawing.create_new(Path::new("/log")).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::NoSpace);
        assert_eq!(reserve.bytes(), 0);
        // One attempt without releasing, one after an eighth of a piece, then twice as much each time, up to 512
        // pieces.
        assert_eq!(env.injected(), 14);
    }
}
