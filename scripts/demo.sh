#!/usr/bin/env bash
# The main use of AiDb on real input, end to end: builds the library, the wheel and the package, indexes the sources of
# the Python standard library in one database from C and Python, queries it from Node, and verifies it from Rust.
# examples/demo/README.md describes the programs. Results stay in target/demo.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

begun=$SECONDS
out=$TARGET/demo
prefix=$TARGET/prefix

heading 'building (the first time takes a few minutes)'
scripts/build.sh c python node
cargo build --release -p aidb-demo
rm -rf "$out"
mkdir -p "$out"
gcc -std=gnu99 -O2 -Wall -Wextra -I"$prefix/include" -o "$out/create" examples/demo/create.c \
    -L"$prefix/lib" -Wl,-rpath,"$prefix/lib" -laidb
# Node looks for packages beside the program.
cp examples/demo/query.mjs "$TARGET/node/query.mjs"

heading 'the corpus: the Python standard library'
"$(find_python)" - "$out" <<'PYTHON'
import pathlib, sys, sysconfig
root = pathlib.Path(sysconfig.get_path("stdlib"))
out = pathlib.Path(sys.argv[1])
files = sorted(
    path.relative_to(root) for path in root.rglob("*.py")
    if "site-packages" not in path.parts and "dist-packages" not in path.parts
)
files = [path for path in files if "\n" not in str(path) and str(path).isascii()]
half = len(files) // 2
for name, part in (("all", files), ("first", files[:half]), ("second", files[half:])):
    (out / f"{name}.txt").write_text("".join(f"{path}\n" for path in part))
(out / "root.txt").write_text(str(root))
size = sum((root / path).stat().st_size for path in files)
print(f"{len(files)} files, {size / 1e6:.1f} MB, from {root}")
PYTHON
root=$(cat "$out/root.txt")

heading 'the index, in one database'
"$out/create" "$out/db" "$root" "$out/first.txt"
"$TARGET/venv/bin/python" examples/demo/extend.py "$out/db" "$root" "$out/second.txt"
node "$TARGET/node/query.mjs" "$out/db"
"$TARGET/release/aidb-demo-verify" "$out/db" "$root" "$out/all.txt"

printf '\nmake demo: done in %d s; the database is %s (%s)\n' $((SECONDS - begun)) \
    "${out#"$ROOT"/}/db" "$(du -sh "$out/db" | cut -f1)"
