#!/usr/bin/env bash
# AiDb beside LevelDB, as bench/README.md describes. LevelDB is Debian's, unpacked below target/debian.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/debian.sh libleveldb1d libsnappy1v5 ||
    die 'LevelDB cannot be had here: the bench needs a Debian system that reaches its archive'
libraries=$TARGET/debian/root/usr/lib/$(gcc -print-multiarch)
LEVELDB_LIBRARY=$(echo "$libraries"/libleveldb.so.1*)
export LEVELDB_LIBRARY=${LEVELDB_LIBRARY%% *}
export LD_LIBRARY_PATH=$libraries

CARGO_TARGET_DIR=$TARGET/bench cargo build --release --manifest-path bench/Cargo.toml
"$TARGET/bench/release/floor"
