//! Few descriptors, little memory, reported memory, unusual directories, and the lock of one process against others.

use std::fs;
use std::path::Path;

use aidb::{DB, ErrorKind, Options};
use aidb_tests::Budget;

use crate::role::{Role, passes};

#[test]
fn hundreds_of_tables_are_read_written_and_compacted_with_64_descriptors() {
    let name = "hundreds_of_tables_are_read_written_and_compacted_with_64_descriptors";
    let budget = Budget::new("system", name);
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    let seed = budget.seed >> 1;
    assert!(passes("few-files", &[&path, &seed.to_string()]));
}

#[test]
fn databases_that_are_closed_give_back_memory_and_descriptors_whoever_keeps_their_handles() {
    let dir = crate::directory();
    if !passes("closed", &[&dir.path().display().to_string()]) {
        println!("resident memory: not run");
    }
}

#[test]
fn a_large_value_takes_its_memory_twice_at_most_in_every_step_of_its_life() {
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    if !passes("large-value", &[&path]) {
        println!("the peak of memory cannot be watched: not run");
    }
}

#[test]
fn large_values_in_tables_that_overlap_are_merged_one_at_a_time() {
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    if !passes("large-values", &[&path]) {
        println!("the peak of memory cannot be watched: not run");
    }
}

#[test]
fn keys_of_16_mib_are_copied_a_few_times_and_not_for_each_check() {
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    if !passes("large-keys", &[&path]) {
        println!("the peak of memory cannot be watched: not run");
    }
}

#[test]
fn the_memory_that_is_reported_is_the_memory_that_is_held() {
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    assert!(passes("memory-fill", &[&path]));
    if !passes("memory", &[&path]) {
        println!("memory: not run");
    }
}

#[test]
fn a_directory_that_nobody_may_write_to_is_read_and_not_changed() {
    // Not below the build's directory, which perhaps only its owner may enter.
    for how in ["permissions", "mount"] {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        if !passes("directories", &[how, &dir.path().display().to_string()]) {
            println!("a read-only {how}: not run");
        }
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path().join("db"), open).unwrap();
    }
}

/// Names and bytes of everything in `dir`.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes = fs::read(entry.path()).unwrap_or_default();
            (entry.file_name().into_string().unwrap(), bytes)
        })
        .collect();
    contents.sort();
    contents
}

#[test]
fn what_is_not_a_database_is_refused_and_left_as_it_was() {
    let dir = crate::directory();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "a file").unwrap();
    fs::create_dir(path("letters")).unwrap();
    fs::write(path("letters/CURRENT"), "my current letter").unwrap();
    fs::write(path("letters/000001.log"), "dear log").unwrap();
    fs::create_dir(path("strange")).unwrap();
    fs::create_dir(path("strange/directory")).unwrap();
    fs::create_dir(path("other")).unwrap();
    fs::write(path("other/notes.txt"), "notes").unwrap();
    std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
    let pipe = std::ffi::CString::new(path("pipe").display().to_string()).unwrap();
    // SAFETY: `pipe` is a text that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    for name in ["file", "letters", "strange", "other", "dangling", "pipe"] {
        let before = (path(name).is_dir()).then(|| contents(&path(name)));
        for options in [
            Options::new(),
            Options::new().read_only(true),
            Options::new().create_if_missing(false),
        ] {
            let error = DB::open(path(name), options).err().expect("refused");
            let kind = error.kind();
            assert!(
                matches!(
                    kind,
                    ErrorKind::InvalidArgument | ErrorKind::Io | ErrorKind::Corruption
                ),
                "{name}: {error}"
            );
        }
        let after = (path(name).is_dir()).then(|| contents(&path(name)));
        assert!(before == after, "{name} was changed: {after:?}");
    }
    assert_eq!(fs::read(path("file")).unwrap(), b"a file");
    assert_eq!(
        fs::read_link(path("dangling")).unwrap(),
        Path::new("nowhere")
    );
}

fn refusal(path: &Path) -> String {
    let error = DB::open(path, Options::new()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    error.to_string()
}

fn refusal_of_a_process(path: &Path) -> String {
    let said = Role::start("holder", &[&path.display().to_string()]).hear();
    let said = said.expect("it answers");
    assert!(said.starts_with("refused: Locked"), "{said}");
    said
}

#[test]
fn refused_openers_are_told_who_holds_the_lock_and_take_nothing_from_it() {
    let dir = crate::directory();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let names_holder = |said: &str, pid: i32| {
        for part in [&format!("pid {pid} on host {}", host.trim()), ", since 20"] {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    };
    // This process holds the lock: openers by both names, here and in another process, fail again and again.
    let db = DB::open(&link, Options::new()).unwrap();
    let pid = std::process::id() as i32;
    for path in [&real, &link, &real.join("../link/.")] {
        names_holder(&refusal(path), pid);
        names_holder(&refusal_of_a_process(path), pid);
    }
    db.put(b"k", b"v").unwrap();
    db.close().unwrap();
    // Another process holds the lock; then it is killed.
    let mut holder = Role::start("holder", &[&real.display().to_string()]);
    assert_eq!(holder.hear().as_deref(), Some("open"));
    for path in [&real, &link] {
        names_holder(&refusal(path), holder.id());
        names_holder(&refusal_of_a_process(path), holder.id());
    }
    crate::role::kill(holder.id());
    holder.wait();
    let db = DB::open(&link, Options::new()).expect("a killed holder's lock is gone");
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn a_limit_of_the_size_of_files_fails_no_write_that_fits_and_ends_no_process() {
    // Below the largest reserve; at the smallest reserve, where everything else is small too; and where the edits of
    // many tables do not fit into one manifest.
    for bytes in [1_000_000, 64 << 10, 300_000, 48 << 10] {
        let dir = crate::directory();
        let path = dir.path().display().to_string();
        assert!(passes("file-size", &[&path, &bytes.to_string()]));
    }
}

#[test]
fn what_is_written_to_closed_standard_streams_never_meets_a_file_of_the_engine() {
    let dir = crate::directory();
    assert!(passes("no-streams", &[&dir.path().display().to_string()]));
}
