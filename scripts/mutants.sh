#!/usr/bin/env bash
# Mutation testing: changes one operator, answer or arm of core at a time and checks whether a test notices.
# cargo-mutants lists the changes; scripts/mutants.py tries most of them in one build, and cargo-mutants the rest. It is
# not in .ci/run: run it after changing a module's code or its tests. docs/testing.md, "Mutation testing".
#
#   MODULE=iterator   a name of the table below
#   SHARD=0/4         the first of four parts
#   SAMPLE=200        this many of the module's mutants, always the same ones; SEED=2 for others
#   AGAIN=1           only those that survived the module's last run, for instance after a new test
#   EACH=1            a build for each, by cargo-mutants alone: slow, and the reference for the quick way
#   FILE=stored.rs    only those in files whose path ends like this
#
# Results go to target/mutants/MODULE. The status is not 0 if a mutant survives that tests/mutants/accepted.txt does not
# list with a reason.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# cargo-mutants knows Rust's grammar and which changes are worth trying. No build depends on it.
version=27.1.0

# The files of each module below core/src.
declare -A files=(
    [cache]='cache/**' [compaction]='compaction/**' [core]='*.rs' [db]='db/**' [env]='env/**'
    [iterator]='iterator/**' [memory]='memory/**' [memtable]='memtable/**' [sstable]='sstable/**' [version]='version/**'
    [wal]='wal/**'
)
# Its tests, by parts of their names, run in turn until one fails: the quick ones first. A "-" precedes a part of the
# names of tests to leave out.
declare -A tests=(
    [cache]='cache::-a_shift_of cache:: sstable::-flipped_byte-measured_rate'
    [compaction]='compaction::'
    [core]='batch:: checksum:: coding:: compression:: content:: effort:: error:: filename:: key:: options:: snapshot::'
    [db]='db::-equals_a_map-full_disk-a_failed_operation-power_may-writing_goes_on-reads_that_find-verify::reads-tables_larger db::'
    [env]='env::'
    [iterator]='iterator::'
    [memory]='memory:: sstable::block cache::-a_shift_of db::tests::memory'
    [memtable]='memtable::-memory_is memtable::'
    [sstable]='sstable::-flipped_byte-measured_rate-large_keys sstable:: cache::-a_shift_of'
    [version]='version::'
    [wal]='wal::-among_torn-records_behind wal::'
)

module=${MODULE:-}
[ -n "${files[${module:-none}]:-}" ] ||
    die "MODULE=$module: choose one of $(printf '%s\n' "${!files[@]}" | sort | paste -sd ' ')"

mutants=$TARGET/tools/bin/cargo-mutants
if [ "$("$mutants" mutants --version 2>/dev/null)" != "cargo-mutants $version" ]; then
    heading "cargo-mutants $version, once"
    cargo install cargo-mutants --version $version --locked --root "$TARGET/tools"
fi

out=$TARGET/mutants/$module
[ -n "${AGAIN:-}" ] || rm -rf "$out"
mkdir -p "$out"
arguments=(mutants --list --json --package aidb --file "core/src/${files[$module]}")
[ -z "${SHARD:-}" ] || arguments+=(--shard "$SHARD")
"$mutants" "${arguments[@]}" >"$out/list.json"
python=$(find_python) || die 'no Python of at least 3.11'
# shellcheck disable=SC2086 # the tests are words
exec "$python" scripts/mutants.py "$out" ${SAMPLE:+--sample "$SAMPLE"} ${SEED:+--seed "$SEED"} ${EACH:+--each} \
    ${AGAIN:+--again} ${FILE:+--file "$FILE"} ${tests[$module]}
