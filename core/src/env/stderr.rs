//! Writes lines to the standard error stream, whose state a library cannot control.
//!
//! * STDERR-1  A line that cannot be written at once is lost without any other effect: no panic, no wait for a
//!             slow reader, no SIGPIPE or SIGXFSZ, which end the process by default.

#![expect(unsafe_code, reason = "signals and poll")]

use std::mem::MaybeUninit;
use std::ptr;

/// The longest line. A pipe that has any room has room for this many bytes, and takes them whole.
const MAX_LINE: usize = 4096;
/// Signals that a write may cause.
const SIGNALS: [i32; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Writes `line`, which must end with a newline, to the standard error stream, or drops it (STDERR-1).
pub(crate) fn write_to_stderr(line: &[u8]) {
    debug_assert!(
        line.ends_with(b"\n"),
        "STDERR-1: a line ends with a newline"
    );
    write_to(libc::STDERR_FILENO, line);
}

fn write_to(descriptor: i32, line: &[u8]) {
    let quiet = Quiet::begin();
    if takes_bytes(descriptor) {
        let kept = line.len().min(MAX_LINE);
        // SAFETY: the bytes are those of `line`, which lives across the call.
        unsafe { libc::write(descriptor, line.as_ptr().cast(), kept) };
        if kept < line.len() {
            // SAFETY: as above.
            unsafe { libc::write(descriptor, c"\n".as_ptr().cast(), 1) };
        }
    }
    quiet.end();
}

/// Whether a write can go ahead without waiting; also true if that is unknown.
fn takes_bytes(descriptor: i32) -> bool {
    let mut asked = libc::pollfd {
        fd: descriptor,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `asked` is one pollfd that lives across the call.
    unsafe { libc::poll(&mut asked, 1, 0) != 0 }
}

/// While this lives, [`SIGNALS`] do not reach this thread.
struct Quiet {
    before: libc::sigset_t,
    /// Signals that were already waiting; those must not be removed.
    waiting: [bool; SIGNALS.len()],
}

impl Quiet {
    fn begin() -> Quiet {
        let waiting = SIGNALS.map(is_waiting);
        let (set, mut before) = (set_of(&SIGNALS), set_of(&[]));
        // SAFETY: both sets are valid and live across the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before) };
        Quiet { before, waiting }
    }

    fn end(self) {
        for (signal, was_waiting) in SIGNALS.into_iter().zip(self.waiting) {
            if !was_waiting && is_waiting(signal) {
                let (set, mut taken) = (set_of(&[signal]), 0);
                // SAFETY: the signal is pending and blocked here, so the call takes it without waiting.
                unsafe { libc::sigwait(&set, &mut taken) };
            }
        }
        // SAFETY: the set is the one that was in force before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

fn is_waiting(signal: i32) -> bool {
    let mut waiting = set_of(&[]);
    // SAFETY: the set is valid and lives across the calls, and `signal` is a signal.
    unsafe { libc::sigpending(&mut waiting) == 0 && libc::sigismember(&waiting, signal) == 1 }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call initialises the whole set; the others get an initialised set and valid signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::os::fd::AsRawFd;

    /// Runs `work` with the default handler of SIGPIPE, then restores the program's handler.
    fn with_deadly_sigpipe(work: impl FnOnce()) {
        // SAFETY: the default handler is one that any program may have.
        let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        work();
        // SAFETY: this is the handler that the first call returned.
        unsafe { libc::signal(libc::SIGPIPE, before) };
    }

    /// STDERR-1.
    #[test]
    fn a_reader_that_is_gone_or_does_not_read_costs_a_line_and_nothing_else() {
        let (mut reader, writer) = pipe().unwrap();
        write_to(writer.as_raw_fd(), b"a line\n");
        let mut heard = [0; 7];
        reader.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"a line\n");
        // Far more than a pipe holds. Without the check this would wait for ever.
        let line = [[b'x'; 999].as_slice(), b"\n"].concat();
        (0..2000).for_each(|_| write_to(writer.as_raw_fd(), &line));
        with_deadly_sigpipe(|| {
            drop(reader);
            write_to(writer.as_raw_fd(), b"nobody hears this\n");
            assert!(!is_waiting(libc::SIGPIPE));
        });
        write_to(-1, b"nor this\n");
    }

    #[test]
    fn lines_that_a_pipe_takes_whole_are_written_as_they_are() {
        let (mut reader, writer) = pipe().unwrap();
        let longest = [[b'z'; MAX_LINE - 1].as_slice(), b"\n"].concat();
        let lines = [b"one\n", &longest[..], b"two\n"];
        lines
            .iter()
            .for_each(|line| write_to(writer.as_raw_fd(), line));
        drop(writer);
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert!(heard == lines.concat(), "{} bytes", heard.len());
    }

    #[test]
    fn a_line_that_no_pipe_takes_whole_is_cut_and_still_a_line() {
        let (mut reader, writer) = pipe().unwrap();
        write_to(writer.as_raw_fd(), &[b'y'; MAX_LINE + 1]);
        drop(writer);
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), MAX_LINE + 1);
        assert_eq!(heard.last(), Some(&b'\n'));
    }
}
