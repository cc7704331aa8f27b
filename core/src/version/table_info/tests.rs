//! Tests of the facts about a table, and their encoding.

use super::*;
use crate::error::ErrorKind;
use crate::key::{Trailer, ValueKind};

/// Possible facts about a table that does not exist.
pub(in crate::version) fn example(number: u64) -> TableInfo {
    let key = |user_key: &[u8], sequence| {
        let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
        KeyRef::new(user_key, trailer).to_vec()
    };
    TableInfo {
        number: FileNumber(number),
        file_id: 0x0123_4567_89ab_cdef,
        size: 4096,
        smallest: key(b"a", 9),
        largest: key(b"b", 3),
        shortened: Shortened::default(),
        smallest_sequence: SequenceNumber(3),
        largest_sequence: SequenceNumber(9),
        entries: 2,
        tombstones: 0,
        range_deletes: Arc::default(),
        content_sum: Some(0x1122_3344_5566_7788),
        reclaimable: None,
        swept: SequenceNumber(0),
    }
}

#[test]
fn what_a_tables_entries_come_to_is_known_unless_version_1_wrote_it() {
    let known = TableInfo {
        entries: 7,
        tombstones: 3,
        ..example(12)
    };
    let sum = Sum {
        terms: 0x1122_3344_5566_7788,
        puts: 4,
        tombstones: 3,
        range_deletes: 0,
    };
    assert_eq!(known.content(), Some(sum));
    let of_version_1 = TableInfo {
        content_sum: None,
        ..known
    };
    assert_eq!(of_version_1.content(), None);
}

fn decode(encoded: &[u8]) -> Result<TableInfo> {
    let mut input = encoded;
    let table = TableInfo::decode(&mut input, true)?;
    assert_eq!(input, b"");
    Ok(table)
}

fn encode(table: &TableInfo) -> Vec<u8> {
    let mut out = Vec::new();
    table.encode_to(&mut out);
    out
}

#[test]
fn a_tail_with_what_a_reader_needs_is_refused_and_with_what_it_can_do_without_is_passed_over() {
    let with = |fields: &[u8]| {
        let mut encoded = encode(&example(12));
        // The tail is 10 bytes after its length, at the end.
        let length = encoded.len() - 11;
        assert_eq!(encoded[length], 10);
        encoded[length] += fields.len() as u8;
        encoded.extend_from_slice(fields);
        decode(&encoded)
    };
    let unknown = LAST_TAIL as u8 + 1;
    for fields in [[unknown, 0], [0, 0], [FIRST_SKIPPABLE as u8 - 1, 0]] {
        let error = with(&fields).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    let skippable = [TAIL_SWEPT as u8 + 1, 3, 1, 2, 3];
    assert_eq!(with(&skippable).unwrap(), example(12));
    let known = TAIL_RECLAIMABLE as u8;
    assert_eq!(
        with(&[known, 2, 1, 7]).unwrap().reclaimable,
        Some(Reclaimable {
            older_versions: 1,
            created_micros: 7
        })
    );
    let shortened = TAIL_SHORTENED as u8;
    let swept = TAIL_SWEPT as u8;
    assert_eq!(with(&[swept, 1, 7]).unwrap().swept, SequenceNumber(7));
    let impossible: [&[u8]; 10] = [
        &[swept, 1, 0],
        &[swept, 2, 7, 7],
        &[swept, 1, 0x80],
        &[known, 1, 1],
        &[known, 3, 1, 7, 7],
        &[known, 2, 1, 7, known, 2, 1, 7],
        &[shortened, 1, 0],
        &[shortened, 1, 4],
        &[shortened, 2, 1, 1],
        &[shortened, 1, 1, shortened, 1, 2],
    ];
    for fields in impossible {
        assert!(with(fields).is_err(), "{fields:?}");
    }
}

/// EDIT-2.
#[test]
fn impossible_facts_are_refused() {
    let spoil: [fn(&mut TableInfo); 8] = [
        |table| {
            table.reclaimable = Some(Reclaimable {
                older_versions: 3,
                created_micros: 0,
            });
        },
        |table| table.smallest.truncate(7),
        |table| std::mem::swap(&mut table.smallest, &mut table.largest),
        |table| table.smallest_sequence = SequenceNumber(10),
        |table| table.largest_sequence = SequenceNumber(u64::MAX),
        |table| table.tombstones = 3,
        |table| table.entries = 0,
        |table| table.number = FileNumber(0),
    ];
    for spoil in spoil {
        let mut table = example(5);
        spoil(&mut table);
        assert!(decode(&encode(&table)).is_err(), "{table:?}");
    }
}

/// EDIT-2.
#[test]
fn range_deletes_are_listed_and_only_those_that_the_table_can_have() {
    let range = |start: &[u8], end: Option<&[u8]>, number| RangeDelete {
        start: Arc::from(start),
        end: end.map(Arc::from),
        number: SequenceNumber(number),
    };
    let listing = |ranges: &[RangeDelete]| TableInfo {
        entries: 4,
        range_deletes: Arc::from(ranges),
        ..example(12)
    };
    let all = [
        range(b"a", None, 8),
        range(b"a", Some(b"ab"), 4),
        range(b"b", Some(b"zz"), 9),
    ];
    let table = listing(&all);
    assert_eq!(decode(&encode(&table)).unwrap(), table);
    assert_eq!((table.counts().puts, table.counts().range_deletes), (1, 3));
    assert!(table.has_reclaimable() && !example(12).has_reclaimable());
    assert!(!table.agrees_with(&listing(&all[..2])) && table.agrees_with(&listing(&all)));
    for cut in 0..encode(&table).len() {
        let encoded = encode(&table);
        assert!(TableInfo::decode(&mut &encoded[..cut], true).is_err());
    }
    for impossible in [
        &[range(b"A", None, 8)][..],
        &[range(b"c", None, 8)],
        &[range(b"a", None, 2)],
        &[range(b"a", None, 10)],
        &[all[1].clone(), all[0].clone()],
        &[all[0].clone(), all[0].clone()],
        &[all[2].clone(), all[1].clone()],
        &std::array::from_fn::<_, 5, _>(|number| range(b"a", None, 9 - number as u64)),
    ] {
        let error = decode(&encode(&listing(impossible))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{impossible:?}");
    }
}

/// SWEPT-1.
#[test]
fn how_far_a_table_was_swept_is_kept_and_is_not_compared_with_the_table() {
    let swept = |number| TableInfo {
        swept: SequenceNumber(number),
        ..example(12)
    };
    for number in [1, 300, SequenceNumber::MAX.0] {
        assert_eq!(decode(&encode(&swept(number))).unwrap(), swept(number));
    }
    assert_eq!(encode(&swept(0)), encode(&example(12)));
    assert!(decode(&encode(&swept(SequenceNumber::MAX.0 + 1))).is_err());
    assert!(swept(7).agrees_with(&example(12)));
    let range = |start: &[u8], end: &[u8], number| RangeDelete {
        start: Arc::from(start),
        end: Some(Arc::from(end)),
        number: SequenceNumber(number),
    };
    // The table has keys from "a" to "b", and numbers from 3 to 9.
    let may = |table: &TableInfo, range: RangeDelete| table.may_be_covered_by(&range);
    assert!(may(&example(12), range(b"a", b"aa", 5)) && may(&example(12), range(b"b", b"c", 50)));
    assert!(!may(&example(12), range(b"a", b"aa", 3)) && !may(&example(12), range(b"c", b"d", 5)));
    assert!(may(&swept(4), range(b"a", b"aa", 5)) && !may(&swept(5), range(b"a", b"aa", 5)));
}
