#!/usr/bin/env bash
# linux-guest.sh CACHE
#
# Prints a directory with `kernel` and `initrd`: a Linux in a few MiB of memory that runs the QEMU guest agent and writes to
# its disk, see /init below. Builds it below CACHE when it is not there, or when the recipe has changed; some seconds.
#
# It is put together from packages of this machine's Debian, which are unpacked beside it and not installed. What the
# agent's own libraries are, this machine has: its QEMU needs them too.
# Own exit codes: 2 usage, 9 software is missing, 125 the guest could not be built.
set -euo pipefail
umask 022

self=$(readlink -f -- "${BASH_SOURCE[0]}")

die() { local code=$1; shift; printf 'lab: %s\n' "$@" >&2; exit "$code"; }

# ---- what runs in the guest ------------------------------------------------------------------------------

# Counts in the file /data/count, and tells each number that it has written on the serial port: `count N`. What comes in
# there are commands for its shell. The page cache is not written back by itself: only a freeze brings a count to the disk.
init() {
  cat <<'END'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# in no order: one that needs another is taken in a later round
for round in 1 2 3 4; do for module in /lib/*.ko; do insmod $module 2>/dev/null; done; done
echo 0 >/proc/sys/vm/dirty_writeback_centisecs
mount -t ext4 -o commit=3600 /dev/vda /data
agent &
while :; do n=$((n + 1)); echo $n >/data/count && echo "count $n"; sleep 0.1; done &
exec sh >/dev/null 2>&1
END
}

agent() {
  cat <<'END'
#!/bin/sh
exec qemu-ga -m virtio-serial -p /dev/vport*p1 -F/bin/hook
END
}

# Called by the agent before a freeze and after a thaw: while there is a file /hold, a freeze does not begin.
hook() {
  cat <<'END'
#!/bin/sh
echo "hook $1" >/dev/console
while [ $1 = freeze ] && [ -e /hold ]; do sleep 0.1; done
END
}

MODULES='virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev virtio_blk virtio_console virtio_balloon
  ext4 jbd2 mbcache crc16 crc32c_generic libcrc32c crc32c-cryptoapi'

# ---- building -------------------------------------------------------------------------------------------

# The directory is named after all of the recipe.
recipe_hash() { sha256sum "$self" | cut -c1-12; }

# The kernel that has no drivers of hardware; later Debians have it in several packages.
packages() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    linux-image-cloud-amd64 | grep -E '^linux-(image|binary|modules)-[0-9]'
  printf '%s\n' busybox-static qemu-guest-agent
}

download() { # into the working directory
  local names
  names=$(packages) || return
  # shellcheck disable=SC2086 # a list of words
  apt-get -o APT::Sandbox::User=root download $names
}

# The index of packages may be missing, or older than the mirror.
fetch() {
  download && return
  [ "$EUID" != 0 ] || apt-get update || return
  download
}

first() { # DIRECTORY PATTERN
  find "$1" -path "$2" -type f -print -quit
}

assemble() { # DIRECTORY
  local new=$1 root=$1/root busybox qemu_ga module file name
  mkdir "$new/packages" "$new/unpacked"
  (cd "$new/packages" && fetch)
  for file in "$new"/packages/*.deb; do dpkg-deb -x "$file" "$new/unpacked"; done
  busybox=$(first "$new/unpacked" '*/bin/busybox')
  qemu_ga=$(first "$new/unpacked" '*bin/qemu-ga')
  cp "$(first "$new/unpacked" '*/vmlinuz*')" "$new/kernel"

  mkdir -p "$root"/{bin,data,dev,etc,lib,proc,run,sys,var}
  ln -s ../run "$root/var/run"
  cp "$busybox" "$qemu_ga" "$root/bin/"
  for file in $(ldd "$qemu_ga" | grep -o '/[^ ]*'); do install -D "$file" "$root/$file"; done
  for name in $MODULES; do
    module=$(first "$new/unpacked" "*/$name.ko*")
    case $module in
      '') ;; # this kernel has it within
      *.xz) "$busybox" unxz -c "$module" >"$root/lib/$name.ko" ;;
      *) cp "$module" "$root/lib/" ;;
    esac
  done
  init >"$root/init"
  agent >"$root/bin/agent"
  hook >"$root/bin/hook"
  chmod 755 "$root/init" "$root/bin"/{agent,hook}
  (cd "$root" && find . | "$busybox" cpio -o -H newc) >"$new/initrd"
  rm -rf "$root" "$new/packages" "$new/unpacked"
}

require_tools() {
  local tool
  for tool in apt-get dpkg-deb; do command -v "$tool" >/dev/null || die 9 "missing: $tool"; done
  # what makes and looks into the guest's file system, which only the smallest Debian lacks: that of --libvirt
  PATH=$PATH:/usr/sbin:/sbin command -v mke2fs >/dev/null && return
  [ "$EUID" = 0 ] || die 9 'missing: e2fsprogs'
  { apt-get update && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 e2fsprogs; } \
    </dev/null >&2 || die 9 'e2fsprogs could not be installed'
}

main() { # CACHE
  local directory network=/run/host-network
  [ $# = 1 ] || die 2 'usage: linux-guest.sh CACHE'
  # a lab of root has no network, and keeps that of the host there, see enter.sh
  if [ "$EUID" = 0 ] && [ -e "$network" ] && ! [ "$network" -ef /proc/self/ns/net ]; then
    exec nsenter --net="$network" bash "$self" "$@"
  fi
  require_tools
  mkdir -p -- "$1"
  directory=$(readlink -f -- "$1")/linux-guest-$(recipe_hash)
  exec 194>"$directory.lock"
  flock 194
  # it is there as a whole or not at all
  if [ ! -d "$directory" ]; then
    rm -rf -- "$directory.new"
    mkdir "$directory.new"
    # in a shell of its own, for within this line no error would end it
    bash "$self" --assemble "$directory.new" >"$directory.log" 2>&1 </dev/null ||
      { tail -n 30 "$directory.log" >&2; rm -rf -- "$directory.new"; die 125 'the guest could not be built'; }
    mv -- "$directory.new" "$directory"
    rm -f "$directory.log"
    # those of other recipes, which another work tree may still want
    find "${directory%/*}" -maxdepth 1 -name 'linux-guest-*' -mtime +14 -exec rm -rf {} +
  fi
  echo "$directory"
}

case ${1-} in
  --assemble) shift && assemble "$@" ;;
  *) main "$@" ;;
esac
exit # here, whatever an editor has done to this file meanwhile
