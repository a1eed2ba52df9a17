#!/usr/bin/env bash
# Shows kvmsnap's main job, from create-as to revert, on a scratch VM in a private libvirtd. Everything is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KVMSNAP_LAB:-}" ]; then
  [ -d node_modules ] || npm ci --no-audit --no-fund >&2
  [ -f dist/main.cjs ] || npm run --silent build >&2
  exec test/lab/enter.sh "$0"
fi

kvmsnap() { node bin/kvmsnap.cjs "$@"; }
run() {
  local word line=''
  for word; do
    case $word in *[!A-Za-z0-9_./-]*) word="'$word'" ;; esac
    line="$line $word"
  done
  printf '\n\033[1m$%s\033[0m\n' "$line"
  "$@"
}
disk=$KVMSNAP_LAB/centos7-1.qcow2

qemu-img create -q -f qcow2 "$disk" 1G
qemu-io -c 'write -q -P 0x11 0 1M' "$disk" # the data of the VM before the upgrade
virsh -q define /dev/stdin <<XML
<domain type='qemu'>
  <name>centos7-1</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <seclabel type='none'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='$disk'/><target dev='vda' bus='virtio'/>
    </disk>
    <memballoon model='none'/>
  </devices>
</domain>
XML

run kvmsnap create-as centos7-1 snapshot-1 --description 'before the upgrade'
run virsh -q start centos7-1
run kvmsnap create-as centos7-1 snapshot-2 --description 'running, with its memory'
run virsh -q destroy centos7-1
run qemu-io -c 'write -P 0x22 0 1M' "$disk" # the upgrade went wrong
run kvmsnap list centos7-1
run kvmsnap info centos7-1
run kvmsnap revert centos7-1 snapshot-1 --backup --yes
run qemu-io -c 'read -P 0x11 0 1M' "$disk" # the data from before the upgrade is back
run kvmsnap list centos7-1 --tree
run kvmsnap list
