//! Checks of the paths that callers pass, before they are used.

use std::path::Path;

use crate::error::{Error, Result};

/// Refuses an empty path, and a path with a NUL byte, which no file system accepts (`InvalidArgument`).
///
/// Also refuses a path that begins with a scheme, such as `aidb://host/db` or `s3://bucket/db` (`Unsupported`). AiDb
/// has no client for any scheme, and the caller does not want a directory of that name.
///
/// Python's `pathlib` and Node's `path.join` turn two slashes into one, so `s3:/bucket` is refused as well.
/// `./s3:/bucket` is a directory, and so is every path that does not begin with letters and a colon.
pub(in crate::db) fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        let what = "the path is empty (the current directory is \".\")";
        return Err(Error::invalid_argument(what));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Error::invalid_argument(format!(
            "the path {:?} has a NUL byte at offset {at}, which no file system accepts",
            path.display().to_string()
        )));
    }
    let Some(scheme) = scheme(bytes) else {
        return Ok(());
    };
    let shown = path.display();
    Err(Error::unsupported(
        match scheme.eq_ignore_ascii_case("file") {
            true => format!(
                "{shown} is a URL, and a path is needed: leave out {scheme}:// (for a directory of that name, begin with ./)"
            ),
            false => format!(
                "{shown} begins with {scheme}:, but this AiDb opens only directories of the file system (for a directory of that \
                 name, begin with ./)"
            ),
        },
    ))
}

/// The part before `://`, or before `:/` if it is longer than a drive letter.
fn scheme(path: &[u8]) -> Option<&str> {
    let end = path.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = path.split_at(end);
    let scheme = std::str::from_utf8(scheme).ok()?;
    let is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let is_followed = rest.starts_with(b"://") || rest.starts_with(b":/") && scheme.len() > 1;
    (is_one && is_followed).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_scheme_is_distinguished_from_a_directory() {
        for path in [
            "aidb://host/db",
            "s3://bucket",
            "S3://bucket/db",
            "s3:/bucket/db",
            "https://example.org",
            "git+ssh://host",
            "file:///home/db",
            "file:/home/db",
            "x://host",
            "aidb://",
        ] {
            let error = check_path(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{path}");
            assert!(error.message().starts_with(path), "{error}");
        }
        for path in [
            "db",
            "/s3://bucket",
            "./s3://bucket",
            "home/s3://bucket",
            "c:/db",
            "db:",
            "db:1/x",
            "a b://x",
            "1s3://x",
            "://x",
            "ä://x",
        ] {
            check_path(Path::new(path)).unwrap();
        }
    }
}
