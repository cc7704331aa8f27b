#!/usr/bin/env bash
# Runs all checks: test.sh [SECTION...], all sections by default. Each section prints its runner's own output under a
# heading and its time at the end. A failed section fails the run, and the others still run.
#
# Named sections run one after the other. All sections together run in two lanes at once, one for test builds and one
# for release builds, so that neither waits for cargo's locks. The output of the first lane appears at its end.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

first=(tools format)
testing=(lint rustdoc rust models asan)
releasing=(build c guard python node cross examples samples fuzz)
all=("${first[@]}" "${testing[@]}" "${releasing[@]}")

section_tools() { scripts/check-tools.sh; }

section_format() { cargo fmt --all --check && for own in bench scripts/coverage tests/fuzz; do (cd $own && cargo fmt --check) || return; done; }

section_lint() {
    "$(find_python)" scripts/notices.py --check || return
    cargo clippy --workspace --all-targets --locked -- -D warnings
}

section_rustdoc() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked; }

section_build() { scripts/build.sh c python node; }

# The crates of bindings are tested in their languages. Python's cannot be linked without Python.
section_rust() {
    local without=()
    [ ! -d bindings/python ] || without=(--exclude aidb-python)
    cargo test --workspace "${without[@]}" --locked --no-fail-fast || return
    scripts/miri.sh --check
}

# Schedules of the concurrency models: docs/testing.md. This build is for the models alone and includes all tests of the
# crates, so only the model checker is optimised.
section_models() {
    AIDB_SHUTTLE_RUNS=${AIDB_SHUTTLE_RUNS:-5} RUSTFLAGS='--cfg shuttle' RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=none \
        cargo --config profile.dev.opt-level=0 --config 'profile.dev.package."*".opt-level=1' \
        --config profile.dev.package.zstd-sys.opt-level=0 \
        test -p aidb -p aidb-ffi --lib models --locked --target-dir target/shuttle -- --nocapture
}

section_c() {
    if CLANG=$(scripts/clang.sh); then
        echo "gcc and $CLANG compile the programs for LevelDB"
    else
        echo 'no clang here and none to be had: gcc alone compiles the programs for LevelDB'
        CLANG=''
    fi
    export CLANG
    tests/c/run.sh
}

section_python() { bindings/python/test.sh; }
section_node() { bindings/node/test.sh; }
section_cross() { tests/cross/run.sh; }
section_examples() { scripts/examples.sh; }
section_samples() { cargo build -q -p aidb && "$(find_python)" scripts/samples.py; }
section_asan() { scripts/asan.sh programs; }
section_fuzz() { scripts/fuzz.sh --fixed; }
section_guard() { scripts/guard.sh; }

if [ "${1:-}" = --list ]; then
    echo "${all[*]}"
    exit
fi
sections=("$@")
[ $# -gt 0 ] || sections=("${all[@]}")
for section in "${sections[@]}"; do
    declare -F "section_$section" >/dev/null || die "no section $section; there are: ${all[*]}"
done

mkdir -p "$TARGET"
logs=$(mktemp -d "$TARGET/test-XXXXXX")
touch "$logs/results" "$logs/passed"
begun=$SECONDS lane=''

# However this script ends, it ends the other lane and shows its output.
finish() {
    [ -z "$lane" ] || { kill -- -"$lane"; cat "$logs/testing"; } 2>/dev/null
    rm -rf "$logs"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# Runs the sections one after the other; fails if tools are missing. Each section's result line goes to $logs/results,
# and the name of a passed one to $logs/passed.
run() {
    local section started word colour
    for section in "$@"; do
        heading "$section"
        started=$SECONDS
        word=ok colour=$green
        ("section_$section") || word=FAILED colour=$red
        printf '%s%-7s%s %-10s %4d s\n' "$colour" "$word" "$plain" "$section" $((SECONDS - started)) |
            tee -a "$logs/results"
        [ $word != ok ] || echo "$section" >>"$logs/passed"
        [ "$section $word" != 'tools FAILED' ] || return 1
    done
}

if [ $# -gt 0 ]; then
    run "${sections[@]}"
elif run "${first[@]}"; then
    heading "at the same time: ${testing[*]}"
    # With job control the lane is a process group.
    set -m
    run "${testing[@]}" >"$logs/testing" 2>&1 &
    lane=$!
    set +m
    run "${releasing[@]}"
    wait "$lane"
    lane=''
    cat "$logs/testing"
fi

heading 'summary'
cat "$logs/results"
failed=$((${#sections[@]} - $(wc -l <"$logs/passed")))
if [ $failed != 0 ]; then
    printf '%smake test: %d of %d sections FAILED or did not run%s, in %d s\n' "$red" $failed ${#sections[@]} "$plain" $((SECONDS - begun))
    exit 1
fi
printf '%smake test: all %d sections passed%s in %d s\n' "$green" ${#sections[@]} "$plain" $((SECONDS - begun))
