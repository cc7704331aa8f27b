#!/usr/bin/env bash
# Runs unit tests of the modules with unsafe code under Miri, which finds undefined behaviour that no ordinary run
# shows. Miri interprets: a test takes a thousand times as long. MIRI_TESTS chooses other tests of core.
#
#   --check   only checks that each name below is part of a test's name; needs no Miri
#
# Miri cannot run system files and foreign calls: env/ with its system calls, the mapped memory of the slabs, and zstd.
# AddressSanitizer runs those (scripts/asan.sh).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

core=(
    memtable::arena memtable::chunk memtable::filter
    memtable::load::tests::more_can_be_inserted
    memtable::tests::an_empty memtable::tests::a_read_at memtable::tests::large_records
    memtable::tests::readers_beside_writers_of_few_keys
    prefetch
    sstable::tests::the_documented_example sstable::tests::a_malformed_block
)
ffi=(
    guard ptr::tests::null ptr::tests::structures
    handle::tests::a_handle_finds handle::tests::a_reused_slot handle::tests::an_object_in_use
    handle::tests::what_is_no_live_handle
)
[ -z "${MIRI_TESTS:-}" ] || { read -ra core <<<"$MIRI_TESTS"; ffi=(); }

# check PACKAGE NAME...: a renamed test must not be left out silently.
check() {
    local package=$1 tests name
    shift
    tests=$(cargo test -q -p "$package" --lib --locked -- --list)
    for name in "$@"; do
        grep -qF "$name" <<<"$tests" || die "scripts/miri.sh: no test of $package is called $name"
    done
}
check aidb "${core[@]}"
[ ${#ffi[@]} = 0 ] || check aidb-ffi "${ffi[@]}"
echo "Miri: its $((${#core[@]} + ${#ffi[@]})) names all name tests"
[ "${1:-}" != --check ] || exit 0

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo 'Miri: not run, no nightly toolchain here has it (rustup component add miri --toolchain nightly)'
    exit
fi
# The skip list's epochs do not free all memory before the process ends.
export MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows' CARGO_TARGET_DIR=$TARGET/miri
cargo +nightly miri test -p aidb --lib --locked -- "${core[@]}"
[ ${#ffi[@]} = 0 ] || cargo +nightly miri test -p aidb-ffi --lib --locked -- "${ffi[@]}"
