#!/usr/bin/env bash
# timer.sh [VERSION]
#
# Lets a real systemd run the packaged timer: boots the Debian that test/lab/debian.sh makes with libvirt VERSION (by default 9.0:
# Debian 12) in systemd-nspawn, where the .deb of build/ is installed, and enables the timer by the line of the README. Needs root,
# systemd-nspawn, the network for Node.js of that Debian, and a minute or two. Nothing is left of it.
set -euo pipefail
self=$(readlink -f -- "${BASH_SOURCE[0]}")
cd "${self%/*}/../.."

die() { printf '%s\n' "$*" >&2; exit 1; }

# ---- on this machine

outside() { # VERSION
  local cache=${KVMSNAP_LAB_CACHE:-/var/cache/kvmsnap-lab} system
  [ "$EUID" = 0 ] || die 'this needs root'
  command -v systemd-nspawn >/dev/null || die 'missing: systemd-nspawn (package systemd-container)'
  [ -s build/SHA256SUMS ] || npm run --silent package
  system=$(test/lab/debian.sh "$1" "$cache")
  exec 194<"$system.lock"
  flock -s 194
  exec unshare --mount --pid --fork --mount-proc --kill-child "$self" --inside "$system"
}

# ---- as init of namespaces, which end with all that runs and is mounted in them

inside() { # SYSTEM
  local scratch=/run root=/run/root deb version code=0
  version=$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
  mount --make-rprivate /
  # systemd needs cgroups, of whichever kind this machine has mounted
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p "/sys/fs/cgroup/kvmsnap-$$"
  echo $$ >"/sys/fs/cgroup/kvmsnap-$$/cgroup.procs"
  mount -t tmpfs -o mode=755 tmpfs "$scratch"
  mkdir "$scratch"/{upper,work,root}
  mount -t overlay -o "lowerdir=$1/root,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"
  # probing QEMU takes long
  mkdir -p "$root/var/cache/libvirt/qemu/capabilities" "$root/root/packages"
  cp -- "$1"/capabilities/*.xml "$root/var/cache/libvirt/qemu/capabilities/" 2>/dev/null || :
  deb=kvmsnap_${version}_all.deb
  cp -- "build/$deb" "$root/root/packages/"
  sed -n 's/^    \(systemctl enable --now kvmsnap@nightly.*\)/\1/p' README.md >"$root/root/readme-line"
  [ -s "$root/root/readme-line" ] || die 'the README has no such line'
  # the lines for a system without the packages, and those that remove what they made
  sed -n '/^    for unit in service timer/,/^$/s/^    //p' README.md >"$root/root/readme-units"
  sed -n '/^    systemctl disable --now kvmsnap-nightly/,/^$/s/^    //p' README.md >"$root/root/readme-removal"
  [ "$(wc -l <"$root/root/readme-units") $(wc -l <"$root/root/readme-removal")" = '6 2' ] || die 'the README has no such units'
  told_by_the_manual "$root"
  spawn --pipe bash -ec 'export DEBIAN_FRONTEND=noninteractive
    apt-get update && apt-get install -y --no-install-recommends "/root/packages/'"$deb"'" systemd dbus' >"$scratch/log" 2>&1 </dev/null ||
    { tail -n 20 "$scratch/log" >&2; die 'the .deb cannot be installed'; }
  { declare -f die wait_for probe; echo 'set -euo pipefail; probe'; } >"$root/root/probe"
  cat >"$root/etc/systemd/system/probe.service" <<'UNIT'
[Unit]
After=libvirtd.socket dbus.socket
[Service]
Type=oneshot
StandardOutput=file:/root/said
StandardError=inherit
ExecStart=/bin/bash /root/probe
# systemd ends with its exit code, whatever comes of it
ExecStopPost=/bin/sh -c 'systemctl --no-block exit "$EXIT_STATUS"'
UNIT
  ln -s ../probe.service "$root/etc/systemd/system/multi-user.target.wants/probe.service"
  timeout 300 systemd-nspawn --quiet --register=no --keep-unit --directory="$root" --boot >"$scratch/log" 2>&1 </dev/null || code=$?
  cat "$root/root/said" 2>/dev/null || tail -n 40 "$scratch/log"
  exit "$code"
}

# What the manual adds to the units: who is told of a failure, and the ping after a success. mail and curl record their words.
told_by_the_manual() { # ROOT
  local page=src/manual/monitoring.md units=$1/etc/systemd/system blocks
  blocks=$(sed -n '/^```ini$/,/^```$/p' "$page")
  mkdir -p "$units/kvmsnap@nightly.service.d"
  sed '1d;/^```$/,$d' <<<"$blocks" >"$units/kvmsnap-failed@.service"
  { printf '[Unit]\nOnFailure=kvmsnap-failed@%%n.service\n[Service]\n'
    sed -n '/^ExecStartPost=/p' <<<"$blocks"; } >"$units/kvmsnap@nightly.service.d/told.conf"
  grep -q '^ExecStart=.* mail ' "$units/kvmsnap-failed@.service" && grep -q '^ExecStartPost=' "$units/kvmsnap@nightly.service.d/told.conf" ||
    die 'the manual has no such units'
  cat >"$1/usr/local/bin/mail" <<'STUB'
#!/bin/sh
printf '%s|' "${0##*/}" "$@" >>/root/told
[ "${0##*/}" = curl ] || cat >>/root/told
echo >>/root/told
STUB
  chmod 755 "$1/usr/local/bin/mail"
  ln "$1/usr/local/bin/mail" "$1/usr/local/bin/curl"
}

