#!/usr/bin/env bash
# In a lab of distributions.sh, whose system is forgotten afterwards: each package from its installation to its removal.
set -euo pipefail
version=$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
repository=$PWD
scratch=$KVMSNAP_LAB/../packages
mkdir "$scratch"
export DEBIAN_FRONTEND=noninteractive

die() { printf '%s\n' "$*" >&2; exit 1; }
online() { nsenter --net=/run/host-network "$@"; }
quietly() { "$@" >"$scratch/log" 2>&1 </dev/null || { cat "$scratch/log"; die "failed: $*"; }; }
# as for a user: without the tests' own Node.js on the path
plain() { env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 "$@"; }
# from create-as to revert, judged by the data on the disks
tutorial() { # PROGRAM
  (cd "$repository" && KVMSNAP_PROGRAM=$1 node_modules/.bin/vitest run --config test/vitest.config.ts --project lab \
    --reporter=dot test/tutorial.lab.test.ts) >"$scratch/log" 2>&1 || { cat "$scratch/log"; die "the tutorial failed with $1"; }
}
# what the packed timer runs, by the packed policy: one snapshot in libvirt and in the image
nightly() {
  local disk=$scratch/disk.qcow2
  quietly qemu-img create -q -f qcow2 "$disk" 8M
  cat >"$scratch/vm.xml" <<XML
<domain type='qemu'>
  <name>night</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='$disk'/><target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
XML
  quietly virsh define "$scratch/vm.xml"
  plain kvmsnap create --all @nightly || die 'the packed policy does not work'
  plain kvmsnap check @nightly >"$scratch/log" || { cat "$scratch/log"; die 'check does not take the packed policy'; }
  virsh snapshot-list night --name | grep -q '^nightly-' || die 'there is no snapshot of the night'
  qemu-img snapshot -l "$disk" | grep -q ' nightly-' || die 'the image has no snapshot of the night'
  quietly virsh snapshot-delete night --current
  quietly virsh undefine night
}
is_gone() { # FILE...: a list of paths
  local path
  while read -r path; do [ ! -f "$path" ] && [ ! -L "$path" ] || die "left behind: $path"; done <"$1"
}

. /etc/os-release
! plain sh -c 'command -v node' || die 'this system has Node.js already'

# ---- the single file, where there is no Node.js
single=$repository/build/kvmsnap-$version-linux-x64
[ "$(plain "$single" --version)" = "$version" ] || die 'the single file does not run'
tutorial "$single"
echo "$PRETTY_NAME: the single file runs without Node.js"

# ---- the .deb: the version before it, an upgrade, a removal
rm /etc/dpkg/dpkg.cfg.d/lab # it leaves man pages out
quietly online apt-get update
deb=$repository/build/kvmsnap_${version}_all.deb
dpkg-deb --raw-extract "$deb" "$scratch/before"
sed -i 's/^Version:.*/Version: 0.0.1/' "$scratch/before/DEBIAN/control"
echo 'throw new Error()' >"$scratch/before/usr/share/kvmsnap/dist/of-the-version-before.cjs"
quietly dpkg-deb --root-owner-group --build "$scratch/before" "$scratch/before.deb"
quietly online apt-get install -y --no-install-recommends "$scratch/before.deb"
dpkg --listfiles kvmsnap >"$scratch/files"
sed -i 's/^--keep-daily .*/--keep-daily 30/' /etc/kvmsnap/nightly.conf

quietly online apt-get install -y --no-install-recommends "$deb"
dpkg --listfiles kvmsnap >>"$scratch/files"
[ "$(dpkg-query -W -f '${Version}' kvmsnap)" = "$version" ] || die 'the .deb is no upgrade'
[ ! -e /usr/share/kvmsnap/dist/of-the-version-before.cjs ] || die 'the upgrade left a file of the version before'
grep -qx -- '--keep-daily 30' /etc/kvmsnap/nightly.conf || die 'the upgrade lost what the administrator had changed'
changed=$(dpkg --verify kvmsnap | grep -v ' /etc/kvmsnap/nightly.conf$' || :)
[ -z "$changed" ] || die "files are not as they were packed: $changed"
[ "$(plain kvmsnap --version)" = "$version" ] || die 'the installed kvmsnap does not run'
# each of its files, found and read by whom it is for
quietly online apt-get install -y --no-install-recommends systemd man-db bash-completion zsh fish
quietly systemd-analyze verify /usr/lib/systemd/system/kvmsnap@.service /usr/lib/systemd/system/kvmsnap@.timer
man -P cat 1 kvmsnap | grep -q '^SYNOPSIS' || die 'man does not find the page'
man -w 7 kvmsnap-nightly >/dev/null
bash -ec '. /usr/share/bash-completion/bash_completion; _comp_load kvmsnap 2>/dev/null || _completion_loader kvmsnap || :
  complete -p kvmsnap >/dev/null' || die 'bash does not find the completion'
[ "$(zsh -fc 'autoload -U compinit; compinit -u -D; print $_comps[kvmsnap]')" = _kvmsnap ] || die 'zsh does not find it'
fish -c 'complete -C "kvmsnap rever"' | grep -q '^revert' || die 'fish does not find it'
tutorial /usr/bin/kvmsnap
nightly
echo "$PRETTY_NAME: the .deb runs with Node.js $(plain node --version)"

quietly apt-get remove -y kvmsnap
[ -e /etc/kvmsnap/nightly.conf ] || die 'the removal took what the administrator had changed'
quietly apt-get purge -y kvmsnap
is_gone "$scratch/files"
[ ! -e /etc/kvmsnap ] && [ ! -e /usr/share/kvmsnap ] || die 'directories are left behind'
echo "$PRETTY_NAME: the .deb is removed"

# ---- the .rpm: Debian's own rpm has no packages to depend on
rpm=$repository/build/kvmsnap-$version.noarch.rpm
quietly online apt-get install -y --no-install-recommends rpm
forced=--nodeps
! rpm --force-debian --version >/dev/null 2>&1 || forced+=' --force-debian'
# shellcheck disable=SC2086 # a list of words
quietly rpm $forced --install "$rpm"
rpm --query --list kvmsnap >"$scratch/files"
quietly rpm --verify --nodeps kvmsnap
tutorial /usr/bin/kvmsnap
# shellcheck disable=SC2086 # a list of words
quietly rpm $forced --erase kvmsnap
is_gone "$scratch/files"
echo "$PRETTY_NAME: the .rpm is installed, runs and is removed"
