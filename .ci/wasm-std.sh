#!/usr/bin/env bash
# Builds the standard library of the wasm target from Debian's source package and installs it where
# `rustup target add` would: for machines that reach a Debian mirror but not rustup's servers. scripts/setup runs it.
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: error: %s\n' "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# The reason in a log: its first error, or else its last words.
reason() { grep -m 1 -E '^(error|[EW]: )' "$1" || grep -v '^[[:space:]]*$' "$1" | tail -n 1; }

# shellcheck source=.ci/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

TARGET=wasm32-wasip2
RUSTLIB=$(rustc --print sysroot)/lib/rustlib
TARGET_DIR=$RUSTLIB/$TARGET
TMP=$(mktemp -d "${TMPDIR:-/tmp}/wasm-std.XXXXXX")
STAGING=
trap 'rm -rf "$TMP" ${STAGING:+"$STAGING"}' EXIT

# Marks a library built here, in contrast to one that rustup knows of.
SOURCE_MARK=BUILT-FROM-SOURCE

# backports follow the Rust releases most closely
SUITES='trixie-backports testing unstable'

# --- fetching ---------------------------------------------------------------

# Leaves library/ of that Rust version and the C library in TMP/src and TMP/libc.
fetch_sources() {
  local version=$1 mirrors mirror suite package seen='' advice
  advice="run 'rustup target add $TARGET' where rustup's servers can be reached"
  has apt-get || die "this machine has no apt to fetch rust-src with: $advice"
  mirrors=$(debian_mirrors)
  [ -n "$mirrors" ] || die "apt is configured with no Debian mirror to fetch rust-src from: $advice"

  for mirror in $mirrors; do
    for suite in $SUITES; do
      apt_for_suite "$mirror" "$suite"
      # Only the very same version fits the compiler.
      package=$(versions_of rust-src | grep "^${version}[+~-]" | head -n 1 || true)
      if [ -n "$package" ] && [ -n "$(versions_of wasi-libc)" ]; then
        say "  fetching rust-src $package and wasi-libc from $suite (about 50 MB)"
        if (cd "$TMP/apt" && apt-get -c conf -q download "rust-src=$package" wasi-libc) \
          >"$TMP/apt.log" 2>&1 </dev/null; then
          unpack_sources
          return
        fi
        die "apt-get could not fetch rust-src $package from $suite: $(reason "$TMP/apt.log")"
      fi
      seen="$seen$(versions_of rust-src | cut -d + -f 1)"$'\n'
    done
  done
  seen=$(printf '%s' "$seen" | sort -uV | xargs)
  [ -n "$seen" ] || die "no Debian mirror that apt is configured with could be used ($(reason "$TMP/apt.log")): $advice"
  die "Debian has no rust-src $version (it has: $seen): $advice, or use a Rust version that Debian has"
}

unpack_sources() {
  mkdir "$TMP/src" "$TMP/libc"
  dpkg-deb --fsys-tarfile "$TMP"/apt/rust-src_*.deb |
    tar -x -C "$TMP/src" --strip-components=4 --wildcards './usr/src/rustc-*/library'
  dpkg-deb --fsys-tarfile "$TMP"/apt/wasi-libc_*.deb |
    tar -x -C "$TMP/libc" --strip-components=4 "./usr/lib/$TARGET" ||
    die "Debian's wasi-libc has no files for $TARGET"
}

# --- compiling --------------------------------------------------------------

# Works in a sysroot of its own, with links to the real one and the new target
# beside them, so that nothing half-done is ever seen by other builds.
compile_std() {
  local entry lib=$TMP/sysroot/lib/rustlib/$TARGET/lib
  mkdir -p "$lib/self-contained" "$TMP/sysroot/lib/rustlib/src/rust"
  for entry in "$RUSTLIB"/*; do
    case ${entry##*/} in
    src | "$TARGET") ;;
    *) ln -s "$entry" "$TMP/sysroot/lib/rustlib/" ;;
    esac
  done
  mv "$TMP/src/library" "$TMP/sysroot/lib/rustlib/src/rust/"
  cp "$TMP"/libc/{libc.a,crt1-command.o,crt1-reactor.o} "$lib/self-contained/"

  mkdir -p "$TMP/empty/src"
  : >"$TMP/empty/src/lib.rs"
  cat >"$TMP/empty/Cargo.toml" <<'TOML'
[package]
name = "empty"
edition = "2021"
TOML
  printf '#!/bin/sh\nexec rustc --sysroot "%s" "$@"\n' "$TMP/sysroot" >"$TMP/rustc"
  chmod +x "$TMP/rustc"

  say "  compiling the standard library (about a minute)"
  build_empty_crate || die "the standard library does not compile: $(reason "$TMP/build.log")"

  cp "$TMP/target/$TARGET"/release/deps/lib*.rlib "$lib/"
  rm -f "$lib"/libempty-*.rlib
  cat >"$TMP/sysroot/lib/rustlib/$TARGET/$SOURCE_MARK" <<TEXT
The standard library of $(rustc -V), built from Debian's rust-src by .ci/wasm-std.sh.
rustup knows nothing of it: remove this folder before 'rustup target add $TARGET'.
TEXT
}

# -Zbuild-std is open to nightly compilers only, hence RUSTC_BOOTSTRAP; without
# bitcode in the library a release build with LTO fails; the path is the one that
# rustup's library shows in panics. The crates that std needs come from the registry:
# Debian's copies of them lack the compiled parts. The caller's own flags and
# wrappers stay out of what all later builds use.
build_empty_crate() {
  local commit flags
  commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
  flags="-Cembed-bitcode=yes"$'\x1f'"--remap-path-prefix=$TMP/sysroot/lib/rustlib/src/rust=/rustc/$commit"
  RUSTC="$TMP/rustc" RUSTC_WRAPPER='' RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$flags \
    cargo build --release --target "$TARGET" -Zbuild-std=std,panic_abort \
    --manifest-path "$TMP/empty/Cargo.toml" --target-dir "$TMP/target" 2>&1 </dev/null |
    while read -r line; do
      printf '%s\n' "$line" >>"$TMP/build.log"
      case $line in
      'Compiling core '*) say '    core' ;;
      'Compiling alloc '*) say '    alloc' ;;
      # the last that std waits for
      'Compiling rustc-std-workspace-alloc '*) say '    std' ;;
      esac
    done
}

# --- installing -------------------------------------------------------------

# Copies to beside the destination first: the rename that follows is at once.
put_in_place() {
  STAGING=$(mktemp -d "$RUSTLIB/.$TARGET.XXXXXX")
  cp -R "$TMP/sysroot/lib/rustlib/$TARGET" "$STAGING/new"
  chmod -R u=rwX,go=rX "$STAGING/new"
  if [ -e "$TARGET_DIR" ]; then mv "$TARGET_DIR" "$STAGING/old"; fi
  mv "$STAGING/new" "$TARGET_DIR"
  rm -rf "$STAGING"
}

fetch_sources "$(rustc -V | cut -d ' ' -f 2)"
compile_std
put_in_place
