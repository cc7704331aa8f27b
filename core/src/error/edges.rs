//! The words of every kind, what a caller may do about it, and how a cause is kept.

use super::*;
use std::error::Error as _;

#[test]
fn every_kind_opens_its_message_with_its_words_and_says_whether_to_try_again() {
    let reported: Vec<_> = ErrorKind::ALL
        .iter()
        .map(|kind| {
            let error = Error::new(*kind, "the rest");
            assert_eq!(error.message(), "the rest");
            assert_eq!(error.detail(), "the rest");
            assert!(error.place().is_none() && !error.is_out_of_files());
            (kind.name(), error.to_string(), error.is_retryable())
        })
        .collect();
    let reported: Vec<_> = reported
        .iter()
        .map(|(name, text, again)| (*name, &text[..], *again))
        .collect();
    assert_eq!(
        reported,
        [
            ("InvalidArgument", "invalid argument: the rest", false),
            ("Io", "i/o error: the rest", false),
            ("Corruption", "corruption: the rest", false),
            ("Locked", "locked: the rest", true),
            ("Conflict", "conflict: the rest", true),
            ("Closed", "closed: the rest", false),
            ("Unsupported", "unsupported: the rest", false),
            ("Internal", "internal error: the rest", false),
            ("NoSpace", "no space: the rest", true),
            ("OutOfMemory", "out of memory: the rest", true),
        ]
    );
    assert_eq!(
        Error::closed("the iterator").to_string(),
        "closed: the iterator has been closed"
    );
    assert_eq!(Error::internal("x").kind(), ErrorKind::Internal);
    assert_eq!(Error::unsupported("x").kind(), ErrorKind::Unsupported);
    assert_eq!(
        Error::invalid_argument("x").kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn what_the_system_said_decides_kind_and_retry_and_outlives_a_context() {
    let of_code = |code| Error::io("open", Path::new("x"), io::Error::from_raw_os_error(code));
    // (code, is retryable, is out of files)
    for (code, again, files) in [
        (libc::EINTR, true, false),
        (libc::EAGAIN, true, false),
        (libc::EMFILE, false, true),
        (libc::ENFILE, false, true),
        (libc::EIO, false, false),
        (libc::ENOENT, false, false),
    ] {
        for error in [of_code(code), of_code(code).context("open")] {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert_eq!(error.is_retryable(), again, "{error}");
            assert_eq!(error.is_out_of_files(), files, "{error}");
            let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.raw_os_error(), Some(code));
        }
    }
    // The system has no memory for the call itself.
    let error = of_code(libc::ENOMEM).context("open");
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.is_retryable() && error.source().is_some());
    // A cause without an error number of the system.
    let full = io::Error::new(io::ErrorKind::StorageFull, "all of it");
    let error = Error::io("write", Path::new("x"), full).context("flush");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(error.message(), "flush: cannot write x: all of it");
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(
        (source.kind(), source.to_string()),
        (io::ErrorKind::StorageFull, "all of it".into())
    );
}

#[test]
fn damage_keeps_its_place_and_its_detail_through_contexts() {
    let error = Error::corruption(Path::new("a: b.sst"), 7, "c: d")
        .context("e: f")
        .context("g");
    assert_eq!(error.place(), Some((Path::new("a: b.sst"), 7)));
    assert_eq!(error.detail(), "c: d");
    assert_eq!(
        error.to_string(),
        "corruption: g: e: f: a: b.sst at byte 7: c: d"
    );
}

#[test]
fn what_the_system_says_of_a_directory_tells_whether_it_stays_and_whether_it_can_be_renamed() {
    let of_code = |code| Error::io("change", Path::new("x"), io::Error::from_raw_os_error(code));
    // (code, is of a directory that stays, is of no renaming)
    for (code, stays, keeps_its_name) in [
        (libc::ENOTDIR, true, false),
        (libc::EBUSY, true, false),
        (libc::EINVAL, true, true),
        (libc::EACCES, true, false),
        (libc::EPERM, true, true),
        (libc::ENOTEMPTY, true, false),
        (libc::EEXIST, true, false),
        (libc::EXDEV, false, true),
        (libc::ENOSYS, false, true),
        (libc::EOPNOTSUPP, false, true),
        (libc::EIO, false, false),
        (libc::ENOSPC, false, false),
    ] {
        let error = of_code(code);
        assert_eq!(error.is_of_a_directory_that_stays(), stays, "{error}");
        assert_eq!(error.is_of_no_renaming(), keeps_its_name, "{error}");
    }
    let error = Error::internal("x");
    assert!(!error.is_of_a_directory_that_stays() && !error.is_of_no_renaming());
}

#[test]
fn entries_that_do_not_add_up_are_distinguished_from_another_fault_of_ours() {
    let error = Error::unaccounted("the rest");
    assert_eq!(error.to_string(), "internal error: the rest");
    assert!(error.is_unaccounted());
    assert!(!Error::internal("the rest").is_unaccounted());
}

#[test]
fn a_context_does_not_hide_that_entries_do_not_add_up() {
    let error = Error::unaccounted("the rest").context("flush");
    assert_eq!(error.to_string(), "internal error: flush: the rest");
    assert!(error.is_unaccounted());
    assert!(
        !Error::internal("the rest")
            .context("flush")
            .is_unaccounted()
    );
}
