#!/usr/bin/env bash
# Measures the wheel and the npm package beside their peers, as bench/README.md describes. `make bench-bindings` sets
# the variables N (entries, 200000) and ROUNDS (5). With --smoke it runs every workload on a thousand entries, to check
# that it works.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

entries=${N:-200000} rounds=${ROUNDS:-5}
[ "${1:-}" != --smoke ] || { entries=1000 rounds=1; }
out=$TARGET/bench-bindings
mkdir -p "$out/node"
scripts/build.sh python node

[ -x "$out/venv/bin/python" ] || "$(find_python)" -m venv "$out/venv"
"$out/venv/bin/python" -m pip install -q -r bench/bindings/requirements.txt
"$out/venv/bin/python" -m pip install -q --force-reinstall --no-deps target/wheel/aidb-*.whl
cp bench/bindings/package.json "$out/node/"
(cd "$out/node" && npm install --silent --no-package-lock "$TARGET"/node/aidb-*.tgz)

"$out/venv/bin/python" bench/bindings/compare.py "$out/venv/bin/python" "$out/node" "$entries" "$rounds" |
    tee "$out/tables.md"
