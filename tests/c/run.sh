#!/usr/bin/env bash
# Compiles the programs beside this script, and the C and C++ examples, against include/ and libaidb, and runs them. Any
# warning or failed check fails the run. Every program is linked with the shared library; one of each language is linked
# with the static library as well. scripts/asan.sh checks memory: it runs the same programs with a sanitized library.
#
#   run.sh            what make test runs
#   run.sh --memory   runs the programs as users link them, and checks memory and leaks: a part of make torture
#
#   PROFILE   release (the default) or debug: which libaidb of target/; built first
#   VALGRIND  the command of valgrind; empty or unset: gcc's AddressSanitizer checks the programs instead (--memory)
#   CLANG     the command of clang, or empty. If set, both compilers compile the programs for LevelDB: they evaluate the
#             arguments of a call in opposite orders
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-$PWD/target}
out=$target/c-tests
[ "${1:-}" != --memory ] || out=$target/c-memory
lib=$out/lib
failed=0

flags=()
[ "$profile" = release ] && flags=(--release)
cargo build -q -p aidb-ffi "${flags[@]}"

rm -rf "$out"
mkdir -p "$lib"
# As an installation has it: the file, its SONAME, and the name for -laidb.
cp "$target/$profile/libaidb.so" "$lib/libaidb.so.0"
ln -s libaidb.so.0 "$lib/libaidb.so"
scripts/static-library.sh "$target/$profile/libaidb.a" "$lib/libaidb.a"

say() { printf -- '-- %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    failed=1
}

# run NAME COMMAND...: the program's last argument is an empty directory for its database.
run() {
    local name=$1
    shift
    say "$name"
    rm -rf "$out/db"
    "$@" "$out/db" || fail "$name"
}

strict=(-Wall -Wextra -pedantic -Werror -g -O1 -Iinclude)
c() { gcc -std=c99 -D_POSIX_C_SOURCE=200809L "${strict[@]}" "$@"; }
cpp() { g++ -std=c++17 "${strict[@]}" "$@"; }
shared=(-L"$lib" -Wl,-rpath,"$lib" -laidb -pthread)
# The system libraries that Rust's standard library and zstd need; the same list is in ffi/packaging/aidb.pc.in.
static=("$lib/libaidb.a" -pthread -lm -ldl)

# A program written for LevelDB finds the header under LevelDB's name.
mkdir -p "$out/leveldb"
echo '#include <aidb_leveldb.h>' >"$out/leveldb/c.h"

# test_misuse.c calls everything that the header declares.
tests/c/misuse.py include/aidb.h >"$out/misuse_calls.h" || fail 'misuse.py'

