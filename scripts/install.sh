#!/usr/bin/env bash
# Installs the C library: install.sh [--remove] DESTDIR PREFIX. Headers, libaidb.so with its SONAME links, libaidb.a,
# the files for pkg-config and CMake, and the licences. DESTDIR (may be empty) precedes every path and does not appear
# in any file. A path that is not absolute is below PREFIX:
#
#   LIBDIR        libraries (lib)                   PKGCONFIGDIR  aidb.pc (LIBDIR/pkgconfig)
#   INCLUDEDIR    headers (include)                 CMAKEDIR      CMake's files (LIBDIR/cmake/aidb)
#   DOCDIR        licences (share/doc/aidb)
#   STRIP         the program that removes debug information from the libraries (strip); empty: the libraries keep it
#   DEBUGDIR      the directory for libaidb.so's, as gdb looks for it (/usr/lib/debug); empty, the default: none
set -euo pipefail
shopt -s extglob
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

remove=0
[ "${1:-}" = --remove ] && { remove=1; shift; }
[ $# = 2 ] || die 'usage: install.sh [--remove] DESTDIR PREFIX'
case $2 in /*) ;; *) die "PREFIX must be an absolute path, not '$2'" ;; esac
destdir=$1
prefix=${2%%+(/)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
major=${version%%.*}

below_prefix() { case $1 in /*) echo "$1" ;; *) echo "$prefix/$1" ;; esac; }
libdir=$(below_prefix "${LIBDIR:-lib}")
includedir=$(below_prefix "${INCLUDEDIR:-include}")
pkgconfigdir=$(below_prefix "${PKGCONFIGDIR:-$libdir/pkgconfig}")
cmakedir=$(below_prefix "${CMAKEDIR:-$libdir/cmake/aidb}")
docdir=$(below_prefix "${DOCDIR:-share/doc/aidb}")
debugfile=${DEBUGDIR:+$DEBUGDIR$libdir/libaidb.so.$version.debug}

# prune ROOT DIRECTORY...: removes the directories and those above them up to ROOT, if they are empty. It keeps the
# system's own.
prune() {
    local root=$1 directory
    for directory in "${@:2}"; do
        while [[ $directory == "$root"/* || $directory == "$root" ]]; do
            case $directory in
            /usr | /usr/lib | /usr/lib/debug | /usr/local | /usr/local/lib | /usr/local/include | /usr/local/share) break ;;
            esac
            rmdir "$destdir$directory" 2>/dev/null || break
            directory=$(dirname "$directory")
        done
    done
}

if [ $remove = 1 ]; then
    for header in include/*; do rm -f "$destdir$includedir/$(basename "$header")"; done
    rm -f "$destdir$libdir"/libaidb.{a,so,so."$major",so."$version"} "$destdir$pkgconfigdir/aidb.pc"
    for template in ffi/packaging/*.cmake.in; do rm -f "$destdir$cmakedir/$(basename "$template" .in)"; done
    for text in LICENSE-* ffi/THIRD-PARTY-LICENSES; do rm -f "$destdir$docdir/$(basename "$text")"; done
    if [ -n "$debugfile" ]; then
        rm -f "$destdir$debugfile"
        prune "$DEBUGDIR" "$(dirname "$debugfile")"
    fi
    for directory in "$cmakedir" "$pkgconfigdir" "$docdir" "$includedir" "$libdir"; do
        case $directory in
        "$prefix"/*) prune "$prefix" "$directory" ;;
        "$libdir"/*) prune "$(dirname "$libdir")" "$directory" ;;
        *) prune "$(dirname "$directory")" "$directory" ;;
        esac
    done
    echo "removed AiDb $version from $destdir$prefix"
    exit
fi

[ -f target/release/libaidb.so ] || cargo build --release --locked -p aidb-ffi
made=$(mktemp -d "$TARGET/install-XXXXXX")
trap 'rm -rf "$made"' EXIT
scripts/static-library.sh target/release/libaidb.a "$made/libaidb.a"
cp target/release/libaidb.so "$made/libaidb.so"
if [ -n "$debugfile" ]; then
    (cd "$made" && objcopy --only-keep-debug libaidb.so "$(basename "$debugfile")")
fi
if [ -n "${STRIP-strip}" ]; then
    "${STRIP-strip}" --strip-unneeded "$made/libaidb.so"
    "${STRIP-strip}" --strip-unneeded --enable-deterministic-archives "$made/libaidb.a"
fi
if [ -n "$debugfile" ]; then
    (cd "$made" && objcopy --add-gnu-debuglink="$(basename "$debugfile")" libaidb.so)
    install -D -m 644 "$made/$(basename "$debugfile")" "$destdir$debugfile"
fi

install -d "$destdir$includedir" "$destdir$libdir" "$destdir$pkgconfigdir" "$destdir$cmakedir" "$destdir$docdir"
install -m 644 include/*.h include/*.hpp "$destdir$includedir/"
install -m 644 LICENSE-* ffi/THIRD-PARTY-LICENSES "$destdir$docdir/"
install -m 644 "$made/libaidb.a" "$destdir$libdir/"
install -m 755 "$made/libaidb.so" "$destdir$libdir/libaidb.so.$version"
ln -sf "libaidb.so.$version" "$destdir$libdir/libaidb.so.$major"
ln -sf "libaidb.so.$major" "$destdir$libdir/libaidb.so"

# A directory in pkg-config's form: with ${prefix}, if it is below that.
by_prefix() { case $1 in "$prefix"/*) echo "\${prefix}${1#"$prefix"}" ;; *) echo "$1" ;; esac; }
from_cmake() { realpath --no-symlinks --canonicalize-missing --relative-to="$cmakedir" "$1"; }
# Escapes text for the second half of an s|||.
literal() { printf %s "$1" | sed 's/[&|\\]/\\&/g'; }
fill() {
    sed -e "s|@PREFIX@|$(literal "$prefix")|g" -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|$major|g" \
        -e "s|@LIBDIR@|$(literal "$(by_prefix "$libdir")")|g" \
        -e "s|@INCLUDEDIR@|$(literal "$(by_prefix "$includedir")")|g" \
        -e "s|@LIBDIR_FROM_CMAKE@|$(literal "$(from_cmake "$libdir")")|g" \
        -e "s|@INCLUDEDIR_FROM_CMAKE@|$(literal "$(from_cmake "$includedir")")|g" "$1"
}
fill ffi/packaging/aidb.pc.in >"$destdir$pkgconfigdir/aidb.pc"
for template in ffi/packaging/*.cmake.in; do
    fill "$template" >"$destdir$cmakedir/$(basename "$template" .in)"
done
echo "installed AiDb $version in $destdir$prefix"
