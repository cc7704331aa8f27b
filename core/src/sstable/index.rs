//! The index of a table: which data block a key belongs to. It is built and read in one piece, and kept flat in
//! memory. Layout: docs/format.md, "SSTable".
//!
//! * FENCE-1  Every data block has a fence, an internal key: all keys of the block are >= its fence and < the
//!            next block's fence. The first fence is the smallest possible internal key.
//! * FENCE-2  A fence is as short as FENCE-1 allows: if the user keys on both sides differ, it is the shortest
//!            prefix of the right key that is greater than the left key. So entries >= a seek target are never
//!            in a block before the one that [`Index::find`] returns; if that block has none, the result is the
//!            first entry of the next block. A lookup of one key reads only one block.
//! * FENCE-3  Data blocks follow one another without a gap, so the offset of a block is the end of the one before.
//!
//! In memory one buffer has the fences without their common prefix. Beside it, the next eight bytes of each
//! fence are kept as a number, its head: a search compares heads and looks into the buffer only if they are
//! equal. It first searches every sixteenth head; these stay in the CPU cache, where all heads would not fit.

use std::cmp::Ordering;

use crate::coding::{
    MAX_VARINT_BYTES, get_length_prefixed, get_u64, get_varint, put_length_prefixed, put_u64,
    put_varint,
};
use crate::key::{KeyRef, TRAILER_BYTES, Trailer};
use crate::memory::{self, Undecoded};
use crate::prefetch::prefetch;
use crate::sstable::block::common_prefix;
use crate::sstable::format::{BLOCK_TRAILER_BYTES, BlockHandle};

/// Collects the index while a table is written.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    entries: Vec<u8>,
    count: u64,
    /// The start of the last block's entry.
    last_at: usize,
}

impl IndexBuilder {
    /// Adds a data block that begins after `last` (`None`: the first block) with `first` (FENCE-1, FENCE-2).
    /// Fails only if there is no memory.
    pub(crate) fn add(
        &mut self,
        last: Option<KeyRef<'_>>,
        first: KeyRef<'_>,
        handle: BlockHandle,
    ) -> crate::error::Result<()> {
        debug_assert!(
            last.is_none() == (self.count == 0),
            "FENCE-1: only the first block has none before it"
        );
        let fence = fence(last, first);
        let most = fence.user_key.len() + TRAILER_BYTES + 3 * MAX_VARINT_BYTES;
        memory::reserve(&mut self.entries, most, INDEX)?;
        self.last_at = self.entries.len();
        put_length_prefixed(&mut self.entries, fence.user_key);
        put_u64(&mut self.entries, fence.trailer.0);
        put_varint(&mut self.entries, handle.offset);
        put_varint(&mut self.entries, handle.length);
        self.count += 1;
        debug_assert!(
            self.last_fence() == Some(fence),
            "FENCE-1: a reader finds the fence"
        );
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The fence of the last added block, as a reader will find it.
    pub(crate) fn last_fence(&self) -> Option<KeyRef<'_>> {
        let mut input = &self.entries[self.last_at..];
        let user_key = get_length_prefixed(&mut input)?;
        Some(KeyRef::new(user_key, Trailer(get_u64(&mut input)?)))
    }

    /// About how many bytes [`IndexBuilder::finish`] would return now.
    pub(crate) fn size(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn finish(&self) -> crate::error::Result<Vec<u8>> {
        let mut out = memory::room_for(self.entries.len() + MAX_VARINT_BYTES, INDEX)?;
        put_varint(&mut out, self.count);
        out.extend_from_slice(&self.entries);
        Ok(out)
    }
}

/// The shortest internal key after `last` and at or before `first` (FENCE-2).
fn fence<'a>(last: Option<KeyRef<'_>>, first: KeyRef<'a>) -> KeyRef<'a> {
    let Some(last) = last else {
        return KeyRef::new(b"", Trailer::NEWEST);
    };
    debug_assert!(last < first, "FENCE-1: blocks ascend");
    if last.user_key == first.user_key {
        // Right after `last`, so that a search for a target between the two leads straight to `first`.
        return KeyRef::new(first.user_key, Trailer(last.trailer.0 - 1));
    }
    let common = common_prefix(last.user_key, first.user_key);
    let fence = KeyRef::new(&first.user_key[..common + 1], Trailer::NEWEST);
    debug_assert!(
        last < fence && fence <= first,
        "FENCE-1: after the previous block, and not after the first key"
    );
    fence
}

/// How many searches are advanced in turn.
pub(crate) const SEARCHES: usize = 8;

/// The name of its memory in errors.
const INDEX: &str = "a table's index";

/// How many heads are searched one by one.
const GROUP: usize = 16;

/// The start of a search in an index.
#[derive(Clone, Copy)]
enum Begun<'a> {
    Found(usize),
    /// The user key without the prefix, and its head.
    Among(&'a [u8], u64),
}

/// A search under way among the last heads of groups. The first head that is not below `wanted` is at most `left`
/// after `low`.
#[derive(Clone, Copy)]
struct Search<'a> {
    begun: Begun<'a>,
    lasts: &'a [u64],
    wanted: u64,
    low: usize,
    left: usize,
}

