//! Recognises other storage engines by their files in a directory. This is for messages only: an unrecognised
//! directory is refused all the same, because nothing in it is AiDb's (`identity.rs`).

use std::path::Path;

use super::ends::head_of;
use crate::env::Env;
use crate::filename::CURRENT;

/// At most this many files of a directory are read.
const MAX_FILES: usize = 64;
/// File names that only one engine uses.
const NAMES: [(&str, &str); 10] = [
    ("data.mdb", "LMDB"),
    ("mdbx.dat", "libmdbx"),
    ("WiredTiger", "WiredTiger"),
    ("KEYREGISTRY", "Badger"),
    ("partitions", "fjall"),
    ("keyspaces", "fjall"),
    ("__db.001", "Berkeley DB"),
    ("log.0000000001", "Berkeley DB"),
    ("PG_VERSION", "PostgreSQL"),
    ("ibdata1", "MySQL"),
];
/// The first name of a pair counts only if the directory also has the second one.
const COMPANIONS: [(&str, &str); 2] = [("partitions", "journals"), ("keyspaces", "version")];

/// The place of an engine's magic bytes in a file.
const MAGICS: [(usize, &[u8], &str); 5] = [
    (0, b"SQLite format 3\0", "SQLite"),
    (0, b"redb\x1a\x0a\xa9\x0d\x0a", "redb"),
    (16, &[0xed, 0xda, 0x0c, 0xed], "bbolt"),
    (16, &[0xde, 0xc0, 0xef, 0xbe], "LMDB"),
    (0, b"FJL", "fjall"),
];

/// The engine whose database is in `dir`, which contains `names`; `None` if unknown.
pub(crate) fn engine(env: &dyn Env, dir: &Path, names: &[String]) -> Option<&'static str> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let has_start = |start: &str| names.iter().any(|name| name.starts_with(start));
    let has_end = |end: &str| names.iter().any(|name| name.ends_with(end));
    if has_start("marker.manifest.") || has_start("marker.format-version.") {
        return Some("Pebble");
    }
    let options = names.iter().find(|name| name.starts_with("OPTIONS-"));
    let is_family = has(CURRENT) && names_a_manifest(&head(env, &dir.join(CURRENT)));
    if let Some(options) = options
        && (is_family || has("IDENTITY"))
    {
        return match contains(&head(env, &dir.join(options)), b"pebble_version") {
            true => Some("Pebble"),
            false => Some("RocksDB"),
        };
    }
    if is_family {
        return match has("IDENTITY") {
            true => Some("RocksDB"),
            false => Some("LevelDB"),
        };
    }
    let is_manifest = |name: &&String| name.starts_with("MANIFEST-");
    let of_family = |name: &String| names_a_comparator(&head(env, &dir.join(name)));
    if has_end(".ldb") || names.iter().filter(is_manifest).any(of_family) {
        return Some("LevelDB");
    }
    if has("MANIFEST") && (has_end(".vlog") || has("DISCARD")) {
        return Some("Badger");
    }
    if has("conf") && has("db") && (has("blobs") || has_start("snap.")) {
        return Some("sled");
    }
    let has_companion = |name: &str| {
        let mut companions = COMPANIONS.iter().filter(|(of, _)| *of == name);
        companions.all(|(_, companion)| has(companion))
    };
    let mut named = NAMES.iter();
    if let Some((_, engine)) = named.find(|(name, _)| has(name) && has_companion(name)) {
        return Some(engine);
    }
    let looked_into = names.iter().take(MAX_FILES);
    let mut paths = looked_into.map(|name| dir.join(name));
    paths.find_map(|path| engine_of_file(env, &path))
}

/// The engine that keeps its database in the file at `path`.
pub(crate) fn engine_of_file(env: &dyn Env, path: &Path) -> Option<&'static str> {
    let head = head(env, path);
    let mut magics = MAGICS.iter();
    let found = magics.find(|(at, magic, _)| head.get(*at..).is_some_and(|b| b.starts_with(magic)));
    found.map(|(_, _, engine)| *engine)
}

