D=$KVMSNAP_LAB; cd $D
virsh version --daemon 2>/dev/null | tail -2
try() { # name, extra devices, extra toplevel
 rm -f $D/*.qcow2 $D/*.raw; qemu-img create -q -f qcow2 $D/a.qcow2 8M; qemu-img create -q -f raw $D/b.raw 8M; qemu-img create -q -f qcow2 $D/c.qcow2 8M; chmod 666 $D/*.qcow2 $D/*.raw
 cat > v.xml <<X
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>v</name><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2' $4/><source file='$D/a.qcow2'/><target dev='vda' bus='virtio'/></disk>$2</devices>$3</domain>
X
 echo "== $1"; virsh -q define v.xml && virsh -q start v && virsh -q snapshot-create-as v s1; virsh -q snapshot-revert v s1; echo "rc $? $(virsh domstate v --reason | head -1)"
 virsh destroy v >/dev/null 2>&1; virsh undefine v --snapshots-metadata >/dev/null 2>&1
}
try "commandline raw drive" "" "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=$D/b.raw,format=raw,if=none,id=x'/></qemu:commandline>"
try "commandline raw virtio drive" "" "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=$D/b.raw,format=raw,if=virtio'/></qemu:commandline>"
try "commandline raw blockdev" "" "<qemu:commandline><qemu:arg value='-blockdev'/><qemu:arg value='driver=file,node-name=nn,filename=$D/b.raw'/></qemu:commandline>"
try "commandline qcow2 drive" "" "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=$D/c.qcow2,format=qcow2,if=none,id=x'/></qemu:commandline>"
try "copy on read" "" "" "copy_on_read='on'"
try "readonly raw" "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$D/b.raw'/><target dev='vdb' bus='virtio'/><readonly/></disk>" ""
try "raw floppy readonly" "<disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file='$D/b.raw'/><target dev='fda'/><readonly/></disk>" ""
try "shareable raw" "<disk type='file' device='disk' snapshot='no'><driver name='qemu' type='raw'/><source file='$D/b.raw'/><target dev='vdb' bus='virtio'/><shareable/></disk>" ""
try "throttled" "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/c.qcow2'/><target dev='vdb' bus='virtio'/><iotune><total_bytes_sec>100000</total_bytes_sec></iotune></disk>" ""
