#!/usr/bin/env bash
# Installs the C library: install.sh [--remove] DESTDIR PREFIX. Headers, libaidb.so with its SONAME links, libaidb.a,
# and the files for pkg-config and CMake. DESTDIR (may be empty) stands before PREFIX and is not written into any file.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

remove=0
[ "${1:-}" = --remove ] && { remove=1; shift; }
[ $# = 2 ] || die 'usage: install.sh [--remove] DESTDIR PREFIX'
case $2 in /*) ;; *) die "PREFIX must be an absolute path, not '$2'" ;; esac
base=$1$2
prefix=$2
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
major=${version%%.*}

if [ $remove = 1 ]; then
    for header in include/*; do rm -f "$base/include/$(basename "$header")"; done
    rm -f "$base"/lib/libaidb.{a,so,so."$major",so."$version"} "$base/lib/pkgconfig/aidb.pc"
    rm -rf "$base/lib/cmake/aidb"
    echo "removed AiDb $version from $base"
    exit
fi

[ -f target/release/libaidb.so ] || cargo build --release -p aidb-ffi
install -d "$base/include" "$base/lib/pkgconfig" "$base/lib/cmake/aidb"
install -m 644 include/*.h include/*.hpp "$base/include/"
install -m 644 target/release/libaidb.a "$base/lib/"
install -m 755 target/release/libaidb.so "$base/lib/libaidb.so.$version"
ln -sf "libaidb.so.$version" "$base/lib/libaidb.so.$major"
ln -sf "libaidb.so.$major" "$base/lib/libaidb.so"
fill() { sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|$major|g" "$1"; }
fill ffi/packaging/aidb.pc.in >"$base/lib/pkgconfig/aidb.pc"
for template in ffi/packaging/*.cmake.in; do
    fill "$template" >"$base/lib/cmake/aidb/$(basename "$template" .in)"
done
echo "installed AiDb $version in $base"
