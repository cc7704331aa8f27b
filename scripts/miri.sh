#!/usr/bin/env bash
# Unit tests of the modules with unsafe code under Miri, which finds undefined behaviour that no run shows. Miri
# interprets: a test takes a thousand times as long. MIRI_TESTS chooses other tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo 'Miri: not run, no nightly toolchain here has it (rustup component add miri --toolchain nightly)'
    exit
fi
read -ra tests <<<"${MIRI_TESTS:-memtable::arena memtable::tests::an_empty memtable::tests::a_read_at memtable::tests::readers_beside_writers_of_few_keys}"
# Files of the system are beyond Miri; the skip list's epochs leave memory to the end of the process.
export MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows' CARGO_TARGET_DIR=$TARGET/miri
cargo +nightly miri test -p aidb --lib --locked -- "${tests[@]}"
