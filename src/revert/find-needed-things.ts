import type { HostFiles } from '../host/files.ts';
import type { Found, HostThings } from '../libvirt/definition/found-things.ts';
import { askForThings } from '../libvirt/definition/host-things.ts';
import { type Need, needKey, templateKey } from '../libvirt/xml/need.ts';
import type { VmReader } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import { findFile, findLocally } from './find-locally.ts';
import { existence } from './find-opened.ts';

/**
 * Finds out which of the things that definitions need exist on the host: kvmsnap looks for files and devices itself, and
 * asks libvirt for everything else in one process.
 */
export async function findNeededThings(
  ctx: VmReader,
  uri: string,
  needs: readonly Need[],
): Promise<HostThings> {
  const local = !isRemote(uri);
  const [files, asked] = await Promise.all([
    Promise.all(needs.map((need) => (local ? findLocally(ctx.files, need) : null))),
    askForThings(ctx.virsh, needs),
  ]);
  const found = new Map<string, Found>();
  for (const [i, need] of needs.entries())
    found.set(needKey(need), files[i] ?? asked.found.get(needKey(need)) ?? { is: 'unknown' });
  if (local) for (const need of needs) await findTemplate(ctx.files, need, asked.firmware, found);
  for (const need of needs) {
    const bridge = asked.devices.get(needKey(need));
    if (local && bridge && found.get(needKey(need))?.is === 'there') {
      const seen = await Promise.all(bridge.map((name) => findFile(ctx.files, `/sys/class/net/${name}`)));
      if (seen.length > 0 && seen.every(({ is }) => is === 'missing'))
        found.set(needKey(need), {
          is: 'missing',
          detail: `is on top of the network device ${bridge.join(', ')}, which does not exist`,
        });
    }
  }
  return found;
}

/** Adds whether an NVRAM can be made anew. */
async function findTemplate(
  files: HostFiles,
  need: Need,
  firmware: ReadonlySet<string> | null,
  found: Map<string, Found>,
): Promise<void> {
  const made = await canBeMade(files, need, firmware);
  if (made === null) return;
  found.set(templateKey(need), { is: made ? 'there' : 'missing' });
  if (made && found.get(needKey(need))?.is === 'missing') found.set(needKey(need), { is: 'template' });
}

/**
 * Whether libvirt can make the NVRAM itself: from its template, or from the template of a firmware that libvirt knows. null if it
 * is no NVRAM, or if libvirt does not tell which firmware it knows.
 */
async function canBeMade(
  files: HostFiles,
  { madeFrom }: Need,
  firmware: ReadonlySet<string> | null,
): Promise<boolean | null> {
  if (madeFrom === undefined) return null;
  if ('template' in madeFrom) return (await existence(files, madeFrom.template)) === 'there';
  return firmware?.has(madeFrom.loader) ?? null;
}
