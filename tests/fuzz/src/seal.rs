//! Corrects the checksums of a damaged file, so that a decoder reads on. Layout: docs/format.md.
//!
//! The code follows the document, not the engine's code. Each function goes as far as the bytes make sense.

use aidb::fuzz_checks;

const SECTOR_BYTES: usize = 4096;
const RECORDS_OFFSET: usize = 3 * SECTOR_BYTES;
const HEAD_BYTES: usize = 24;
const SLOT_BYTES: usize = 28;
/// Head and slots after one another, without the zeros between them.
pub const PACKED_BYTES: usize = HEAD_BYTES + 2 * SLOT_BYTES;

const LOG_HEADER_BYTES: usize = 64;
const LOG_BLOCK_BYTES: usize = 32 << 10;
/// The start of every fragment's header, and the length of the longest header.
const FIXED_HEADER_BYTES: usize = 11;
const MAX_HEADER_BYTES: usize = 26;

const TABLE_HEADER_BYTES: usize = 24;
const FOOTER_BYTES: usize = 64;

fn placed(file_id: u64, offset: usize, parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file_id.to_le_bytes());
    hasher.update(&(offset as u64).to_le_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_le_bytes()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes) as usize)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// The file header and every fragment to which its predecessor leads.
pub fn wal(log: &mut [u8]) {
    let _ = seal_wal(log);
}

fn seal_wal(log: &mut [u8]) -> Option<()> {
    let checksum = crc32fast::hash(log.get(..LOG_HEADER_BYTES - 4)?);
    log.get_mut(LOG_HEADER_BYTES - 4..LOG_HEADER_BYTES)?
        .copy_from_slice(&checksum.to_le_bytes());
    let log_id = u64_at(log, 16)?;
    let mut at = LOG_HEADER_BYTES;
    loop {
        if LOG_BLOCK_BYTES - at % LOG_BLOCK_BYTES <= MAX_HEADER_BYTES {
            at = at.next_multiple_of(LOG_BLOCK_BYTES);
        }
        let fixed = log.get(at..at + FIXED_HEADER_BYTES)?;
        let (length, control) = (usize::from(u16_at(fixed, 8)?), usize::from(fixed[10]));
        let (sequence, synced) = (control >> 3 & 7, 4 * (control >> 6));
        if sequence == 0 || synced > 8 {
            return None;
        }
        let payload = at + FIXED_HEADER_BYTES + sequence + synced;
        let end = payload + length;
        let checksum = crc32fast::hash(log.get(payload..end)?);
        log[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        let checksum = placed(log_id, at, &[&log[at + 4..payload]]);
        log[at..at + 4].copy_from_slice(&checksum);
        at = end;
    }
}

/// Header, footer, the blocks that the footer names, and those that the index names.
pub fn table(table: &mut [u8]) {
    let _ = seal_table(table);
}

fn seal_table(table: &mut [u8]) -> Option<()> {
    let file_id = u64_at(table, 12)?;
    let checksum = placed(file_id, 0, &[&table[..TABLE_HEADER_BYTES - 4]]);
    table
        .get_mut(TABLE_HEADER_BYTES - 4..TABLE_HEADER_BYTES)?
        .copy_from_slice(&checksum);
    let footer = table.len().checked_sub(FOOTER_BYTES)?;
    let checksum = placed(file_id, footer, &[&table[footer..footer + 52]]);
    table[footer + 52..footer + 56].copy_from_slice(&checksum);
    let mut index = None;
    for handle in 0..3 {
        let offset = u64_at(table, footer + 16 * handle)? as usize;
        let length = u64_at(table, footer + 16 * handle + 8)? as usize;
        if seal_block(table, file_id, offset, length).is_some() && handle == 0 {
            index = Some((offset, length));
        }
    }
    let (offset, length) = index?;
    let codec = table[offset + length] & 0xf;
    let index = fuzz_checks::decompress(codec, &table[offset..offset + length], 1 << 20)?;
    let mut input = &index[..];
    for _ in 0..varint(&mut input)? {
        let key = varint(&mut input)?;
        input = input.get(key.checked_add(8)?..)?;
        let (offset, length) = (varint(&mut input)?, varint(&mut input)?);
        seal_block(table, file_id, offset, length)?;
    }
    Some(())
}

fn seal_block(table: &mut [u8], file_id: u64, offset: usize, length: usize) -> Option<()> {
    let end = offset.checked_add(length)?;
    let stored = table.get_mut(offset..end.checked_add(5)?)?;
    let (payload, trailer) = stored.split_at_mut(length);
    let bytes = (length as u64).to_le_bytes();
    let checksum = placed(file_id, offset, &[&bytes, payload, &trailer[..1]]);
    trailer[1..].copy_from_slice(&checksum);
    Some(())
}

fn varint(input: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// The checksum at the end of the line.
pub fn current(line: &mut Vec<u8>) {
    if let Some(space) = line.iter().rposition(|byte| *byte == b' ') {
        line.truncate(space);
        let checksum = crc32fast::hash(line);
        line.extend_from_slice(format!(" {checksum:08x}\n").as_bytes());
    }
}

/// A manifest without the zeros between its parts.
pub fn pack_manifest(manifest: &[u8]) -> Vec<u8> {
    let mut packed = manifest[..HEAD_BYTES].to_vec();
    for slot in 1..3 {
        packed.extend_from_slice(&manifest[slot * SECTOR_BYTES..][..SLOT_BYTES]);
    }
    packed.extend_from_slice(&manifest[RECORDS_OFFSET..]);
    packed
}

/// The inverse of [`pack_manifest`]; `packed` has at least [`PACKED_BYTES`].
pub fn unpack_manifest(packed: &[u8]) -> Vec<u8> {
    let (fixed, records) = packed.split_at(PACKED_BYTES);
    let mut manifest = vec![0; RECORDS_OFFSET];
    manifest[..HEAD_BYTES].copy_from_slice(&fixed[..HEAD_BYTES]);
    for (slot, bytes) in fixed[HEAD_BYTES..].chunks(SLOT_BYTES).enumerate() {
        manifest[(1 + slot) * SECTOR_BYTES..][..SLOT_BYTES].copy_from_slice(bytes);
    }
    manifest.extend_from_slice(records);
    manifest
}

/// Head, slots, and every record to which its predecessor leads.
pub fn manifest(manifest: &mut [u8]) {
    let _ = seal_manifest(manifest);
}

fn seal_manifest(manifest: &mut [u8]) -> Option<()> {
    let file_id = u64_at(manifest, 12)?;
    let mut seal = |at: usize, covered: usize| {
        let checksum = placed(file_id, at, &[&manifest[at..at + covered]]);
        manifest[at + covered..at + covered + 4].copy_from_slice(&checksum);
    };
    seal(0, HEAD_BYTES - 4);
    seal(SECTOR_BYTES, SLOT_BYTES - 4);
    seal(2 * SECTOR_BYTES, SLOT_BYTES - 4);
    let mut at = RECORDS_OFFSET;
    for index in 0u64.. {
        let payload = at + 8;
        let end = payload.checked_add(u32_at(manifest, at + 4)?)?;
        let covered = [
            &index.to_le_bytes()[..],
            &manifest[at + 4..payload],
            manifest.get(payload..end)?,
        ];
        let checksum = placed(file_id, at, &covered);
        manifest[at..at + 4].copy_from_slice(&checksum);
        at = end;
    }
    Some(())
}
