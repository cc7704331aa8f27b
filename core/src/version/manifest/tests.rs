//! Tests of the manifest: what a cut, a flip or a power loss may do to it.

use std::path::{Path, PathBuf};

use super::head::*;
use super::record::*;
use super::slot::*;
use super::*;
use crate::env::{Call, Env, Fault, FaultEnv, MemEnv};
use crate::error::{ErrorKind, Result};
use crate::filename::{CURRENT, manifest_path};
use crate::key::FileNumber;
use crate::sync::Arc;
use crate::version::current::{read_current, set_current};
use crate::version::edit::{LEVELS, VersionEdit};
use crate::version::table_info::{Reclaimable, TableInfo};

const NUMBER: FileNumber = FileNumber(1);

fn edit(log: u64) -> VersionEdit {
    VersionEdit {
        log_number: Some(FileNumber(log)),
        ..VersionEdit::default()
    }
}

/// A manifest with the edits 0 to `last`, the first of them written at its creation.
fn written(last: u64) -> (MemEnv, PathBuf, u64) {
    let (env, dir) = (MemEnv::new(), PathBuf::from("/db"));
    env.create_dir_all(&dir).unwrap();
    let mut writer = ManifestWriter::create(&env, &dir, NUMBER, std::iter::once(edit(0))).unwrap();
    set_current(&env, &dir, &writer).unwrap();
    for log in 1..=last {
        writer.append(&edit(log)).unwrap();
    }
    (env, dir, writer.file_id())
}

/// The logs named by the edits that count, and whether the file was clean.
fn read(env: &dyn Env, dir: &Path) -> Result<(Vec<u64>, bool)> {
    let (number, file_id) = read_current(env, dir)?;
    let mut reader = ManifestReader::open(env, dir, number, file_id, true)?;
    let mut logs = Vec::new();
    while let Some(edit) = reader.next_edit()? {
        logs.push(edit.log_number.unwrap().0);
    }
    Ok((logs, reader.into_writer().is_some()))
}

fn flip(env: &MemEnv, path: &Path, offset: u64) {
    let file = env.open_write(path).unwrap();
    let mut byte = [0];
    assert_eq!(file.read_at(offset, &mut byte).unwrap(), 1, "byte {offset}");
    file.write_at(offset, &[byte[0] ^ 0x10]).unwrap();
}

#[test]
fn edits_come_back_and_the_writer_goes_on() {
    let (env, dir, file_id) = written(5);
    assert_eq!(read(&env, &dir).unwrap(), ((0..=5).collect(), true));
    let mut reader = ManifestReader::open(&env, &dir, NUMBER, file_id, true).unwrap();
    while reader.next_edit().unwrap().is_some() {}
    let mut writer = reader.into_writer().unwrap();
    writer.append(&edit(6)).unwrap();
    assert_eq!(read(&env, &dir).unwrap(), ((0..=6).collect(), true));
}

#[test]
fn a_byte_that_is_never_written_is_ignored_on_opening_and_reported_by_the_check() {
    let (env, dir, file_id) = written(2);
    let path = manifest_path(&dir, NUMBER);
    let reader = || ManifestReader::open(&env, &dir, NUMBER, file_id, true).unwrap();
    reader().check_unused().unwrap();
    let sectors = [(0, HEAD_BYTES), (1, SLOT_BYTES), (2, SLOT_BYTES)];
    for (sector, used) in sectors.map(|(sector, used)| (sector * SECTOR_BYTES, used as u64)) {
        for offset in [sector + used, sector + SECTOR_BYTES - 1] {
            flip(&env, &path, offset);
            let error = reader().check_unused().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption);
            assert!(error.to_string().contains(&offset.to_string()), "{error}");
            assert_eq!(read(&env, &dir).unwrap(), ((0..=2).collect(), true));
            flip(&env, &path, offset);
        }
    }
}

/// SLOT-3.
#[test]
fn bytes_behind_the_length_are_ignored_and_end_the_file() {
    let (env, dir, _) = written(2);
    let file = env.open_write(&manifest_path(&dir, NUMBER)).unwrap();
    let length = file.len().unwrap();
    file.write_at(length, b"half a record").unwrap();
    assert_eq!(read(&env, &dir).unwrap(), (vec![0, 1, 2], false));
}

