//! Processes with a limit on the size of a file, and without standard streams: `file-size DIR BYTES`, `no-streams DIR`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aidb::{DB, ErrorKind, InfoLog, Options, WriteOptions};

use crate::say;

/// Writes many times the size limit of one file. The signal has its default action, which ends the process.
pub fn file_size(arguments: &[String]) {
    let [dir, bytes] = arguments else {
        panic!("file-size DIR BYTES");
    };
    let bytes: u64 = bytes.parse().unwrap();
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: `limit` is a valid rlimit, which the call only reads; the default of a signal is always valid.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
    }
    let options = Options::new().info_log(InfoLog::File(format!("{dir}/log").into()));
    let db = DB::open(format!("{dir}/db"), options.clone()).unwrap();
    let entries = (4 * bytes / 1000) as u32;
    let value = |number: u32| {
        // Incompressible.
        let mut state = u64::from(number) * 2 + 1;
        let mut byte = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..1000).map(|_| byte()).collect::<Vec<u8>>()
    };
    for number in 0..entries {
        let sync = number % 100 == 0;
        db.put_with(
            &number.to_be_bytes(),
            &value(number),
            &WriteOptions::new().sync(sync),
        )
        .unwrap();
    }
    for number in (0..entries).step_by(10) {
        db.delete(&number.to_be_bytes()).unwrap();
    }
    let too_large = db.put(b"large", &vec![7; bytes as usize + 1]).unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::Io, "{too_large}");
    db.put(b"next", b"goes on").unwrap();
    if bytes <= 48 << 10 {
        // So many tables, one after the other, that their edits would not fit into one manifest.
        for number in 0..150_000u32 {
            let key = (number % 10_000).to_be_bytes();
            db.put(&[&b"small"[..], &key].concat(), &[7; 100]).unwrap();
        }
    }
    db.flush().unwrap();
    db.compact_range(None, None).unwrap();
    db.close().unwrap();
    let db = DB::open(format!("{dir}/db"), options).unwrap();
    assert!(db.get(b"large").unwrap().is_none());
    assert_eq!(db.get(b"next").unwrap().unwrap(), b"goes on");
    for number in 0..entries {
        let found = db.get(&number.to_be_bytes()).unwrap();
        let expected = (number % 10 != 0).then(|| value(number));
        assert_eq!(found.as_deref(), expected.as_deref(), "{number}");
    }
    db.close().unwrap();
    say(&format!("{entries} entries"));
}

/// Works without descriptors 0 to 2, while a thread writes to them all the time: the engine must never open a file
/// under them.
pub fn no_streams(arguments: &[String]) {
    let [dir] = arguments else {
        panic!("no-streams DIR");
    };
    // SAFETY: numbers only; the code below uses the standard streams only through their numbers.
    let out = unsafe { libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 50) };
    assert!(out > 0);
    // SAFETY: as above.
    (0..3).for_each(|stream| assert_eq!(unsafe { libc::close(stream) }, 0));
    let (done, tried, taken) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                for stream in 0..3 {
                    let words = b"a warning that nobody reads\n";
                    // SAFETY: the bytes live across the call.
                    let written =
                        unsafe { libc::write(stream, words.as_ptr().cast(), words.len()) };
                    taken.fetch_add(u64::from(written >= 0), Ordering::SeqCst);
                    tried.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        live(dir);
        done.store(true, Ordering::SeqCst);
    });
    for stream in 0..3 {
        // SAFETY: numbers only.
        let flags = unsafe { libc::fcntl(stream, libc::F_GETFD) };
        assert_eq!(flags, -1, "descriptor {stream} is left open");
    }
    // SAFETY: `out` is open, and becomes the standard output again.
    unsafe { libc::dup2(out, 1) };
    let taken = taken.into_inner();
    assert_eq!(taken, 0, "files were written to as standard streams");
    say(&format!("{} writes went nowhere", tried.into_inner()));
}

fn live(dir: &str) {
    let path = |name: &str| format!("{dir}/{name}");
    let options = Options::new()
        .write_buffer_size(64 << 10)
        .target_file_size(64 << 10)
        .max_open_files(8)
        .info_log(InfoLog::File(path("log").into()));
    for round in 0..3u8 {
        let db = DB::open(path("db"), options.clone()).unwrap();
        for number in 0..1000u32 {
            let sync = number % 100 == 0;
            db.put_with(
                &number.to_be_bytes(),
                &[round; 500],
                &WriteOptions::new().sync(sync),
            )
            .unwrap();
        }
        db.compact_range(None, None).unwrap();
        let copy = path(&format!("copy-{round}"));
        db.checkpoint(&copy).unwrap();
        assert!(db.verify().unwrap().is_ok());
        assert_eq!(db.iter().count(), 1000);
        db.close().unwrap();
        DB::destroy(&copy, &options).unwrap();
    }
}
