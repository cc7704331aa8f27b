//! How the system's files behave when its calls do less than they should.

use super::*;
use crate::ErrorKind;
use crate::env::test_dir::TestDir;
use crate::env::test_process::{Limit, alone, limited};

#[test]
fn a_file_is_filled_with_zeros_piece_by_piece_up_to_a_length_and_never_cut() {
    let dir = TestDir::new();
    let path = dir.path().join("file");
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).create_new(true);
    let file = options.open(&path).unwrap();
    let file = OsFile {
        file,
        path,
        largest: AtomicU64::new(u64::MAX),
        unlooked: AtomicU64::new(0),
        closing: None,
    };
    file.fill(1).unwrap();
    assert_eq!(file.len().unwrap(), 1);
    file.write_at(0, b"abc").unwrap();
    let piece = ZEROS.len() as u64;
    for length in [2, 3, 4, piece + 2, piece + 3, piece + 4, 4 * piece + 5] {
        let before = file.len().unwrap();
        file.fill(length).unwrap();
        assert_eq!(file.len().unwrap(), before.max(length));
    }
    let mut bytes = vec![0xff; 4 * piece as usize + 6];
    assert_eq!(file.read_at(0, &mut bytes).unwrap() as u64, 4 * piece + 5);
    assert_eq!(bytes[..3], *b"abc");
    assert!(
        bytes[3..4 * piece as usize + 5]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_pipe_is_removed_without_waiting_for_whoever_would_read_it() {
    let dir = TestDir::new();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        let env = OsEnv::new();
        env.remove_file(&pipe).unwrap();
        assert_eq!(env.kind(&pipe).unwrap(), PathKind::Missing);
    }
}

#[test]
fn a_file_beyond_a_limit_may_get_shorter_and_is_not_filled() {
    let name = "env::os::edges::a_file_beyond_a_limit_may_get_shorter_and_is_not_filled";
    alone(name, || {
        let (dir, env) = (TestDir::new(), OsEnv::new());
        let limit = 3 * ZEROS.len() as u64;
        let path = dir.path().join("long");
        env.create_new(&path).unwrap().set_len(limit + 20).unwrap();
        limited(Limit::FileSize, limit, || {
            assert_eq!(env.largest_file(), limit);
            let file = env.open_write(&path).unwrap();
            // If AiDb passed on a larger size, the system would end the process by a signal.
            for more in [1, 2, limit] {
                let error = file.set_len(limit + 20 + more).unwrap_err();
                assert!(error.message().contains("change the length"), "{error}");
            }
            for length in [limit + 20, limit + 10, limit, 5] {
                file.set_len(length).unwrap();
                assert_eq!(file.len().unwrap(), length);
            }
            let error = file.allocate(limit + 1).unwrap_err();
            assert!(error.message().contains("set space aside"), "{error}");
            assert_eq!(file.len().unwrap(), 5);
        });
    });
}

#[test]
fn a_limit_that_is_lowered_while_a_file_is_open_is_seen_by_its_next_page_of_writes() {
    let name = "env::os::edges::a_limit_that_is_lowered_while_a_file_is_open_is_seen_by_its_next_page_of_writes";
    alone(name, || {
        let (dir, env) = (TestDir::new(), OsEnv::new());
        let page = LOOK_BYTES as usize;
        let limit = 3 * LOOK_BYTES;
        // If AiDb relied on the limit at the time of opening, each would end the process by a signal.
        type Write = fn(&dyn File, u64) -> Result<()>;
        let writes: [(&str, Write); 5] = [
            ("page", |file, limit| {
                file.write_at(limit, &[1; LOOK_BYTES as usize])
            }),
            ("half", |file, limit| {
                file.write_at(0, &[1; LOOK_BYTES as usize / 2])?;
                file.write_at(limit, &[1; LOOK_BYTES as usize / 2])
            }),
            ("synced", |file, limit| {
                file.sync()?;
                file.write_at(limit, b"x")
            }),
            ("space", |file, limit| file.allocate(limit + 1)),
            ("length", |file, limit| file.set_len(limit + 1)),
        ];
        for (name, write) in writes {
            let file = env.create_new(&dir.path().join(name)).unwrap();
            limited(Limit::FileSize, limit, || {
                let error = write(&*file, limit).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Io, "{name}: {error}");
                // After a refusal the limit is checked again, so the next small write that fits succeeds.
                file.write_at(limit - 1, b"x").unwrap();
                file.write_at(limit - LOOK_BYTES, &vec![2; page]).unwrap();
            });
            write(&*file, limit).unwrap();
        }
    });
}
