//! Tests of what a keyspace is set to.

use super::*;
use crate::error::ErrorKind;

/// Settings, or changes of settings.
pub(in crate::version) fn of(all: &[(&str, &str)]) -> Settings {
    let all = all.iter();
    Settings(
        all.map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    )
}

fn decode(all: &[(&[u8], &[u8])]) -> Result<Settings> {
    let mut settings = Settings::default();
    for (name, value) in all {
        let mut field = Vec::new();
        put_length_prefixed(&mut field, name);
        put_length_prefixed(&mut field, value);
        let mut input = &field[..];
        settings.decode_one(&mut input)?;
        assert_eq!(input, b"");
    }
    Ok(settings)
}

#[test]
fn names_have_1_to_32_bytes_and_values_at_most_4096() {
    let (longest_name, longest) = ([b'a'; MAX_SETTING_NAME_BYTES], [b' '; MAX_SETTING_BYTES]);
    for (name, value) in [
        (&b"a"[..], &b""[..]),
        (b"default_ttl", "1\0\u{e4}".as_bytes()),
        (&longest_name, &longest),
    ] {
        let found = decode(&[(name, value)]).unwrap();
        let found: Vec<_> = found.iter().collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].0.as_bytes(), found[0].1.as_bytes()),
            (name, value)
        );
    }
    let too_long = [b' '; MAX_SETTING_BYTES + 1];
    for (name, value) in [
        (&b""[..], &b"1"[..]),
        (b"A", b"1"),
        (b"a-b", b"1"),
        (b"a b", b"1"),
        (&[b'a'; MAX_SETTING_NAME_BYTES + 1], b"1"),
        (b"a", &too_long),
        (b"a", b"\xff"),
    ] {
        let error = decode(&[(name, value)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{name:?}");
    }
}

#[test]
fn an_edit_sets_each_name_once_and_at_most_64() {
    assert!(decode(&[(b"a", b"1"), (b"b", b"1")]).is_ok());
    assert!(decode(&[(b"a", b"1"), (b"a", b"2")]).is_err());
    let names: Vec<String> = (0..=MAX_SETTINGS)
        .map(|number| number.to_string())
        .collect();
    let all: Vec<(&[u8], &[u8])> = names
        .iter()
        .map(|name| (name.as_bytes(), &b"1"[..]))
        .collect();
    let most = decode(&all[..MAX_SETTINGS]).unwrap();
    assert!(decode(&all).is_err());
    let mut settings = most.clone();
    settings.apply(&most).unwrap();
    assert!(settings.apply(&of(&[("one_more", "1")])).is_err());
}

/// SETTING-2.
#[test]
fn an_empty_value_unsets() {
    let mut settings = Settings::default();
    settings
        .apply(&of(&[("a", "1"), ("b", "2"), ("c", "")]))
        .unwrap();
    assert_eq!(settings, of(&[("a", "1"), ("b", "2")]));
    settings.apply(&of(&[("a", ""), ("b", "3")])).unwrap();
    assert_eq!(settings, of(&[("b", "3")]));
    assert!(!settings.is_empty());
    settings.apply(&of(&[("b", "")])).unwrap();
    assert!(settings.is_empty());
}
