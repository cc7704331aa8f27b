#!/usr/bin/env bash
# Counts instructions per operation with valgrind's callgrind, and compares them with core/benches/guard.txt for this
# toolchain: more than TOLERANCE percent above that fails. RECORD=1 writes the file's lines for this toolchain again; so
# does the first run with a toolchain that has no lines yet. Without valgrind it prints `not run`; with GUARD_REQUIRED=1
# that fails.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tolerance=${TOLERANCE:-5}
record=core/benches/guard.txt
# Compilers produce different code, and the libraries choose instructions by the processor.
toolchain="$(rustc -V) $(rustc -vV | sed -n 's/^host: //p')"

not_run() {
    echo "guard: not run: $*"
    [ "${GUARD_REQUIRED:-0}" != 1 ] || die 'the guard is required here (GUARD_REQUIRED=1)'
    exit 0
}

# The recorded lines of this toolchain: WORKLOAD INSTRUCTIONS.
recorded() {
    awk -v wanted="[$toolchain]" '/^\[/ { mine = ($0 == wanted); next } mine && NF == 2 && !/^#/' "$record"
}

valgrind=$(scripts/valgrind.sh) || not_run 'no valgrind here and none to be had'
if [ "${RECORD:-0}" != 1 ] && [ -z "$(recorded)" ]; then
    echo "guard: $record has nothing for $toolchain: nothing is compared, and this run is recorded"
    RECORD=1
fi

program=$(cargo build --release --locked -p aidb --bench guard --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"guard".*"executable":"\([^"]*\)".*/\1/p')
[ -n "$program" ] || die 'the guard was not built'

out=$TARGET/guard
rm -rf "$out"
mkdir -p "$out"
# The lengths of paths decide where the allocator puts things, and so the counts: the paths are the same everywhere.
work=$(mktemp -d /tmp/aidb-guard.XXXXXX)
trap 'rm -rf "$work"' EXIT
cp "$program" "$work/guard"
program=$work/guard
# Two at a time: counts do not depend on load.
"$program" | TMPDIR=$work xargs -P 2 -L 1 sh -c '
    "$0" --tool=callgrind --toggle-collect="*guard*counted*" --callgrind-out-file=/dev/null \
        --log-file="$2/$3.log" "$1" "$3" && echo "$3" "$4" >>"$2/done" || { cat "$2/$3.log" >&2; exit 255; }
' "$valgrind" "$program" "$out"
while read -r workload operations; do
    collected=$(sed -n 's/.*Collected : //p' "$out/$workload.log")
    [ "${collected:-0}" -gt 0 ] || die "$workload: callgrind counted nothing"
    echo "$workload $(((collected + operations / 2) / operations))"
done < <("$program") >"$out/counts"

if [ "${RECORD:-0}" = 1 ]; then
    {
        awk -v wanted="[$toolchain]" '/^\[/ { mine = ($0 == wanted) } !mine' "$record" | cat -s
        echo "[$toolchain]"
        cat "$out/counts"
        echo
    } >"$out/record"
    sed '$ { /^$/ d }' "$out/record" >"$record"
    echo "written to $record:"
    cat "$out/counts"
    exit
fi

recorded >"$out/recorded"
awk -v tolerance="$tolerance" '
    BEGIN { printf "%-14s %12s %12s %8s\n", "instructions", "recorded", "now", "change" }
    NR == FNR { was[$1] = $2; next }
    !($1 in was) { printf "%-14s %12s %12d %8s  NOT RECORDED\n", $1, "-", $2, ""; bad = 1; next }
    {
        change = ($2 / was[$1] - 1) * 100
        note = ""
        if (change > tolerance) { note = "  DEARER"; bad = 1 }
        if (change < -tolerance) { note = "  cheaper"; better = 1 }
        printf "%-14s %12d %12d %+7.1f%%%s\n", $1, was[$1], $2, change, note
        delete was[$1]
    }
    END {
        for (name in was) { print name " is recorded but did not run"; bad = 1 }
        if (better) print "cheaper than recorded: make guard RECORD=1 records it"
        exit bad
    }
' "$out/recorded" "$out/counts" ||
    die "more than $tolerance % above $record; if that is intended: make guard RECORD=1, and say why in the commit"
