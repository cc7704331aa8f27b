//! Tests with the database's own threads: who waits is woken, also by a failure, and nobody need wait for work to be done.

use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// What takes longer hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs `work` on a thread of its own, so that a call which hangs fails the test.
fn within<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    receive
        .recv_timeout(LONGEST)
        .unwrap_or_else(|_| panic!("{what} hangs"))
}

fn threaded() -> (FaultEnv, DB) {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let options = options(&env).env(Arc::new(faulty.clone()));
    let db = DB::open("/db", options.manual_background(false)).unwrap();
    (faulty, db)
}

#[test]
fn a_flush_that_fails_wakes_who_waits_for_it_and_the_next_one_tries_again() {
    for _ in 0..5 {
        let (faulty, db) = threaded();
        db.put(b"k", b"v").unwrap();
        let fault = Fault::new(&[Operation::Create], libc::EIO);
        faulty.inject(fault.on_path(".sst").always());
        let waiting = db.clone();
        let error = within("a failed flush", move || waiting.flush()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        faulty.clear();
        let waiting = db.clone();
        within("the next flush", move || waiting.flush()).unwrap();
        assert_eq!(db.stats().unwrap().levels[0].tables, 1);
    }
}

#[test]
fn a_sealed_memtable_is_flushed_although_nobody_waits_for_it() {
    for _ in 0..5 {
        let (faulty, db) = threaded();
        db.put(b"k", b"v").unwrap();
        // From here on the flush thread is idle.
        db.flush().unwrap();
        let (send, receive) = mpsc::channel();
        faulty.set_hook(Some(Arc::new(move |operation, path: &Path| {
            if operation == Operation::Create && path.extension().is_some_and(|end| end == "sst") {
                let _ = send.send(());
            }
        })));
        for key in 0..4u8 {
            db.put(&[key], &[key; 1500]).unwrap();
        }
        let flushed = receive.recv_timeout(LONGEST);
        flushed.expect("the flush thread heard of the sealed memtable");
        faulty.set_hook(None);
    }
}