/// Whether this is a CURRENT of LevelDB or one of its descendants.
pub(super) fn names_a_manifest(head: &[u8]) -> bool {
    let name = head.strip_prefix(b"MANIFEST-");
    let digits = name.and_then(|name| name.strip_suffix(b"\n"));
    digits.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

/// Whether this is a manifest of LevelDB or one of its descendants: it begins with the name of their key order.
pub(super) fn names_a_comparator(head: &[u8]) -> bool {
    contains(head, b"leveldb.") || contains(head, b"rocksdb.")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The first bytes of a file. Returns no error, because an unreadable file gives no information.
fn head(env: &dyn Env, path: &Path) -> Vec<u8> {
    head_of(env, path).ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MemEnv;

    fn recognised(files: &[(&str, &[u8])]) -> Option<&'static str> {
        let (env, dir) = (MemEnv::new(), Path::new("/db"));
        env.create_dir_all(dir).unwrap();
        for (name, bytes) in files {
            match name.strip_suffix('/') {
                Some(below) => env.create_dir_all(&dir.join(below)).unwrap(),
                None => {
                    let file = env.create_new(&dir.join(name)).unwrap();
                    file.write_at(0, bytes).unwrap();
                }
            }
        }
        engine(&env, dir, &env.list(dir).unwrap())
    }

    #[test]
    fn engines_are_told_by_what_they_leave() {
        const CURRENT_OF_OTHERS: (&str, &[u8]) = ("CURRENT", b"MANIFEST-000004\n");
        let mut bbolt = vec![0; 16];
        bbolt.extend(0xed0c_daed_u32.to_le_bytes());
        let mut lmdb = vec![0; 16];
        lmdb.extend(0xbeef_c0de_u32.to_le_bytes());
        let cases: [(&[(&str, &[u8])], Option<&str>); 25] = [
            (&[CURRENT_OF_OTHERS], Some("LevelDB")),
            (&[("000005.ldb", b"")], Some("LevelDB")),
            (&[CURRENT_OF_OTHERS, ("IDENTITY", b"x")], Some("RocksDB")),
            (
                &[CURRENT_OF_OTHERS, ("OPTIONS-000007", b"# RocksDB")],
                Some("RocksDB"),
            ),
            (
                &[("OPTIONS-000007", b"# RocksDB"), ("IDENTITY", b"x")],
                Some("RocksDB"),
            ),
            (
                &[
                    CURRENT_OF_OTHERS,
                    ("OPTIONS-000007", b"[Version]\n  rocksdb_version=9.7.3\n"),
                ],
                Some("RocksDB"),
            ),
            (
                &[
                    CURRENT_OF_OTHERS,
                    ("OPTIONS-000003", b"[Version]\n  pebble_version=0.1\n"),
                ],
                Some("Pebble"),
            ),
            (
                &[("marker.manifest.000001.MANIFEST-000001", b"")],
                Some("Pebble"),
            ),
            (
                &[("MANIFEST", b"Bdgr"), ("000001.vlog", b"")],
                Some("Badger"),
            ),
            (&[("KEYREGISTRY", b"")], Some("Badger")),
            (&[("data.mdb", b""), ("lock.mdb", b"")], Some("LMDB")),
            (&[("mdbx.dat", b"")], Some("libmdbx")),
            (&[("store", &lmdb)], Some("LMDB")),
            (
                &[("WiredTiger", b""), ("WiredTiger.wt", b"")],
                Some("WiredTiger"),
            ),
            (&[("partitions/", b""), ("journals/", b"")], Some("fjall")),
            (&[("version", b"FJL\x03")], Some("fjall")),
            (&[("conf", b""), ("db", b""), ("blobs/", b"")], Some("sled")),
            (&[("app.db", b"SQLite format 3\0....")], Some("SQLite")),
            (&[("app", b"redb\x1a\x0a\xa9\x0d\x0a")], Some("redb")),
            (&[("app", &bbolt)], Some("bbolt")),
            (&[("PG_VERSION", b"17\n")], Some("PostgreSQL")),
            (&[("partitions/", b"")], None),
            (&[("CURRENT", b"my own file\n")], None),
            (&[("notes.txt", b"SQLite is nice")], None),
            (&[], None),
        ];
        for (files, expected) in cases {
            assert_eq!(recognised(files), expected, "{files:?}");
        }
    }

    #[test]
    fn a_current_that_names_a_manifest_has_nothing_else_in_it() {
        assert!(names_a_manifest(b"MANIFEST-000004\n"));
        for other in [
            &b"MANIFEST-\n"[..],
            b"MANIFEST-000004",
            b"MANIFEST-00x004\n",
            b"aidb 1 MANIFEST-000004\n",
            b"",
        ] {
            assert!(!names_a_manifest(other));
        }
    }
}
