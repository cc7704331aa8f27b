//! Short bounds for tables with long keys, as kept in the manifest and in memory.
//!
//! A table's bounds are its first and last key. If those are long, shorter bounds are kept instead, and only
//! the table has the exact ones. The question whether a table may have a key then gets a false "yes" a little
//! more often.
//!
//! * BOUND-1  Kept bounds enclose the table's keys.
//! * BOUND-2  Disjoint tables, given together and in order, stay disjoint: the bound between two of them is
//!            long enough to separate the last key of one from the first key of the other.
//! * BOUND-3  Outputs of a compaction stay within the bounds of its inputs. So they are disjoint from every other table
//!            of their level, as those are from the inputs (PICKER-4).

use super::table_info::TableInfo;
use crate::key::{KeyRef, Trailer};
use crate::memory;

/// The name of its memory in errors.
const BOUND: &str = "a shorter bound of a table";

/// User keys of at most this many bytes are kept whole as bounds.
pub(crate) const LONG_BOUND_BYTES: usize = 1024;

/// Shortens the bounds of `tables`. The bounds must be exact and in order, with disjoint user keys that all lie
/// `within`.
pub(crate) fn shorten(tables: &mut [&mut TableInfo], within: Option<(&[u8], &[u8])>) {
    let count = tables.len();
    debug_assert!(
        tables.is_sorted_by(|one, next| one.largest_key().user_key < next.smallest_key().user_key),
        "BOUND-2: disjoint, and in order"
    );
    let first = |index: usize| tables[index].smallest_key().user_key;
    let last = |index: usize| tables[index].largest_key().user_key;
    debug_assert!(
        within
            .is_none_or(|(least, most)| count == 0 || least <= first(0) && last(count - 1) <= most),
        "BOUND-3: the keys lie within the inputs' bounds"
    );
    let kept: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)> = (0..count)
        .map(|index| {
            let before = index.checked_sub(1).map(last);
            let after = (index + 1 < count).then(|| first(index + 1));
            let least = within.filter(|_| index == 0).map(|(least, _)| least);
            let most = within.filter(|_| index + 1 == count).map(|(_, most)| most);
            (
                lower(first(index), before, least),
                upper(last(index), after, most),
            )
        })
        .collect();
    for (table, (smallest, largest)) in tables.iter_mut().zip(kept) {
        // A bound that there is no memory to shorten stays long.
        let bound = |key: Vec<u8>, trailer| KeyRef::new(&key, trailer).encoded().ok();
        if let Some(smallest) = smallest.and_then(|key| bound(key, Trailer::NEWEST)) {
            table.smallest = smallest;
            table.shortened.smallest = true;
        }
        if let Some(largest) = largest.and_then(|key| bound(key, Trailer::OLDEST)) {
            table.largest = largest;
            table.shortened.largest = true;
        }
    }
}

/// A shorter bound than `key`: at or before `key`, after `before` (a smaller key), and not before `least`.
fn lower(key: &[u8], before: Option<&[u8]>, least: Option<&[u8]>) -> Option<Vec<u8>> {
    debug_assert!(
        least.is_none_or(|least| least <= key),
        "BOUND-3: the key lies within the inputs"
    );
    debug_assert!(
        before.is_none_or(|before| before < key),
        "BOUND-2: the key comes after the table before"
    );
    let told_apart = before.map_or(0, |before| common_bytes(before, key) + 1);
    let mut short = key.get(..told_apart.max(LONG_BOUND_BYTES))?;
    if let Some(least) = least {
        short = short.max(least);
    }
    debug_assert!(
        short <= key && before.is_none_or(|before| before < short),
        "BOUND-1, BOUND-2: at or before the key, and after the table before"
    );
    match short.len() < key.len() {
        true => memory::copy_of(short, BOUND).ok(),
        false => None,
    }
}

/// A shorter bound than `key`: at or after `key`, before every [`lower`] bound of `after` (a larger key), and not
/// after `most`.
fn upper(key: &[u8], after: Option<&[u8]>, most: Option<&[u8]>) -> Option<Vec<u8>> {
    debug_assert!(
        most.is_none_or(|most| key <= most),
        "BOUND-3: the key lies within the inputs"
    );
    debug_assert!(
        after.is_none_or(|after| key < after),
        "BOUND-2: the key comes before the next table"
    );
    // The byte that distinguishes the two keys must stay, so a later byte is raised.
    let told_apart = after.map_or(0, |after| common_bytes(key, after) + 2);
    let from = told_apart.max(LONG_BOUND_BYTES) - 1;
    let rest = key.get(from..)?;
    let raised = rest.iter().position(|byte| *byte < u8::MAX);
    let mut short = match raised {
        Some(place) => {
            let mut short = memory::copy_of(&key[..=from + place], BOUND).ok()?;
            short[from + place] += 1;
            Some(short)
        }
        None => None,
    };
    if let Some(most) = most
        && short.as_deref().is_none_or(|short| short > most)
    {
        short = Some(memory::copy_of(most, BOUND).ok()?);
    }
    let short = short.filter(|short| short.len() < key.len());
    debug_assert!(
        short.as_deref().is_none_or(|short| {
            key <= short
                && after.is_none_or(|after| short < after)
                && most.is_none_or(|most| short <= most)
        }),
        "BOUND-1, BOUND-2, BOUND-3: at or after the key, before the next table, and within the inputs"
    );
    short
}

