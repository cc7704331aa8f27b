use super::*;
use crate::env::test_dir::TestDir;
use crate::env::{Call, Fault, FaultEnv, MemEnv, OsEnv};
use std::fs;

fn logger(path: &Path, dir: &str, bytes: u64, files: u64) -> InfoLogger {
    let options = Options::new()
        .info_log(InfoLog::File(path.to_path_buf()))
        .info_log_file_size(bytes)
        .info_log_files(files);
    InfoLogger::open(Path::new(dir), &options).unwrap()
}

fn say(logger: &InfoLogger, words: &str) {
    logger.write(&OsEnv::new(), format_args!("{words}"));
}

/// The lines of the log, without the time and with the database. Fails if a line is not whole.
fn heard(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let (time, rest) = line.split_once(" UTC ").expect("a line begins with a time");
            assert!(time.starts_with("20"), "{line}");
            rest.to_owned()
        })
        .collect()
}

/// NOTE-1.
#[test]
fn a_line_stays_one_line_and_names_its_database() {
    let dir = TestDir::new();
    let path = dir.path().join("log");
    let log = logger(&path, "/a\ndirectory", 0, 1);
    say(&log, "first\r\nsecond\0 – third");
    assert_eq!(
        heard(&path),
        ["/a\\ndirectory: first\\r\\nsecond\\u{0} – third"]
    );
}

#[test]
fn two_databases_share_a_file_that_is_renamed_when_it_is_full_and_lose_nothing() {
    let dir = TestDir::new();
    let path = dir.path().join("log");
    let old = |number: u64| dir.path().join(format!("log.{number}"));
    let (one, two) = (logger(&path, "/one", 400, 9), logger(&path, "/two", 400, 9));
    for number in 0..20 {
        say(&one, &format!("{number}"));
        say(&two, &format!("{number}"));
    }
    let mut all = Vec::new();
    for number in (1..9).rev() {
        if old(number).exists() {
            assert!(fs::metadata(old(number)).unwrap().len() <= 400);
            all.extend(heard(&old(number)));
        }
    }
    assert!(old(2).exists(), "nothing was renamed");
    all.extend(heard(&path));
    let expected: Vec<_> = (0..20)
        .flat_map(|number| [format!("/one: {number}"), format!("/two: {number}")])
        .collect();
    assert_eq!(all, expected);
}

#[test]
fn threads_of_several_databases_lose_no_line_while_files_are_renamed() {
    let dir = TestDir::new();
    let path = dir.path().join("log");
    std::thread::scope(|scope| {
        for name in ["/a", "/b", "/c"] {
            let log = logger(&path, name, 3000, 1000);
            scope.spawn(move || (0..300).for_each(|number| say(&log, &format!("{number}"))));
        }
    });
    let mut all = heard(&path);
    let mut files = 1;
    while let old = dir.path().join(format!("log.{files}"))
        && old.exists()
    {
        all.extend(heard(&old));
        files += 1;
    }
    assert!(files > 2, "{files} files");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 900);
}

/// NOTE-2.
#[test]
fn as_many_files_are_kept_as_were_asked_for_each_below_its_size() {
    for files in [1, 2, 3] {
        let dir = TestDir::new();
        let path = dir.path().join("log");
        let log = logger(&path, "/db", 300, files);
        (0..100).for_each(|number| say(&log, &format!("{number}")));
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata()))
            .map(|(name, metadata)| (name, metadata.unwrap().len()))
            .collect();
        names.sort();
        assert!(names.iter().all(|(_, bytes)| *bytes <= 300), "{names:?}");
        let names: Vec<_> = names.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["log", "log.1", "log.2"][..files as usize]);
        assert_eq!(heard(&path).last().unwrap(), "/db: 99");
    }
}

#[test]
fn a_line_larger_than_a_file_may_be_is_written_to_one_of_its_own() {
    let dir = TestDir::new();
    let path = dir.path().join("log");
    let log = logger(&path, "/db", 1, 3);
    say(&log, "first");
    say(&log, "second");
    assert_eq!(heard(&path), ["/db: second"]);
    assert_eq!(heard(&dir.path().join("log.1")), ["/db: first"]);
}

#[test]
fn a_file_that_others_empty_rename_or_remove_is_followed() {
    let dir = TestDir::new();
    let path = dir.path().join("log");
    let log = logger(&path, "/db", 0, 1);
    say(&log, "before");
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    say(&log, "emptied");
    assert_eq!(heard(&path), ["/db: emptied"], "no hole");
    fs::rename(&path, dir.path().join("kept")).unwrap();
    say(&log, "renamed");
    assert_eq!(heard(&path), ["/db: renamed"]);
    fs::remove_file(&path).unwrap();
    say(&log, "removed");
    assert_eq!(heard(&path), ["/db: removed"]);
    // While a directory has the log's name, lines are lost.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    say(&log, "lost");
    fs::remove_dir(&path).unwrap();
    say(&log, "back");
    assert_eq!(heard(&path), ["/db: back"]);
}

#[test]
fn where_a_file_cannot_be_renamed_it_is_emptied() {
    let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    let path = Path::new("/log");
    let options = Options::new()
        .env(Arc::new(env.clone()))
        .info_log(InfoLog::File(path.into()))
        .info_log_file_size(300);
    let log = InfoLogger::open(Path::new("/db"), &options).unwrap();
    env.inject(Fault::new(&[Call::Rename], libc::EPERM).always());
    (0..100).for_each(|number| log.write(&env, format_args!("{number}")));
    assert!(env.injected() > 0);
    assert!(env.open_read(path).unwrap().len().unwrap() <= 300);
    assert_eq!(env.list(Path::new("/")).unwrap(), ["log"]);
}

#[test]
fn every_failure_of_the_file_costs_lines_and_a_full_disk_keeps_nobody_from_opening() {
    let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    let path = Path::new("/log");
    let options = Options::new()
        .env(Arc::new(env.clone()))
        .info_log(InfoLog::File(path.into()));
    env.inject(Fault::new(&[Call::Create], libc::EIO));
    assert!(InfoLogger::open(Path::new("/db"), &options).is_err());
    env.inject(Fault::new(&[Call::Create, Call::Write], libc::ENOSPC).times(3));
    let log = InfoLogger::open(Path::new("/db"), &options).unwrap();
    for word in ["lost", "lost too", "there"] {
        log.write(&env, format_args!("{word}"));
    }
    assert_eq!(env.injected(), 4);
    let file = env.open_read(path).unwrap();
    let mut text = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut text).unwrap();
    assert!(text.ends_with(b" UTC /db: there\n"));
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
}

/// Rotation used to rename a directory along with the old logs.
#[test]
fn a_directory_with_an_old_logs_name_stays_and_the_full_log_is_emptied() {
    let dir = TestDir::new();
    let path = dir.path().join("log");
    let directory = dir.path().join("log.1");
    fs::create_dir(&directory).unwrap();
    let log = logger(&path, "/db", 300, 5);
    for number in 0..20 {
        say(&log, &format!("{number}"));
    }
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["log", "log.1"]);
    assert!(directory.is_dir());
    assert_eq!(heard(&path).last().unwrap(), "/db: 19");
}
