#!/usr/bin/env bash
# Installs the C library as packagers do, below target/c-tests/install, compiles a program against it, and uninstalls it
# again: no file may stay. Build aidb-ffi for release first.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=$PWD/target/c-tests/install
failed=0
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    failed=1
}
unset MAKEFLAGS MAKELEVEL MFLAGS

# installed NAME LIBDIR INCLUDEDIR VARIABLE...: a program can use what `make install VARIABLE...` installs; then
# uninstalls it.
installed() {
    local name=$1 libdir=$2 includedir=$3 root=$out said prefix text stale
    shift 3
    printf -- '-- make install %s\n' "$*"
    rm -rf "$out"
    make -s install "$@" >/dev/null || { fail "$name: make install"; return; }
    [ -f "$out/$libdir/libaidb.a" ] && [ -f "$out/$includedir/aidb.h" ] || { fail "$name: not where it should be"; return; }
    # The flags of aidb.pc, read without pkg-config, which not every machine has; DESTDIR is not in them.
    [ "$name" != stage ] || root=''
    said=$(cat "$out/$libdir/pkgconfig/aidb.pc")
    prefix=$(sed -n 's/^prefix=//p' <<<"$said")
    said=${said//'${prefix}'/"$prefix"}
    grep -qx "libdir=$root/${libdir#stage/}" <<<"$said" || fail "$name: libdir in aidb.pc: $said"
    grep -qx "includedir=$root/${includedir#stage/}" <<<"$said" || fail "$name: includedir in aidb.pc: $said"
    gcc -std=c99 -I"$out/$includedir" examples/c/fruit.c -o "$out/fruit" -L"$out/$libdir" -Wl,-rpath,"$out/$libdir" -laidb
    "$out/fruit" "$out/fruit.db" >/dev/null || fail "$name: the program"
    rm -rf "$out/fruit" "$out/fruit.db"
    for text in LICENSE-MIT LICENSE-APACHE THIRD-PARTY-LICENSES; do
        [ -s "$(find "$out" -path "*/share/doc/aidb/$text")" ] || fail "$name: $text"
    done
    case " $* " in
    *' STRIP= '*) readelf -SW "$out/$libdir/libaidb.so" | grep -q '\.debug_line' || fail "$name: no debug information" ;;
    *) ! readelf -SW "$out/$libdir/libaidb.so" "$out/$libdir/libaidb.a" | grep -q '\.debug_line' || fail "$name: debug information" ;;
    esac
    make -s uninstall "$@" >/dev/null || fail "$name: make uninstall"
    # Below DESTDIR the system's directory stays.
    mkdir -p "$out"
    stale=$(find "$out" -mindepth 1 ! -path "$out/stage" ! -path "$out/stage/usr")
    [ -z "$stale" ] || fail "$name: uninstall leaves $stale"
}

installed prefix lib include PREFIX="$out"
installed libdir lib64 include PREFIX="$out" LIBDIR="$out/lib64"
installed multiarch lib/x86_64-linux-gnu include/aidb PREFIX="$out" LIBDIR=lib/x86_64-linux-gnu INCLUDEDIR=include/aidb
installed stage stage/usr/lib64 stage/usr/include DESTDIR="$out/stage" PREFIX=/usr LIBDIR=/usr/lib64
installed gnu lib64 include prefix="$out" libdir="$out/lib64"
installed unstripped lib include PREFIX="$out" STRIP=
installed apart b/lib include PREFIX="$out/a" INCLUDEDIR="$out/include" LIBDIR="$out/b/lib"
installed slash lib include PREFIX="$out/"
installed ampersand 'a&b|c/lib' 'a&b|c/include' PREFIX="$out/a&b|c"
installed debug lib include PREFIX="$out" DEBUGDIR="$out/debug"
[ $failed = 0 ]