/// SLOT-2, SLOT-4.
#[test]
fn one_bad_slot_loses_no_edit() {
    for last in [0, 1, 2, 3] {
        for slot in [0, 1] {
            let (env, dir, _) = written(last);
            flip(&env, &manifest_path(&dir, NUMBER), Slot::offset(slot) + 3);
            let expected = ((0..=last).collect(), false);
            assert_eq!(
                read(&env, &dir).unwrap(),
                expected,
                "{last} edits, slot {slot}"
            );
        }
    }
}

#[test]
fn a_record_behind_a_bad_slot_that_cannot_be_read_is_not_taken_for_none() {
    let (env, dir, _) = written(5);
    let path = manifest_path(&dir, NUMBER);
    // The slot of the last edit: generation 6.
    flip(&env, &path, Slot::offset(6));
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    assert_eq!(read(&faulty, &dir).unwrap().0, [0, 1, 2, 3, 4, 5]);
    for nth in 0..faulty.count(Call::Read) {
        faulty.inject(Fault::new(&[Call::Read], libc::EIO).after(nth));
        let error = read(&faulty, &dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "read {nth}");
        faulty.clear();
    }
}

#[test]
fn two_bad_slots_are_corruption() {
    let (env, dir, _) = written(3);
    for slot in [0, 1] {
        flip(&env, &manifest_path(&dir, NUMBER), Slot::offset(slot));
    }
    let error = read(&env, &dir).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains("MANIFEST-000001"), "{error}");
}

/// SLOT-3.
#[test]
fn every_cut_of_the_file_is_corruption() {
    let (env, dir, _) = written(3);
    let file = env.open_write(&manifest_path(&dir, NUMBER)).unwrap();
    for length in (0..file.len().unwrap()).rev() {
        if length < RECORDS_OFFSET && length % 64 != 0 {
            continue;
        }
        file.set_len(length).unwrap();
        let error = read(&env, &dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "cut to {length}");
    }
}

#[test]
fn every_flipped_bit_of_head_and_records_is_noticed() {
    let (env, dir, _) = written(3);
    let path = manifest_path(&dir, NUMBER);
    let length = env.open_read(&path).unwrap().len().unwrap();
    for offset in (0..HEAD_BYTES as u64).chain(RECORDS_OFFSET..length) {
        flip(&env, &path, offset);
        let error = read(&env, &dir).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported),
            "byte {offset}: {error}"
        );
        flip(&env, &path, offset);
    }
    assert!(read(&env, &dir).is_ok());
}

