#!/usr/bin/env bash
D=$KVMSNAP_LAB; mkdir -p $D/a $D/b; cd $D
virsh version --daemon 2>/dev/null | tail -2
mk() { # name
 rm -rf $D/a/* $D/b/*; mkdir -p $D/a $D/b
 qemu-img create -q -f qcow2 $D/a/base.qcow2 8M; chmod 666 $D/a/base.qcow2
 cat > $D/v.xml <<X
<domain type='qemu'><name>v</name><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/a/base.qcow2'/><target dev='vda' bus='virtio'/></disk></devices></domain>
X
 virsh -q define $D/v.xml
 qemu-io -f qcow2 -c 'write -P 1 0 64k' a/base.qcow2 >/dev/null
 virsh -q snapshot-create-as v e1 --disk-only
 qemu-io -f qcow2 -c 'write -P 2 0 64k' a/base.e1 >/dev/null
 virsh -q snapshot-create-as v e2 --disk-only
 qemu-io -f qcow2 -c 'write -P 3 0 64k' a/base.e2 >/dev/null
}
red() { # old new : redefine domain
 virsh dumpxml v --inactive | sed "s|$1|$2|g" > $D/n.xml; virsh -q define $D/n.xml
}
fixmeta() { # sed expr
 cur=$(virsh snapshot-current v --name)
 for s in e1 e2; do virsh snapshot-dumpxml v $s --security-info | sed "$1" > $D/s.xml; c=; [ $s = "$cur" ] && c=--current; virsh snapshot-create v $D/s.xml --redefine $c 2>&1 | grep -v '^$'; done
}
try() { echo "  \$ virsh $*"; virsh "$@" 2>&1 | grep -v '^$' | sed 's/^/    /'; }
state() { echo "  files: $(cd $D; ls a b | tr '\n' ' ') disk: $(virsh dumpxml v --inactive | grep -o "source file='[^']*'" | head -1) snaps: $(virsh snapshot-list v --name | tr '\n' ' ')"; }
clean() { for s in $(virsh snapshot-list v --name); do virsh snapshot-delete v $s --metadata >/dev/null; done; virsh undefine v >/dev/null; }
move_all() { mv a/* b/; qemu-img rebase -u -f qcow2 -F qcow2 -b $D/b/base.qcow2 b/base.e1; qemu-img rebase -u -f qcow2 -F qcow2 -b $D/b/base.e1 b/base.e2; red "$D/a/" "$D/b/"; }
for fix in no yes; do
for act in "snapshot-delete v e2" "snapshot-delete v e1" "snapshot-revert v e1" "snapshot-revert v e2"; do
 echo "== all moved, fix=$fix, $act"; mk; move_all; [ $fix = yes ] && fixmeta "s|$D/a/|$D/b/|g"
 try $act; state; virsh start v 2>&1 | grep error; virsh destroy v >/dev/null 2>&1; clean
done; done
for fix in no yes; do
for act in "snapshot-delete v e2" "snapshot-revert v e2" "snapshot-revert v e1"; do
 echo "== top overlay renamed, fix=$fix, $act"; mk; mv a/base.e2 a/top; red "$D/a/base.e2" "$D/a/top"; [ $fix = yes ] && fixmeta "s|$D/a/base.e2|$D/a/top|g"
 try $act; state; virsh start v 2>&1 | grep error;  virsh destroy v >/dev/null 2>&1; clean
done; done
for fix in no yes; do
for act in "snapshot-delete v e1" "snapshot-revert v e1"; do
 echo "== base renamed, fix=$fix, $act"; mk; mv a/base.qcow2 a/golden; qemu-img rebase -u -f qcow2 -F qcow2 -b $D/a/golden a/base.e1;  [ $fix = yes ] && fixmeta "s|$D/a/base.qcow2|$D/a/golden|g"
 try $act; state; virsh start v 2>&1 | grep error; virsh destroy v >/dev/null 2>&1; clean
done; done
