#!/usr/bin/env bash
# Opens one directory from C, Python, Node and Rust in turn, twice around. README.md has the rules. Run scripts/build.sh
# c python node first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

out=$TARGET/cross
prefix=$TARGET/prefix
rm -rf "$out"
mkdir -p "$out"
gcc -std=c99 -Wall -Wextra -pedantic -Werror -I"$prefix/include" -o "$out/cross" tests/cross/cross.c \
    -L"$prefix/lib" -Wl,-rpath,"$prefix/lib" -laidb
cargo build -q -p aidb-tests --bin cross
# Node looks for packages beside the program.
cp tests/cross/cross.mjs "$TARGET/node/cross.mjs"

turn=0
for _ in 1 2; do
    "$out/cross" "$out/db" $((turn++))
    "$TARGET/venv/bin/python" tests/cross/cross.py "$out/db" $((turn++))
    node "$TARGET/node/cross.mjs" "$out/db" $((turn++))
    "$TARGET/debug/cross" "$out/db" $((turn++))
done
echo "cross: $turn turns of four languages agree"
