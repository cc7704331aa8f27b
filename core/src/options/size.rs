//! Sizes in bytes as text.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Parses `64MiB`, `64 mib`, `64M`, `64MB` (10^6), `4096` or `1.5GiB`. `None` if the text is not a size, not a whole
/// number of bytes, or does not fit in 64 bits.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "kb" => 1000,
        "m" | "mib" => MIB,
        "mb" => 1_000_000,
        "g" | "gib" => GIB,
        "gb" => 1_000_000_000,
        "t" | "tib" => 1024 * GIB,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    if factor == 1 {
        // A number of bytes has no fraction.
        return None;
    }
    let (whole, fraction) = number.split_once('.')?;
    let whole: u64 = match whole {
        "" if fraction.is_empty() => return None,
        "" => 0,
        whole => whole.parse().ok()?,
    };
    // In integers, from the last digit to the first: the sum is a whole number of bytes only if each step is.
    let mut part = 0;
    for digit in fraction.chars().rev() {
        part += u64::from(digit.to_digit(10)?) * factor;
        if !part.is_multiple_of(10) {
            return None;
        }
        part /= 10;
    }
    whole.checked_mul(factor)?.checked_add(part)
}

/// Writes a size in the largest unit that divides it.
pub(super) fn size_text(bytes: u64) -> String {
    for (factor, unit) in [
        (1024 * GIB, "TiB"),
        (GIB, "GiB"),
        (MIB, "MiB"),
        (KIB, "KiB"),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}")
}