/// The parsed index of an open table.
pub(crate) struct Index {
    /// The common beginning of the user keys of all fences but the first.
    prefix: Vec<u8>,
    /// The rest of each fence after `prefix`, for blocks 1, 2, ..., without gaps.
    fences: Vec<u8>,
    /// Where each of these ends.
    ends: Vec<usize>,
    trailers: Vec<Trailer>,
    /// The first eight bytes of each, big-endian, padded with zeros.
    heads: Vec<u64>,
    /// The last head of each whole [`GROUP`].
    lasts: Vec<u64>,
    /// Where each data block begins, and where the last one's trailer ends (FENCE-3).
    starts: Vec<u64>,
}

impl Index {
    /// Parses the raw index block of a table whose data blocks fill `[first, end)`; on damage, what is wrong.
    pub(crate) fn parse(
        bytes: &[u8],
        first: u64,
        end: u64,
    ) -> Result<Index, Undecoded<&'static str>> {
        const SHORT: &str = "the index is cut short";
        let mut input = bytes;
        let count = get_varint(&mut input).ok_or(SHORT)?;
        // The smallest entry: an empty fence, its trailer, two handle bytes.
        if count == 0 || count > (input.len() / 11) as u64 {
            return Err("the index's count cannot be right".into());
        }
        let count = count as usize;
        let mut parsed: Vec<(KeyRef<'_>, u64)> = memory::room_for(count, INDEX)?;
        let mut expected = first;
        for _ in 0..count {
            let user_key = get_length_prefixed(&mut input).ok_or(SHORT)?;
            let trailer = Trailer(get_u64(&mut input).ok_or(SHORT)?);
            let offset = get_varint(&mut input).ok_or(SHORT)?;
            let length = get_varint(&mut input).ok_or(SHORT)?;
            let fence = KeyRef::new(user_key, trailer);
            let ascends = match parsed.last() {
                None => fence == KeyRef::new(b"", Trailer::NEWEST),
                Some((previous, _)) => *previous < fence,
            };
            if !ascends {
                return Err("the index's fences do not ascend".into());
            }
            if offset != expected {
                return Err("the index leaves a gap between data blocks".into());
            }
            expected = BlockHandle { offset, length }
                .end()
                .filter(|block_end| *block_end <= end)
                .ok_or("the index names a block beyond the data blocks")?;
            parsed.push((fence, offset));
        }
        if !input.is_empty() || expected != end {
            return Err("the index does not end where the data blocks do".into());
        }
        Ok(Index::flatten(&parsed, end)?)
    }

