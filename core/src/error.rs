//! The one error type of AiDb, and the table of its kinds.
//!
//! A kind exists only if a caller would act differently on it. Details go into the message, causes into
//! `source()`. A missing key is not an error. The numbers are the C API's `aidb_status` values and only grow:
//! docs/errors.md has the same table for every language, and a test compares the two.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every fallible call of AiDb.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an error: what a caller can act on. The number is the C API's status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// An argument or option is out of its range: fix the call.
    InvalidArgument = 1,
    /// The operating system refused a file operation: check the disk, then call again; reopening is not needed.
    Io = 2,
    /// Bytes on disk are not what was written: restore a backup or repair.
    Corruption = 3,
    /// Another opener holds the database: close it there first.
    Locked = 4,
    /// Another commit has changed what a transaction has read: run the transaction again.
    Conflict = 5,
    /// The handle or its database has been closed: open it again.
    Closed = 6,
    /// A newer AiDb wrote the database, or the call asks for something this build or platform lacks: upgrade.
    Unsupported = 7,
    /// An invariant of AiDb does not hold. This is a bug in AiDb: report it.
    Internal = 8,
    /// The disk or a quota is full: free space and write again; reopening is not needed.
    NoSpace = 10,
    /// There was not enough memory for this call: free some and call again; reopening is not needed.
    OutOfMemory = 11,
}

impl ErrorKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [ErrorKind; 10] = [
        ErrorKind::InvalidArgument,
        ErrorKind::Io,
        ErrorKind::Corruption,
        ErrorKind::Locked,
        ErrorKind::Conflict,
        ErrorKind::Closed,
        ErrorKind::Unsupported,
        ErrorKind::Internal,
        ErrorKind::NoSpace,
        ErrorKind::OutOfMemory,
    ];

    /// The kind's number, which the C API returns as `aidb_status`.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The kind's name as in docs/errors.md, for example `NoSpace`.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "InvalidArgument",
            ErrorKind::Io => "Io",
            ErrorKind::Corruption => "Corruption",
            ErrorKind::Locked => "Locked",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::Closed => "Closed",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::Internal => "Internal",
            ErrorKind::NoSpace => "NoSpace",
            ErrorKind::OutOfMemory => "OutOfMemory",
        }
    }

    /// The words with which the text of such an error begins.
    fn words(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "invalid argument",
            ErrorKind::Io => "i/o error",
            ErrorKind::Corruption => "corruption",
            ErrorKind::Locked => "locked",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Closed => "closed",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Internal => "internal error",
            ErrorKind::NoSpace => "no space",
            ErrorKind::OutOfMemory => "out of memory",
        }
    }
}

/// An error: its kind, a message for a person, and the cause if there is one.
///
/// Cheap to clone (a counted reference), because a poisoned log answers every later write with the same error.
#[derive(Debug, Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
    place: Option<FilePlace>,
    holder: Option<Holder>,
    /// See [`Error::is_unaccounted`].
    is_unaccounted: bool,
    /// See [`Error::is_given_up`].
    is_given_up: bool,
}

/// The process that holds a locked database, as it described itself when it opened the database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its process id, on its own host.
    pub pid: u32,
    /// The name of its host.
    pub host: String,
    /// When it opened the database: `2026-01-31 09:05:00 UTC`.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { pid, host, since } = self;
        write!(f, "pid {pid} on host {host}, since {since}")
    }
}

impl Holder {
    /// The inverse of `to_string`.
    pub(crate) fn parse(text: &str) -> Option<Holder> {
        let (pid, rest) = text
            .trim_end()
            .strip_prefix("pid ")?
            .split_once(" on host ")?;
        let (host, since) = rest.rsplit_once(", since ")?;
        Some(Holder {
            pid: pid.parse().ok()?,
            host: host.to_owned(),
            since: since.to_owned(),
        })
    }
}

