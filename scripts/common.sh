# The other scripts source this: paths, headings, and the Python to use.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=$ROOT/target
cd "$ROOT" || exit 1

# Everything below belongs to this checkout, whatever variables the caller's shell has set.
export CARGO_TARGET_DIR=$TARGET
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false
unset PYTHONPATH PYTHONHOME NODE_PATH NODE_OPTIONS

if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'; else bold='' red='' green='' plain=''; fi

heading() { printf '\n%s== %s ==%s\n' "$bold" "$*" "$plain"; }

die() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

# The first Python of at least 3.11.
find_python() {
    local name
    for name in ${PYTHON:-} python3.11 python3 python3.12 python3.13 python3.14 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# If rustup has no toolchain of the name in rust-toolchain.toml, but its default toolchain has that version, the scripts
# use the default one and fetch nothing.
take_installed_toolchain() {
    local pinned default
    [ -z "${RUSTUP_TOOLCHAIN:-}" ] && command -v rustup >/dev/null || return 0
    pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    rustup toolchain list | grep -q "^$pinned" && return 0
    default=$(rustup toolchain list | sed -n 's/ (.*default.*//p')
    if [[ $(RUSTUP_TOOLCHAIN=$default rustc --version 2>/dev/null) == "rustc $pinned "* ]]; then
        export RUSTUP_TOOLCHAIN=$default
    fi
}
take_installed_toolchain