    /// Fails only if there is no memory.
    fn flatten(parsed: &[(KeyRef<'_>, u64)], end: u64) -> crate::error::Result<Index> {
        let fences = &parsed[1..];
        let prefix = match fences {
            [] => &b""[..],
            [(one, _)] => one.user_key,
            // They ascend, so all have in common what the first and the last one have.
            [(first, _), .., (last, _)] => {
                &first.user_key[..common_prefix(first.user_key, last.user_key)]
            }
        };
        let total = fences
            .iter()
            .map(|(fence, _)| fence.user_key.len() - prefix.len())
            .sum();
        let mut index = Index {
            prefix: memory::copy_of(prefix, INDEX)?,
            fences: memory::room_for(total, INDEX)?,
            ends: memory::room_for(fences.len(), INDEX)?,
            trailers: memory::room_for(fences.len(), INDEX)?,
            heads: memory::room_for(fences.len(), INDEX)?,
            lasts: memory::room_for(fences.len() / GROUP, INDEX)?,
            starts: memory::room_for(parsed.len() + 1, INDEX)?,
        };
        for (fence, _) in fences {
            let rest = &fence.user_key[prefix.len()..];
            index.fences.extend_from_slice(rest);
            index.ends.push(index.fences.len());
            index.trailers.push(fence.trailer);
            index.heads.push(head(rest));
        }
        let groups = index.heads.chunks_exact(GROUP);
        index.lasts.extend(groups.filter_map(<[u64]>::last));
        index
            .starts
            .extend(parsed.iter().map(|(_, offset)| *offset));
        index.starts.push(end);
        debug_assert!(
            index.starts.len() == index.ends.len() + 2,
            "FENCE-3: each block has a beginning and an end"
        );
        debug_assert!(
            index.fences.len() == total && index.heads.is_sorted(),
            "FENCE-1: the fences ascend, and so do their heads"
        );
        Ok(index)
    }

    /// The number of data blocks: at least one.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Where block `block` is.
    pub(crate) fn handle(&self, block: usize) -> BlockHandle {
        let offset = self.starts[block];
        debug_assert!(
            offset + BLOCK_TRAILER_BYTES as u64 <= self.starts[block + 1],
            "FENCE-3: a block ends with its trailer"
        );
        BlockHandle {
            offset,
            length: self.starts[block + 1] - offset - BLOCK_TRAILER_BYTES as u64,
        }
    }

    /// Whether the last user key before block `block` is known to differ from the block's first one (FENCE-2).
    #[inline]
    pub(crate) fn is_between_keys(&self, block: usize) -> bool {
        let fence = block.checked_sub(1);
        fence.is_some_and(|fence| self.trailers.get(fence) == Some(&Trailer::NEWEST))
    }

    /// The block whose fences enclose `target` (FENCE-1).
    #[inline]
    pub(crate) fn find(&self, target: KeyRef<'_>) -> usize {
        match self.begin(target) {
            Begun::Found(block) => block,
            Begun::Among(rest, wanted) => {
                let group = self.lasts.partition_point(|last| *last < wanted);
                let low = self.first_in(group, wanted);
                self.settle(low, wanted, KeyRef::new(rest, target.trailer))
            }
        }
    }

    /// [`Index::find`] for several targets, each in its own index. In one search a step waits for the previous step;
    /// here the searches take their steps in turn and wait together. `found` is as long as `targets`.
    pub(crate) fn find_together<'a>(targets: &[(&'a Index, KeyRef<'a>)], found: &mut [usize]) {
        debug_assert_eq!(targets.len(), found.len());
        for (chunk, found) in targets.chunks(SEARCHES).zip(found.chunks_mut(SEARCHES)) {
            let nothing = Search {
                begun: Begun::Found(0),
                lasts: &[],
                wanted: 0,
                low: 0,
                left: 0,
            };
            let mut searches = [nothing; SEARCHES];
            let mut most = 0;
            for ((index, target), search) in chunk.iter().zip(&mut searches) {
                search.begun = index.begin(*target);
                if let Begun::Among(_, wanted) = search.begun {
                    search.lasts = &index.lasts;
                    search.wanted = wanted;
                    search.left = index.lasts.len();
                    most = most.max(search.left);
                }
            }
            while most > 0 {
                for search in &mut searches {
                    let half = search.left / 2;
                    let middle = search.low + half;
                    let last = search.lasts.get(middle);
                    let is_below = last.is_some_and(|last| *last < search.wanted);
                    // If one is left, this step ends the search.
                    let step = half + usize::from(search.left == 1);
                    search.low += if is_below { step } else { 0 };
                    search.left -= step;
                }
                most -= most / 2 + usize::from(most == 1);
            }
            debug_assert!(
                searches.iter().all(|search| search.left == 0),
                "FENCE-1: every search has come to its end"
            );
            for ((index, _), search) in chunk.iter().zip(&searches) {
                if let Some(first) = index.heads.get(search.low * GROUP) {
                    let group: *const u64 = first;
                    prefetch(group.cast());
                    prefetch(group.wrapping_add(GROUP / 2).cast());
                }
            }
            for (((index, target), search), found) in chunk.iter().zip(searches).zip(found) {
                *found = match search.begun {
                    Begun::Found(block) => block,
                    Begun::Among(rest, wanted) => {
                        let low = index.first_in(search.low, wanted);
                        index.settle(low, wanted, KeyRef::new(rest, target.trailer))
                    }
                };
            }
        }
    }

    #[inline]
    fn begin<'a>(&self, target: KeyRef<'a>) -> Begun<'a> {
        match target.user_key.strip_prefix(&self.prefix[..]) {
            Some(rest) => Begun::Among(rest, head(rest)),
            None => Begun::Found(match target.user_key.cmp(&self.prefix) {
                Ordering::Less => 0,
                _ => self.ends.len(),
            }),
        }
    }

    /// The index of the first head that is not below `wanted`. It is in group `group`, or right after that group.
    #[inline]
    fn first_in(&self, group: usize, wanted: u64) -> usize {
        let start = group * GROUP;
        let heads = &self.heads[start..self.heads.len().min(start + GROUP)];
        start + heads.iter().filter(|head| **head < wanted).count()
    }

    /// The block of `target`, which is without the prefix. `low` is the first fence whose head is not below `wanted`.
    #[inline]
    fn settle(&self, mut low: usize, wanted: u64, target: KeyRef<'_>) -> usize {
        debug_assert!(
            low == 0 || self.heads[low - 1] < wanted,
            "FENCE-1: the heads before are below the one that is wanted"
        );
        if self.heads.get(low) != Some(&wanted) {
            return low;
        }
        // Binary search among the fences with this head: skip those <= the target.
        let mut high = low + self.heads[low..].partition_point(|head| *head == wanted);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.short_fence(middle) <= target {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        debug_assert!(
            low == 0 || self.short_fence(low - 1) <= target,
            "FENCE-1: the block's fence is not after the target"
        );
        debug_assert!(
            low == self.ends.len() || target < self.short_fence(low),
            "FENCE-1: the next block's fence is after the target"
        );
        low
    }

    /// The fence of block `position + 1`, without the prefix.
    fn short_fence(&self, position: usize) -> KeyRef<'_> {
        let start = match position {
            0 => 0,
            _ => self.ends[position - 1],
        };
        KeyRef::new(
            &self.fences[start..self.ends[position]],
            self.trailers[position],
        )
    }

    /// Bytes of memory that the index takes.
    pub(crate) fn memory(&self) -> usize {
        self.prefix.capacity()
            + self.fences.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.trailers.capacity() * size_of::<Trailer>()
            + self.heads.capacity() * size_of::<u64>()
            + self.lasts.capacity() * size_of::<u64>()
            + self.starts.capacity() * size_of::<u64>()
    }
}

