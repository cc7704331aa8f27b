#!/usr/bin/env bash
# Prints the command to run valgrind: the system's, or Debian's package unpacked below target/debian. Exit status 1 if
# none works; then the C tests use AddressSanitizer.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

works() { "$1" --error-exitcode=9 --quiet "$(command -v true)" >/dev/null 2>&1; }

if system=$(command -v valgrind) && works "$system"; then
    echo "$system"
    exit 0
fi
scripts/debian.sh valgrind libc6-dbg >&2 || exit 1
root=$TARGET/debian/root
wrapper=$TARGET/debian/bin/valgrind
# valgrind looks for symbols by build id only in /usr/lib/debug; below --extra-debuginfo-path it expects them in the
# library's own directory, under the name in the library's debug link.
symbols=$TARGET/debian/symbols
for dir in /lib /usr/lib; do
    dir=$dir/$(gcc -print-multiarch)
    mkdir -p "$symbols$dir"
    find "$root/usr/lib/debug/.build-id" -name '*.debug' -exec ln -sf -t "$symbols$dir" {} +
done
mkdir -p "$TARGET/debian/bin"
cat >"$wrapper" <<WRAPPER
#!/bin/sh
# valgrind needs its own tools and the symbols of the C library, both unpacked here.
VALGRIND_LIB='$root/usr/libexec/valgrind' exec '$root/usr/bin/valgrind' --extra-debuginfo-path='$symbols' "\$@"
WRAPPER
chmod +x "$wrapper"
works "$wrapper" || exit 1
echo "$wrapper"
