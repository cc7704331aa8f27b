#!/usr/bin/env bash
# Builds the packages for programs in other languages, from release builds that share one target directory:
#   c       libaidb and aidb.h, installed below target/prefix
#   python  the wheel, in the virtual environment target/venv
#   node    the packed tarball, in the project target/node
# It does not install a part again whose package did not change.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

mkdir -p "$TARGET"

# changed STAMP FILE...: whether the files differ from their state at the last call with STAMP; updates STAMP.
changed() {
    local stamp=$1 sums
    shift
    sums=$(sha256sum "$@")
    [ "$(cat "$stamp" 2>/dev/null)" = "$sums" ] && return 1
    echo "$sums" >"$stamp.new"
}
keep() { mv "$1.new" "$1"; }

build_c() {
    cargo build --release --locked -p aidb-ffi
    # Here, whatever directories the caller has set.
    env -u LIBDIR -u INCLUDEDIR -u PKGCONFIGDIR -u CMAKEDIR -u DOCDIR -u DEBUGDIR -u STRIP \
        scripts/install.sh '' "$TARGET/prefix" >/dev/null
    echo "built target/prefix/lib/libaidb.so"
}

build_python() {
    local python wheel
    python=$(find_python)
    [ -x target/venv-build/bin/python ] || "$python" -m venv target/venv-build
    target/venv-build/bin/python -m pip install -q -r bindings/python/requirements-build.txt
    rm -rf target/wheel
    target/venv-build/bin/maturin build -q --release --locked --manifest-path bindings/python/Cargo.toml \
        --interpreter "$python" --out target/wheel
    wheel=$(echo target/wheel/aidb-*.whl)
    if changed target/venv.stamp "$wheel" || [ ! -x target/venv/bin/python ]; then
        [ -x target/venv/bin/python ] || "$python" -m venv target/venv
        target/venv/bin/python -m pip install -q tqdm
        target/venv/bin/python -m pip install -q --force-reinstall --no-deps "$wheel"
        keep target/venv.stamp
    fi
    echo "built $wheel, installed in target/venv"
}

build_node() {
    local project=$TARGET/node
    mkdir -p "$project"
    node bindings/node/scripts/build.js
    rm -f "$project"/aidb-*.tgz
    (cd bindings/node && npm pack --silent --pack-destination "$project" >/dev/null)
    if changed "$project/stamp" "$project"/aidb-*.tgz || [ ! -d "$project/node_modules/aidb" ]; then
        echo '{ "name": "aidb-programs", "version": "0.0.0", "private": true }' >"$project/package.json"
        rm -rf "$project/node_modules" "$project/package-lock.json"
        (cd "$project" && npm install --silent --no-save "$project"/aidb-*.tgz)
        keep "$project/stamp"
    fi
    echo "built $(basename "$project"/aidb-*.tgz), installed in target/node"
}

for part in "$@"; do
    "build_$part"
done
