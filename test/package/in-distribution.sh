#!/usr/bin/env bash
# In a lab of distributions.sh, whose system is forgotten afterwards: each package from its installation to its removal, by the
# lines of the README. With $KVMSNAP_SHORT, without what needs more packages of the distribution: man, other shells, rpm.
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
installs() { quietly online apt-get install -y --no-install-recommends "$@"; }
says() { echo "$PRETTY_NAME, after $SECONDS s: $*"; }

# ---- the lines of the README

# The command in a cell of its table of packages.
cell() { # FIRST-COLUMN NUMBER
  awk -F'|' -v first="$1" -v number="$2" 'index($2, first) { gsub(/^ *`|` *$/, "", $number); print $number }' "$repository/README.md"
}
# Its indented line that begins with these words.
line() { sed -n "s/^    \($1.*\)/\1/p" "$repository/README.md"; }
# Its indented lines from one that begins with these words to one that begins with those.
lines() { # FIRST LAST
  sed -n "/^    $1/,/^    $2/s/^    //p" "$repository/README.md"
}
# As an administrator pastes them. No systemd runs here: systemctl writes down what it is to start, and starts nothing.
paste() { # LINES
  [ -n "$1" ] || die 'the README has no such line'
  quietly online env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SYSTEMD_OFFLINE=1 \
    bash -ec "$not_now"$'\n'"$1"
}
# shellcheck disable=SC2016 # expands there
not_now='systemctl() { command systemctl "${@/#--now/--quiet}"; }'

monitoring() { plain env PATH=/usr/local/bin:/usr/bin:/bin bash -c "$(line 'kvmsnap check -o nagios')"; }

# ---- what each package must do

# From create-as to revert, judged by the data on the disks.
tutorial() { # PROGRAM
  (cd "$repository" && KVMSNAP_PROGRAM=$1 node_modules/.bin/vitest run --config test/vitest.config.ts --project lab \
    --reporter=dot test/tutorial.lab.test.ts) >"$scratch/log" 2>&1 || { cat "$scratch/log"; die "the tutorial failed with $1"; }
}
disk=$scratch/disk.qcow2
define_vm() {
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
}
# What the enabled timer starts: one snapshot in libvirt and in the image, which the line for the monitoring misses before.
night() { # TIMER: the name of an enabled unit
  local timer=$1 unit directory=/etc/systemd/system code=0
  [ -L "$directory/timers.target.wants/$timer" ] || die "$timer is not enabled"
  unit=$(readlink -f "$directory/timers.target.wants/$timer")
  quietly systemd-analyze --man=no verify "${unit%.timer}.service" "$unit"
  define_vm
  monitoring >"$scratch/log" || code=$?
  [ "$code" = 2 ] && grep -q '^KVMSNAP CRITICAL - ' "$scratch/log" || { cat "$scratch/log"; die "no snapshot, exit $code"; }
  plain env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin bash -ec \
    "$(sed -n 's/^ExecStart=//p' "${unit%.timer}.service" | sed 's/%i/nightly/')" || die "what $timer starts has failed"
  [ "$(virsh snapshot-list night --name | grep -c '^nightly-')" = 1 ] || die 'there is no snapshot of the night'
  [ "$(qemu-img snapshot -l "$disk" | grep -c ' nightly-')" = 1 ] || die 'the image has no snapshot of the night'
  monitoring >"$scratch/log" || { cat "$scratch/log"; die 'the monitoring does not see the snapshot'; }
  grep -q '^KVMSNAP OK - ' "$scratch/log" || { cat "$scratch/log"; die 'the monitoring does not see the snapshot'; }
  quietly virsh snapshot-delete night --current
  quietly virsh undefine night
}
is_gone() { # FILE...: a list of paths
  local path
  while read -r path; do [ ! -f "$path" ] && [ ! -L "$path" ] || die "left behind: $path"; done <"$1"
}

