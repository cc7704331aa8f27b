//! A database in a directory without write permission for anyone: `directories mount|permissions DIR`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use aidb::{DB, ErrorKind, Options};

use crate::{mounts, say};

/// User and group of nobody.
const NOBODY: u32 = 65534;

/// The bytes of every file below `dir`, and its modification time.
fn bytes(dir: &Path) -> BTreeMap<String, (Vec<u8>, i64, i64)> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata().unwrap();
            let times = (metadata.mtime(), metadata.mtime_nsec());
            (name, (fs::read(entry.path()).unwrap(), times.0, times.1))
        })
        .collect()
}

pub fn run(arguments: &[String]) {
    let [how, dir] = arguments else {
        panic!("directories mount|permissions DIR");
    };
    let dir = Path::new(dir).join("db");
    let options = || Options::new().write_buffer_size(16 << 10);
    let name = "name";
    {
        // Dropped without a close: the reader has to replay the logs without a write.
        let db = DB::open(&dir, options()).unwrap();
        for number in 0..3000u32 {
            db.put(&number.to_be_bytes(), format!("{name} {number}").as_bytes())
                .unwrap();
        }
    }
    match how.as_str() {
        "mount" => {
            // Here also without the file that readers would use as their shared lock.
            fs::remove_file(dir.join("LOCK")).unwrap();
            mounts::alone();
            let path = dir.display().to_string();
            mounts::mount(&["--bind", &path, &path]);
            mounts::mount(&["-o", "remount,bind,ro", &path]);
        }
        _ => give_up_writing(&dir),
    }
    let before = bytes(&dir);
    {
        let one = DB::open(&dir, options().read_only(true)).unwrap();
        let two = DB::open(&dir, options().read_only(true)).unwrap();
        for db in [&one, &two] {
            assert_eq!(db.iter().filter(|entry| entry.is_ok()).count(), 3000);
            for number in 0..3000u32 {
                let value = db.get(&number.to_be_bytes()).unwrap().expect("it was put");
                assert_eq!(&value[..], format!("{name} {number}").as_bytes());
            }
            assert!(db.verify().unwrap().is_ok());
            assert!(db.put(b"k", b"v").is_err());
        }
    }
    let error = DB::open(&dir, options()).err().expect("nobody may write");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains("db"), "{error}");
    let new = DB::open(dir.join("new"), options())
        .err()
        .expect("nobody may write");
    assert_eq!(new.kind(), ErrorKind::Io, "{new}");
    assert!(bytes(&dir) == before, "something in the directory changed");
    say(&format!("read everything; a write fails: {error}"));
}

/// Removes everybody's write permission, and the privilege that overrides permissions.
fn give_up_writing(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
    // SAFETY: the calls take numbers, or no list and its length 0.
    unsafe {
        if libc::getuid() == 0 {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setgid(NOBODY), 0);
            assert_eq!(libc::setuid(NOBODY), 0);
        }
    }
}
