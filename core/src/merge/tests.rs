//! Every operator in every grouping of its operands, and JSON against another implementation.

use std::collections::BTreeSet;

use aidb_test_data::{Fill, Random};
use serde_json::Value;

use super::operator::{is_storable, too_long};
use super::*;
use crate::error::ErrorKind;
use crate::key::MAX_VALUE_BYTES;

const OPERATORS: [&str; 8] = [
    "add",
    "max",
    "min",
    "append",
    "append:,",
    "append::\u{e9}:",
    "bit_or",
    "json_merge_patch",
];

fn operator(name: &str) -> Arc<dyn MergeOperator> {
    let operator = built_in_merge_operator(name).unwrap();
    assert_eq!(operator.name(), name);
    operator
}

/// A base or an operand for the operator. Large ones have more than 64 KiB if the operator takes such.
fn drawn(name: &str, random: &mut Random, is_large: bool) -> Vec<u8> {
    match name {
        "add" | "max" | "min" => {
            let edges = [0, 1, -1, i64::MAX, i64::MIN, random.next() as i64];
            random.pick(&edges).to_le_bytes().to_vec()
        }
        "json_merge_patch" => json(random, 3, is_large).into_bytes(),
        _ => {
            let length = random.below(if is_large { 100_000 } else { 9 });
            Fill::Noise.bytes(random.next(), length as usize)
        }
    }
}

/// A JSON text, with few names, so that patches meet.
fn json(random: &mut Random, depth: u64, is_large: bool) -> String {
    let scalars = [
        "null",
        "true",
        "-0.50",
        "1e2",
        "\"\\u00e9\\n\"",
        "[ 1, {\"a\":null} ]",
        "\"\u{e9}\"",
        "12",
    ];
    match random.below(if depth == 0 { 2 } else { 6 }) {
        0 => (*random.pick(&scalars)).to_owned(),
        1 if is_large => format!("\"{}\"", "x".repeat(random.below(50_000) as usize)),
        1 => String::from("null"),
        _ => {
            let names = [
                "a",
                "b",
                "\\u0061",
                "",
                "\\\"\\\\",
                "\u{1f600}",
                "\\ud83d\\ude00",
                "\\t",
            ];
            let members = (0..random.below(5)).map(|_| {
                let (name, value) = (random.pick(&names), json(random, depth - 1, is_large));
                format!("\"{name}\" : {value}")
            });
            format!(" {{{} }}", members.collect::<Vec<_>>().join(" ,"))
        }
    }
}

fn borrowed(operands: &[Vec<u8>]) -> Vec<&[u8]> {
    operands.iter().map(Vec::as_slice).collect()
}

fn one_by_one(operator: &dyn MergeOperator, base: Option<&[u8]>, operands: &[Vec<u8>]) -> Vec<u8> {
    let mut value: Option<Vec<u8>> = base.map(<[u8]>::to_vec);
    for operand in operands {
        value = Some(operator.fold(value.as_deref(), &[operand]).unwrap());
    }
    value.unwrap()
}

/// The results of all ways to fold: neighbours of any number are composed, and any number of the oldest is folded.
fn results(
    operator: &dyn MergeOperator,
    base: Option<&[u8]>,
    operands: &[Vec<u8>],
) -> BTreeSet<Vec<u8>> {
    let mut results = BTreeSet::new();
    for count in 1..=operands.len() {
        let folded = operator.fold(base, &borrowed(&operands[..count])).unwrap();
        match count == operands.len() {
            true => drop(results.insert(folded)),
            false => results.extend(self::results(operator, Some(&folded), &operands[count..])),
        }
    }
    for start in 0..operands.len() {
        for end in start + 2..=operands.len() {
            let composed = operator.compose(&borrowed(&operands[start..end])).unwrap();
            let mut fewer = operands[..start].to_vec();
            fewer.push(composed.unwrap());
            fewer.extend_from_slice(&operands[end..]);
            results.extend(self::results(operator, base, &fewer));
        }
    }
    results
}

/// OPERATOR-1, OPERATOR-2.
#[test]
fn every_grouping_of_operands_gives_what_they_give_one_by_one() {
    for name in OPERATORS {
        let operator = operator(name);
        for seed in 0..150 {
            let random = &mut Random::new(seed);
            let is_large = seed % 50 == 49;
            let base = (!random.one_in(3)).then(|| drawn(name, random, is_large));
            let count = 1 + random.below(if is_large { 3 } else { 4 });
            let operands: Vec<_> = (0..count).map(|_| drawn(name, random, is_large)).collect();
            for operand in &operands {
                operator.check(operand).unwrap();
            }
            let expected = one_by_one(&*operator, base.as_deref(), &operands);
            let results = results(&*operator, base.as_deref(), &operands);
            assert!(
                results == BTreeSet::from([expected]),
                "{name}, seed {seed}: {} results",
                results.len()
            );
        }
    }
}

