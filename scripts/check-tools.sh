#!/usr/bin/env bash
# Checks that the tools exist and are new enough. For each missing one it prints the required version and how to get it.
# `check-tools.sh rust` checks only the tools for the Rust parts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

missing=0

lack() { # what, how to get it
    printf '%smissing:%s %s\n         get it: %s\n' "$red" "$plain" "$1" "$2" >&2
    missing=1
}

# at_least FOUND WANTED: whether version FOUND is at least WANTED.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$2" ]; }

need() { # name, wanted version, found version or nothing, how to get it
    if [ -z "$3" ]; then
        lack "$1 (version $2 or newer)" "$4"
    elif ! at_least "$3" "$2"; then
        lack "$1: version $3 is here, $2 or newer is needed" "$4"
    fi
}

version_of() { "$@" 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n1 || true; }

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rustup='https://rustup.rs, then: rustup default stable && rustup update stable'
need rustc "$rust" "$(version_of rustc --version)" "$rustup"
need cargo "$rust" "$(version_of cargo --version)" "$rustup"
need 'gcc (the C compiler)' 8 "$(version_of gcc -dumpfullversion)" 'apt install gcc, or your system'\''s package'
if [ "${1:-}" != rust ]; then
    [ -n "$(version_of cargo fmt --version)" ] || lack 'cargo fmt' 'rustup component add rustfmt'
    [ -n "$(version_of cargo clippy --version)" ] || lack 'cargo clippy' 'rustup component add clippy'
    need 'g++ (the C++ compiler)' 8 "$(version_of g++ -dumpfullversion)" 'apt install g++, or your system'\''s package'
    need 'GNU make' 4.3 "$(version_of make --version)" 'apt install make'
    if python=$(find_python); then
        "$python" -m pip --version >/dev/null 2>&1 || lack "pip for $python" 'apt install python3-pip'
        "$python" -c 'import venv, ensurepip' 2>/dev/null || lack "venv for $python" 'apt install python3-venv'
    else
        lack "Python (3.11 or newer; found: $(version_of python3 --version))" 'apt install python3 python3-pip python3-venv, or https://www.python.org'
    fi
    need Node 20 "$(version_of node --version)" 'https://nodejs.org, or nvm install 20'
    need npm 9 "$(version_of npm --version)" 'it comes with Node'
fi
if [ $missing = 1 ]; then
    die 'install the tools above and run this again'
fi
