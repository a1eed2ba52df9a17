/**
 * The file in which the system's libvirtd records a snapshot; null where it cannot be told. Only its time is of use: that
 * of the last change that libvirt itself has made to the snapshot (a merge into its files, a parent deleted).
 */
export function recordFile(uri: string, vm: string, snapshot: string): string | null {
  return /^qemu(\+unix)?:\/\/\/system\b/.test(uri)
    ? `/var/lib/libvirt/qemu/snapshot/${vm}/${snapshot}.xml`
    : null;
}
