//! Fixed and variable-length integers: the only file that thinks about byte order.
//!
//! Fixed integers are little-endian. A varint is LEB128: seven bits a byte, low bits first, the high bit set
//! on every byte but the last; the longest is ten bytes. Decoders take a slice, move it past what they read,
//! and return `None` if it is too short or the number does not fit.

/// Tagged fields from this tag on have a length, so that a reader skips those that it does not know. Of the other
/// fields it refuses unknown ones.
pub(crate) const FIRST_SKIPPABLE: u64 = 64;

/// The longest varint of a `u64`, in bytes.
pub(crate) const MAX_VARINT_BYTES: usize = 10;

/// Appends `value` as four little-endian bytes.
pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends `value` as eight little-endian bytes.
pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends `value` as a varint of one to ten bytes.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes `value` as a varint at the beginning of `out`, which must have room for it, and returns its length.
pub(crate) fn write_varint(out: &mut [u8], mut value: u64) -> usize {
    let length = varint_len(value);
    for byte in &mut out[..length] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[length - 1] &= 0x7f;
    length
}

/// Appends the length of `bytes` as a varint, then `bytes`.
#[inline]
pub(crate) fn put_length_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes `value` takes as a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads two little-endian bytes.
pub(crate) fn get_u16(input: &mut &[u8]) -> Option<u16> {
    let (head, tail) = input.split_first_chunk()?;
    *input = tail;
    Some(u16::from_le_bytes(*head))
}

/// Reads four little-endian bytes.
pub(crate) fn get_u32(input: &mut &[u8]) -> Option<u32> {
    let (head, tail) = input.split_first_chunk()?;
    *input = tail;
    Some(u32::from_le_bytes(*head))
}

/// Reads eight little-endian bytes.
pub(crate) fn get_u64(input: &mut &[u8]) -> Option<u64> {
    let (head, tail) = input.split_first_chunk()?;
    *input = tail;
    Some(u64::from_le_bytes(*head))
}

/// Reads a number of `width` little-endian bytes, at most eight.
#[inline]
pub(crate) fn get_narrow(input: &mut &[u8], width: u8) -> Option<u64> {
    let (head, tail) = input.split_at_checked(width.into())?;
    *input = tail;
    let put_behind = |number, byte: &u8| number << 8 | u64::from(*byte);
    (width <= 8).then(|| head.iter().rev().fold(0, put_behind))
}

/// Reads one byte.
pub(crate) fn get_u8(input: &mut &[u8]) -> Option<u8> {
    let (&head, tail) = input.split_first()?;
    *input = tail;
    Some(head)
}

/// Reads a varint.
#[inline]
pub(crate) fn get_varint(input: &mut &[u8]) -> Option<u64> {
    match **input {
        [byte, ref rest @ ..] if byte < 0x80 => {
            *input = rest;
            Some(u64::from(byte))
        }
        _ => get_long_varint(input),
    }
}

/// [`get_varint`] for a varint of more than one byte.
fn get_long_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(MAX_VARINT_BYTES) {
        let bits = u64::from(byte & 0x7f);
        if index == MAX_VARINT_BYTES - 1 && byte > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Reads `length` bytes.
#[inline]
pub(crate) fn get_bytes<'a>(input: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok()?;
    let (head, tail) = input.split_at_checked(length)?;
    *input = tail;
    Some(head)
}

/// Reads a varint length, then that many bytes.
#[inline]
pub(crate) fn get_length_prefixed<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = get_varint(input)?;
    get_bytes(input, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_length() {
        for shift in 0..64 {
            for value in [
                1u64 << shift,
                (1u64 << shift) - 1,
                (1u64 << shift) + 1,
                u64::MAX,
            ] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                assert_eq!(bytes.len(), varint_len(value));
                let mut written = [0xff; MAX_VARINT_BYTES];
                let length = write_varint(&mut written, value);
                assert_eq!(written[..length], bytes);
                let mut input = &bytes[..];
                assert_eq!(get_varint(&mut input), Some(value));
                assert!(input.is_empty());
                for cut in 0..bytes.len() {
                    assert_eq!(
                        get_varint(&mut &bytes[..cut]),
                        None,
                        "{value} cut to {cut} bytes"
                    );
                }
            }
        }
    }

    #[test]
    fn a_varint_beyond_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(get_varint(&mut &bytes[..]), None);
        assert_eq!(get_varint(&mut &[0xff; 11][..]), None);
    }

    #[test]
    fn a_length_beyond_the_input_is_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        bytes.extend_from_slice(b"abc");
        assert_eq!(get_length_prefixed(&mut &bytes[..]), None);
        assert_eq!(get_u32(&mut &b"abc"[..]), None);
        assert_eq!(get_u64(&mut &b"abcdefg"[..]), None);
        assert_eq!(get_u16(&mut &b"a"[..]), None);
    }

    #[test]
    fn a_number_of_any_width_is_read_and_no_wider_one() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        for width in 0..=9u8 {
            let mut input = &bytes[..];
            let mut wide = [0; 8];
            let expected = (width <= 8).then(|| {
                wide[..width.into()].copy_from_slice(&bytes[..width.into()]);
                u64::from_le_bytes(wide)
            });
            assert_eq!(get_narrow(&mut input, width), expected);
            assert_eq!(input, &bytes[width.into()..]);
            let short = &bytes[..usize::from(width).saturating_sub(1)];
            let cut = get_narrow(&mut &short[..], width);
            assert_eq!(cut, (width == 0).then_some(0));
        }
    }
}

#[cfg(test)]
mod edges {
    use super::*;

    #[test]
    fn fixed_integers_are_little_endian_and_leave_the_rest() {
        let mut out = Vec::new();
        put_u32(&mut out, 0x0102_0304);
        put_u64(&mut out, 0x0506_0708_090a_0b0c);
        out.extend_from_slice(&[0x0e, 0x0d, 0x0f]);
        assert_eq!(out[..4], [4, 3, 2, 1]);
        let mut input = &out[..];
        assert_eq!(get_u32(&mut input), Some(0x0102_0304));
        assert_eq!(get_u64(&mut input), Some(0x0506_0708_090a_0b0c));
        assert_eq!(get_u16(&mut input), Some(0x0d0e));
        assert_eq!(get_u8(&mut input), Some(0x0f));
        assert_eq!(get_u8(&mut input), None);
        // If the input is too short, it stays unchanged.
        let mut short = &b"abc"[..];
        assert_eq!((get_u32(&mut short), get_u64(&mut short)), (None, None));
        assert_eq!(get_bytes(&mut short, 4), None);
        assert_eq!(get_bytes(&mut short, 2), Some(&b"ab"[..]));
        assert_eq!(short, b"c");
    }
}
