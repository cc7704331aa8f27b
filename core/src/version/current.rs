//! CURRENT: the file that names the manifest in use.
//!
//! Layout: docs/format.md, "CURRENT".

use std::path::Path;

use super::manifest::ManifestWriter;
use crate::checksum::crc;
use crate::env::{Env, Names, PathKind};
use crate::error::{Error, Result};
use crate::filename::{CURRENT, CURRENT_TMP, FileKind, manifest_name, parse};
use crate::key::FileNumber;

/// Makes CURRENT name the manifest of `writer`, which is complete and synced; durable when this returns.
///
/// After an error the next open may read either the old or the new manifest, so both must stay.
pub(crate) fn set_current(env: &dyn Env, dir: &Path, writer: &ManifestWriter) -> Result<()> {
    debug_assert!(
        writer.is_complete(),
        "SET-3: CURRENT names a complete manifest"
    );
    let temporary = dir.join(CURRENT_TMP);
    let names = Names::made_from_now(env);
    if env.kind(&temporary)? != PathKind::Missing {
        env.remove_file(&temporary)?;
    }
    let file = env.create_new(&temporary)?;
    file.write_at(
        0,
        current_text(writer.number(), writer.file_id()).as_bytes(),
    )?;
    file.sync()?;
    drop(file);
    env.rename(&temporary, &dir.join(CURRENT))?;
    // Without this sync of the directory, the rename may be lost and the old CURRENT come back.
    names.sync(env, dir)?;
    Ok(())
}

/// The content of CURRENT: one line of text with its own checksum.
fn current_text(number: FileNumber, file_id: u64) -> String {
    let name = manifest_name(number);
    let covered = format!("aidb 1 {name} {file_id:016x}");
    format!("{covered} {:08x}\n", crc(covered.as_bytes()))
}

/// Whether a file that begins with `head` is a CURRENT of AiDb, of whatever version.
pub(super) fn begins_current(head: &[u8]) -> bool {
    let version = head.strip_prefix(b"aidb ");
    version
        .and_then(<[u8]>::first)
        .is_some_and(u8::is_ascii_digit)
}

/// Reads CURRENT: the manifest's number and file id.
pub(crate) fn read_current(env: &dyn Env, dir: &Path) -> Result<(FileNumber, u64)> {
    read_current_at(env, &dir.join(CURRENT))
}

/// [`read_current`] of the file at `path`, whatever its name.
pub(crate) fn read_current_at(env: &dyn Env, path: &Path) -> Result<(FileNumber, u64)> {
    let file = env.open_read(path)?;
    // Longer than any CURRENT, so that surplus bytes are noticed.
    let mut buffer = [0u8; 128];
    let length = file.read_at(0, &mut buffer)?;
    parse_current(path, &buffer[..length])
}

fn parse_current(path: &Path, bytes: &[u8]) -> Result<(FileNumber, u64)> {
    let damaged = || Error::corruption(path, 0, "this is not a line that AiDb wrote");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let (covered, checksum) = text.rsplit_once(' ').ok_or_else(damaged)?;
    if checksum != format!("{:08x}\n", crc(covered.as_bytes())) {
        return Err(damaged());
    }
    let mut words = covered.split(' ');
    if words.next() != Some("aidb") {
        return Err(damaged());
    }
    match words.next() {
        Some("1") => {}
        Some(version) => {
            return Err(Error::unsupported(format!(
                "{}: version {version}; this build reads version 1",
                path.display()
            )));
        }
        None => return Err(damaged()),
    }
    let Some(FileKind::Manifest(number)) = words.next().and_then(parse) else {
        return Err(damaged());
    };
    let file_id = words.next().and_then(|id| u64::from_str_radix(id, 16).ok());
    let file_id = file_id.ok_or_else(damaged)?;
    // Only one spelling is accepted.
    if current_text(number, file_id) != text {
        return Err(damaged());
    }
    Ok((number, file_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn current_of_a_later_version_is_unsupported() {
        let covered = "aidb 2 MANIFEST-000001 0000000000000001";
        let text = format!("{covered} {:08x}\n", crc(covered.as_bytes()));
        let error = parse_current(Path::new(CURRENT), text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn the_example_in_the_document_is_what_is_written() {
        let document = include_str!("../../../docs/format.md");
        let current = current_text(FileNumber(5), 0x0123_4567_89ab_cdef);
        assert!(
            document.contains(&format!("```\n{current}```\n")),
            "{current}"
        );
    }
}