. /etc/os-release
! plain sh -c 'command -v node' || die 'this system has Node.js already'
rm /etc/dpkg/dpkg.cfg.d/lab # it leaves man pages out
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/yes
quietly online apt-get update
more=()
[ -n "${KVMSNAP_SHORT-}" ] || more=(man-db bash-completion zsh fish)
# of a host that is in use
installs systemd

# ---- the single file, where there is no Node.js
mkdir "$scratch/single" && cd "$scratch/single"
ln -s "$repository/build/kvmsnap-$version-linux-x64" .
for turn in install upgrade; do paste "$(cell 'a host without Node.js' 3)"; done
[ "$(plain /usr/local/bin/kvmsnap --version)" = "$version" ] || die 'the single file does not run'
paste "$(lines 'for unit in service timer' 'systemctl enable')"
night kvmsnap-nightly.timer
tutorial /usr/local/bin/kvmsnap
paste "$(lines 'systemctl disable' 'rm ')"
paste "$(cell 'a host without Node.js' 4)"
[ -z "$(find /etc/systemd/system /usr/local -name '*kvmsnap*')" ] || die 'the removal of the single file left something behind'
says "the single file runs without Node.js"

# ---- the .deb: the version before it, an upgrade, a removal
mkdir "$scratch/before" "$scratch/deb"
deb=$repository/build/kvmsnap_${version}_all.deb
dpkg-deb --raw-extract "$deb" "$scratch/tree"
sed -i 's/^Version:.*/Version: 0.0.1/' "$scratch/tree/DEBIAN/control"
echo 'throw new Error()' >"$scratch/tree/usr/share/kvmsnap/dist/of-the-version-before.cjs"
quietly dpkg-deb --root-owner-group -Znone --build "$scratch/tree" "$scratch/before/kvmsnap_0.0.1_all.deb"
cd "$scratch/before"
paste "$(cell 'Debian, Ubuntu' 3)"
dpkg --listfiles kvmsnap >"$scratch/files"
sed -i 's/^--keep-daily .*/--keep-daily 30/' /etc/kvmsnap/nightly.conf

