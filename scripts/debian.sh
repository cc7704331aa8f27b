#!/usr/bin/env bash
# Fetches Debian packages as an ordinary user and unpacks them below target/debian/root: debian.sh PACKAGE... It uses
# the system's package lists; if they are missing or stale, a private copy below target/debian/apt. Exit status 1 if the
# packages are not available here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

root=$TARGET/debian/root
archives=$TARGET/debian/archives
state=$TARGET/debian/apt
mkdir -p "$root" "$archives"

wanted=()
for package in "$@"; do
    [ -e "$TARGET/debian/$package.done" ] || wanted+=("$package")
done
[ ${#wanted[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo 'debian.sh: this is no Debian system' >&2
    exit 1
}

rm -f "$archives"/*.deb
user=(-o APT::Sandbox::User="$(id -un)")
private=(
    "${user[@]}" -o Dir::State="$state/state" -o Dir::Cache="$state/cache"
    -o Dir::State::status=/var/lib/dpkg/status
)
fetch() { (cd "$archives" && apt-get -q "$@" download "${wanted[@]}"); }

if ! fetch "${user[@]}" >"$archives/log" 2>&1; then
    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    apt-get -q "${private[@]}" update >>"$archives/log" 2>&1 || true
    if ! fetch "${private[@]}" >>"$archives/log" 2>&1; then
        echo "debian.sh: cannot fetch ${wanted[*]}:" >&2
        tail -n 5 "$archives/log" >&2
        exit 1
    fi
fi
for archive in "$archives"/*.deb; do
    dpkg -x "$archive" "$root"
done
for package in "${wanted[@]}"; do
    touch "$TARGET/debian/$package.done"
done
