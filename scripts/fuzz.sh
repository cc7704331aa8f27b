#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, one after the other: fuzz.sh SECONDS [TARGET...], all by default. Stable
# toolchain: libFuzzer is compiled by its crate, and SanitizerCoverage is a pass of LLVM that rustc is told to run.
#
# Findings are kept under target/fuzz/findings, and what a run learned under target/fuzz/corpus. With --short the run
# starts from the committed corpus alone, with a seed from the day; FUZZ_SEED chooses another.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

short=0
if [ "${1:-}" = --short ]; then
    short=1
    shift
fi
duration=${1:?usage: fuzz.sh [--short] SECONDS [TARGET...]}
shift
all=(batch block interface manifest options table version_edit wal)
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")

triple=$(rustc -vV | sed -n 's/^host: //p')
case $triple in
x86_64-*-linux-gnu | aarch64-*-linux-gnu) ;;
*)
    echo "fuzzing: not run on $triple"
    exit
    ;;
esac

coverage='-Cpasses=sancov-module'
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
out=$TARGET/fuzz
# --target keeps the flags from build scripts, which have no libFuzzer to call.
RUSTFLAGS="$coverage --cfg fuzzing" CARGO_TARGET_DIR=$out cargo build --release --bins --target "$triple" \
    --manifest-path tests/fuzz/Cargo.toml

seed=${FUZZ_SEED:-$(date -u +%Y%m%d)}
echo "seed $seed, $duration s each; again: FUZZ_SEED=$seed scripts/fuzz.sh --short $duration"
failed=0
for name in "${targets[@]}"; do
    learned=$out/corpus/$name
    if [ $short = 1 ]; then
        learned=$out/short/$name
        rm -rf "$learned"
    fi
    findings=$out/findings/$name
    mkdir -p "$learned" "$findings"
    result=0
    "$out/$triple/release/$name" -max_total_time="$duration" -seed="$seed" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$findings/" "$learned" "tests/fuzz/corpus/$name" \
        >"$out/$name.out" 2>&1 || result=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.out")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$out/$name.out" | tail -1)
    if [ $result = 0 ]; then
        printf '%-13s %10s executions  %6s edges covered  no finding\n' "$name" "$executions" "$covered"
    else
        failed=1
        tail -40 "$out/$name.out"
        printf '%sFAILED: %s%s; again: target/fuzz/%s/release/%s FILE, with FILE from %s\n' \
            "$red" "$name" "$plain" "$triple" "$name" "${findings#"$ROOT"/}"
    fi
done
exit $failed