/// How many bytes two keys have in common at their beginning.
fn common_bytes(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use aidb_test_data::Random;

    use super::*;
    use crate::key::{FileNumber, SequenceNumber, ValueKind};

    fn table(number: u64, smallest: &[u8], largest: &[u8]) -> TableInfo {
        let key = |user_key: &[u8]| {
            let trailer = Trailer::new(SequenceNumber(number), ValueKind::Put);
            KeyRef::new(user_key, trailer).to_vec()
        };
        TableInfo {
            number: FileNumber(number),
            smallest: key(smallest),
            largest: key(largest),
            smallest_sequence: SequenceNumber(number),
            largest_sequence: SequenceNumber(number),
            entries: 2,
            ..TableInfo::default()
        }
    }

    /// A random key in a tree of a few long prefixes, so that many keys differ only near their ends.
    fn key(random: &mut Random) -> Vec<u8> {
        let edges = [0, 1, 1022, 1023, 1024, 1025, 1026, 2000];
        let mut key = vec![[b'a', 0xff][random.index(2)]; edges[random.index(edges.len())]];
        for _ in 0..random.index(3) {
            key.push([0, b'a', 0xfe, 0xff][random.index(4)]);
        }
        let end = edges[random.index(edges.len())];
        key.resize(key.len() + end, [b'b', 0xff, 0][random.index(3)]);
        key
    }

    #[test]
    fn short_bounds_enclose_stay_apart_and_stay_within_under_random_long_keys() {
        let (mut shortened, mut whole) = (0, 0);
        for seed in 0..3000 {
            let mut random = Random::new(seed);
            let mut keys: Vec<Vec<u8>> =
                (0..2 + random.index(9)).map(|_| key(&mut random)).collect();
            keys.sort();
            keys.dedup();
            let exact: Vec<TableInfo> = keys
                .chunks_exact(2)
                .zip(1..)
                .map(|(pair, number)| table(number, &pair[0], &pair[1]))
                .collect();
            if exact.is_empty() {
                continue;
            }
            // The inputs enclose the keys, sometimes exactly, sometimes with shorter bounds.
            let (first, last) = (&keys[0], &keys[exact.len() * 2 - 1]);
            let least = first[..first.len() - random.index(first.len() + 1)].to_vec();
            let mut most = last.clone();
            if random.one_in(2) {
                most = upper(last, None, None).unwrap_or(most);
            }
            let within = (!random.one_in(3)).then_some((&least[..], &most[..]));
            let mut kept = exact.clone();
            let mut tables: Vec<&mut TableInfo> = kept.iter_mut().collect();
            shorten(&mut tables, within);
            for (kept, exact) in kept.iter().zip(&exact) {
                let seed = format!("seed {seed}, table {}", exact.number);
                kept.check().unwrap();
                assert!(
                    kept.smallest_key() <= exact.smallest_key(),
                    "BOUND-1: {seed}"
                );
                assert!(kept.largest_key() >= exact.largest_key(), "BOUND-1: {seed}");
                assert!(kept.agrees_with(exact), "{seed}");
                for (kept, exact, is_short) in [
                    (&kept.smallest, &exact.smallest, kept.shortened.smallest),
                    (&kept.largest, &exact.largest, kept.shortened.largest),
                ] {
                    assert_eq!(is_short, kept.len() < exact.len(), "{seed}");
                    assert_eq!(!is_short, kept == exact, "{seed}");
                    shortened += u32::from(is_short);
                    whole += u32::from(!is_short && kept.len() > LONG_BOUND_BYTES + 8);
                }
            }
            for pair in kept.windows(2) {
                let (one, other) = (pair[0].largest_key(), pair[1].smallest_key());
                assert!(one.user_key < other.user_key, "BOUND-2: seed {seed}");
            }
            if let Some((least, most)) = within {
                assert!(
                    kept[0].smallest_key().user_key >= least,
                    "BOUND-3: seed {seed}"
                );
                let last = kept[kept.len() - 1].largest_key().user_key;
                assert!(last <= most, "BOUND-3: seed {seed}");
            }
        }
        assert!(shortened > 1000 && whole > 100, "{shortened} and {whole}");
    }

    #[test]
    fn a_bound_is_short_unless_keys_on_both_sides_of_it_are_alike_for_longer() {
        let long = |start: &[u8]| [start, &vec![b'x'; 1 << 20]].concat();
        let (one, two) = (long(b"one"), long(b"two"));
        let mut tables = [table(1, &one, &two), table(2, &long(b"u"), &long(b"v"))];
        let [a, b] = &mut tables;
        shorten(&mut [a, b], None);
        for bound in tables
            .iter()
            .flat_map(|table| [&table.smallest, &table.largest])
        {
            assert_eq!(bound.len(), LONG_BOUND_BYTES + 8);
        }
        let mut just = table(1, &one[..LONG_BOUND_BYTES], &two[..LONG_BOUND_BYTES + 1]);
        let exact = just.clone();
        shorten(&mut [&mut just], None);
        assert_eq!(
            (just.shortened.smallest, just.shortened.largest),
            (false, true)
        );
        // A different table than the one with these bounds.
        let other = table(1, &one[..LONG_BOUND_BYTES], &long(b"u"));
        assert!(just.agrees_with(&exact) && !just.agrees_with(&other));
        let other = table(1, &one[..LONG_BOUND_BYTES - 1], &two);
        assert!(!just.agrees_with(&other));
        // A bound encloses itself, so only a key beyond it is refused.
        let at_bounds = TableInfo {
            smallest: just.smallest.clone(),
            largest: just.largest.clone(),
            ..exact
        };
        assert!(just.agrees_with(&at_bounds));
        just.shortened.smallest = true;
        assert!(just.agrees_with(&at_bounds));
    }
}