spawn() { systemd-nspawn --quiet --register=no --keep-unit --directory="$root" "$@"; }

# ---- in the system that systemd has booted

wait_for() { # WHAT COMMAND...
  local what=$1 turn
  shift
  for ((turn = 0; turn < 240; turn++)); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.5
  done
  die "waited in vain: $what"
}

probe() {
  local timer=kvmsnap@nightly.timer service=kvmsnap@nightly.service disk=/var/lib/libvirt/images/night.qcow2 before
  systemctl start libvirtd.service
  qemu-img create -q -f qcow2 "$disk" 8M
  cat >/root/vm.xml <<XML
<domain type='qemu'>
  <name>night</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='$disk'/><target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
XML
  virsh --quiet define /root/vm.xml
  # every five seconds in place of every night
  mkdir -p "/etc/systemd/system/$timer.d"
  printf '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nAccuracySec=1s\n' >"/etc/systemd/system/$timer.d/soon.conf"
  systemctl daemon-reload
  bash -ec "$(cat /root/readme-line)"
  wait_for 'the timer takes a snapshot' sh -c 'virsh snapshot-list night --name | grep -q ^nightly-'
  systemctl stop "$timer"
  wait_for 'the service ends' sh -c "[ \"\$(systemctl show $service --property ActiveState --value)\" = inactive ]"
  [ "$(systemctl show "$service" --property Result --value)" = success ] || die 'the service has failed'
  qemu-img snapshot -l "$disk" | grep -q ' nightly-' || die 'the image has no snapshot of the night'
  echo "$(systemctl --version | head -n 1): $timer has taken a snapshot"
  grep -q '^curl|-fsS|-m|10|--retry|5|https://hc-ping.com/UUID|' /root/told || die 'a success sent no ping'
  ! grep -q 'failed on' /root/told || die 'a success was told as a failure'
  : >/root/told

  # a VM that cannot have snapshots: --strict makes it a failure, which the unit and the journal show
  qemu-img create -q -f raw "${disk%.qcow2}.img" 8M
  sed "s/night</raw</; s/type='qcow2'/type='raw'/; s/night\.qcow2/night.img/" /root/vm.xml >/root/raw.xml
  virsh --quiet define /root/raw.xml
  systemctl start "$timer"
  wait_for 'an error in the journal' \
    sh -c "journalctl --quiet --unit $service --priority err --output cat | grep -q '^error: 1 of 2 VMs skipped'"
  systemctl stop "$timer"
  wait_for 'the service fails' systemctl --quiet is-failed "$service"
  wait_for 'a mail and a message' grep -q "^curl|-fsS|-d|$service failed on $(uname -n)|https://ntfy.sh/TOPIC|" /root/told
  grep -q "^mail|-s|$service failed on $(uname -n)|root|" /root/told || die "no mail: $(cat /root/told)"
  grep -q 'error: 1 of 2 VMs skipped' /root/told || die "the mail does not say what failed: $(cat /root/told)"
  ! grep -q hc-ping /root/told || die 'a failure sent the ping of a success'
  echo 'a failure is told by mail and ntfy with what the journal has, and only a success pings'
  virsh --quiet undefine raw
  before=$(virsh snapshot-list night --name | head -n 1)
  systemctl start "$timer"
  wait_for 'the next run' sh -c "virsh snapshot-list night --name | grep ^nightly- | grep -qv '$before'"
  echo 'a failed run is failed in systemd, with its error in the journal; the next run works'

  systemctl stop "$timer"
  bash -ec "$(cat /root/readme-units)"
  systemctl --quiet is-active kvmsnap-nightly.timer || die 'the lines of the README have started no timer'
  # the rules keep one of this day, the newest
  before=$(virsh snapshot-list night --name)
  systemctl start kvmsnap-nightly.service
  virsh snapshot-list night --name | grep ^nightly- | grep -qvxF "$before" || die 'the service of the README has taken no snapshot'
  bash -ec "$(cat /root/readme-removal)"
  systemctl daemon-reload
  ! systemctl cat kvmsnap-nightly.timer kvmsnap-nightly.service >/dev/null 2>&1 || die 'the README has left a unit'
  echo 'the lines of the README for a system without the packages make a timer that works, and remove it'

  apt-get purge -y kvmsnap >/dev/null 2>&1
  ! systemctl --quiet is-active "$timer" || die 'the removal left the timer running'
  [ -z "$(find /etc/systemd/system -name 'kvmsnap@nightly.timer')" ] || die 'the removal left the timer enabled'
  echo 'the removal of the package ends its timer'
}

case ${1-} in
  --inside) inside "$2" ;;
  *) outside "${1:-9.0}" ;;
esac
