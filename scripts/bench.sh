#!/usr/bin/env bash
# Measures AiDb beside its rivals, as bench/README.md describes. `make bench` sets the variables N, ROUNDS,
# READ_SECONDS, ENGINES, WORKLOADS, WITHOUT (engines to leave out) and OUT. With --smoke it runs the bench's own tests,
# then every workload on a few entries, without RocksDB, to check that they work. With --tune it measures the effect of
# AiDb's options; TRIALS chooses some.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

libraries=$TARGET/debian/root/usr/lib/$(gcc -print-multiarch)
# The same for every build; otherwise cargo would compile RocksDB again.
export CARGO_TARGET_DIR=$TARGET/bench

leveldb() {
    scripts/debian.sh libleveldb1d libsnappy1v5 || return
    local found=("$libraries"/libleveldb.so.1*)
    export LEVELDB_LIBRARY=${found[0]} LD_LIBRARY_PATH=$libraries
}

if [ "${1:-}" = --smoke ]; then
    engines=aidb,fjall,lmdb,redb
    if leveldb; then engines+=,leveldb; else echo 'LevelDB: not run, it cannot be had here'; fi
    cargo clippy --locked --all-targets --manifest-path bench/Cargo.toml -- -D warnings
    cargo test --locked --manifest-path bench/Cargo.toml
    out=$TARGET/bench/smoke
    rm -rf "$out"
    # The tests have built it already, and cargo knows.
    cargo build --locked --manifest-path bench/Cargo.toml
    "$TARGET/bench/debug/aidb-bench" compare --entries 1000 --rounds 1 --seconds 0.005 --engines "$engines" \
        --data "$out/data" --out "$out" >"$out.log" 2>&1 || { cat "$out.log"; die 'the bench does not run'; }
    grep -c '^\[' "$out.log" | sed 's/$/ processes ran, each on 1000 entries/'
    exit
fi

if [ "${1:-}" = --tune ]; then
    cargo build --release --locked --manifest-path bench/Cargo.toml
    arguments=(--data "$TARGET/bench/data")
    [ -z "${N:-}" ] || arguments+=(--entries "$N")
    [ -z "${ROUNDS:-}" ] || arguments+=(--rounds "$ROUNDS")
    [ -z "${READ_SECONDS:-}" ] || arguments+=(--seconds "$READ_SECONDS")
    read -ra trials <<<"${TRIALS:-}"
    exec "$TARGET/bench/release/aidb-bench" tune "${arguments[@]}" "${trials[@]}"
fi

all=(aidb rocksdb fjall leveldb lmdb redb)
read -ra chosen <<<"${ENGINES:-${all[*]}}"
engines=()
for engine in "${chosen[@]}"; do
    [[ " ${all[*]} " == *" $engine "* ]] || die "no engine $engine; there are: ${all[*]}"
    [[ " ${WITHOUT:-} " == *" $engine "* ]] || engines+=("$engine")
done
has() { [[ " ${engines[*]} " == *" $1 "* ]]; }

if has leveldb; then
    leveldb || die 'LevelDB cannot be had here: it needs a Debian system that reaches its archive; or WITHOUT=leveldb'
fi
features=()
if has rocksdb; then
    [ -n "$(find "$TARGET/bench/release/build" -path '*/librocksdb-sys-*/out/librocksdb.a' 2>/dev/null)" ] || {
        echo 'RocksDB is compiled first, once: about an hour on two cores. WITHOUT=rocksdb leaves it out.'
    }
    # libclang generates its Rust interface. The paths must stay the same; otherwise cargo would compile it again.
    scripts/debian.sh libclang1-19 libllvm19 libclang-common-19-dev ||
        die 'libclang cannot be had here: it needs a Debian system that reaches its archive; or WITHOUT=rocksdb'
    export LIBCLANG_PATH=$TARGET/debian/root/usr/lib/llvm-19/lib LD_LIBRARY_PATH=$libraries
    export BINDGEN_EXTRA_CLANG_ARGS="-resource-dir $LIBCLANG_PATH/clang/19"
    # Its crate compiles without these instructions; RocksDB's own build uses what the processor has.
    export CXXFLAGS_x86_64_unknown_linux_gnu='-msse4.2 -mpclmul'
    features=(--features rocksdb)
fi

cargo build --release --locked --manifest-path bench/Cargo.toml "${features[@]}"

list() { local IFS=,; echo "$*"; }
arguments=(--engines "$(list "${engines[@]}")" --data "$TARGET/bench/data" --out "${OUT:-$TARGET/bench/results}")
[ -z "${N:-}" ] || arguments+=(--entries "$N")
[ -z "${ROUNDS:-}" ] || arguments+=(--rounds "$ROUNDS")
[ -z "${READ_SECONDS:-}" ] || arguments+=(--seconds "$READ_SECONDS")
if [ -n "${WORKLOADS:-}" ]; then
    read -ra workloads <<<"$WORKLOADS"
    arguments+=(--workloads "$(list "${workloads[@]}")")
fi
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
"$TARGET/bench/release/aidb-bench" compare "${arguments[@]}" --about "Commit $commit, $(date -u +%F)."
