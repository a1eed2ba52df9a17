#!/usr/bin/env bash
# debian.sh VERSION CACHE
# debian.sh --list
#
# Prints the directory of a Debian system whose libvirt is VERSION: `root` in it is the system, `capabilities` keeps
# what its libvirtd learns of its QEMU. Builds it below CACHE when it is not there, or when the recipe has changed;
# a minute or two and 1 GB. Whoever uses it holds a shared lock on the file beside it, DIRECTORY.lock.
# --list prints the versions, oldest first, each with its suite.
#
# The packages come from the mirror that this machine's apt uses ($KVMSNAP_LAB_MIRROR names another). Needs root.
# Own exit codes: 2 usage, 9 software is missing, 125 the system could not be built.
set -euo pipefail
umask 022

# sid and backports move on, so their numbers are those that the tests were last held against. No suite of Debian has
# packages with virtqemud (of modular libvirt), so there is no lab with it.
SUITES='7.0 bullseye
9.0 bookworm
11.3 trixie
12.8 sid
12.9 trixie-backports'

self=$(readlink -f -- "${BASH_SOURCE[0]}")

die() { local code=$1; shift; printf 'lab: %s\n' "$@" >&2; exit "$code"; }

# ---- the recipe: a change of it, but not of its comments, makes all systems anew -------------------------

# A version's directory is named after its suite and this.
recipe_hash() { # SUITE
  case $1 in
    *-backports) declare -f furnish packages upgrade ;;
    *) declare -f furnish packages ;;
  esac | sha256sum | cut -c1-12
}

packages() { # SUITE
  printf '%s\n' libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils ovmf \
    openssh-client locales
  case $1 in
    bullseye) ;; # the translations are in libvirt0 and virtiofsd in QEMU's packages
    bookworm) echo libvirt-l10n ;;
    *) printf '%s\n' libvirt-l10n virtiofsd ;;
  esac
}

# Runs as init of a PID namespace with mounts of its own: nothing that it starts or mounts outlives it.
furnish() { # ROOT SUITE MIRROR
  local root=$1 directory
  debootstrap --variant=minbase "$2" "$root" "$3"
  # no package starts a service; nobody reads manuals here; a crash costs the build and no more
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  printf '%s\n' 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' force-unsafe-io \
    >"$root/etc/dpkg/dpkg.cfg.d/lab"
  # what lets this machine's apt reach the mirror; and a mirror's copy of sid may be an old one
  { apt-config dump | grep -i '^Acquire::https\?::' || :; echo 'Acquire::Check-Valid-Until "false";'; } \
    >"$root/etc/apt/apt.conf.d/99lab"
  for directory in resolv.conf ssl/certs/ca-certificates.crt; do
    [ ! -e "/etc/$directory" ] || install -D -m 644 "/etc/$directory" "$root/etc/$directory"
  done
  mount -n -t proc proc "$root/proc"
  mount -n --rbind /sys "$root/sys"
  mount -n --rbind /dev "$root/dev"
  mount -n -t tmpfs tmpfs "$root/run"
  chroot "$root" apt-get update
  # shellcheck disable=SC2046 # a list of words
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends $(packages "$2")
  # newer C libraries translate nothing in C.UTF-8
  chroot "$root" localedef -i zh_CN -f UTF-8 zh_CN.UTF-8
  chroot "$root" apt-get clean
  rm -rf "$root"/var/lib/apt/lists/*
}

# Takes all that the lab needs from the backports instead, in the same namespace after `furnish`.
upgrade() { # ROOT BACKPORTS MIRROR
  echo "deb $3 $2 main" >"$1/etc/apt/sources.list.d/backports.list"
  chroot "$1" apt-get update
  # shellcheck disable=SC2046 # a list of words
  DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get install -y --no-install-recommends -t "$2" $(packages "${2%-backports}")
  chroot "$1" apt-get clean
  rm -rf "$1"/var/lib/apt/lists/*
}

# Runs as init of a PID namespace, as `furnish` has it.
furnish_suite() { # ROOT SUITE MIRROR
  furnish "$1" "${2%-backports}" "$3"
  case $2 in *-backports) upgrade "$@" ;; esac
}

# ---- building -------------------------------------------------------------------------------------------

require_debootstrap() {
  command -v debootstrap >/dev/null && return
  command -v apt-get >/dev/null || die 9 'missing: debootstrap'
  { apt-get update && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 debootstrap; } \
    </dev/null >"$1" 2>&1 || { tail -n 30 "$1" >&2; die 9 'debootstrap could not be installed'; }
}

# apt's own words for what it fetches from; it has some only after an update.
mirror() {
  local targets=(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian')
  if [ -n "${KVMSNAP_LAB_MIRROR-}" ]; then echo "$KVMSNAP_LAB_MIRROR" && return; fi
  [ -n "$("${targets[@]}" 2>/dev/null)" ] || apt-get update </dev/null >&2 || return
  "${targets[@]}" | head -n 1
}

build() { # DIRECTORY SUITE
  local directory=$1 new=$1.new log=$1.log from
  # left by a build that was killed; its mounts went with its namespace
  rm -rf --one-file-system -- "$new"
  mkdir -p "$new/root" "$new/capabilities"
  printf 'lab: building Debian %s, which takes a minute or two\n' "$2" >&2
  # apt refuses two of itself, and several systems may be built at once
  exec 195>"${directory%/*}/apt.lock"
  flock 195
  require_debootstrap "$log"
  from=$(mirror 2>"$log") && [ -n "$from" ] ||
    { cat "$log" >&2; die 125 'apt knows no mirror of Debian here: set KVMSNAP_LAB_MIRROR'; }
  flock -u 195
  unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
    bash "$self" --furnish "$new/root" "$2" "$from" </dev/null >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; rm -rf --one-file-system -- "$new"; die 125 "Debian $2 could not be built"; }
  mv -- "$new" "$directory"
  rm -f "$log"
}

# Systems of another recipe, which another work tree may still want, go when nobody has used them for long.
sweep() { # CACHE KEPT
  local lock old
  for lock in $(find "$1" -maxdepth 1 -name 'debian-*.lock' -mtime +14); do
    old=${lock%.lock}
    [ "$old" = "$2" ] || flock -n "$lock" rm -rf --one-file-system -- "$old" "$old.new" "$old.log" "$lock" || :
  done
}

main() { # VERSION CACHE
  local suite directory
  [ $# = 2 ] || die 2 'usage: debian.sh VERSION CACHE'
  suite=$(awk -v version="$1" '$1 == version { print $2 }' <<<"$SUITES")
  [ -n "$suite" ] || die 2 "no libvirt $1; there are: $(awk '{ print $1 }' <<<"$SUITES" | paste -sd' ')"
  [ "$EUID" = 0 ] || die 2 'only root can build and enter a system with another libvirt'
  mkdir -p -- "$2"
  directory=$(readlink -f -- "$2")/debian-$suite-$(recipe_hash "$suite")
  exec 194>"$directory.lock"
  touch "$directory.lock"
  # it is there as a whole or not at all; while one builds it, all others wait
  if [ ! -d "$directory" ]; then
    flock 194
    [ -d "$directory" ] || build "$directory" "$suite"
  fi
  sweep "$2" "$directory"
  echo "$directory"
}

case ${1-} in
  --furnish) shift && furnish_suite "$@" ;;
  --list) printf '%s\n' "$SUITES" ;;
  *) main "$@" ;;
esac
exit # here, whatever an editor has done to this file meanwhile
