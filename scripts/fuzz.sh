#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, as many at once as there are cores: fuzz.sh SECONDS [TARGET...], all by default.
# The stable toolchain suffices: libFuzzer's crate compiles it, and SanitizerCoverage is a pass of LLVM that rustc can
# run.
#
# Findings go to target/fuzz/findings, and the corpus that a run has learned to target/fuzz/corpus. Every run has a new
# seed; FUZZ_SEED chooses one.
#
# fuzz.sh --fixed [TARGET...] is the run that gates a change: the same seed and number of executions everywhere, the
# committed corpus alone, and fixed addresses, so that it finds the same today and tomorrow.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# About three seconds each on an idle core of 2026.
declare -A executions=(
    [batch]=1000000 [block]=500000 [interface]=2500 [manifest]=125000 [open]=7500
    [options]=7500 [table]=150000 [version_edit]=1000000 [wal]=50000
)

fixed=0
if [ "${1:-}" = --fixed ]; then
    fixed=1
    seed=${FUZZ_SEED:-20261122}
else
    duration=${1:?usage: fuzz.sh --fixed [TARGET...] | fuzz.sh SECONDS [TARGET...]}
    seed=${FUZZ_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
fi
shift
mapfile -t targets < <(printf '%s\n' "${!executions[@]}" | sort)
[ $# -eq 0 ] || targets=("$@")
for name in "${targets[@]}"; do
    [ -n "${executions[$name]:-}" ] || die "no target $name; there are: ${!executions[*]}"
done

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
export RUSTFLAGS="$coverage --cfg fuzzing" CARGO_TARGET_DIR=$out
# --target keeps the flags from build scripts, which have no libFuzzer to call.
build=(--release --target "$triple" --manifest-path tests/fuzz/Cargo.toml)
# Here, where the build compiles libFuzzer and zstd anyway, and not with the clippy of the workspace.
[ $fixed = 0 ] || cargo clippy --all-targets --locked "${build[@]}" -- -D warnings
cargo build --bins "${build[@]}"

if [ $fixed = 1 ]; then
    echo "seed $seed, a fixed number of executions; again: FUZZ_SEED=$seed scripts/fuzz.sh --fixed"
else
    echo "seed $seed, $duration s each; again: FUZZ_SEED=$seed scripts/fuzz.sh $duration"
fi
still=()
! setarch -R true 2>/dev/null || still=(setarch -R)
# Runs one target and prints the result.
run_target() {
    local name=$1 learned=$out/corpus/$1 findings=$out/findings/$1 result=0 begun=$SECONDS executed covered
    local limit=(-max_total_time="${duration:-}")
    if [ $fixed = 1 ]; then
        learned=$out/fixed/$name
        rm -rf "$learned"
        limit=(-runs="${executions[$name]}")
    fi
    # These cover so much that weighing every input by its rare features takes longer than running it.
    case $name in
    interface) limit+=(-entropic=0 -max_len=400) ;;
    open) limit+=(-entropic=0) ;;
    esac
    mkdir -p "$learned" "$findings"
    "${still[@]}" "$out/$triple/release/$name" "${limit[@]}" -seed="$seed" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$findings/" "$learned" "tests/fuzz/corpus/$name" \
        >"$out/$name.out" 2>&1 || result=$?
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.out")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$out/$name.out" | tail -1)
    if [ $result = 0 ]; then
        printf '%-13s %10s executions  %6s edges covered  %4d s  no finding\n' "$name" "$executed" "$covered" \
            $((SECONDS - begun))
    else
        # The failure comes first; its stack may be long.
        grep -A 3 -e 'panicked at' -e 'ERROR: ' "$out/$name.out" | head -20 || true
        tail -40 "$out/$name.out"
        printf '%sFAILED: %s%s; again: target/fuzz/%s/release/%s FILE, with FILE from %s\n' \
            "$red" "$name" "$plain" "$triple" "$name" "${findings#"$ROOT"/}"
        return 1
    fi
}

cores=$(nproc) passed=0
rm -f "$out"/*.passed
for name in "${targets[@]}"; do
    [ "$(jobs -pr | wc -l)" -lt "$cores" ] || wait -n || true
    { run_target "$name" && touch "$out/$name.passed"; } &
done
wait
for name in "${targets[@]}"; do
    [ ! -e "$out/$name.passed" ] || passed=$((passed + 1))
done
[ $passed = ${#targets[@]} ]