/// Where damage is. The message ends with a description of it.
#[derive(Debug, Clone)]
struct FilePlace {
    path: PathBuf,
    offset: u64,
    detail_bytes: usize,
}

impl Error {
    /// An error of `kind` with this `message` (a sentence without the kind's words).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::build(kind, message.into(), None, None)
    }

    /// An argument is out of range; `message` names the argument and its range.
    pub fn invalid_argument(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    /// The bytes of `path` at `offset` are not what was written.
    pub fn corruption(path: &Path, offset: u64, message: impl fmt::Display) -> Error {
        let place = format!("{} at byte {offset}: ", path.display());
        let text = format!("{place}{message}");
        let place = FilePlace {
            path: path.to_path_buf(),
            offset,
            detail_bytes: text.len() - place.len(),
        };
        Error::build(ErrorKind::Corruption, text, None, Some(place))
    }

    /// The operating system refused to `action` (a verb phrase: "sync", "open for reading") `path`.
    ///
    /// A full disk or quota becomes [`ErrorKind::NoSpace`], a lack of memory [`ErrorKind::OutOfMemory`],
    /// everything else [`ErrorKind::Io`].
    pub fn io(action: &str, path: &Path, source: io::Error) -> Error {
        let full = matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
        let kind = match source.kind() {
            _ if full => ErrorKind::NoSpace,
            io::ErrorKind::StorageFull => ErrorKind::NoSpace,
            io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            _ => ErrorKind::Io,
        };
        let message = format!("cannot {action} {}: {source}", path.display());
        Error::build(kind, message, Some(source), None)
    }

    /// There is no memory for `bytes` bytes of `what`. Every failed allocation returns this error, so that no
    /// caller takes it for damage or for a wrong argument.
    #[cold]
    pub fn out_of_memory(what: impl fmt::Display, bytes: usize) -> Error {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("no memory for {bytes} bytes of {what}"),
        )
    }

    /// The database or handle named by `what` has been closed.
    pub fn closed(what: &str) -> Error {
        Error::new(ErrorKind::Closed, format!("{what} has been closed"))
    }

    /// Another process or handle holds the database; `message` says what is known about it.
    pub(crate) fn locked(message: impl Into<String>, holder: Option<Holder>) -> Error {
        let mut inner = Error::parts(ErrorKind::Locked, message.into(), None, None);
        inner.holder = holder;
        Error {
            inner: Arc::new(inner),
        }
    }

    /// An invariant does not hold.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// A panic `during` something, with its message. Names of invariants, which are for developers, are left out.
    #[doc(hidden)]
    pub fn panicked(during: &str, panic: &(dyn Any + Send)) -> Error {
        let owned = panic.downcast_ref::<String>().map(String::as_str);
        let text = owned.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = without_invariant(text.unwrap_or("without a message"));
        Error::internal(format!("{during}: {text}"))
    }

    /// The call would have to do more than its caller allows.
    #[cold]
    #[doc(hidden)]
    pub fn given_up() -> Error {
        let message = "a call gave up at its limit, and its caller did not handle that".to_owned();
        let mut inner = Error::parts(ErrorKind::Internal, message, None, None);
        inner.is_given_up = true;
        Error {
            inner: Arc::new(inner),
        }
    }

    /// The entries that a flush or compaction read or wrote do not add up, or are out of order.
    pub(crate) fn unaccounted(message: impl Into<String>) -> Error {
        let mut inner = Error::parts(ErrorKind::Internal, message.into(), None, None);
        inner.is_unaccounted = true;
        Error {
            inner: Arc::new(inner),
        }
    }

    /// A newer AiDb wrote something, or it is not available here.
    pub fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, message)
    }

    /// The same error with `context` before its message, for example the file or the call that it came from.
    pub fn context(self, context: impl fmt::Display) -> Error {
        let source = self.inner.source.as_ref().map(copy_of);
        let message = format!("{context}: {}", self.inner.message);
        let mut inner = Error::parts(self.inner.kind, message, source, self.inner.place.clone());
        inner.holder = self.inner.holder.clone();
        inner.is_unaccounted = self.inner.is_unaccounted;
        inner.is_given_up = self.inner.is_given_up;
        Error {
            inner: Arc::new(inner),
        }
    }

    fn build(
        kind: ErrorKind,
        message: String,
        source: Option<io::Error>,
        place: Option<FilePlace>,
    ) -> Error {
        Error {
            inner: Arc::new(Error::parts(kind, message, source, place)),
        }
    }

    fn parts(
        kind: ErrorKind,
        message: String,
        source: Option<io::Error>,
        place: Option<FilePlace>,
    ) -> Inner {
        Inner {
            kind,
            message,
            source,
            place,
            holder: None,
            is_unaccounted: false,
            is_given_up: false,
        }
    }

    /// Whether the call gave up because its caller limited the effort. Only that caller sees such an error.
    #[doc(hidden)]
    pub fn is_given_up(&self) -> bool {
        self.inner.is_given_up
    }

    /// Whether entries did not add up: a bug in AiDb or a memory error, noticed before the result was installed.
    pub(crate) fn is_unaccounted(&self) -> bool {
        self.inner.is_unaccounted
    }

    /// Whether the operating system refuses the system call itself, whatever its arguments, as sandboxes do.
    pub(crate) fn is_refusal(&self) -> bool {
        let code = self.inner.source.as_ref().and_then(io::Error::raw_os_error);
        matches!(code, Some(libc::EPERM | libc::ENOSYS))
    }

    /// Whether the operating system has no more threads, or no memory for a thread's stack.
    pub(crate) fn is_want_of_threads(&self) -> bool {
        let code = self.inner.source.as_ref().and_then(io::Error::raw_os_error);
        matches!(code, Some(libc::EAGAIN | libc::ENOMEM))
    }

    /// The kind, for a program to act on.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message without the kind's words.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The damaged file and the offset in it; `None` if the error is not about damage in a file.
    pub fn place(&self) -> Option<(&Path, u64)> {
        let place = self.inner.place.as_ref()?;
        Some((&place.path, place.offset))
    }

    /// The process that holds the database, if the error is [`ErrorKind::Locked`] and the holder is known.
    pub fn holder(&self) -> Option<&Holder> {
        self.inner.holder.as_ref()
    }

    /// The message without the place that [`Error::place`] gives.
    pub(crate) fn detail(&self) -> &str {
        let message = self.message();
        let place = self.inner.place.as_ref();
        let start = place.map_or(0, |place| message.len() - place.detail_bytes);
        &message[start..]
    }

    /// Whether it is a lack of memory, which says nothing about the data to be read or written.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.kind() == ErrorKind::OutOfMemory
    }

    /// Whether the process or the system has reached its limit of open files.
    pub(crate) fn is_out_of_files(&self) -> bool {
        matches!(self.os_code(), Some(libc::EMFILE | libc::ENFILE))
    }

    /// Whether an empty directory was not removed for a harmless reason: a symbolic link leads to it, it is a mount
    /// point or a process's working directory, its parent may not be changed, or another process has put something
    /// into it.
    pub(crate) fn is_of_a_directory_that_stays(&self) -> bool {
        let mounted = [libc::ENOTDIR, libc::EBUSY, libc::EINVAL];
        let code = self.os_code();
        let is_mounted = code.is_some_and(|code| mounted.contains(&code));
        is_mounted || self.is_denied() || matches!(code, Some(libc::ENOTEMPTY | libc::EEXIST))
    }

    /// Whether the process lacks the permission for it.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self.os_code(), Some(libc::EACCES | libc::EPERM))
    }

    /// Whether this is the error of a file system that cannot rename directories.
    pub(crate) fn is_of_no_renaming(&self) -> bool {
        let codes = [
            libc::EXDEV,
            libc::EINVAL,
            libc::ENOSYS,
            libc::EOPNOTSUPP,
            libc::EPERM,
        ];
        self.os_code().is_some_and(|code| codes.contains(&code))
    }

    fn os_code(&self) -> Option<i32> {
        self.inner.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// Whether the same call may succeed later without any change to it.
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::NoSpace
            | ErrorKind::OutOfMemory
            | ErrorKind::Locked
            | ErrorKind::Conflict => true,
            ErrorKind::Io => self.inner.source.as_ref().is_some_and(|source| {
                matches!(
                    source.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                )
            }),
            _ => false,
        }
    }
}

