# What scripts/* share; to be sourced by bash, from any folder. Sets strict mode, goes to the repository's root,
# chooses one build folder for all scripts, and checks for (or installs) what a build needs.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One folder for demo and test, outside the clone: a second clone reuses what the first has built.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/winze/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

# say TEXT...: a line of progress on standard error, with the seconds since the script began.
say() {
    printf '[%4ds] %s\n' "$SECONDS" "$*" >&2
}

# die TEXT...: says why and ends the script with status 1.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step NAME COMMAND...: runs a command between a line that names it and one that says how long it took.
step() {
    local name="$1" began="$SECONDS"
    shift
    say "$name: $*"
    if "$@"; then
        say "$name: done in $((SECONDS - began)) s"
    else
        local status="$?"
        say "$name: FAILED after $((SECONDS - began)) s (status $status)"
        exit "$status"
    fi
}

# install_packages NAME...: from Debian's archive when we are root; otherwise says what is missing.
install_packages() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        step "install $*" env DEBIAN_FRONTEND=noninteractive \
            sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null' sh "$@"
    else
        die "missing: $*. Install it (Debian: sudo apt-get install $*) and run this again."
    fi
}

# need_redis: a real redis-server, which tests start for themselves.
need_redis() {
    command -v redis-server >/dev/null || install_packages redis-server
}

# need_build_tools: a C compiler, protoc (cdk compiles its gRPC definitions with it) and a recent enough Rust.
need_build_tools() {
    command -v cc >/dev/null || install_packages gcc libc6-dev
    if [ -z "${PROTOC:-}" ] && ! command -v protoc >/dev/null; then
        install_packages protobuf-compiler libprotobuf-dev
    fi
    if ! command -v cargo >/dev/null && [ -r "$HOME/.cargo/env" ]; then
        # rustup was installed, but this shell was started before.
        # shellcheck disable=SC1091
        . "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null || die "missing: Rust. Install it from https://rustup.rs and run this again."

    local wanted found
    wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
    found="$(rustc --version | cut -d' ' -f2)"
    if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1)" != "$wanted" ]; then
        die "Rust $found is too old, $wanted is needed (rustup update stable)."
    fi
    say "Rust $found, build folder $CARGO_TARGET_DIR"
}

# need_rust_component NAME COMMAND: rustfmt or clippy, which a minimal toolchain lacks.
need_rust_component() {
    "$2" --version >/dev/null 2>&1 && return
    command -v rustup >/dev/null || die "missing: $1. Install the component of that name for your Rust."
    step "install $1" rustup component add "$1"
}