/// The first eight bytes as a number that sorts like them; equal for "a" and "a\0".
#[inline]
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(chunk)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{SequenceNumber, ValueKind};

    fn key(user_key: &[u8], sequence: u64) -> KeyRef<'_> {
        KeyRef::new(
            user_key,
            Trailer::new(SequenceNumber(sequence), ValueKind::Put),
        )
    }

    #[test]
    fn a_fence_is_short_and_between_its_neighbours() {
        let cases: [(&[u8], &[u8], &[u8]); 5] = [
            (b"apple", b"cat", b"c"),
            (b"a", b"a\0", b"a\0"),
            (b"abc", b"abd", b"abd"),
            (b"ab", b"abcdef", b"abc"),
            (b"", b"zzz", b"z"),
        ];
        for (last, first, expected) in cases {
            let (last, first) = (key(last, 9), key(first, 5));
            let fence = fence(Some(last), first);
            assert_eq!(fence.user_key, expected);
            assert!(last < fence && fence <= first);
        }
        let fence = fence(Some(key(b"same", 9)), key(b"same", 5));
        assert!(key(b"same", 9) < fence && fence <= key(b"same", 5));
        assert!(
            fence <= key(b"same", 8),
            "a target between two blocks leads to the second"
        );
    }

    #[test]
    fn find_agrees_with_a_linear_search() {
        // Keys that share heads, pad with zeros, and have several versions.
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for head in [
            &b"prefix/"[..],
            b"prefix/aaaaaaaa",
            b"prefix/aaaaaaaa\0",
            b"prefix/b",
        ] {
            for tail in [&b""[..], b"\0", b"\0\0", b"x", b"xx", b"xy\0"] {
                for sequence in [3, 9] {
                    keys.push(key(&[head, tail].concat(), sequence).to_vec());
                }
            }
        }
        keys.sort_by(|a, b| KeyRef::decode(a).cmp(&KeyRef::decode(b)));
        keys.dedup();
        let mut builder = IndexBuilder::default();
        let mut blocks: Vec<Vec<KeyRef<'_>>> = Vec::new();
        for chunk in keys.chunks(2) {
            let chunk: Vec<_> = chunk.iter().map(|k| KeyRef::decode(k).unwrap()).collect();
            let last = blocks.last().map(|block| block[block.len() - 1]);
            let offset = 24 + 15 * blocks.len() as u64;
            builder
                .add(last, chunk[0], BlockHandle { offset, length: 10 })
                .unwrap();
            blocks.push(chunk);
        }
        let end = 24 + 15 * blocks.len() as u64;
        let raw = builder.finish().unwrap();
        let index = Index::parse(&raw, 24, end).unwrap();
        assert_eq!(index.len(), blocks.len());
        assert_eq!(
            index.handle(1),
            BlockHandle {
                offset: 39,
                length: 10
            }
        );
        for (number, block) in blocks.iter().enumerate() {
            for key in block {
                assert_eq!(index.find(*key), number, "{key:?}");
                // One trailer newer: the same block, or the end of the previous one (FENCE-2).
                let newer = KeyRef::new(key.user_key, Trailer(key.trailer.0 + 1));
                let found = index.find(newer);
                assert!(found == number || (found + 1 == number && *key == block[0]));
            }
        }
        // Also all at once, together with indexes of other lengths.
        let of_first = |count: usize| {
            let mut builder = IndexBuilder::default();
            for (number, block) in blocks[..count].iter().enumerate() {
                let before = number.checked_sub(1);
                let last = before.map(|before| blocks[before][blocks[before].len() - 1]);
                let offset = 24 + 15 * number as u64;
                builder
                    .add(last, block[0], BlockHandle { offset, length: 10 })
                    .unwrap();
            }
            Index::parse(&builder.finish().unwrap(), 24, 24 + 15 * count as u64).unwrap()
        };
        let (short, tiny) = (of_first(3), of_first(1));
        let targets: Vec<_> = blocks.iter().flatten().copied().collect();
        for together in [1, 2, 7, 8, 9, 30] {
            for keys in targets.chunks(together) {
                let of = |(at, key)| ([&index, &short, &tiny][at % 3], key);
                let queries: Vec<_> = keys.iter().copied().enumerate().map(of).collect();
                let mut found = vec![usize::MAX; keys.len()];
                Index::find_together(&queries, &mut found);
                let one_by_one = queries.iter().map(|(index, key)| index.find(*key));
                assert!(one_by_one.eq(found), "{keys:?}");
            }
        }
        assert_eq!(index.find(key(b"", 1)), 0);
        assert_eq!(index.find(key(b"prefix", 1)), 0);
        assert_eq!(index.find(key(b"q", 1)), blocks.len() - 1);
        for cut in 0..raw.len() {
            assert!(Index::parse(&raw[..cut], 24, end).is_err());
        }
        assert!(Index::parse(&raw, 24, end + 1).is_err());
        assert!(Index::parse(&raw, 23, end).is_err());
    }

    #[test]
    fn a_whole_index_that_breaks_an_invariant_is_refused() {
        let parse = |entries: [(&[u8], Trailer, u64, u64); 2]| {
            let mut raw = Vec::new();
            put_varint(&mut raw, 2);
            for (user_key, trailer, offset, length) in entries {
                put_length_prefixed(&mut raw, user_key);
                put_u64(&mut raw, trailer.0);
                put_varint(&mut raw, offset);
                put_varint(&mut raw, length);
            }
            Index::parse(&raw, 24, 54).err().map(Undecoded::damage)
        };
        let (newest, later) = (Trailer::NEWEST, key(b"", 5).trailer);
        let first = (&b""[..], newest, 24, 10);
        assert_eq!(parse([first, (b"m", newest, 39, 10)]), None);
        // FENCE-1: the first fence is the smallest key, and fences ascend.
        assert!(parse([(b"", later, 24, 10), (b"m", newest, 39, 10)]).is_some());
        assert!(parse([(b"a", newest, 24, 10), (b"m", newest, 39, 10)]).is_some());
        assert!(parse([first, (b"", newest, 39, 10)]).is_some());
        // A count too large for the bytes is an error before anything is allocated for it.
        let mut many = Vec::new();
        put_varint(&mut many, 1 << 30);
        many.resize(60, 0);
        let refused = Index::parse(&many, 24, 54).err().map(Undecoded::damage);
        assert_eq!(refused, Some("the index's count cannot be right"));
        // FENCE-3, and no block after the data blocks.
        assert!(parse([first, (b"m", newest, 40, 9)]).is_some());
        assert!(parse([first, (b"m", newest, 38, 11)]).is_some());
        let beyond = parse([first, (b"m", newest, 39, 11)]);
        assert_eq!(
            beyond,
            Some("the index names a block beyond the data blocks")
        );
        assert!(parse([first, (b"m", newest, 39, 9)]).is_some());
        assert!(parse([first, (b"m", newest, 39, u64::MAX)]).is_some());
        assert!(parse([(b"", newest, 24, 1 << 40), (b"m", newest, 39, 10)]).is_some());
    }
}

#[cfg(test)]
mod edges;
