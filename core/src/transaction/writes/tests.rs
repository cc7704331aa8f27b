use aidb_test_data::Random;

use super::*;

/// WRITES-1 and WRITES-2.
#[test]
fn every_key_has_its_last_write_and_undo_goes_back_to_any_mark() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut writes = Writes::default();
        let mut undo = Undo::default();
        let mut model = BTreeMap::new();
        let mut marks = Vec::new();
        for _ in 0..60 {
            match random.below(8) {
                0 => marks.push((Writes::mark(&undo), model.clone())),
                1 if !marks.is_empty() => {
                    let at = random.below(marks.len() as u64) as usize;
                    marks.truncate(at + 1);
                    writes.undo_to(marks[at].0, &mut undo);
                    model = marks[at].1.clone();
                }
                _ => {
                    let key = vec![random.below(6) as u8];
                    let value = (random.below(3) > 0)
                        .then(|| vec![random.below(256) as u8; random.below(9) as usize]);
                    let undo = (!marks.is_empty()).then_some(&mut undo);
                    writes.write(&key, value.as_deref(), undo).unwrap();
                    model.insert(key, value);
                }
            }
            let bytes = model
                .iter()
                .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
            assert_eq!(writes.bytes(), bytes.sum::<usize>(), "seed {seed}");
            assert_eq!(writes.len(), model.len(), "seed {seed}");
            assert_eq!(writes.is_empty(), model.is_empty(), "seed {seed}");
            for key in 0..6u8 {
                let expected = model.get(&vec![key]).map(Option::as_deref);
                assert_eq!(writes.get(&[key]), expected, "seed {seed}");
            }
            let batch = writes.to_batch().unwrap();
            let expected = model
                .iter()
                .map(|(key, value)| (&key[..], value.as_deref()));
            assert!(batch.iter().eq(expected), "seed {seed}");
        }
    }
}

#[test]
fn neighbours_are_found_in_both_directions() {
    let mut writes = Writes::default();
    for key in [b"b", b"d"] {
        writes.write(key, Some(key), None).unwrap();
    }
    writes.write(b"f", None, None).unwrap();
    let up = |from: Bound<&[u8]>| writes.first_from(from).map(|(key, value)| (key[0], value));
    let down = |to: Bound<&[u8]>| writes.last_up_to(to).map(|(key, value)| (key[0], value));
    assert_eq!(up(Bound::Unbounded), Some((b'b', Some(&b"b"[..]))));
    assert_eq!(up(Bound::Included(b"b")), Some((b'b', Some(&b"b"[..]))));
    assert_eq!(up(Bound::Excluded(b"b")), Some((b'd', Some(&b"d"[..]))));
    assert_eq!(up(Bound::Excluded(b"d")), Some((b'f', None)));
    assert_eq!(up(Bound::Excluded(b"f")), None);
    assert_eq!(down(Bound::Unbounded), Some((b'f', None)));
    assert_eq!(down(Bound::Excluded(b"f")), Some((b'd', Some(&b"d"[..]))));
    assert_eq!(down(Bound::Included(b"c")), Some((b'b', Some(&b"b"[..]))));
    assert_eq!(down(Bound::Excluded(b"b")), None);
}
