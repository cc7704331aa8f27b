//! The keys with a prefix as a range, with which a cursor is made.

use crate::error::Result;
use crate::memory;
use crate::options::IterOptions;

/// Turns a prefix into bounds, together with those already there.
pub(super) fn with_prefix_as_bounds(mut options: IterOptions) -> Result<IterOptions> {
    if let Some(prefix) = options.prefix.take() {
        if let Some(after) = after_prefix(&prefix)? {
            options.upper_bound = Some(match options.upper_bound.take() {
                Some(upper) => upper.min(after),
                None => after,
            });
        }
        options.lower_bound = Some(match options.lower_bound.take() {
            Some(lower) => lower.max(prefix),
            None => prefix,
        });
    }
    Ok(options)
}

/// The smallest key after all keys that start with `prefix`; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(last) = prefix.iter().rposition(|byte| *byte != 0xff) else {
        return Ok(None);
    };
    let mut after = memory::copy_of(&prefix[..=last], "a bound")?;
    after[last] += 1;
    debug_assert!(
        &after[..] > prefix && !after.starts_with(prefix),
        "the bound is after every key with the prefix"
    );
    Ok(Some(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_ff_bytes_has_no_end() {
        assert_eq!(after_prefix(b"ab").unwrap(), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xff\xff").unwrap(), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff\xff").unwrap(), None);
        assert_eq!(after_prefix(b"").unwrap(), None);
    }

    #[test]
    fn prefix_and_bounds_both_hold() {
        let options = with_prefix_as_bounds(IterOptions {
            prefix: Some(b"b".to_vec()),
            lower_bound: Some(b"a".to_vec()),
            upper_bound: Some(b"bb".to_vec()),
            ..IterOptions::default()
        })
        .unwrap();
        assert_eq!(options.lower_bound.as_deref(), Some(&b"b"[..]));
        assert_eq!(options.upper_bound.as_deref(), Some(&b"bb"[..]));
    }
}
