//! A process for one test alone, which may change what all threads of a process share: limits and standard streams.

#![expect(unsafe_code, reason = "limits of the process")]

use std::process::Command;

/// The environment variable of such a process that holds the name of its test.
const ALONE: &str = "AIDB_TEST_ALONE";

/// Runs `work` in a process of its own. `name` is the whole path of the calling test, which must do nothing else.
pub(crate) fn alone(name: &str, work: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some_and(|alone| alone == name) {
        return work();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(ALONE, name)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{}: {said}{complained}",
        output.status
    );
}

/// A limit of the system for all threads of a process.
pub(crate) enum Limit {
    /// Bytes of mapped memory.
    Addresses,
    /// Bytes of a file.
    FileSize,
    /// Descriptors; the largest is one less than this.
    OpenFiles,
}

/// Runs `work` while this process may have at most `most` of what `limit` limits.
pub(crate) fn limited(limit: Limit, most: u64, work: impl FnOnce()) {
    let resource = match limit {
        Limit::Addresses => libc::RLIMIT_AS,
        Limit::FileSize => libc::RLIMIT_FSIZE,
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
    };
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `before` is a valid rlimit that the call fills in.
    assert_eq!(unsafe { libc::getrlimit(resource, &mut before) }, 0);
    let set = |limit: libc::rlimit| {
        // SAFETY: `limit` is a valid rlimit, which the call only reads.
        assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
    };
    set(libc::rlimit {
        rlim_cur: most as libc::rlim_t,
        ..before
    });
    work();
    // Lift the limit, so that it does not affect what the end of a process writes, for example a profile.
    set(before);
}
