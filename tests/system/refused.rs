//! The engine works without the system calls that only help: refuses each in turn, with both errors that sandboxes use.

use crate::role::passes_saying;

/// The calls made here by the engine, and by Rust's library or the C library on its behalf.
const MET: &[&str] = &[
    "clone3",
    "fallocate",
    "fcntl",
    "ftruncate",
    "getrandom",
    "link",
    "lseek",
    "madvise",
    "poll",
    "prctl",
    "prlimit64",
    "readlink",
    "statfs",
    "statx",
    "sync_file_range",
    "uname",
];

/// Calls that other versions of these libraries make, or other circumstances need. Calls that the C library cannot do
/// without are missing: it ends the process if `rseq` is refused with EPERM, and lists no directory without
/// `newfstatat`.
const OTHERS: &[&str] = &[
    "copy_file_range",
    "fadvise64",
    "fstatfs",
    "getcwd",
    "getrusage",
    "gettid",
    "ioctl",
    "membarrier",
    "mlock",
    "mremap",
    "preadv2",
    "pwritev2",
    "renameat2",
    "rt_sigpending",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sysinfo",
];

#[test]
fn every_system_call_that_only_helps_may_be_refused() {
    if cfg!(not(target_os = "linux")) {
        println!("not run: seccomp is Linux's");
        return;
    }
    let mut unmet = Vec::new();
    for &call in MET.iter().chain(OTHERS) {
        for error in ["EPERM", "ENOSYS"] {
            let Some(met) = refused(error, &[call]) else {
                println!("not run: no seccomp here");
                return;
            };
            println!("{call} {error}: {met} refusals");
            if met == 0 && MET.contains(&call) {
                unmet.push(call);
            }
        }
    }
    assert!(unmet.is_empty(), "nobody made these calls: {unmet:?}");
    let all: Vec<_> = MET.iter().chain(OTHERS).copied().collect();
    let met = refused("EPERM", &all).unwrap_or(0);
    assert!(met > MET.len() as u64, "all at once: {met} refusals");
}

/// Runs a database while `calls` are refused. Returns how many refusals it met, if this machine allows the filter.
fn refused(error: &str, calls: &[&str]) -> Option<u64> {
    let dir = crate::directory();
    let path = dir.path().display().to_string();
    let mut arguments = vec![path.as_str(), error];
    arguments.extend(calls);
    let mut last = String::new();
    passes_saying("refused", &arguments, &mut last).then(|| {
        let met = last.strip_prefix("met ").expect("how many it met");
        met.parse().expect("a number")
    })
}
