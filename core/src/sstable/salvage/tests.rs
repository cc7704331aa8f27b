//! Tables damaged in each of their parts: the entries that are salvaged, and the reported losses.

use super::*;
use crate::env::MemEnv;
use crate::key::{Trailer, ValueKind};
use crate::sstable::format::block_trailer;
use crate::sstable::{Builder, TableOptions};

const FILE_ID: u64 = 0x0123_4567_89ab_cdef;

/// A table on a disk in memory, for a test to damage.
struct Subject {
    env: MemEnv,
    path: PathBuf,
    bytes: Vec<u8>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    blocks: Vec<BlockHandle>,
}

type Salvaged = (Option<SalvagedTable>, Vec<LostBlocks>);

/// A key with number `10 + number`, encoded.
fn key(number: usize) -> Vec<u8> {
    let trailer = Trailer::new(SequenceNumber(10 + number as u64), ValueKind::Put);
    KeyRef::new(format!("key-{number:03}").as_bytes(), trailer).to_vec()
}

impl Subject {
    /// One uncompressed block for each value; keys ascend with the numbers of the values.
    fn new(values: &[Vec<u8>]) -> Subject {
        let env = MemEnv::new();
        env.create_dir_all(Path::new("/db")).unwrap();
        let path = PathBuf::from("/db/000001.sst");
        let options = TableOptions {
            block_size: 1,
            compression: Compression::None,
            ..TableOptions::default()
        };
        let file = env.create_new(&path).unwrap();
        let mut builder = Builder::new(file, path.clone(), FILE_ID, options).unwrap();
        let entries: Vec<_> = (values.iter().enumerate())
            .map(|(number, value)| (key(number), value.clone()))
            .collect();
        for (key, value) in &entries {
            builder.add(KeyRef::decode(key).unwrap(), value).unwrap();
        }
        builder.finish().unwrap();
        let file = env.open_read(&path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        let mut subject = Subject {
            env,
            path,
            bytes,
            entries,
            blocks: Vec::new(),
        };
        let (table, lost) = subject.salvage(None);
        assert!(lost.is_empty());
        subject.blocks = table.unwrap().blocks;
        assert_eq!(subject.blocks.len(), values.len());
        subject
    }

    fn small() -> Subject {
        Subject::new(&(0..8u8).map(|number| vec![number; 5]).collect::<Vec<_>>())
    }

    fn try_salvage(&self, known: Option<Known>) -> Result<Salvaged> {
        self.env.remove_file(&self.path).unwrap();
        let file = self.env.create_new(&self.path).unwrap();
        file.write_at(0, &self.bytes).unwrap();
        let mut lost = Vec::new();
        let table = salvage(&self.env, &self.path, known, &mut lost)?;
        Ok((table, lost))
    }

    fn salvage(&self, known: Option<Known>) -> Salvaged {
        self.try_salvage(known).unwrap()
    }

    fn known(&self) -> Option<Known> {
        Some(Known {
            file_id: FILE_ID,
            size: self.bytes.len() as u64,
        })
    }

    fn spoil(&mut self, at: u64) {
        self.bytes[at as usize] ^= 0x40;
    }

    fn spoil_block(&mut self, block: usize) {
        self.spoil(self.blocks[block].offset + 1);
    }

    fn spoil_index(&mut self) {
        // The block after the data and the filter.
        let footer_at = self.bytes.len() as u64 - FOOTER_BYTES as u64;
        let footer = &self.bytes[footer_at as usize..];
        let footer = Footer::decode(&self.path, FILE_ID, footer_at, footer).unwrap();
        self.spoil(footer.index.offset + 1);
    }

    fn spoil_footer(&mut self) {
        self.spoil(self.bytes.len() as u64 - FOOTER_BYTES as u64);
    }

    /// Replaces a block by `raw`, which has the same length, with the right checksum.
    fn replace_block(&mut self, block: usize, raw: &[u8]) {
        let handle = self.blocks[block];
        assert_eq!(raw.len() as u64, handle.length);
        let (kind, codec) = (BlockKind::Data, Compression::None);
        let trailer = block_trailer(FILE_ID, handle.offset, kind, codec, raw);
        let stored = [raw, &trailer[..]].concat();
        self.bytes[handle.offset as usize..][..stored.len()].copy_from_slice(&stored);
    }

    fn raw_block(&self, block: usize) -> Vec<u8> {
        let handle = self.blocks[block];
        self.bytes[handle.offset as usize..][..handle.length as usize].to_vec()
    }

    /// Asserts that the table has exactly the entries of these blocks.
    fn assert_has(&self, table: Option<SalvagedTable>, blocks: &[usize]) {
        let expected: Vec<_> = blocks
            .iter()
            .map(|&block| self.entries[block].clone())
            .collect();
        let Some(table) = table else {
            assert!(
                expected.is_empty(),
                "no table is found, expected {blocks:?}"
            );
            return;
        };
        assert_eq!(table.sum.entries(), expected.len() as u64);
        let (first, last) = (expected.first().unwrap(), expected.last().unwrap());
        assert_eq!((&table.smallest, &table.largest), (&first.0, &last.0));
        assert_eq!(table.smallest_key().to_vec(), first.0);
        assert_eq!(table.largest_key().to_vec(), last.0);
        let newest = SequenceNumber(10 + *blocks.last().unwrap() as u64);
        assert_eq!(table.largest_sequence, newest);
        let mut found = Vec::new();
        let mut iterator = SalvageIterator::new(&self.env, table).unwrap();
        while iterator.valid() {
            found.push((iterator.key().to_vec(), iterator.value().to_vec()));
            iterator.next(&self.env).unwrap();
        }
        assert_eq!(found, expected);
    }
}

/// The losses as (start, end, key before, key after).
fn ranges(lost: &[LostBlocks]) -> Vec<(u64, u64, Option<Vec<u8>>, Option<Vec<u8>>)> {
    lost.iter()
        .map(|lost| {
            (
                lost.start,
                lost.end,
                lost.after.clone(),
                lost.before.clone(),
            )
        })
        .collect()
}

#[test]
fn of_an_intact_table_everything_is_answered() {
    let subject = Subject::small();
    for known in [None, subject.known()] {
        let (table, lost) = subject.salvage(known);
        subject.assert_has(table, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(lost.is_empty());
    }
    assert_eq!(table_id(&subject.env, &subject.path).unwrap(), FILE_ID);
}

#[test]
fn damaged_blocks_are_reported_by_their_range_and_the_keys_around_it() {
    let all: Vec<usize> = (0..8).collect();
    for first in 0..8 {
        for last in first..8 {
            let mut subject = Subject::small();
            (first..=last).for_each(|block| subject.spoil_block(block));
            let (table, lost) = subject.salvage(None);
            let intact: Vec<usize> = (all.iter().copied())
                .filter(|block| !(first..=last).contains(block))
                .collect();
            subject.assert_has(table, &intact);
            let expected = (
                subject.blocks[first].offset,
                subject.blocks[last].end().unwrap(),
                first.checked_sub(1).map(key),
                (last < 7).then(|| key(last + 1)),
            );
            assert_eq!(ranges(&lost), [expected], "{first} to {last}");
            assert_eq!(lost[0].error.kind(), ErrorKind::Corruption);
        }
    }
}

#[test]
fn damaged_blocks_with_an_intact_one_between_are_reported_apart() {
    let mut subject = Subject::small();
    for block in [1, 2, 4, 6] {
        subject.spoil_block(block);
    }
    let mut lost = vec![LostBlocks {
        // The damage of another table, at the end where a block of this one begins.
        error: Error::corruption(Path::new("/db/other"), 0, "damaged"),
        start: 0,
        end: subject.blocks[1].offset,
        after: None,
        before: None,
    }];
    subject.salvage(None);
    let table = salvage(&subject.env, &subject.path, None, &mut lost).unwrap();
    subject.assert_has(table, &[0, 3, 5, 7]);
    let at = |block: usize| {
        (
            subject.blocks[block].offset,
            subject.blocks[block].end().unwrap(),
        )
    };
    assert_eq!(
        ranges(&lost),
        [
            (0, at(1).0, None, None),
            (at(1).0, at(2).1, Some(key(0)), Some(key(3))),
            (at(4).0, at(4).1, Some(key(3)), Some(key(5))),
            (at(6).0, at(6).1, Some(key(5)), Some(key(7))),
        ]
    );
}

/// SALVAGE-3.
#[test]
fn a_damaged_header_is_made_up_for_by_the_manifest_or_the_footer() {
    let mut subject = Subject::small();
    subject.spoil(9);
    assert!(
        table_id(&subject.env, &subject.path).is_ok(),
        "the file is still whole"
    );
    for known in [None, subject.known()] {
        let (table, lost) = subject.salvage(known);
        subject.assert_has(table, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(lost.is_empty());
    }
    let error = table_id(&subject.env, &subject.path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    // With the index gone too, the search for blocks uses the manifest's id.
    subject.spoil_index();
    let (table, lost) = subject.salvage(subject.known());
    subject.assert_has(table, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(lost.is_empty());
}

#[test]
fn a_damaged_header_and_footer_without_a_manifest_lose_the_table_as_a_whole() {
    let mut subject = Subject::small();
    subject.spoil(9);
    subject.spoil_footer();
    let (table, lost) = subject.salvage(None);
    subject.assert_has(table, &[]);
    assert_eq!(ranges(&lost), [(0, subject.bytes.len() as u64, None, None)]);
    // The manifest names the id, so nothing is lost.
    let (table, lost) = subject.salvage(subject.known());
    subject.assert_has(table, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(lost.is_empty());
}

/// SALVAGE-2.
#[test]
fn without_an_index_everything_up_to_the_first_damage_is_found() {
    for spoil in [Subject::spoil_index, Subject::spoil_footer] {
        let mut subject = Subject::small();
        spoil(&mut subject);
        let (table, lost) = subject.salvage(None);
        subject.assert_has(table, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(lost.is_empty());
        for damaged in 0..8 {
            let mut subject = Subject::small();
            spoil(&mut subject);
            subject.spoil_block(damaged);
            let (table, lost) = subject.salvage(None);
            let intact: Vec<usize> = (0..damaged).collect();
            subject.assert_has(table, &intact);
            let from = subject.blocks[damaged].offset;
            let after = damaged.checked_sub(1).map(key);
            let rest = (from, subject.bytes.len() as u64, after, None);
            assert_eq!(ranges(&lost), [rest], "block {damaged}");
        }
    }
}

#[test]
fn a_file_that_has_grown_is_read_by_the_size_in_the_manifest() {
    let mut subject = Subject::small();
    let known = subject.known();
    subject.bytes.extend_from_slice(&[0x5a; 100]);
    subject.spoil_block(2);
    // The index is found at that size, so one block is lost, not all after it.
    let (table, lost) = subject.salvage(known);
    subject.assert_has(table, &[0, 1, 3, 4, 5, 6, 7]);
    assert_eq!(lost.len(), 1);
    let (table, _) = subject.salvage(None);
    subject.assert_has(table, &[0, 1]);
}

#[test]
fn a_file_cut_anywhere_answers_the_blocks_before_the_cut() {
    let whole = Subject::small();
    for length in 0..whole.bytes.len() {
        let mut subject = Subject::small();
        subject.bytes.truncate(length);
        let (table, lost) = subject.salvage(whole.known());
        let ends = whole
            .blocks
            .iter()
            .map(|block| block.end().unwrap() as usize);
        let intact: Vec<usize> = (0..ends.filter(|end| *end <= length).count()).collect();
        subject.assert_has(table, &intact);
        // A block that follows proves that the data is complete.
        assert!(
            lost.len() == 1 || lost.is_empty() && intact.len() == 8,
            "{length}"
        );
        for (start, end, ..) in ranges(&lost) {
            let from = intact.last().map_or(whole.blocks[0].offset, |&block| {
                whole.blocks[block].end().unwrap()
            });
            // A file cut within its header used to lose a range that begins behind its end.
            let end_of_file = length as u64;
            assert_eq!(
                (start, end),
                (from.min(end_of_file), end_of_file),
                "{length}"
            );
        }
    }
}

#[test]
fn a_missing_file_is_reported_and_no_error() {
    let subject = Subject::small();
    let mut lost = Vec::new();
    let path = Path::new("/db/000002.sst");
    let table = salvage(&subject.env, path, None, &mut lost).unwrap();
    assert!(table.is_none());
    assert_eq!(ranges(&lost), [(0, 0, None, None)]);
    assert_eq!(lost[0].error.kind(), ErrorKind::Io);
}

#[test]
fn blocks_are_found_whose_trailer_lies_across_the_bytes_that_are_read_at_once() {
    // A block of one entry: three lengths (the last takes three bytes), key, trailer, value, a restart point, their
    // count.
    let around = 1 + 1 + 3 + 7 + 8 + 4 + 4;
    let sizes = (0..=7).map(|before| SEARCH_BYTES - before);
    for length in sizes.chain([SEARCH_BYTES + 1, 2 * SEARCH_BYTES - 6, 2 * SEARCH_BYTES]) {
        // Zeros look like the kind byte of a trailer at every offset; other values rarely do.
        let mut values = vec![vec![0xee; length - around], vec![1; 3]];
        values[0][length - around - 20..].fill(0);
        let mut subject = Subject::new(&values);
        assert_eq!(subject.blocks[0].length, length as u64);
        subject.spoil_index();
        let (table, lost) = subject.salvage(None);
        subject.assert_has(table, &[0, 1]);
        assert!(lost.is_empty(), "{length}");
    }
}

/// SALVAGE-1.
#[test]
fn a_block_whose_keys_are_not_behind_those_before_is_lost_though_its_checksum_is_right() {
    let mut subject = Subject::small();
    let (third, fourth) = (subject.raw_block(2), subject.raw_block(3));
    // In the wrong order: the keys in block 3 come before those returned from block 2.
    subject.replace_block(2, &fourth);
    subject.replace_block(3, &third);
    subject.entries.swap(2, 3);
    let (table, lost) = subject.salvage(None);
    subject.assert_has(table, &[0, 1, 2, 4, 5, 6, 7]);
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].start, lost[0].error.kind()),
        (subject.blocks[3].offset, ErrorKind::Corruption)
    );
    // The same key again.
    let mut subject = Subject::small();
    subject.replace_block(3, &third);
    let (table, lost) = subject.salvage(None);
    subject.assert_has(table, &[0, 1, 2, 4, 5, 6, 7]);
    assert_eq!(lost.len(), 1);
}

#[test]
fn what_a_newer_version_wrote_ends_the_salvage() {
    let mut subject = Subject::small();
    let mut raw = subject.raw_block(4);
    // The kind is the lowest byte of the trailer, after three lengths and the key.
    assert_eq!(raw[3 + 7], ValueKind::Put as u8);
    raw[3 + 7] = 99;
    subject.replace_block(4, &raw);
    let error = subject.try_salvage(None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("kind 99"), "{error}");
}

#[test]
fn a_block_that_does_not_decode_is_lost_with_the_byte_that_is_wrong() {
    let mut subject = Subject::small();
    let mut raw = subject.raw_block(5);
    // An entry at a restart point must share no bytes.
    raw[0] = 1;
    subject.replace_block(5, &raw);
    let (table, lost) = subject.salvage(None);
    subject.assert_has(table, &[0, 1, 2, 3, 4, 6, 7]);
    assert_eq!(lost.len(), 1);
    let message = lost[0].error.to_string();
    assert!(message.contains("data block, raw byte 0"), "{message}");
}

/// SALVAGE-4.
#[test]
fn what_the_properties_say_of_the_entries_is_reported_beside_what_was_found() {
    let (env, path, file_id) = (MemEnv::new(), Path::new("/000007.sst"), 7);
    let file = env.create_new(path).unwrap();
    let options = TableOptions::default();
    let mut builder = Builder::new(file, path.to_path_buf(), file_id, options).unwrap();
    for key in 0..100u8 {
        let kind = [ValueKind::Put, ValueKind::Delete][usize::from(key % 10 == 3)];
        let trailer = Trailer::new(SequenceNumber(u64::from(key) + 1), kind);
        let value: &[u8] = if kind == ValueKind::Put {
            b"value"
        } else {
            b""
        };
        builder.add(KeyRef::new(&[key], trailer), value).unwrap();
    }
    let written = builder.finish().unwrap();
    let salvaged = || {
        let mut lost = Vec::new();
        let table = salvage(&env, path, None, &mut lost).unwrap().unwrap();
        assert_eq!((lost.len(), table.sum), (0, written.sum));
        table.said
    };
    let said = salvaged().expect("they can be read");
    assert!(said.agrees_with(written.sum));

    // Different properties, as valid as the first ones.
    let file = env.open_write(path).unwrap();
    let footer_at = written.file_size - FOOTER_BYTES as u64;
    let footer = read_exact(&*file, path, footer_at, FOOTER_BYTES as u64).unwrap();
    let footer = Footer::decode(path, file_id, footer_at, &footer).unwrap();
    let BlockHandle { offset, length } = footer.properties;
    let stored = read_exact(&*file, path, offset, length + BLOCK_TRAILER_BYTES as u64);
    let raw = open_block(
        path,
        file_id,
        offset,
        BlockKind::Properties,
        stored.unwrap(),
    );
    let right = Properties::decode(&raw.unwrap(), footer.version).unwrap();
    type Spoil = fn(&mut Properties);
    let spoils: [Spoil; 3] = [
        |wrong| wrong.entries += 1,
        |wrong| wrong.tombstones += 1,
        |wrong| wrong.content_sum = wrong.content_sum.map(|sum| sum ^ 1),
    ];
    for spoil in spoils {
        let mut wrong = right.clone();
        spoil(&mut wrong);
        let payload = wrong.encode();
        assert_eq!(payload.len() as u64, length);
        file.write_at(offset, &payload).unwrap();
        let kind = BlockKind::Properties;
        let trailer = block_trailer(file_id, offset, kind, Compression::None, &payload);
        file.write_at(offset + length, &trailer).unwrap();
        let said = salvaged().expect("they can be read");
        assert!(!said.agrees_with(written.sum), "{said}");
    }
    file.write_at(offset, b"damage").unwrap();
    assert_eq!(salvaged(), None);
}

#[test]
fn what_a_table_says_of_its_entries_is_reported_with_their_sum_if_it_has_one() {
    let said = |terms| Said {
        entries: 5,
        tombstones: 2,
        range_deletes: 0,
        terms,
    };
    assert_eq!(said(None).to_string(), "3 puts and 2 deletes");
    let whole = "3 puts and 2 deletes with sum 00000000000000ff";
    assert_eq!(said(Some(0xff)).to_string(), whole);
    let with_ranges = Said {
        range_deletes: 1,
        ..said(None)
    };
    let text = "2 puts, 2 deletes and 1 range deletes";
    assert_eq!(with_ranges.to_string(), text);
    let found = |range_deletes| Sum {
        puts: 2,
        tombstones: 2,
        range_deletes,
        ..Sum::default()
    };
    assert!(with_ranges.agrees_with(found(1)) && !with_ranges.agrees_with(found(0)));
}

#[test]
fn a_table_of_another_keyspace_is_refused() {
    let env = MemEnv::new();
    env.create_dir_all(Path::new("/db")).unwrap();
    let path = PathBuf::from("/db/000001.sst");
    let options = TableOptions {
        keyspace: KeyspaceId(7),
        ..TableOptions::default()
    };
    let file = env.create_new(&path).unwrap();
    let mut builder = Builder::new(file, path.clone(), FILE_ID, options).unwrap();
    builder
        .add(KeyRef::decode(&key(1)).unwrap(), b"value")
        .unwrap();
    builder.finish().unwrap();
    let outcome = salvage(&env, &path, None, &mut Vec::new());
    let error = outcome.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.message().contains("keyspace 7"), "{error}");
}
