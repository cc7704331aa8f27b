//! `aidb_status`: what every fallible function returns, and what is kept of a failure for its error object.

use std::ffi::{CString, c_char};

use aidb::{Error, ErrorKind};

/// The result of a call. The numbers never change; later versions may add new ones.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum aidb_status {
    /// The call did what was asked.
    AIDB_OK = 0,
    /// An argument, option or handle is wrong: fix the call.
    AIDB_INVALID_ARGUMENT = 1,
    /// The operating system refused a file operation: check the disk, then call again; reopening is not needed.
    AIDB_IO = 2,
    /// Bytes on disk are not what was written: restore a backup or repair.
    AIDB_CORRUPTION = 3,
    /// Another opener holds the database: close it there first.
    AIDB_LOCKED = 4,
    /// Another commit has changed what the transaction has read, or nobody has used it for too long: nothing was
    /// written; run it again from the beginning.
    AIDB_CONFLICT = 5,
    /// The handle or its database has been closed: open it again.
    AIDB_CLOSED = 6,
    /// The database was written by a newer AiDb, or the call asks for something this build lacks: upgrade.
    AIDB_UNSUPPORTED = 7,
    /// A bug in AiDb: please report it.
    AIDB_INTERNAL = 8,
    /// The key is absent, or the iterator is past its end. This is not an error; no error object is made.
    AIDB_NOT_FOUND = 9,
    /// The disk or a quota is full: free some space and try again.
    AIDB_NO_SPACE = 10,
    /// There was not enough memory for this call: free some and call again; reopening is not needed.
    AIDB_OUT_OF_MEMORY = 11,
}

pub(crate) use aidb_status::*;

/// The status of an error's kind; a kind that this file does not know yet counts as a bug.
pub(crate) fn status_of(kind: ErrorKind) -> aidb_status {
    match kind {
        ErrorKind::InvalidArgument => AIDB_INVALID_ARGUMENT,
        ErrorKind::Io => AIDB_IO,
        ErrorKind::Corruption => AIDB_CORRUPTION,
        ErrorKind::Locked => AIDB_LOCKED,
        ErrorKind::Conflict => AIDB_CONFLICT,
        ErrorKind::Closed => AIDB_CLOSED,
        ErrorKind::Unsupported => AIDB_UNSUPPORTED,
        ErrorKind::NoSpace => AIDB_NO_SPACE,
        ErrorKind::OutOfMemory => AIDB_OUT_OF_MEMORY,
        _ => AIDB_INTERNAL,
    }
}

/// The kind of an error's status; `None` for `AIDB_OK`, `AIDB_NOT_FOUND` and a number that is no status.
pub(crate) fn kind_of(status: i32) -> Option<ErrorKind> {
    ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.code() == status)
}

/// The content of an error object.
pub(crate) struct Report {
    pub(crate) status: aidb_status,
    pub(crate) is_retryable: bool,
    pub(crate) message: CString,
}

impl Report {
    pub(crate) fn new(error: &Error) -> Report {
        // A zero byte would end the message early; only a file name or a key in a message could bring one.
        let text = error.to_string().replace('\0', "\u{fffd}");
        Report {
            status: status_of(error.kind()),
            is_retryable: error.is_retryable(),
            message: CString::new(text).expect("every zero byte was replaced"),
        }
    }
}

/// The name of a status, for messages: "AIDB_NOT_FOUND". Static text; "unknown status" for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn aidb_status_name(status: i32) -> *const c_char {
    let name = match status {
        0 => c"AIDB_OK",
        1 => c"AIDB_INVALID_ARGUMENT",
        2 => c"AIDB_IO",
        3 => c"AIDB_CORRUPTION",
        4 => c"AIDB_LOCKED",
        5 => c"AIDB_CONFLICT",
        6 => c"AIDB_CLOSED",
        7 => c"AIDB_UNSUPPORTED",
        8 => c"AIDB_INTERNAL",
        9 => c"AIDB_NOT_FOUND",
        10 => c"AIDB_NO_SPACE",
        11 => c"AIDB_OUT_OF_MEMORY",
        _ => c"unknown status",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn every_kind_has_its_number_and_name() {
        for kind in ErrorKind::ALL {
            let status = status_of(kind);
            assert_eq!(status as i32, kind.code());
            assert_eq!(kind_of(kind.code()), Some(kind));
            // SAFETY: the function returns static text.
            let name = unsafe { CStr::from_ptr(aidb_status_name(status as i32)) };
            assert_eq!(name.to_str().unwrap(), format!("{status:?}"));
            let letters = name.to_str().unwrap().replace("AIDB_", "").replace('_', "");
            assert_eq!(letters, kind.name().to_uppercase());
        }
        assert_eq!(kind_of(AIDB_OK as i32), None);
        assert_eq!(kind_of(AIDB_NOT_FOUND as i32), None);
        for other in [i32::MIN, -1, 12, i32::MAX] {
            assert_eq!(kind_of(other), None);
            // SAFETY: as above.
            let name = unsafe { CStr::from_ptr(aidb_status_name(other)) };
            assert_eq!(name, c"unknown status");
        }
    }
}