/// OPERATOR-1: many operands at once, and in pieces of random sizes.
#[test]
fn long_chains_give_what_they_give_one_by_one() {
    for name in OPERATORS {
        let operator = operator(name);
        for seed in 0..5 {
            let random = &mut Random::new(seed);
            let operands: Vec<_> = (0..300).map(|_| drawn(name, random, false)).collect();
            let expected = one_by_one(&*operator, None, &operands);
            let mut pieces = Vec::new();
            let mut rest = &operands[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(1 + random.index(rest.len()));
                pieces.push(operator.compose(&borrowed(piece)).unwrap().unwrap());
                rest = later;
            }
            for operands in [&operands, &pieces] {
                let folded = operator.fold(None, &borrowed(operands)).unwrap();
                assert!(folded == expected, "{name}, seed {seed}");
            }
        }
    }
}

fn folded(name: &str, base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    operator(name).fold(base, operands).unwrap()
}

#[test]
fn numbers_wrap_and_are_compared_with_their_signs() {
    let bytes = |number: i64| number.to_le_bytes();
    for (name, base, operand, expected) in [
        ("add", Some(i64::MAX), 1, i64::MIN),
        ("add", None, -7, -7),
        ("max", Some(-1), 1, 1),
        ("max", None, -1, -1),
        ("min", Some(-1), 256, -1),
        ("min", None, i64::MAX, i64::MAX),
    ] {
        let base = base.map(bytes);
        let base = base.as_ref().map(|base| &base[..]);
        assert_eq!(
            folded(name, base, &[&bytes(operand)]),
            bytes(expected),
            "{name}"
        );
    }
}

#[test]
fn a_separator_stands_between_two_parts_even_if_they_are_empty() {
    let parts: [&[u8]; 2] = [b"b", b"c"];
    for (name, base, expected) in [
        ("append", None, &b"bc"[..]),
        ("append:", Some(&b"a"[..]), b"abc"),
        ("append:, ", Some(b"a"), b"a, b, c"),
        ("append:,", Some(b""), b",b,c"),
        ("append:,", None, b"b,c"),
        ("append::", None, b"b:c"),
    ] {
        assert_eq!(folded(name, base, &parts), expected, "{name}");
    }
    assert_eq!(folded("append:,", Some(b""), &[b"", b""]), b",,");
}

#[test]
fn bits_are_set_to_the_length_of_the_longest() {
    assert_eq!(folded("bit_or", Some(b"\x01\x80"), &[b"\x02"]), b"\x03\x80");
    assert_eq!(folded("bit_or", None, &[b"", b"\x01\0"]), b"\x01\0");
}

