//! Codec numbers and codecs for the blocks of a table.
//!
//! A compressed payload is the raw length as a varint, then the codec's own bytes (snappy's and lz4's block
//! formats, a zstd frame). Layout: docs/format.md, "SSTable".
//!
//! * CODEC-1  A block is kept compressed only if that saves at least an eighth; otherwise it is stored
//!            uncompressed. So the block, not the options, says how it is stored.
//! * CODEC-2  A block that is too long, or for whose output there is no memory, is stored uncompressed:
//!            compression never makes a write fail.
//! * CODEC-3  A declared raw length is checked against what the codec could produce from so few bytes, and the room
//!            for it is reserved fallibly, before anything is decompressed.

use std::cell::RefCell;
use std::fmt;

use crate::coding::{MAX_VARINT_BYTES, get_varint, write_varint};
use crate::error::Error;
use crate::memory::{self, Undecoded};

/// How the blocks of a table are compressed. Every codec is always built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum Compression {
    /// Stored as it is.
    None = 0,
    /// Snappy: fast in both directions, about half the size on text.
    #[default]
    Snappy = 1,
    /// LZ4's block format: like Snappy, faster to read.
    Lz4 = 2,
    /// Zstandard at level 3: much smaller, slower to write.
    Zstd = 3,
}

/// A longer block is stored as it is (CODEC-2), because compressing a huge value would take its memory twice more.
const MAX_COMPRESSED_BYTES: usize = 16 << 20;
// LZ4's block format takes less than 2 GiB.
const _: () = assert!(MAX_COMPRESSED_BYTES < 0x7e00_0000);
/// Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;

