#!/usr/bin/env bash
# AddressSanitizer over the Rust code: asan.sh [programs] [units], both by default.
#
#   programs  the C and C++ programs against a sanitized libaidb; they call all of the C API, and misuse it
#   units     the unit tests of the modules with unsafe code
#
# `-Z sanitizer` needs a nightly toolchain; RUSTC_BOOTSTRAP lets the stable one accept it, for these builds only.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

triple=$(rustc -vV | sed -n 's/^host: //p')
case $triple in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
*)
    echo "AddressSanitizer: not run on $triple"
    exit
    ;;
esac

# Some tests request more memory than there is and expect a refusal.
export ASAN_OPTIONS=allocator_may_return_null=1
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$TARGET/asan
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
flags=(--locked --target "$triple")

check_units() {
    cargo test -p aidb --lib "${flags[@]}" -- memtable:: sstable:: cache:: memory:: prefetch:: env::
}

check_programs() {
    cargo rustc -p aidb-ffi --lib --crate-type staticlib "${flags[@]}"
    local out runtime source name compiler
    out=$CARGO_TARGET_DIR/c
    rm -rf "$out"
    mkdir -p "$out/leveldb"
    echo '#include <aidb_leveldb.h>' >"$out/leveldb/c.h"
    tests/c/misuse.py include/aidb.h >"$out/misuse_calls.h"
    # libaidb.a is linked with the runtime of rustc's own AddressSanitizer: gcc has an older one.
    runtime=$(echo "$(rustc --print sysroot)/lib/rustlib/$triple/lib"/librustc*_rt.asan.a)
    for source in tests/c/*.c tests/c/*.cpp; do
        # The sanitizer's allocator has reserved its memory already, and ignores the limit.
        [[ $source == *test_no_memory.c ]] && continue
        compiler=(gcc -std=c99 -D_POSIX_C_SOURCE=200809L)
        [[ $source != *.cpp ]] || compiler=(g++ -std=c++17)
        name=$(basename "$source")
        "${compiler[@]}" -DSANITIZED_LIBRARY -g -O1 -Iinclude -I"$out" "$source" -o "$out/$name" \
            -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive "$CARGO_TARGET_DIR/$triple/debug/libaidb.a" \
            -pthread -lm -ldl -lrt -lresolv -rdynamic
        rm -rf "$out/db"
        echo "-- $source"
        AIDB_MISUSE_ROUNDS=200 AIDB_FORKS=40 AIDB_FORK_WRITES=20000 "$out/$name" "$out/db"
    done
}

[ $# -gt 0 ] || set -- programs units
for part in "$@"; do
    heading "AddressSanitizer: $part"
    "check_$part"
done
