#!/usr/bin/env bash
# Tries every point and byte of the crash, fault and damage tests, and runs the tests of kills, histories, models and
# full disks for long: torture.sh [MINUTES] [PART...], 30 minutes and all parts by default, plus the time to build. The
# sanitizer, the C programs under valgrind and the smoke tests of the benches take extra time.
#
# The parts run at once, as many as there are cores. Each prints its figures, a table comes last, and the run fails if a
# part failed; then it prints the lines that rerun the part. From 20 minutes on it reports a part that walked no history
# whole, and from 30 on that fails too. SEED chooses the seed. Logs: target/torture/logs.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

minutes=${1:-30}
[[ $minutes =~ ^[0-9]+$ && $minutes -gt 0 ]] || die "expected minutes, not $minutes"
shift $(($# > 0 ? 1 : 0))

# Shares of the time, the longest first, so that no core waits for long.
order=(damage faults power models metamorphic lives disk)
declare -A share=([damage]=30 [faults]=22 [power]=16 [models]=12 [metamorphic]=10 [lives]=7 [disk]=3)
# Parts without a share do the same work whatever the time.
order+=(asan valgrind bench)
share+=([asan]=0 [valgrind]=0 [bench]=0)
parts=("$@")
[ $# -gt 0 ] || parts=("${order[@]}")
for part in "${parts[@]}"; do
    [ -n "${share[$part]:-}" ] || die "no part $part; there are: ${order[*]}"
done

cores=$(nproc)
lanes=$((cores < ${#parts[@]} ? cores : ${#parts[@]}))
total=0
for part in "${parts[@]}"; do total=$((total + ${share[$part]})); done

# A multiple of four, as the seed of make test is, so that the same stories of every run have large data.
seed=${SEED:-$(($(od -An -N4 -tu4 /dev/urandom) / 4 * 4))}
export AIDB_TORTURE_SEED=$seed RUST_BACKTRACE=0
# Optimised, because a walk takes long, and with every assertion.
export CARGO_PROFILE_DEV_OPT_LEVEL=3
out=$TARGET/torture
logs=$out/logs
rm -rf "$logs"
mkdir -p "$logs"

heading "building"
[ $total = 0 ] || cargo test -p aidb-tests --tests --no-run --locked --target-dir "$out" || exit 1
if [[ " ${parts[*]} " == *' models '* ]]; then
    RUSTFLAGS='--cfg shuttle' cargo test -p aidb -p aidb-ffi --lib --no-run --locked --target-dir "$TARGET/shuttle" || exit 1
fi

# The C programs as users link them: memory, and leaks.
run_valgrind() {
    local valgrind
    valgrind=$(scripts/valgrind.sh) || echo 'valgrind: not run, there is none here and none to be had; AddressSanitizer is'
    VALGRIND=$valgrind tests/c/run.sh --memory
}

# The bench's own tests, and every workload of both benches on a few entries; speed does not matter here.
run_bench() { (unset CARGO_PROFILE_DEV_OPT_LEVEL && scripts/bench.sh --smoke) && scripts/bench-bindings.sh --smoke; }

# Arguments: the binary and the test.
run_test() { cargo test -p aidb-tests --locked --target-dir "$out" --test "$1" "$2" -- --nocapture; }

# Runs schedules from one seed after the other, until the time is up.
run_models() {
    local until=$((SECONDS + $1)) next=$((seed % 1000000)) result=0
    while [ $SECONDS -lt $until ] && [ $result = 0 ]; do
        AIDB_SHUTTLE_SEED=$next AIDB_SHUTTLE_RUNS=5 RUSTFLAGS='--cfg shuttle' \
            cargo test -p aidb -p aidb-ffi --lib models --locked --target-dir "$TARGET/shuttle" -- --nocapture || result=1
        next=$((next + 1))
    done
    return $result
}

run_part() {
    local part=$1 seconds=$2
    export AIDB_TORTURE_SECONDS=$seconds
    case $part in
    power) run_test crash power_is_cut_at_every_change_of_the_disk ;;
    faults) run_test crash every_operation_fails_once_and_for_good ;;
    damage) run_test crash damage_is_an_error_and_never_a_wrong_answer ;;
    lives) run_test system killed_writers_keep_every_acknowledged_write ;;
    disk) run_test system full_disk ;;
    metamorphic) AIDB_META_SECONDS=$seconds run_test metamorphic random_histories_hold_what_is_promised ;;
    models) run_models "$seconds" ;;
    asan) (unset CARGO_PROFILE_DEV_OPT_LEVEL && scripts/asan.sh units) ;;
    valgrind) run_valgrind ;;
    bench) run_bench ;;
    esac
}