impl Compression {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Compression; 4] = [
        Compression::None,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec's name as options and docs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec with this name, or `None` if there is none.
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
    }

    /// The codec with this number, or `None` if this build does not know it.
    pub(crate) fn from_u8(number: u8) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|codec| *codec as u8 == number)
    }

    /// A generous bound on the raw bytes that `compressed` bytes of this codec can expand to (CODEC-3).
    fn max_raw_bytes(self, compressed: usize) -> u64 {
        let compressed = compressed as u64;
        match self {
            Compression::None => compressed,
            // A copy of 64 bytes takes 3.
            Compression::Snappy => compressed.saturating_mul(32),
            // Every further length byte adds at most 255.
            Compression::Lz4 => compressed.saturating_mul(256).saturating_add(64),
            // A run-length block of 128 KiB takes 4 bytes.
            Compression::Zstd => compressed.saturating_mul(64 << 10),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Compresses blocks with one codec. Keeps the codec's tables and the output buffer between calls.
pub(crate) struct Encoder {
    compression: Compression,
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// As long as the largest possible output so far, so that its bytes need not be zeroed for every block.
    output: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(compression: Compression) -> Encoder {
        let zstd = match compression {
            Compression::Zstd => zstd::bulk::Compressor::new(ZSTD_LEVEL).ok(),
            _ => None,
        };
        Encoder {
            compression,
            snappy: snap::raw::Encoder::new(),
            zstd,
            output: Vec::new(),
        }
    }

    /// `raw` in the form to store: the codec to record, and the payload (CODEC-1, CODEC-2).
    pub(crate) fn compress<'a>(&'a mut self, raw: &'a [u8]) -> (Compression, &'a [u8]) {
        match self.try_compress(raw) {
            Some(length) if length <= raw.len() - raw.len() / 8 => {
                (self.compression, &self.output[..length])
            }
            _ => (Compression::None, raw),
        }
    }

    /// Fills `output` with the compressed payload and returns its length; `None` if the codec cannot compress
    /// `raw`.
    fn try_compress(&mut self, raw: &[u8]) -> Option<usize> {
        if raw.len() > MAX_COMPRESSED_BYTES {
            return None;
        }
        let bound = match self.compression {
            Compression::None => return None,
            Compression::Snappy => match snap::raw::max_compress_len(raw.len()) {
                0 => return None,
                bound => bound,
            },
            Compression::Lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
            Compression::Zstd => zstd::zstd_safe::compress_bound(raw.len()),
        };
        // The output buffer only grows, so free its memory after a huge block.
        if self.output.capacity() > 4 * bound.max(1 << 20) {
            self.output = Vec::new();
        }
        let room = MAX_VARINT_BYTES + bound;
        if self.output.len() < room {
            let more = room - self.output.len();
            memory::reserve(&mut self.output, more, "compressed bytes").ok()?;
            self.output.resize(room, 0);
        }
        let start = write_varint(&mut self.output, raw.len() as u64);
        let written = match self.compression {
            Compression::None => return None,
            Compression::Snappy => self.snappy.compress(raw, &mut self.output[start..]).ok()?,
            Compression::Lz4 => {
                lz4_flex::block::compress_into(raw, &mut self.output[start..]).ok()?
            }
            Compression::Zstd => self
                .zstd
                .as_mut()?
                .compress_to_buffer(raw, &mut self.output[start..])
                .ok()?,
        };
        Some(start + written)
    }
}

/// About how many bytes a zstd context takes.
const ZSTD_DECODER_BYTES: usize = 160 << 10;

thread_local! {
    /// Kept, because making a zstd context costs more than decompressing a block.
    static ZSTD_DECODER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The raw bytes of `payload`, at most `max_len` of them. For damage the error is a phrase that says what is wrong.
pub(crate) fn decompress(
    compression: Compression,
    payload: &[u8],
    max_len: u64,
) -> Result<Vec<u8>, Undecoded<&'static str>> {
    let mut raw = Vec::new();
    decompress_into(compression, payload, max_len, &mut raw)?;
    Ok(raw)
}

/// [`decompress`] into `raw`, overwriting it.
pub(crate) fn decompress_into(
    compression: Compression,
    payload: &[u8],
    max_len: u64,
    raw: &mut Vec<u8>,
) -> Result<(), Undecoded<&'static str>> {
    const DAMAGED: &str = "compressed bytes are damaged";
    const LENGTH: &str = "the declared raw length cannot be right";
    let mut input = payload;
    let declared = match compression {
        Compression::None => payload.len() as u64,
        _ => get_varint(&mut input).ok_or(LENGTH)?,
    };
    if declared > max_len || declared > compression.max_raw_bytes(input.len()) {
        return Err(LENGTH.into());
    }
    let length = usize::try_from(declared).map_err(|_| LENGTH)?;
    let more = length.saturating_sub(raw.len());
    memory::reserve_exact(raw, more, "a block")?;
    let written = match compression {
        Compression::None => {
            raw.clear();
            raw.extend_from_slice(payload);
            length
        }
        Compression::Snappy => {
            if snap::raw::decompress_len(input).map_err(|_| DAMAGED)? != length {
                return Err(LENGTH.into());
            }
            raw.resize(length, 0);
            let mut decoder = snap::raw::Decoder::new();
            decoder.decompress(input, raw).map_err(|_| DAMAGED)?
        }
        Compression::Lz4 => {
            raw.resize(length, 0);
            lz4_flex::block::decompress_into(input, raw).map_err(|_| DAMAGED)?
        }
        Compression::Zstd => ZSTD_DECODER.with(|slot| {
            let mut slot = slot.borrow_mut();
            if slot.is_none() {
                let no_memory = |_| Error::out_of_memory("a zstd context", ZSTD_DECODER_BYTES);
                memory::pass("a zstd context", ZSTD_DECODER_BYTES)?;
                *slot = Some(zstd::bulk::Decompressor::new().map_err(no_memory)?);
            }
            let decoder = slot.as_mut().ok_or(DAMAGED)?;
            raw.resize(length, 0);
            decoder
                .decompress_to_buffer(input, &mut raw[..])
                .map_err(|_| Undecoded::Damaged(DAMAGED))
        })?,
    };
    if written != length {
        return Err(LENGTH.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aidb_test_data::Fill;

    use super::*;

    #[test]
    fn every_codec_round_trips_what_it_shrinks() {
        let text = b"a key-value store keeps values under keys. ".repeat(100);
        for codec in Compression::ALL {
            let mut encoder = Encoder::new(codec);
            for raw in [&text[..], &text[..2000]] {
                let (stored, payload) = encoder.compress(raw);
                assert_eq!(stored, codec);
                assert!(codec == Compression::None || payload.len() < raw.len() / 2);
                assert_eq!(decompress(stored, payload, 1 << 20).unwrap(), raw);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_by_an_eighth_is_stored_as_it_is() {
        let noise = Fill::Noise.bytes(1, 4096);
        for codec in Compression::ALL {
            for raw in [&noise[..], b"", b"x"] {
                let mut encoder = Encoder::new(codec);
                assert_eq!(encoder.compress(raw), (Compression::None, raw));
            }
        }
    }

    /// CODEC-2.
    #[test]
    fn what_is_longer_than_16_mib_is_stored_as_it_is_and_what_is_that_long_is_compressed() {
        let raw = vec![7; MAX_COMPRESSED_BYTES + 1];
        for codec in Compression::ALL {
            let mut encoder = Encoder::new(codec);
            assert_eq!(encoder.compress(&raw), (Compression::None, &raw[..]));
            assert_eq!(encoder.compress(&raw[1..]).0, codec);
        }
    }

    /// CODEC-3.
    #[test]
    fn a_false_length_is_refused_before_it_is_allocated() {
        for codec in [Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let raw = [7u8; 4096];
            let mut encoder = Encoder::new(codec);
            let payload = encoder.compress(&raw).1.to_vec();
            assert!(decompress(codec, &payload, 4095).is_err());
            let mut input = &payload[..];
            get_varint(&mut input).unwrap();
            for length in [0, 4095, 4097, 1 << 40, u64::MAX] {
                let mut forged = Vec::new();
                crate::coding::put_varint(&mut forged, length);
                forged.extend_from_slice(input);
                assert!(decompress(codec, &forged, u64::MAX).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn damaged_payloads_never_panic() {
        let raw = b"abcdefgh12345678".repeat(64);
        for codec in [Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut encoder = Encoder::new(codec);
            let payload = encoder.compress(&raw).1.to_vec();
            for at in 0..payload.len() {
                for flip in [1u8, 0x80, 0xff] {
                    let mut damaged = payload.clone();
                    damaged[at] ^= flip;
                    let _ = decompress(codec, &damaged, 1 << 20);
                }
                let _ = decompress(codec, &payload[..at], 1 << 20);
            }
        }
    }

    #[test]
    fn names_and_numbers_round_trip() {
        for codec in Compression::ALL {
            assert_eq!(Compression::from_name(codec.name()), Some(codec));
            assert_eq!(Compression::from_u8(codec as u8), Some(codec));
        }
        assert_eq!(Compression::from_name("Snappy"), None);
        assert_eq!(Compression::from_u8(4), None);
    }
}

#[cfg(test)]
mod edges {
    use super::*;

    /// `length` bytes, of which the first `random` ones do not compress.
    fn mixed(length: usize, random: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut bytes = vec![0; length];
        for byte in &mut bytes[..random] {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
        bytes
    }

    /// CODEC-1.
    #[test]
    fn what_saves_an_eighth_is_stored_compressed_and_nothing_else_is() {
        for codec in [Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut counts = [0, 0];
            for length in [8, 64, 801, 1000, 4096] {
                for random in 0..=length.min(1000) {
                    // Tests every length around seven eighths.
                    let random = length - random.min(length);
                    let raw = mixed(length, random);
                    let compressed = Encoder::new(codec).try_compress(&raw);
                    let saves = compressed.is_some_and(|bytes| bytes <= length - length / 8);
                    let mut encoder = Encoder::new(codec);
                    let (stored_as, stored) = encoder.compress(&raw);
                    let expected = if saves { codec } else { Compression::None };
                    assert_eq!(stored_as, expected, "{random} of {length} bytes");
                    // A limit of exactly the raw length is enough, and one byte less is not.
                    let stored = stored.to_vec();
                    let most = length as u64;
                    assert_eq!(decompress(stored_as, &stored, most).unwrap(), raw);
                    assert!(decompress(stored_as, &stored, most - 1).is_err());
                    counts[usize::from(saves)] += 1;
                }
            }
            assert!(counts[0] > 100 && counts[1] > 100, "{codec:?}: {counts:?}");
        }
    }
}
