//! The ranges of the tables below a plan, in any order: the ledger's second way to know whether a key is there
//! (LEDGER-3).
//!
//! Elsewhere: the first way, which goes through the levels along with the keys (`level_cursor.rs`).

use crate::sync::Arc;
use crate::version::FileMeta;

/// The ranges of some tables, which may overlap each other in any way.
pub(super) struct Ranges<'a> {
    /// Where they begin, ascending.
    starts: Vec<&'a [u8]>,
    /// For each start, the furthest end of the ranges up to that one.
    ends: Vec<&'a [u8]>,
}

impl<'a> Ranges<'a> {
    pub(super) fn of(files: &'a [Arc<FileMeta>]) -> Ranges<'a> {
        let range = |file: &'a Arc<FileMeta>| {
            let (first, last) = (file.smallest_key(), file.largest_key());
            (first.user_key, last.user_key)
        };
        let mut ranges: Vec<_> = files.iter().map(range).collect();
        ranges.sort_unstable();
        let mut furthest: &[u8] = &[];
        let ends = ranges.iter().map(|(_, end)| {
            furthest = furthest.max(end);
            furthest
        });
        Ranges {
            ends: ends.collect(),
            starts: ranges.iter().map(|(start, _)| *start).collect(),
        }
    }

    /// Whether any of them holds `key`.
    pub(super) fn hold(&self, key: &[u8]) -> bool {
        let begun = self.starts.partition_point(|start| *start <= key);
        begun > 0 && self.ends[begun - 1] >= key
    }
}

#[cfg(test)]
mod tests {
    use aidb_test_data::Random;

    use super::*;
    use crate::key::{FileNumber, KeyRef, KeyspaceId, Trailer};
    use crate::version::{ObsoleteFiles, TableInfo};

    #[test]
    fn a_key_is_held_deeper_if_any_table_ranges_over_it_whatever_order_they_are_in() {
        let mut random = Random::new(41);
        let obsolete = ObsoleteFiles::new(|| {});
        for tables in 0..40u64 {
            let files: Vec<Arc<FileMeta>> = (0..tables)
                .map(|number| {
                    let mut ends =
                        [(); 2].map(|()| vec![random.below(60) as u8; 1 + random.index(2)]);
                    ends.sort_unstable();
                    let encoded = |key: &[u8]| KeyRef::new(key, Trailer::NEWEST).to_vec();
                    let info = TableInfo {
                        number: FileNumber(number + 1),
                        smallest: encoded(&ends[0]),
                        largest: encoded(&ends[1]),
                        ..TableInfo::default()
                    };
                    FileMeta::new(KeyspaceId::DEFAULT, info, Arc::clone(&obsolete))
                })
                .collect();
            let ranges = Ranges::of(&files);
            let keys = (0..62u8).flat_map(|byte| [vec![byte], vec![byte, byte], vec![byte, 0]]);
            for key in keys.chain([Vec::new()]) {
                let expected = files
                    .iter()
                    .any(|file| file.overlaps(Some(&key), Some(&key)));
                assert_eq!(ranges.hold(&key), expected, "{key:?} of {tables}");
            }
        }
    }
}
