//! Tests of the names of features.

use super::*;
use crate::error::ErrorKind;

fn decode(contents: &[&[u8]]) -> Result<Features> {
    let mut features = Features::default();
    for content in contents {
        let mut field = Vec::new();
        put_length_prefixed(&mut field, content);
        let mut input = &field[..];
        features.decode_one(&mut input)?;
        assert_eq!(input, b"");
    }
    Ok(features)
}

#[test]
fn names_have_1_to_32_bytes_of_letters_digits_and_hyphens() {
    let longest = [b'a'; MAX_NAME_BYTES];
    for name in [&b"a"[..], b"range-delete", b"2", &longest] {
        let found = decode(&[name]).unwrap();
        assert_eq!(found.names().collect::<String>().as_bytes(), name);
    }
    let too_long = [b'a'; MAX_NAME_BYTES + 1];
    for name in [&b""[..], b"A", b"a b", b"a\0", b"\xff", &too_long] {
        assert!(decode(&[name]).is_err(), "{name:?}");
    }
}

#[test]
fn an_edit_names_each_feature_once_and_at_most_64() {
    assert!(decode(&[b"merge", b"expiry"]).is_ok());
    assert!(decode(&[b"merge", b"expiry", b"merge"]).is_err());
    let names: Vec<String> = (0..=MAX_NAMES).map(|number| number.to_string()).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    assert!(decode(&names[..MAX_NAMES]).is_ok());
    assert!(decode(&names).is_err());
}

/// FEATURE-2.
#[test]
fn every_unknown_feature_is_named_and_a_known_one_is_not() {
    Features::known_to_tests().check_known().unwrap();
    let mut features = Features::named(&["expiry", "merge"]);
    features.add(&Features::known_to_tests());
    let error = features.check_known().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let says = error.message();
    assert!(says.contains("\"expiry\" and \"merge\""), "{error}");
    let known = Features::known_to_tests();
    assert!(known.names().all(|name| !says.contains(name)), "{error}");
}

#[test]
fn each_need_has_its_feature() {
    let of = |needs| {
        let features = Features::of(needs);
        features.names().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(Needs::NOTHING), "");
    assert_eq!(of(Needs::RANGE_DELETES), "range-delete");
    for bits in 0..1 << NAMES.len() {
        let needs = Needs::from_bits(bits);
        assert_eq!(needs.bits(), bits);
        assert_eq!(
            Features::of(needs).names().count(),
            bits.count_ones() as usize
        );
        assert_eq!(needs.only_if(true), needs);
        assert_eq!(needs.only_if(false), Needs::NOTHING);
        assert_eq!(needs.and(needs), needs);
        assert_eq!(needs.and(Needs::NOTHING), needs);
        Features::of(needs).check_known().unwrap();
    }
}
