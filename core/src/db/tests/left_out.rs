//! Tables that compactions leave out, and who is in the way of whom.

use aidb_test_data::{Random, Sizes};

use super::*;
use crate::compression::Compression;
use crate::filename::table_path;

/// Levels 1 and 2 of a database whose level 1 is too large and lies over level 2, and is damaged as a whole.
fn with_damage_in_level_1(env: &MemEnv) {
    let shape = |base: u64| {
        options(env)
            .compression(Compression::None)
            .write_buffer_size(16 << 10)
            .target_file_size(4 << 10)
            .level0_compaction_trigger(1)
            .level_base_size(base)
            .level_size_multiplier(100)
    };
    let (mut random, sizes) = (Random::new(1), Sizes::new(600, 100));
    for base in [4 << 10, 1 << 30] {
        let db = DB::open("/db", shape(base)).unwrap();
        for number in 0..800u32 {
            let value = random.value_of(&sizes);
            db.put(format!("a{number:05}").as_bytes(), &value).unwrap();
        }
        db.flush().unwrap();
        while db.run_background_step().unwrap() {}
        if base > 4 << 10 {
            let version = Arc::clone(&db.shared().superversion.load().version);
            let tables = [1, 2].map(|level| version.files(level).len());
            assert!(tables[0] > 5 && tables[1] > 1, "{tables:?}");
            for file in version.files(1) {
                let path = table_path(Path::new("/db"), file.number);
                let table = env.open_write(&path).unwrap();
                let mut byte = [0];
                table.read_at(100, &mut byte).unwrap();
                table.write_at(100, &[byte[0] ^ 1]).unwrap();
            }
        }
        db.close().unwrap();
    }
}

#[test]
fn damage_in_tables_that_level_0_does_not_need_stops_no_writer() {
    for is_manual in [true, false] {
        let env = MemEnv::new();
        with_damage_in_level_1(&env);
        let options = options(&env)
            .manual_background(is_manual)
            .background_threads(1)
            .block_cache_size(0)
            .write_buffer_size(16 << 10)
            .target_file_size(4 << 10)
            .level0_compaction_trigger(1)
            .level_base_size(4 << 10);
        let db = DB::open("/db", options).unwrap();
        let mut written = 0;
        while db.stats().unwrap().set_aside.len() < 3 {
            db.put(format!("z{written:05}").as_bytes(), &[7; 1000])
                .unwrap_or_else(|error| panic!("put {written}: {error}"));
            written += 1;
            assert!(written < 100_000, "nothing is left out");
        }
        for number in 0..written {
            let found = db.get(format!("z{number:05}").as_bytes()).unwrap();
            assert_eq!(found.as_deref(), Some(&[7; 1000][..]));
        }
    }
}