/// The examples of RFC 7396, appendix A.
#[test]
fn patches_do_what_the_standard_shows() {
    for (base, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        let value = folded(
            "json_merge_patch",
            Some(base.as_bytes()),
            &[patch.as_bytes()],
        );
        assert_eq!(
            value.escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
}

/// A sequence of patches that is no patch.
#[test]
fn a_member_that_was_removed_and_made_again_has_none_of_the_old_members() {
    let operator = operator("json_merge_patch");
    let patches: [&[u8]; 2] = [br#"{"a":null}"#, br#"{"a":{"b":1}}"#];
    let composed = operator.compose(&patches).unwrap().unwrap();
    assert_eq!(composed, b"\x01{\"a\":[{\"b\":1}]}");
    let value = operator.fold(Some(br#"{"a":{"old":2}}"#), &[&composed]);
    assert_eq!(value.unwrap(), br#"{"a":{"b":1}}"#);
    assert!(operator.check(&composed).is_err(), "no caller writes that");
}

#[test]
fn numbers_strings_and_arrays_stay_as_they_were_written() {
    let (base, patch) = (
        br#"{"big":123456789012345678901234567890.10,"s":"\u00e9"}"#,
        br#"{"small":1e-999,"l":[1, 2 ,-0]}"#,
    );
    let value = folded("json_merge_patch", Some(base), &[patch]);
    let expected =
        br#"{"big":123456789012345678901234567890.10,"l":[1, 2 ,-0],"s":"\u00e9","small":1e-999}"#;
    assert_eq!(value, expected);
}

/// RFC 7396, "Processing Merge Patch Documents".
fn patched(target: Option<Value>, patch: Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch;
    };
    let mut members = match target {
        Some(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    for (name, change) in patch {
        let old = members.remove(&name);
        if !change.is_null() {
            members.insert(name, patched(old, change));
        }
    }
    Value::Object(members)
}

#[test]
fn patches_do_what_another_implementation_does() {
    let parsed = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    for seed in 0..2000 {
        let random = &mut Random::new(seed);
        let [base, first, second] = [4, 4, 4].map(|depth| json(random, depth, false).into_bytes());
        let value = folded("json_merge_patch", Some(&base), &[&first, &second]);
        let once = patched(Some(parsed(&base)), parsed(&first));
        assert_eq!(
            parsed(&value),
            patched(Some(once), parsed(&second)),
            "seed {seed}"
        );
    }
}

/// JSON-1.
#[test]
fn json_is_what_another_implementation_accepts() {
    let operator = operator("json_merge_patch");
    let mut refused = 0;
    for seed in 0..20_000 {
        let random = &mut Random::new(seed);
        let mut text = json(random, 3, false).into_bytes();
        for _ in 0..random.below(3) {
            let at = random.index(text.len());
            match random.below(3) {
                0 => drop(text.remove(at)),
                1 => text[at] = *random.pick(b" \"\\{}[]:,0.-+eu1\x1f\xff"),
                _ => text.insert(at, *random.pick(b" \"\\{}[]:,0.-+eun\t")),
            }
            if text.is_empty() {
                text.push(b' ');
            }
        }
        let is_json = serde_json::from_slice::<Value>(&text).is_ok();
        refused += u32::from(!is_json);
        let shown = text.escape_ascii();
        assert_eq!(
            operator.check(&text).is_ok(),
            is_json,
            "seed {seed}: {shown}"
        );
    }
    assert!((2000..18_000).contains(&refused), "{refused}");
}

/// JSON-2.
#[test]
fn arrays_are_nested_without_end_and_objects_a_hundred_deep() {
    let operator = operator("json_merge_patch");
    let arrays = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
    operator.check(&arrays).unwrap();
    assert!(operator.check(&arrays[1..]).is_err());
    let objects = |depth: usize| {
        format!(
            "{}{{}}{}",
            "{\"a\":".repeat(depth - 1),
            "}".repeat(depth - 1)
        )
    };
    let deepest = objects(100).into_bytes();
    operator.check(&deepest).unwrap();
    let composed = operator.compose(&[b"null", &deepest]).unwrap().unwrap();
    let value = operator
        .fold(Some(&deepest), &[&composed, &deepest])
        .unwrap();
    assert_eq!(value, deepest);
    let refused = operator.check(objects(101).as_bytes()).unwrap_err();
    assert!(refused.message().contains("100 deep"), "{refused}");
}

/// OPERATOR-3.
#[test]
fn what_has_the_wrong_form_is_refused_by_the_operators_name() {
    for (name, wrong) in [
        ("add", &b"1234567"[..]),
        ("max", b""),
        ("min", b"123456789"),
        ("json_merge_patch", b"{\"a\":}"),
        ("json_merge_patch", b""),
        ("json_merge_patch", b"\"\xff\""),
        ("json_merge_patch", b"\"\\ud800\""),
    ] {
        let operator = operator(name);
        let good = drawn(name, &mut Random::new(1), false);
        for result in [
            operator.check(wrong),
            operator.fold(Some(wrong), &[&good]).map(|_| ()),
            operator.fold(None, &[wrong, &good]).map(|_| ()),
            operator.compose(&[&good, wrong]).map(|_| ()),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(name), "{error}");
        }
    }
    let operator = operator("json_merge_patch");
    for composed in [
        &b"\x01"[..],
        b"\x01null",
        b"\x011",
        b"\x01[1,2]",
        b"\x01[]",
        b"\x01{\"a\":2}",
    ] {
        let folded = operator.fold(None, &[composed]);
        assert_eq!(folded.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_name_that_no_operator_has_is_refused() {
    for name in ["", "Add", "add:", "appendix", "append,", "bit_or:1", "max "] {
        let error = built_in_merge_operator(name).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("json_merge_patch"), "{error}");
    }
    let name = |length: usize| format!("append:{}", "-".repeat(length - 7));
    operator(&name(255));
    let error = built_in_merge_operator(&name(256)).err().unwrap();
    assert!(error.message().contains("256 bytes"), "{error}");
}

#[test]
fn a_value_longer_than_any_may_be_is_refused() {
    assert!(is_storable(MAX_VALUE_BYTES) && !is_storable(MAX_VALUE_BYTES + 1));
    let error = too_long("append", MAX_VALUE_BYTES + 1);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("4294967296 bytes"), "{error}");
}
