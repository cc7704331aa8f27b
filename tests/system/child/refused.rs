//! Runs a database in a sandbox that refuses some system calls: `refused DIR ERROR CALL...`.
//!
//! A filter forwards the calls to a thread outside the filter, which counts and refuses them. The last line says how
//! many refusals the engine met.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use aidb::{DB, InfoLog, Options, WriteOptions};

use crate::{not_run, say};

const ENTRIES: u32 = 1000;

// linux/seccomp.h; not all of it is in libc.
const SET_MODE_FILTER: libc::c_ulong = 1;
const NEW_LISTENER: libc::c_ulong = 1 << 3;
const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_NOTIFY: u32 = 0x7fc0_0000;
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;

/// The numbers of a call by its name; none if the architecture lacks the call.
fn numbers(call: &str) -> Vec<libc::c_long> {
    let both = |number| vec![number];
    match call {
        "clone3" => both(libc::SYS_clone3),
        "copy_file_range" => both(libc::SYS_copy_file_range),
        "fadvise64" => both(libc::SYS_fadvise64),
        "fallocate" => both(libc::SYS_fallocate),
        "fcntl" => both(libc::SYS_fcntl),
        "fstatfs" => both(libc::SYS_fstatfs),
        "ftruncate" => both(libc::SYS_ftruncate),
        "getcwd" => both(libc::SYS_getcwd),
        "getrandom" => both(libc::SYS_getrandom),
        "getrusage" => both(libc::SYS_getrusage),
        "gettid" => both(libc::SYS_gettid),
        "ioctl" => both(libc::SYS_ioctl),
        "link" => {
            #[cfg(target_arch = "x86_64")]
            return vec![libc::SYS_link, libc::SYS_linkat];
            #[cfg(not(target_arch = "x86_64"))]
            both(libc::SYS_linkat)
        }
        "lseek" => both(libc::SYS_lseek),
        "madvise" => both(libc::SYS_madvise),
        "membarrier" => both(libc::SYS_membarrier),
        "mlock" => both(libc::SYS_mlock),
        "mremap" => both(libc::SYS_mremap),
        "poll" => {
            #[cfg(target_arch = "x86_64")]
            return vec![libc::SYS_poll, libc::SYS_ppoll];
            #[cfg(not(target_arch = "x86_64"))]
            both(libc::SYS_ppoll)
        }
        "prctl" => both(libc::SYS_prctl),
        "preadv2" => both(libc::SYS_preadv2),
        "prlimit64" => both(libc::SYS_prlimit64),
        "pwritev2" => both(libc::SYS_pwritev2),
        "readlink" => {
            #[cfg(target_arch = "x86_64")]
            return vec![libc::SYS_readlink, libc::SYS_readlinkat];
            #[cfg(not(target_arch = "x86_64"))]
            both(libc::SYS_readlinkat)
        }
        "renameat2" => both(libc::SYS_renameat2),
        "rt_sigpending" => both(libc::SYS_rt_sigpending),
        "sched_getaffinity" => both(libc::SYS_sched_getaffinity),
        "sched_yield" => both(libc::SYS_sched_yield),
        "set_robust_list" => both(libc::SYS_set_robust_list),
        "statfs" => both(libc::SYS_statfs),
        "statx" => both(libc::SYS_statx),
        "sync_file_range" => both(libc::SYS_sync_file_range),
        "sysinfo" => both(libc::SYS_sysinfo),
        "uname" => both(libc::SYS_uname),
        _ => panic!("no number of {call}"),
    }
}

pub fn run(arguments: &[String]) {
    let [dir, error, calls @ ..] = arguments else {
        panic!("refused DIR ERROR CALL...");
    };
    let error = match error.as_str() {
        "EPERM" => libc::EPERM,
        "ENOSYS" => libc::ENOSYS,
        _ => panic!("refused with {error}"),
    };
    let numbers: Vec<_> = calls.iter().flat_map(|call| numbers(call)).collect();
    let met = Arc::new(AtomicU64::new(0));
    let (send, receive) = mpsc::channel();
    let counter = Arc::clone(&met);
    // Started before the filter, so that the filter does not apply to it.
    std::thread::spawn(move || refuse(receive.recv().unwrap(), error, &counter));
    send.send(filter(&numbers)).unwrap();
    live(dir);
    say(&format!("met {}", met.load(Ordering::SeqCst)));
}

