# shellcheck shell=bash
# Debian's packages through apt, without root and without touching what this machine's apt has: for the sources that
# .ci/wasm-std.sh builds from, and for programs that checks run. Sourced, with a folder of the caller's own in TMP.

# The mirrors that this machine's apt uses, whichever way they are configured.
debian_mirrors() {
  apt-get --print-uris update 2>/dev/null |
    sed -n "s|^'\([^']*debian[^']*\)/dists/.*|\1|p" | { grep -v security || true; } | sort -u
}

# apt with this one suite and nothing of the machine's lists, caches and hooks:
# it needs no root, and it checks the signatures.
apt_for_suite() {
  local mirror=$1 suite=$2 keyring options='target=Packages'
  for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    if [ -e "$keyring" ]; then options="target=Packages signed-by=$keyring"; fi
  done
  rm -rf "$TMP/apt"
  mkdir -p "$TMP/apt/lists/partial" "$TMP/apt/cache/archives/partial"
  echo "deb [$options] $mirror $suite main" >"$TMP/apt/sources.list"
  cat >"$TMP/apt/conf" <<CONF
Dir::Etc::SourceList "$TMP/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$TMP/apt/lists";
Dir::Cache "$TMP/apt/cache";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::http::Timeout "20";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
  apt-get -c "$TMP/apt/conf" -q update >"$TMP/apt.log" 2>&1 </dev/null || true
}

versions_of() {
  apt-cache -c "$TMP/apt/conf" madison "$1" 2>/dev/null | awk '{ print $3 }' || true
}

# Unpacks a package of this machine's release, and the libraries of its that are not installed, into the folder:
# unpack_package PACKAGE FOLDER.
unpack_package() {
  local package=$1 folder=$2 mirror suite libraries=() library file
  suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null || true)
  [ -n "$suite" ] || return 1
  for mirror in $(debian_mirrors); do
    apt_for_suite "$mirror" "$suite"
    [ -n "$(versions_of "$package")" ] || continue
    while read -r library; do
      if ! dpkg-query --show --showformat='${db:Status-Abbrev}' "$library" 2>/dev/null | grep -q '^ii'; then
        libraries+=("$library")
      fi
    done < <(apt-cache -c "$TMP/apt/conf" depends "$package" | sed -nE 's/^ *(Pre)?Depends: ((lib|zlib)[^ <]*)$/\2/p')
    (cd "$TMP/apt" && apt-get -c conf -q download "$package" ${libraries[@]+"${libraries[@]}"}) \
      >"$TMP/apt.log" 2>&1 </dev/null || continue
    rm -rf "$folder"
    mkdir -p "$folder"
    for file in "$TMP"/apt/*.deb; do dpkg-deb --extract "$file" "$folder"; done
    return
  done
  return 1
}
