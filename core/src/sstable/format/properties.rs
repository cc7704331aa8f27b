//! What a table says of itself, by name.

use super::further_block::FurtherBlock;
use crate::coding::{get_length_prefixed, get_varint, put_length_prefixed, put_varint};
use crate::key::SequenceNumber;

/// The first version with a content sum among the properties.
const VERSION_WITH_SUM: u32 = 2;

/// Facts about a table, stored by name so that later builds can add some.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties {
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// Stored unless 0.
    pub(crate) range_deletes: u64,
    pub(crate) data_blocks: u64,
    /// Bytes of user keys and trailers, before prefix and block compression.
    pub(crate) raw_key_bytes: u64,
    pub(crate) raw_value_bytes: u64,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    /// The requested compression. Each block states itself how it is stored.
    pub(crate) compression: u64,
    /// Microseconds since 1970-01-01 UTC; 0 if not known.
    pub(crate) created_micros: u64,
    /// The id of the keyspace that the table belongs to; 0 is the default one.
    pub(crate) keyspace: u64,
    /// The sum of the terms of all entries (`content.rs`); `None` in a table of version 1.
    pub(crate) content_sum: Option<u64>,
    /// In file order. This build writes none.
    pub(crate) further: Vec<FurtherBlock>,
}

/// A list of more further blocks than this is damage.
const MAX_FURTHER_BLOCKS: usize = 64;
/// The name of the property that lists further blocks. A table without such blocks lacks it.
const FURTHER: &str = "blocks";

impl Properties {
    /// Names as stored, in the order stored.
    const NAMES: [&'static str; 12] = [
        "compression",
        "content_sum",
        "created_micros",
        "data_blocks",
        "entries",
        "keyspace",
        "largest_sequence",
        "range_deletes",
        "raw_key_bytes",
        "raw_value_bytes",
        "smallest_sequence",
        "tombstones",
    ];

    fn values(&self) -> [Option<u64>; 12] {
        [
            Some(self.compression),
            self.content_sum,
            Some(self.created_micros),
            Some(self.data_blocks),
            Some(self.entries),
            Some(self.keyspace),
            Some(self.largest_sequence.0),
            Some(self.range_deletes).filter(|count| *count > 0),
            Some(self.raw_key_bytes),
            Some(self.raw_value_bytes),
            Some(self.smallest_sequence.0),
            Some(self.tombstones),
        ]
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let values = self.values();
        let has_further = !self.further.is_empty();
        put_varint(
            &mut out,
            values.iter().flatten().count() as u64 + u64::from(has_further),
        );
        if has_further {
            let mut blocks = Vec::new();
            self.further
                .iter()
                .for_each(|block| block.encode_to(&mut blocks));
            put_length_prefixed(&mut out, FURTHER.as_bytes());
            put_length_prefixed(&mut out, &blocks);
        }
        let named = Properties::NAMES.iter().zip(values);
        for (name, value) in named.filter_map(|(name, value)| Some((name, value?))) {
            put_length_prefixed(&mut out, name.as_bytes());
            put_length_prefixed(&mut out, &value.to_le_bytes());
        }
        out
    }

    /// Reads the known properties of a table of format `version`, and passes over others. A property that is missing,
    /// or that the version does not have, is damage.
    pub(crate) fn decode(bytes: &[u8], version: u32) -> Option<Properties> {
        let mut values = [None; Properties::NAMES.len()];
        let mut further = Vec::new();
        let mut input = bytes;
        let count = get_varint(&mut input)?;
        for _ in 0..count {
            let name = get_length_prefixed(&mut input)?;
            let mut value = get_length_prefixed(&mut input)?;
            if name == FURTHER.as_bytes() {
                while !value.is_empty() {
                    if further.len() == MAX_FURTHER_BLOCKS {
                        return None;
                    }
                    further.push(FurtherBlock::decode(&mut value)?);
                }
                continue;
            }
            let known = Properties::NAMES
                .iter()
                .position(|known| known.as_bytes() == name);
            if let Some(known) = known {
                values[known] = Some(u64::from_le_bytes(value.try_into().ok()?));
            }
        }
        if !input.is_empty() {
            return None;
        }
        let [
            compression,
            content_sum,
            created_micros,
            data_blocks,
            entries,
            keyspace,
            largest_sequence,
            range_deletes,
            raw_key_bytes,
            raw_value_bytes,
            smallest_sequence,
            tombstones,
        ] = values;
        if content_sum.is_some() != (version >= VERSION_WITH_SUM) {
            return None;
        }
        Some(Properties {
            further,
            content_sum,
            entries: entries?,
            tombstones: tombstones?,
            range_deletes: range_deletes.unwrap_or_default(),
            data_blocks: data_blocks?,
            raw_key_bytes: raw_key_bytes?,
            raw_value_bytes: raw_value_bytes?,
            smallest_sequence: SequenceNumber(smallest_sequence?),
            largest_sequence: SequenceNumber(largest_sequence?),
            compression: compression?,
            created_micros: created_micros?,
            keyspace: keyspace?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::BlockHandle;
    use super::*;

    #[test]
    fn properties_round_trip_and_unknown_names_are_passed_over() {
        let properties = Properties {
            entries: 3,
            tombstones: 1,
            largest_sequence: SequenceNumber(9),
            content_sum: Some(77),
            ..Properties::default()
        };
        let encoded = properties.encode();
        assert_eq!(Properties::decode(&encoded, 2), Some(properties.clone()));
        assert_eq!(Properties::decode(&encoded, 1), None);
        let with_ranges = Properties {
            range_deletes: 2,
            ..properties.clone()
        };
        let longer = with_ranges.encode();
        assert_eq!(Properties::decode(&longer, 2), Some(with_ranges));
        assert!(longer.len() > encoded.len());
        let without = Properties {
            content_sum: None,
            ..properties.clone()
        };
        assert_eq!(Properties::decode(&without.encode(), 2), None);
        assert_eq!(Properties::decode(&without.encode(), 1), Some(without));
        let mut grown = encoded.clone();
        grown[0] += 1;
        put_length_prefixed(&mut grown, b"later");
        put_length_prefixed(&mut grown, b"anything");
        assert_eq!(Properties::decode(&grown, 2), Some(properties.clone()));
        for cut in 0..encoded.len() {
            assert_eq!(Properties::decode(&encoded[..cut], 2), None);
        }
        let longer = [&encoded[..], &[0]].concat();
        assert_eq!(Properties::decode(&longer, 2), None);
        let listing = |blocks| Properties {
            further: vec![
                FurtherBlock {
                    kind: 8,
                    handle: BlockHandle::default(),
                };
                blocks
            ],
            ..properties.clone()
        };
        let most = listing(MAX_FURTHER_BLOCKS);
        assert_eq!(Properties::decode(&most.encode(), 2), Some(most));
        let more = listing(MAX_FURTHER_BLOCKS + 1);
        assert_eq!(Properties::decode(&more.encode(), 2), None);
    }
}
