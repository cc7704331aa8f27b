//! The keys with a prefix as a range, with which a cursor is made.

use crate::error::Result;
use crate::options::IterOptions;
use crate::range_delete::after_prefix;

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

#[cfg(test)]
mod tests {
    use super::*;

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
