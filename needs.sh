D=$KVMSNAP_LAB; cd $D
virsh version --daemon 2>/dev/null | tail -2
echo data > $D/blob; echo; chmod 666 $D/blob
mk() {
 rm -f $D/*.qcow2; qemu-img create -q -f qcow2 $D/a.qcow2 8M; chmod 666 $D/*.qcow2; echo data > $D/blob; chmod 666 blob
 cat > v.xml <<X
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>v</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>$1<os><type arch='x86_64' machine='pc'>hvm</type></os>$2<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/a.qcow2'/><target dev='vda' bus='virtio'/></disk>$3</devices>$4</domain>
X
 virsh -q define v.xml && virsh -q start v && virsh -q snapshot-create-as v s1
}
sedit() { virsh snapshot-dumpxml v s1 --security-info | sed "$1" > s.xml; virsh -q snapshot-create v s.xml --redefine --current 2>&1 | grep error; }
rev() { virsh -q snapshot-revert v s1 2>&1 | tail -1; echo "  rc ${PIPESTATUS[0]} $(virsh domstate v --reason | head -1)"; virsh destroy v >/dev/null 2>&1; virsh start v 2>&1 | grep error: | tail -1; virsh destroy v >/dev/null 2>&1; virsh undefine v --snapshots-metadata >/dev/null 2>&1; }
echo "== vcpupin"; mk "<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>" && { sedit "s/cpuset='0'/cpuset='900'/"; rev; }
echo "== vcpu cpuset"; mk && { sedit "s/<vcpu placement='static'>1/<vcpu placement='static' cpuset='900'>1/"; rev; }
echo "== emulatorpin"; mk "<cputune><emulatorpin cpuset='0'/></cputune>" && { sedit "s/cpuset='0'/cpuset='900'/"; rev; }
echo "== graphics listen"; mk "" "" "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>" && { sedit "s/127.0.0.1/192.0.2.77/g"; rev; }
echo "== graphics port used"; mk "" "" "<graphics type='vnc' port='5977' autoport='no' listen='127.0.0.1'/>" && { virsh destroy v >/dev/null; python3 -m http.server 5977 --bind 127.0.0.1 >/dev/null 2>&1 & P=$!; sleep 1; rev; kill $P; }
echo "== serial tcp bind"; mk "" "" "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/><protocol type='raw'/></serial>" && { sedit "s/host='127.0.0.1'/host='192.0.2.77'/"; rev; }
echo "== commandline fw_cfg file gone"; mk "" "" "" "<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/x,file=$D/blob'/></qemu:commandline>" && { rm $D/blob; rev; }
echo "== commandline drive gone"; qemu-img create -q -f qcow2 $D/c.img 8M; chmod 666 c.img; mk "" "" "" "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=$D/c.img,format=qcow2,if=none,id=zz'/></qemu:commandline>" && { rm $D/c.img; rev; }
echo "== cpu model unknown"; mk "" "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>" && { sedit "s/<model fallback='forbid'>qemu64/<model fallback='forbid'>NoSuchCpu/"; rev; }
echo "== cpu feature require missing"; mk "" "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>" && { sedit "s|</model>|</model><feature policy='require' name='amx-tile'/>|; s/check='none'/check='full'/"; rev; }
echo "== hugepages"; mk && { sedit "s|<vcpu placement|<memoryBacking><hugepages/></memoryBacking><vcpu placement|"; rev; }
echo "== numatune"; mk && { sedit "s|<os>|<numatune><memory mode='strict' nodeset='7'/></numatune><os>|"; rev; }
echo "== resource partition"; mk && { sedit "s|<os>|<resource><partition>/nosuch</partition></resource><os>|"; rev; }
echo "== audio/alsa"; mk "" "" "<sound model='ich6'/>" && { rev; }
echo "== dac seclabel user gone"; mk && { sedit "s|</devices>|</devices><seclabel type='static' model='dac' relabel='yes'><label>nosuchuser:nosuchgroup</label></seclabel>|"; rev; }
