use aidb_test_data::Random;

use super::*;
use crate::batch::BatchOperation;

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
            match random.below(9) {
                0 => marks.push((Writes::mark(&undo), model.clone())),
                1 if !marks.is_empty() => {
                    let at = random.below(marks.len() as u64) as usize;
                    marks.truncate(at + 1);
                    writes.undo_to(marks[at].0, &mut undo);
                    model = marks[at].1.clone();
                }
                2 => {
                    let start = [random.below(6) as u8];
                    let end = random.below(7) as u8;
                    let end = (end > start[0]).then_some([end]);
                    let undo = (!marks.is_empty()).then_some(&mut undo);
                    let bound = end.as_ref().map(|end| &end[..]);
                    writes.delete_range(&start, bound, undo).unwrap();
                    for key in start[0]..end.map_or(6, |end| end[0]) {
                        model.insert(vec![key], None);
                    }
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
            let deleted: usize = writes.deleted.iter().map(KeyRange::bytes).sum();
            let written = writes.last.iter();
            let written = written.map(|(key, value)| key.len() + value_length(value));
            assert_eq!(
                writes.bytes(),
                written.sum::<usize>() + deleted,
                "seed {seed}"
            );
            assert_eq!(writes.is_empty(), model.is_empty(), "seed {seed}");
            for key in 0..6u8 {
                let expected = model.get(&vec![key]).map(Option::as_deref);
                assert_eq!(writes.get(&[key]), expected, "seed {seed}");
            }
            // Over any contents, the batch leaves what the writes left.
            let batch = writes.to_batch().unwrap();
            assert_eq!(batch.len(), writes.len(), "seed {seed}");
            let mut after: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
            for operation in batch.iter() {
                match operation {
                    BatchOperation::Put { key, value } => {
                        after.insert(key.to_vec(), Some(value.to_vec()));
                    }
                    BatchOperation::Delete { key } => {
                        after.insert(key.to_vec(), None);
                    }
                    BatchOperation::DeleteRange { start, end } => {
                        for key in 0..6u8 {
                            if start <= &[key][..] && end.is_none_or(|end| &[key][..] < end) {
                                after.insert(vec![key], None);
                            }
                        }
                    }
                }
            }
            assert_eq!(after, model, "seed {seed}");
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