/// An `io::Error` like `error`, because the type cannot be cloned.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.kind.words(), self.inner.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| source as _)
    }
}

/// `text` without the name of an invariant before it, such as `WAL-3: `.
fn without_invariant(text: &str) -> &str {
    let is_name = |name: &str| {
        name.split_once('-').is_some_and(|(word, number)| {
            let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            !word.is_empty() && word.bytes().all(is_upper) && number.parse::<u32>().is_ok()
        })
    };
    match text.split_once(": ") {
        Some((name, rest)) if is_name(name) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_space_and_retryable() {
        for code in [libc::ENOSPC, libc::EDQUOT] {
            let error = Error::io("write", Path::new("x"), io::Error::from_raw_os_error(code));
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert!(error.is_retryable());
        }
        let error = Error::io(
            "write",
            Path::new("x"),
            io::Error::from_raw_os_error(libc::EIO),
        );
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_message_names_kind_file_and_offset() {
        let error = Error::corruption(Path::new("000012.sst"), 4096, "block checksum differs");
        assert_eq!(
            error.to_string(),
            "corruption: 000012.sst at byte 4096: block checksum differs"
        );
        let error = error.context("verify");
        assert_eq!(error.place(), Some((Path::new("000012.sst"), 4096)));
        assert_eq!(error.detail(), "block checksum differs");
    }

    #[test]
    fn a_holder_is_read_back_from_its_text() {
        let holder = Holder {
            pid: 7,
            host: "moon, since 1969".to_owned(),
            since: "2026-01-31 09:05:00 UTC".to_owned(),
        };
        assert_eq!(Holder::parse(&format!("{holder}\n")), Some(holder.clone()));
        for text in ["", "pid 7", "pid x on host a, since b", "pid 7 on host a"] {
            assert_eq!(Holder::parse(text), None, "{text}");
        }
        let error = Error::locked("held", Some(holder.clone())).context("open");
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert_eq!(error.holder(), Some(&holder));
        assert_eq!(Error::closed("it").holder(), None);
    }

    #[test]
    fn context_keeps_kind_and_cause() {
        let cause = io::Error::from_raw_os_error(libc::EINTR);
        let error = Error::io("read", Path::new("x"), cause).context("flush");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.is_retryable());
        assert!(error.message().starts_with("flush: cannot read x"));
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_panic_is_reported_without_the_name_of_an_invariant() {
        let shown = |panic: Box<dyn Any + Send>| {
            let error = Error::panicked("work panicked", &*panic);
            assert_eq!(error.kind(), ErrorKind::Internal);
            error.message().to_owned()
        };
        let expected = "work panicked: a record is whole";
        assert_eq!(shown(Box::new("WAL-3: a record is whole")), expected);
        assert_eq!(
            shown(Box::new("MEM2-14: a record is whole".to_owned())),
            expected
        );
        for text in [
            "index: 3",
            "utf-8: no",
            "WAL-3",
            "WAL-: x",
            "-3: x",
            "A-1x: y",
        ] {
            assert_eq!(shown(Box::new(text)), format!("work panicked: {text}"));
        }
        assert_eq!(shown(Box::new(7)), "work panicked: without a message");
    }

    #[test]
    fn codes_are_unique_and_skip_not_found() {
        let mut codes: Vec<i32> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.dedup();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]);
    }
}

#[cfg(test)]
mod edges;
