#!/usr/bin/env bash
# Line coverage of core and ffi by the Rust tests, with the stable toolchain alone: instrumented binaries write
# profiles, and scripts/coverage reads them. COVERAGE_PACKAGES chooses other packages.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

read -ra packages <<<"${COVERAGE_PACKAGES:-aidb aidb-ffi aidb-tests}"
out=$TARGET/coverage
rm -rf "$out/profiles"
mkdir -p "$out/profiles"

heading 'reader of profiles'
CARGO_TARGET_DIR=$out/reader cargo build --release --locked --manifest-path scripts/coverage/Cargo.toml

heading 'instrumented tests'
export RUSTFLAGS='-C instrument-coverage' CARGO_TARGET_DIR=$out/build
# One file per binary; its processes merge their counts into it as they end.
export LLVM_PROFILE_FILE=$out/profiles/%m_%p.profraw
arguments=()
for package in "${packages[@]}"; do arguments+=(-p "$package"); done
cargo test "${arguments[@]}" --lib --bins --tests --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p' >"$out/objects"
[ -s "$out/objects" ] || die 'no test binaries were built'
# Build scripts and macros also wrote profiles, which say nothing about our code.
rm -f "$out"/profiles/*
result=0
cargo test "${arguments[@]}" --lib --bins --tests --no-fail-fast || result=$?

heading 'lines run by the tests'
"$out/reader/release/aidb-coverage" "$out/profiles" "$out/objects" "$ROOT" ${COVERAGE_SOURCES:-core/src ffi/src}
[ $result = 0 ] || die 'the figures are of a run with failed tests, see above'