sources=(tests/c/*.c tests/c/*.cpp examples/c/*.c examples/cpp/*.cpp)
compiler_of() { [[ $1 == *.cpp ]] && echo cpp || echo c; }
includes=(-I"$out")

check_memory() {
    local source compiler leaks
    for source in "${sources[@]}"; do
        # A memory limit would end the checker.
        [[ $source != *test_no_memory.c ]] || continue
        compiler=$(compiler_of "$source")
        if [ -n "${VALGRIND:-}" ]; then
            "$compiler" "$source" -o "$out/shared" "${includes[@]}" "${shared[@]}" || { fail "$source"; continue; }
            # A forked child keeps memory that the threads of its parent were using.
            leaks=full
            [[ $source != *test_fork.c ]] || leaks=no
            AIDB_MISUSE_ROUNDS=20 AIDB_FORKS=2 AIDB_FORK_WRITES=2000 run "$source, under valgrind" $VALGRIND --quiet \
                --error-exitcode=99 --leak-check=$leaks --errors-for-leak-kinds=definite \
                --show-leak-kinds=definite --fair-sched=yes "$out/shared"
        else
            "$compiler" -fsanitize=address "$source" -o "$out/checked" "${includes[@]}" "${shared[@]}" ||
                { fail "$source"; continue; }
            run "$source, under AddressSanitizer" "$out/checked"
        fi
    done
}

if [ "${1:-}" = --memory ]; then
    check_memory
    [ $failed = 0 ] || exit 1
    say 'all C and C++ programs passed with memory checked'
    exit
fi

# The flags of careful programs: a header must not bring warnings into them.
careful=("${strict[@]}" -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wundef -Wformat=2 -Wdouble-promotion)
careful_cpp=("${careful[@]}" -Wold-style-cast -Wuseless-cast -Wextra-semi -Wnon-virtual-dtor -Woverloaded-virtual -Weffc++)

say 'aidb.h alone, as C99 and as C++11; the other headers alone; aidb.hpp in use'
for header in aidb.h aidb_leveldb.h; do
    echo "#include <$header>" | gcc -std=c99 "${careful[@]}" -Wstrict-prototypes -xc -fsyntax-only - || fail "$header as C99"
    echo "#include <$header>" | g++ -std=c++11 "${careful_cpp[@]}" -xc++ -fsyntax-only - || fail "$header as C++11"
done
echo '#include <aidb.hpp>' | g++ -std=c++17 "${careful_cpp[@]}" -xc++ -fsyntax-only - || fail 'aidb.hpp'
g++ -std=c++17 "${careful_cpp[@]}" -fsyntax-only tests/c/test_aidb.cpp || fail 'aidb.hpp in use'

say 'what libaidb.so exports'
exported=$(nm -D --defined-only "$lib/libaidb.so" | awk '{ print $3 }' | sort)
others=$(grep -v '^aidb_' <<<"$exported" || true)
[ -z "$others" ] || fail "libaidb.so exports more than aidb_*: $others"
declared=$(sed 's|//.*||' include/aidb.h | grep -o '\baidb_[a-z_]*(' | tr -d '(' | sort -u)
[ "$declared" = "$exported" ] || fail "header and library differ: $(diff <(echo "$declared") <(echo "$exported"))"
soname=$(readelf -d "$lib/libaidb.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ "$soname" = libaidb.so.0 ] || fail "the SONAME is '$soname'"

say 'what libaidb.a shows'
shown=$(readelf -sW "$lib/libaidb.a" | awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 ~ /^[0-9A-Z]+$/ && $7 != "UND" { print $8 }' | sort)
[ "$declared" = "$shown" ] || fail "header and libaidb.a differ: $(diff <(echo "$declared") <(echo "$shown"))"

for source in "${sources[@]}"; do
    compiler=$(compiler_of "$source")
    "$compiler" "$source" -o "$out/shared" "${includes[@]}" "${shared[@]}" || { fail "$source"; continue; }
    run "$source, shared" "$out/shared"
    # The linker, and one program that calls everything, find whatever a static library lacks or clashes with.
    case $source in
    tests/c/test_aidb.*)
        "$compiler" "$source" -o "$out/static" "${includes[@]}" "${static[@]}" || { fail "$source, static"; continue; }
        run "$source, static" "$out/static"
        ;;
    esac
done

# Programs for LevelDB compile the calls into themselves: try each way of compiling.
for source in tests/c/test_leveldb*.c; do
    g++ -xc++ -std=c++17 "${strict[@]}" "$source" -xnone -o "$out/cpp" "${includes[@]}" "${shared[@]}" || { fail "$source as C++"; continue; }
    run "$source, as C++" "$out/cpp"
    if [ -n "${CLANG:-}" ]; then
        "$CLANG" -std=c99 -D_POSIX_C_SOURCE=200809L "${strict[@]}" "$source" -o "$out/clang" "${includes[@]}" "${shared[@]}" ||
            { fail "$source by clang"; continue; }
        run "$source, by clang" "$out/clang"
    fi
done

# A program may have a zstd of its own, and another Rust library with the same standard library.
say 'libaidb.a beside a program with names of zstd and beside another static library of Rust, in both orders'
rustc --edition 2024 -O --crate-type staticlib --crate-name neighbour tests/c/neighbours/neighbour.rs -o "$lib/libneighbour.a"
for order in "$lib/libaidb.a $lib/libneighbour.a" "$lib/libneighbour.a $lib/libaidb.a"; do
    # shellcheck disable=SC2086
    c tests/c/neighbours/main.c -o "$out/neighbours" $order -pthread -lm -ldl || { fail "does not link: $order"; continue; }
    run "neighbours: $order" "$out/neighbours"
done

tests/c/install.sh || fail 'tests/c/install.sh'

say 'an example that cannot open its database says why'
c examples/c/fruit.c -o "$out/fruit" "${shared[@]}"
"$out/fruit" /dev/null/fruit.db 2>"$out/why" && fail 'fruit.c opened a database below /dev/null'
grep -q '/dev/null/fruit.db' "$out/why" || fail "fruit.c says: $(cat "$out/why")"

[ $failed = 0 ] || exit 1
say 'all C and C++ programs passed'