heading "torture"
printf 'seed %s, %s minutes, %s parts at once; again: SEED=%s make torture MINUTES=%s\n' \
    "$seed" "$minutes" "$lanes" "$seed" "$minutes"
begun=$SECONDS
for part in "${parts[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$lanes" ]; do wait -n; done
    seconds=$((minutes * 60 * lanes * ${share[$part]} / (total > 0 ? total : 1)))
    (
        started=$SECONDS
        run_part "$part" "$seconds" >"$logs/$part.log" 2>&1
        echo $? >"$logs/$part.result"
        echo $((SECONDS - started)) >"$logs/$part.seconds"
    ) &
done
wait

# The sum of the numbers after NAME= in all figures of a part.
figure() {
    local sum
    sum=$(grep -aho "figures of .*" "$logs/$1.log" | grep -o " $2=[0-9]*" | awk -F= '{ sum += $2 } END { print sum }')
    [ "$1 $2" = 'models histories' ] &&
        sum=$(sed -n 's/^model .*: \([0-9]*\) schedules.*/\1/p' "$logs/models.log" | awk '{ sum += $1 } END { print sum }')
    [ "$1 $2" = 'models violations' ] && sum=$(grep -ac '^test .* FAILED' "$logs/models.log")
    printf '%s' "${sum:--}"
}

failed=0
for part in "${parts[@]}"; do
    if [ "$(cat "$logs/$part.result" 2>/dev/null)" != 0 ]; then
        failed=$((failed + 1))
        heading "$part FAILED"
        grep -aE 'VIOLATION|panicked|rerun|again:|failed:|FAILED:|^error' -A2 "$logs/$part.log" | tail -40
        printf 'the whole log: %s\n' "${logs#"$ROOT"/}/$part.log"
    fi
    grep -a 'not run' "$logs/$part.log"
done

heading "table"
columns=(histories whole points states faults violations)
printf '%-12s %8s' part seconds
printf ' %11s' "${columns[@]}"
printf '\n'
for part in "${parts[@]}"; do
    printf '%-12s %8s' "$part" "$(cat "$logs/$part.seconds")"
    for column in "${columns[@]}"; do printf ' %11s' "$(figure "$part" "$column")"; done
    [ "$(cat "$logs/$part.result")" = 0 ] && printf '\n' || printf ' %sFAILED%s\n' "$red" "$plain"
done
# With enough time each part must walk every point and byte of at least one history.
if [ "$minutes" -ge 20 ]; then
    for part in power faults damage; do
        [ "$(cat "$logs/$part.result" 2>/dev/null)" = 0 ] && [ "$(figure "$part" whole)" = 0 ] || continue
        printf '%s: no history was walked whole within the time\n' "$part"
        [ "$minutes" -lt 30 ] || failed=$((failed + 1))
    done
fi
if [ $failed -gt 0 ]; then
    printf '%smake torture: %d of %d parts FAILED%s in %d s; seed %s\n' "$red" $failed ${#parts[@]} "$plain" $((SECONDS - begun)) "$seed"
    exit 1
fi
printf '%smake torture: no violation%s in %d s; seed %s\n' "$green" "$plain" $((SECONDS - begun)) "$seed"
