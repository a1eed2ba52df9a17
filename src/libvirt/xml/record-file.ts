/**
 * The file in which the system's libvirtd records a snapshot; null if it is unknown. Only its time is used: the time of
 * libvirt's own last change to the snapshot (a merge into its files, or the deletion of its parent).
 */
export function recordFile(uri: string, vm: string, snapshot: string): string | null {
  return /^qemu(\+unix)?:\/\/\/system\b/.test(uri)
    ? `/var/lib/libvirt/qemu/snapshot/${vm}/${snapshot}.xml`
    : null;
}
