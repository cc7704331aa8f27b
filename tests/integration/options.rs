//! Options by name: the messages for a mistyped name.

use aidb::{DB, ErrorKind, Options};

#[test]
fn an_unknown_option_lists_near_names() {
    let error = Options::new().set("blok_size", "4096").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("block_size"), "{error}");
    assert!(!error.to_string().contains("lock_timeout"), "{error}");
}

#[test]
fn a_value_out_of_range_names_the_range_and_changes_nothing() {
    let mut options = Options::new();
    for (name, value) in [
        ("bloom_bits_per_key", "33"),
        ("write_buffer_size", "1KiB"),
        ("background_threads", "0"),
        ("compression", "gzip"),
        ("read_only", "maybe"),
        ("block_size", "-1"),
        ("block_size", "99999999999999999999TiB"),
    ] {
        let before = options.get(name).unwrap();
        let error = options.set(name, value).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(
            message.contains(name) && message.contains("expected"),
            "{message}"
        );
        assert_eq!(options.get(name).unwrap(), before);
    }
}

#[test]
fn open_refuses_what_the_builder_let_through() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let error = DB::open(&path, Options::new().bloom_bits_per_key(1000)).err();
    let error = error.expect("out of range");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("bloom_bits_per_key"), "{error}");
    assert!(!path.exists());
}

#[test]
fn there_are_at_most_twenty_options() {
    assert!(Options::names().count() <= 20);
}
