#!/usr/bin/env bash
# Makes a static library that exports only AiDb's own functions: static-library.sh FROM TO. FROM is the archive that
# cargo makes. It also holds Rust's standard library and zstd, whose names would clash with another Rust library or with
# the program's own zstd, or replace them. TO has one object: all code that AiDb's functions need, with all other names
# local. Needs GNU binutils, which come with gcc; LD and OBJCOPY name other ones.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# = 2 ] || die 'usage: static-library.sh FROM TO'
from=$1 to=$2
if [ -z "${LD:-}" ]; then
    LD=$(command -v ld.bfd || command -v ld) || die 'no linker (ld of GNU binutils) here'
fi
object=$(mktemp -d "$(dirname "$to")/static-XXXXXX")
trap 'rm -rf "$object"' EXIT

# Each function is a root: the linker leaves out code that none of them reaches.
mapfile -t functions < <(readelf -sW "$from" | awk '$5 == "GLOBAL" && $7 != "UND" && $8 ~ /^aidb_/ { print $8 }' | sort)
[ ${#functions[@]} -gt 0 ] || die "$from has no function of AiDb"
# Resolve groups here: the final linker must not merge one of ours with another library's of the same name.
"$LD" -r --gc-sections --force-group-allocation "${functions[@]/#/--undefined=}" -o "$object/aidb.o" "$from"
# Rust's standard library contains its own intermediate code; its pieces make no sense as one section.
"${OBJCOPY:-objcopy}" --wildcard --keep-global-symbol='aidb_*' --remove-section=.llvmbc --remove-section=.llvmcmd \
    "$object/aidb.o"
(cd "$object" && ar crsD libaidb.a aidb.o)
mv "$object/libaidb.a" "$to"
