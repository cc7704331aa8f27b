#!/usr/bin/env bash
# Runs the example programs of every language, each in an empty directory. Run scripts/build.sh c python node first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
shopt -s nullglob

prefix=$TARGET/prefix
out=$TARGET/examples
rm -rf "$out"
mkdir -p "$out" "$TARGET/node/examples"
link=(-I"$prefix/include" -L"$prefix/lib" -Wl,-rpath,"$prefix/lib" -pthread)

run() { # name, command...
    local name=$1
    shift
    printf '%s-- %s%s\n' "$bold" "$name" "$plain"
    mkdir -p "$out/empty"
    (cd "$out/empty" && "$@" "$out/db")
    rm -rf "$out/empty" "$out/db"
}

cargo build -q -p aidb-examples
for source in examples/rust/*.rs; do
    run "$source" "$TARGET/debug/$(basename "$source" .rs)"
done
for source in examples/c/*.c; do
    gcc -std=c99 -Wall -Wextra -pedantic -Werror -o "$out/program" "$source" "${link[@]}" -laidb
    run "$source" "$out/program"
done
for source in examples/cpp/*.cpp; do
    g++ -std=c++17 -Wall -Wextra -pedantic -Werror -o "$out/program" "$source" "${link[@]}" -laidb
    run "$source" "$out/program"
done
for source in examples/python/*.py; do
    run "$source" "$TARGET/venv/bin/python" "$ROOT/$source"
done
for source in examples/node/*.js examples/node/*.mjs; do
    cp "$source" "$TARGET/node/examples/"
    run "$source" node "$TARGET/node/examples/$(basename "$source")"
done
