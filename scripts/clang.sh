#!/usr/bin/env bash
# Prints the command to compile C with clang: the system's, or Debian's packages unpacked below target/debian. Exit
# status 1 if none works; then the C tests do not use clang.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

works() { echo 'int main(void) { return 0; }' | "$1" -xc - -o "$TARGET/clang-works" >/dev/null 2>&1; }

mkdir -p "$TARGET"
if system=$(command -v clang) && works "$system"; then
    echo "$system"
    exit 0
fi
number=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' | head -n1)
[ -n "$number" ] || exit 1
scripts/debian.sh "clang-$number" "libclang-common-$number-dev" "libclang-cpp$number" "libllvm$number" >&2 || exit 1
root=$TARGET/debian/root
wrapper=$TARGET/debian/bin/clang
mkdir -p "$TARGET/debian/bin"
cat >"$wrapper" <<WRAPPER
#!/bin/sh
# clang needs its own libraries, unpacked here.
export LD_LIBRARY_PATH='$root/usr/lib/$(gcc -print-multiarch)'
exec '$root/usr/lib/llvm-$number/bin/clang' "\$@"
WRAPPER
chmod +x "$wrapper"
works "$wrapper" || exit 1
echo "$wrapper"