#[test]
fn every_flipped_bit_of_current_is_noticed() {
    let (env, dir, _) = written(1);
    let path = dir.join(CURRENT);
    let length = env.open_read(&path).unwrap().len().unwrap();
    for offset in 0..length {
        flip(&env, &path, offset);
        let error = read(&env, &dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "byte {offset}");
        flip(&env, &path, offset);
    }
    let file = env.open_write(&path).unwrap();
    for bytes in [&b""[..], b"aidb", b"MANIFEST-000001\n", &[0; 200]] {
        file.set_len(0).unwrap();
        file.write_at(0, bytes).unwrap();
        let error = read(&env, &dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{bytes:?}");
    }
}

#[test]
fn the_example_in_the_document_is_what_is_written() {
    let document = include_str!("../../../../docs/format.md");
    let slot = Slot {
        generation: 2,
        length: 12_300,
        edits: 1,
    };
    // The bytes stand in the last column, after at least two spaces.
    let (_, text) = document.split_once("<!-- replay: manifest -->").unwrap();
    let lines = text.split("```").nth(1).unwrap().lines();
    let documented: Vec<u8> = lines
        .filter_map(|line| line.rsplit_once("  "))
        .map(|(_, column)| column.split(' ').map(|text| u8::from_str_radix(text, 16)))
        .filter_map(|bytes| bytes.collect::<std::result::Result<Vec<u8>, _>>().ok())
        .filter(|bytes| bytes.len() > 1)
        .flatten()
        .collect();
    let mut expected = encode_head(1).to_vec();
    expected.extend_from_slice(&slot.encode(1));
    expected.extend_from_slice(&encode_record(&edit(7), 1, RECORDS_OFFSET, 0).unwrap());
    assert_eq!(expected, documented);
}

/// SLOT-1.
#[test]
fn power_cuts_keep_every_acknowledged_edit_and_no_half_one() {
    for seed in 0..300 {
        let (env, dir, file_id) = written(seed % 4);
        let mut reader = ManifestReader::open(&env, &dir, NUMBER, file_id, true).unwrap();
        while reader.next_edit().unwrap().is_some() {}
        let writer = reader.into_writer().unwrap();
        let record = encode_record(&edit(9), file_id, writer.slot.length, writer.slot.edits);
        let record = record.unwrap();
        writer.file.write_at(writer.slot.length, &record).unwrap();
        let wrote_slot = seed % 2 == 0;
        if wrote_slot {
            writer.file.sync().unwrap();
            let next = writer.slot.after(record.len() as u64);
            let slot = next.encode(file_id);
            // Half of the slot, as if it was torn.
            let offset = Slot::offset(next.generation);
            writer.file.write_at(offset, &slot[..14]).unwrap();
        }
        let (logs, _) = read(&env.power_cut(seed), &dir).unwrap();
        let acknowledged: Vec<u64> = (0..=seed % 4).collect();
        let mut and_the_last = acknowledged.clone();
        and_the_last.push(9);
        assert!(
            logs == acknowledged || (wrote_slot && logs == and_the_last),
            "seed {seed}: {logs:?}"
        );
    }
}

#[test]
fn a_snapshot_is_cut_into_records_without_loss() {
    let mut whole = edit(3);
    for number in 1..=40 {
        let bound = vec![7; 100_000];
        let table = TableInfo {
            number: FileNumber(number),
            smallest: bound.clone(),
            largest: bound,
            entries: 1,
            ..Default::default()
        };
        whole.added.push((2, table));
    }
    let parts: Vec<VersionEdit> = snapshot_records(whole.clone()).collect();
    assert!(parts.len() > 5, "{}", parts.len());
    let mut joined = parts[0].clone();
    for part in &parts[1..] {
        joined.added.extend(part.added.iter().cloned());
    }
    assert!(joined == whole);
    assert_eq!(snapshot_records(edit(1)).count(), 1);
}

#[test]
fn a_record_of_a_snapshot_ends_with_the_table_that_fills_it() {
    let with = |tables: u64, bytes: usize| {
        let mut whole = edit(3);
        for number in 1..=tables {
            let table = TableInfo {
                number: FileNumber(number),
                smallest: vec![7; 100],
                largest: vec![7; bytes - 100 - 64],
                entries: 1,
                ..Default::default()
            };
            whole.added.push((2, table));
        }
        let tables = snapshot_records(whole).map(|part| part.added.len());
        tables.collect::<Vec<_>>()
    };
    let quarter = SNAPSHOT_RECORD_BYTES / 4;
    assert_eq!(with(8, quarter), [4, 4]);
    assert_eq!(with(8, quarter - 1), [5, 3]);
    assert_eq!(with(5, quarter + 1), [4, 1]);
}

#[test]
fn a_slot_of_the_last_generation_is_damage_since_none_could_follow() {
    let slot = Slot {
        generation: u64::MAX,
        length: RECORDS_OFFSET,
        edits: 0,
    };
    let offset = Slot::offset(slot.generation);
    assert_eq!(Slot::decode(&slot.encode(7), 7, offset), None);
    let slot = Slot {
        generation: u64::MAX / 2,
        ..slot
    };
    let offset = Slot::offset(slot.generation);
    assert_eq!(Slot::decode(&slot.encode(7), 7, offset), Some(slot));
}

#[test]
fn nothing_is_appended_behind_a_failed_append() {
    for operation in [Call::Write, Call::Sync] {
        for nth in 0..2 {
            let (mem, dir) = (MemEnv::new(), PathBuf::from("/db"));
            mem.create_dir_all(&dir).unwrap();
            let env = FaultEnv::new(Arc::new(mem.clone()), 0);
            let first = std::iter::once(edit(0));
            let mut writer = ManifestWriter::create(&env, &dir, NUMBER, first).unwrap();
            set_current(&env, &dir, &writer).unwrap();
            env.inject(Fault::new(&[operation], libc::EIO).after(nth));
            writer.append(&edit(1)).unwrap_err();
            env.clear();
            let changes = env.count(Call::Write) + env.count(Call::Sync);
            writer.append(&edit(2)).unwrap_err();
            let after = env.count(Call::Write) + env.count(Call::Sync);
            assert_eq!(after, changes, "SLOT-5");
            for seed in 0..40 {
                let (logs, _) = read(&mem.power_cut(seed), &dir).unwrap();
                assert!(
                    logs == [0] || logs == [0, 1],
                    "{operation:?} {nth}: {logs:?}"
                );
            }
        }
    }
}

#[test]
fn a_whole_slot_that_counts_other_edits_than_there_are_is_corruption() {
    for difference in [1, u64::MAX] {
        let (env, dir, file_id) = written(3);
        let path = manifest_path(&dir, NUMBER);
        let reader = ManifestReader::open(&env, &dir, NUMBER, file_id, false).unwrap();
        let slot = Slot {
            generation: reader.slot.generation + 1,
            edits: reader.slot.edits.wrapping_add(difference),
            ..reader.slot
        };
        let file = env.open_write(&path).unwrap();
        let offset = Slot::offset(slot.generation);
        file.write_at(offset, &slot.encode(file_id)).unwrap();
        assert_eq!(read(&env, &dir).unwrap_err().kind(), ErrorKind::Corruption);
    }
}

#[test]
fn lengths_and_ids_are_compared_before_a_record_is_read() {
    let (env, dir, file_id) = written(1);
    let path = manifest_path(&dir, NUMBER);
    let reported = |file_id: u64| {
        let opened = ManifestReader::open(&env, &dir, NUMBER, file_id, false);
        let read = opened.and_then(|mut reader| reader.next_edit());
        read.unwrap_err().message().to_string()
    };
    assert!(reported(file_id + 1).contains("its file id is not the one CURRENT names"));
    let file = env.open_write(&path).unwrap();
    let length = file.len().unwrap();
    let mut stored = [0; 4];
    let at = RECORDS_OFFSET + 4;
    assert_eq!(file.read_at(at, &mut stored).unwrap(), 4);
    file.write_at(at, &(1u32 << 28).to_le_bytes()).unwrap();
    assert!(reported(file_id).contains("a record is longer than what is left"));
    file.write_at(at, &stored).unwrap();
    file.set_len(length - 1).unwrap();
    assert!(reported(file_id).contains("the file ends here"));
}

#[test]
fn an_edit_that_would_not_be_read_as_it_is_meant_is_not_written() {
    let (env, dir, _) = written(1);
    let table = TableInfo {
        number: FileNumber(9),
        size: 100,
        smallest: vec![0; 8],
        largest: vec![0; 8],
        entries: 2,
        ..TableInfo::default()
    };
    // Without a content sum a table has no tail, so the tail's facts would be lost.
    let without_tail = TableInfo {
        reclaimable: Some(Reclaimable {
            older_versions: 1,
            created_micros: 5,
        }),
        ..table.clone()
    };
    for (level, table) in [(LEVELS, table), (0, without_tail)] {
        let (number, file_id) = read_current(&env, &dir).unwrap();
        let mut reader = ManifestReader::open(&env, &dir, number, file_id, true).unwrap();
        while reader.next_edit().unwrap().is_some() {}
        let mut writer = reader.into_writer().unwrap();
        let mut spoilt = edit(2);
        spoilt.added.push((level, table));
        writer.append(&spoilt).unwrap_err();
        assert_eq!(read(&env, &dir).unwrap(), (vec![0, 1], true));
    }
}
