#!/usr/bin/env bash
# Builds the wheel and tests it as users install it: in an empty virtual environment, away from the sources.
#
# Usage: test.sh [arguments for pytest]. PYTHON (default python3) is the interpreter, 3.11 or newer. All its
# files are under target/: venv-build (maturin), wheels, venv-test (new each time).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
target="$(cd "$here/../.." && pwd)/target"
python="${PYTHON:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "$python is missing or older than 3.11" >&2; exit 1; }
command -v cargo >/dev/null || { echo "cargo is missing: install Rust" >&2; exit 1; }

mkdir -p "$target"
[ -x "$target/venv-build/bin/python" ] || "$python" -m venv "$target/venv-build"
"$target/venv-build/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/requirements-build.txt"

rm -f "$target"/wheels/aidb-*.whl "$target"/wheels/aidb-*.tar.gz
"$target/venv-build/bin/maturin" build --release --locked \
    --manifest-path "$here/Cargo.toml" --interpreter "$python" --out "$target/wheels"

"$target/venv-build/bin/maturin" sdist --manifest-path "$here/Cargo.toml" --out "$target/wheels"

"$python" -m venv --clear "$target/venv-test"
"$target/venv-test/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$target"/wheels/aidb-*.whl --requirement "$here/requirements-test.txt"

# In an empty directory and without the caller's PYTHONPATH Python finds only the installed wheel.
away="$(mktemp -d "$target/python-test.XXXXXX")"
trap 'rm -rf "$away"' EXIT
cd "$away"
unset PYTHONPATH
AIDB_WHEEL="$(echo "$target"/wheels/aidb-*.whl)" AIDB_SDIST="$(echo "$target"/wheels/aidb-*.tar.gz)" AIDB_REPOSITORY="$here/../.." \
    "$target/venv-test/bin/python" -m pytest --rootdir "$here/tests" --config-file "$here/pyproject.toml" \
    -p no:cacheprovider --import-mode=importlib "$here/tests" "$@"