cd "$scratch/deb"
cp "$deb" .
paste "$(cell 'Debian, Ubuntu' 3)"
dpkg --listfiles kvmsnap >>"$scratch/files"
[ "$(dpkg-query -W -f '${Version}' kvmsnap)" = "$version" ] || die 'the .deb is no upgrade'
[ ! -e /usr/share/kvmsnap/dist/of-the-version-before.cjs ] || die 'the upgrade left a file of the version before'
grep -qx -- '--keep-daily 30' /etc/kvmsnap/nightly.conf || die 'the upgrade lost what the administrator had changed'
changed=$(dpkg --verify kvmsnap | grep -v ' /etc/kvmsnap/nightly.conf$' || :)
[ -z "$changed" ] || die "files are not as they were packed: $changed"
[ "$(plain kvmsnap --version)" = "$version" ] || die 'the installed kvmsnap does not run'
paste "$(line 'systemctl enable --now kvmsnap@nightly')"
night kvmsnap@nightly.timer
tutorial /usr/bin/kvmsnap
says "the .deb runs with Node.js $(plain node --version)"
if [ ${#more[@]} != 0 ]; then
  # each of its files, found and read by whom it is for
  installs "${more[@]}"
  man -P cat 1 kvmsnap | grep -q '^SYNOPSIS' || die 'man does not find the page'
  man -w 7 kvmsnap-nightly >/dev/null
  # which looks for the pages that the units name, too
  quietly systemd-analyze verify /usr/lib/systemd/system/kvmsnap@.service /usr/lib/systemd/system/kvmsnap@.timer
  bash -ec '. /usr/share/bash-completion/bash_completion; _comp_load kvmsnap 2>/dev/null || _completion_loader kvmsnap || :
    complete -p kvmsnap >/dev/null' || die 'bash does not find the completion'
  [ "$(zsh -fc 'autoload -U compinit; compinit -u -D; print $_comps[kvmsnap]')" = _kvmsnap ] || die 'zsh does not find it'
  fish -c 'complete -C "kvmsnap rever"' | grep -q '^revert' || die 'fish does not find it'
  says 'man and three shells find what the .deb brings'
fi

paste "$(cell 'Debian, Ubuntu' 4)"
[ -e /etc/kvmsnap/nightly.conf ] || die 'the removal took what the administrator had changed'
[ -z "$(find /etc/systemd/system -name '*kvmsnap*')" ] || die 'the removal left a timer that would fail every night'
quietly apt-get purge kvmsnap
is_gone "$scratch/files"
[ ! -e /etc/kvmsnap ] && [ ! -e /usr/share/kvmsnap ] || die 'directories are left behind'
says "the .deb is removed"

# ---- the .rpm: Debian's own rpm has no packages to depend on
[ -z "${KVMSNAP_SHORT-}" ] || exit 0 # package.sh unpacks and runs it
rpm=$repository/build/kvmsnap-$version.noarch.rpm
installs rpm
forced=--nodeps
! rpm --force-debian --version >/dev/null 2>&1 || forced+=' --force-debian'
change() { # ARGUMENT... of rpm
  # shellcheck disable=SC2086 # a list of words
  quietly rpm $forced "$@"
}
change --install "$rpm"
rpm --query --list kvmsnap >"$scratch/files"
quietly rpm --verify --nodeps kvmsnap
# the version before it, of the same files and the same script
before=$scratch/rpm-before
mkdir -p "$before/tree"
sed 's|^/||' "$scratch/files" | tar --create --no-recursion --directory=/ --files-from=- | tar --extract --directory="$before/tree"
echo 'throw new Error()' >"$before/tree/usr/share/kvmsnap/dist/of-the-version-before.cjs"
cat >"$before/kvmsnap.spec" <<SPEC
Name: kvmsnap
Version: 0.0.1
Release: 1
Summary: The version before
License: MIT
BuildArch: noarch
AutoReqProv: no
%description
The version before.
%preun
$(rpm --query --queryformat '%{PREUN}' kvmsnap)
%install
cp -a $before/tree/. %{buildroot}/
%files
/usr/share/kvmsnap/dist/of-the-version-before.cjs
$(while read -r path; do
  if [ -d "$path" ]; then echo "%dir $path"; elif [[ $path == /etc/* ]]; then echo "%config(noreplace) $path"; else echo "$path"; fi
done <"$scratch/files")
SPEC
change --erase kvmsnap
quietly rpmbuild -bb --define "_topdir $before" --define '__os_install_post %{nil}' --define '_build_name_fmt before.rpm' \
  "$before/kvmsnap.spec"
change --install "$before/RPMS/before.rpm"
sed -i 's/^--keep-daily .*/--keep-daily 30/' /etc/kvmsnap/nightly.conf
quietly env SYSTEMD_OFFLINE=1 systemctl enable kvmsnap@nightly.timer
change --upgrade "$rpm"
[ "$(rpm --query --queryformat '%{VERSION}' kvmsnap)" = "$version" ] || die 'the .rpm is no upgrade'
[ ! -e /usr/share/kvmsnap/dist/of-the-version-before.cjs ] || die 'the upgrade left a file of the version before'
grep -qx -- '--keep-daily 30' /etc/kvmsnap/nightly.conf || die 'the upgrade lost what the administrator had changed'
[ -L /etc/systemd/system/timers.target.wants/kvmsnap@nightly.timer ] || die 'the upgrade has ended the timer'
changed=$(rpm --verify --nodeps kvmsnap | grep -v ' /etc/kvmsnap/nightly.conf$' || :)
[ -z "$changed" ] || die "files are not as they were packed: $changed"
tutorial /usr/bin/kvmsnap
change --erase kvmsnap
[ -e /etc/kvmsnap/nightly.conf.rpmsave ] || die 'the removal took what the administrator had changed'
is_gone "$scratch/files"
[ -z "$(find /etc/systemd/system -name '*kvmsnap*')" ] || die 'the removal left a timer that would fail every night'
says "the .rpm is an upgrade, runs and is removed"