/// Forwards the calls `numbers` of this thread, and of the threads it starts, to the reader of the returned descriptor.
fn filter(numbers: &[libc::c_long]) -> libc::c_int {
    let statement = |code: u32, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // The first word of the filter's data is the number of the call.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &number in numbers {
        program.push(libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number as u32)
        });
        program.push(statement(libc::BPF_RET | libc::BPF_K, RETURN_NOTIFY));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, RETURN_ALLOW));
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the calls take numbers and a program that lives across the second, which copies it.
    let listener = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER, &program)
    };
    if listener < 0 {
        not_run(&format!("no filter: {}", std::io::Error::last_os_error()));
    }
    listener as libc::c_int
}

/// Counts forwarded calls, and refuses them with `error`, until the process ends.
fn refuse(listener: libc::c_int, error: i32, met: &AtomicU64) {
    loop {
        // SAFETY: all zeros are a valid value of both, which hold numbers only.
        let (mut call, mut answer): (libc::seccomp_notif, libc::seccomp_notif_resp) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        // SAFETY: `call` has the size that the number of the call says, and is zeroed as the kernel wants it.
        if unsafe { libc::ioctl(listener, RECEIVE as _, &mut call) } != 0 {
            continue;
        }
        met.fetch_add(1, Ordering::SeqCst);
        answer.id = call.id;
        answer.error = -error;
        // SAFETY: as above, for `answer`. It fails if the caller was killed meanwhile.
        unsafe { libc::ioctl(listener, SEND as _, &mut answer) };
    }
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// Everything that a database does; nothing may fail.
fn live(dir: &str) {
    let path = |name: &str| format!("{dir}/{name}");
    let options = Options::new()
        // Makes logs long enough for early writeback.
        .write_buffer_size(1200 << 10)
        .target_file_size(128 << 10)
        .level0_compaction_trigger(2)
        .info_log(InfoLog::File(path("log").into()))
        .info_log_file_size(4 << 10);
    let db = DB::open(path("db"), options.clone()).unwrap();
    let mut value = vec![0; 3000];
    for number in 0..ENTRIES {
        value.fill((number % 251) as u8);
        value[..4].copy_from_slice(&key(number));
        let sync = number % 100 == 0;
        db.put_with(&key(number), &value, &WriteOptions::new().sync(sync))
            .unwrap();
    }
    for number in (0..ENTRIES).step_by(10) {
        db.delete(&key(number)).unwrap();
    }
    db.flush().unwrap();
    db.compact_range(None, None).unwrap();
    db.checkpoint(path("copy")).unwrap();
    assert!(db.verify().unwrap().is_ok());
    db.close().unwrap();
    for name in ["db", "copy"] {
        let db = DB::open(path(name), options.clone()).unwrap();
        let found = db.iter().map(|entry| entry.unwrap().0);
        let expected = (0..ENTRIES).filter(|number| number % 10 != 0);
        assert!(found.eq(expected.map(|number| key(number).to_vec())));
        // These stay in the log.
        db.put(b"later", b"").unwrap();
        drop(db);
        let db = DB::open(path(name), options.clone().read_only(true)).unwrap();
        assert!(db.get(b"later").unwrap().is_some());
        drop(db);
        DB::destroy(path(name), &options).unwrap();
        assert!(!std::path::Path::new(&path(name)).exists());
    }
    without_readers(|| {
        let options = Options::new().info_log(InfoLog::Stderr);
        DB::open(path("other"), options).unwrap().close().unwrap();
    });
}

/// Runs `work` while the standard error stream leads nowhere.
fn without_readers(work: impl FnOnce()) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // SAFETY: numbers only; the overwritten descriptor is the standard error stream, which no value owns here.
    let kept = unsafe { libc::dup(libc::STDERR_FILENO) };
    // SAFETY: as above.
    unsafe { libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO) };
    work();
    // SAFETY: as above; `kept` was made here.
    unsafe {
        libc::dup2(kept, libc::STDERR_FILENO);
        libc::close(kept);
    }
}
