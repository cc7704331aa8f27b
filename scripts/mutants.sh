#!/usr/bin/env bash
# Mutation testing: changes one operator, answer or arm of core at a time and asks whether a test notices. cargo-mutants
# makes the changes; scripts/mutants.py tries most of them in one build, and cargo-mutants the rest. Not in .ci/run: it is
# for whoever changes a module's code or its tests. docs/testing.md, "Mutation testing".
#
#   MODULE=iterator   a name of the table below
#   SHARD=0/4         the first of four parts
#   SAMPLE=200        so many of the module's mutants, always the same ones; SEED=2 for others
#   AGAIN=1           only those that survived the module's last run, for instance after a new test
#   EACH=1            a build for each, by cargo-mutants alone: slow, and what the quick way is checked against
#   FILE=stored.rs    only those of the files whose path ends so
#
# Results lie below target/mutants/MODULE. The status is not 0 if a mutant survives that tests/mutants/accepted.txt does
# not name with a reason.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# cargo-mutants knows Rust's grammar and which changes are worth a try; it saves us that, and stays out of every build.
version=27.1.0

# The files of each module below core/src.
declare -A files=(
    [cache]='cache/**' [compaction]='compaction/**' [core]='*.rs' [db]='db/**' [env]='env/**'
    [iterator]='iterator/**' [memory]='memory/**' [memtable]='memtable/**' [sstable]='sstable/**' [version]='version/**'
    [wal]='wal/**'
)
# Its tests, by parts of their names, run in turn until one fails: the quick ones first. Behind a "-" stands a part of the
# names of those left out.
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
