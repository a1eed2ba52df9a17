import { allAnswered } from './answers.ts';
import type { Virsh } from './virsh.ts';

/** How libvirt keeps VMs apart on the host, as `virsh capabilities` tells. */
export interface HostSecurity {
  /** The names of the security drivers; without `none`. */
  readonly models: readonly string[];
  /** The user and the group as which QEMU runs; null: those of libvirtd. */
  readonly qemuUser: { readonly uid: number; readonly gid: number } | null;
}

/** `type`: of the VM, `kvm` or `qemu`. */
export async function readHostSecurity(virsh: Virsh, type: string): Promise<HostSecurity> {
  const [xml = ''] = allAnswered(await virsh.read([['capabilities']]));
  return parseHostSecurity(xml, type);
}

/** Source of the format: libvirt's formatcaps, `<secmodel>`. The label of `dac` is `+UID:+GID`. */
export function parseHostSecurity(xml: string, type: string): HostSecurity {
  const found = [...xml.matchAll(/<secmodel>\s*<model>([^<]*)<\/model>([\s\S]*?)<\/secmodel>/g)];
  const dac = found.find(([, model]) => model === 'dac')?.[2] ?? '';
  const [, uid, gid] = new RegExp(`<baselabel type='${type}'>\\+(\\d+):\\+(\\d+)<`).exec(dac) ?? [];
  return {
    models: found.flatMap(([, model = '']) => (model === 'none' ? [] : model)),
    qemuUser: uid === undefined || uid === '0' ? null : { uid: Number(uid), gid: Number(gid) },
  };
}
