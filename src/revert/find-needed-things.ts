import type { HostFiles } from '../host/files.ts';
import type { Found, HostThings } from '../libvirt/found-things.ts';
import { askForThings } from '../libvirt/host-things.ts';
import { type Need, needKey } from '../libvirt/xml/need.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import { findFile, findLocally } from './find-locally.ts';
import { existence } from './find-opened.ts';

/**
 * Finds out which of the things that definitions need exist on the host: kvmsnap looks for files and devices itself, and
 * asks libvirt for everything else in one process.
 */
export async function findNeededThings(
  ctx: Context,
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
  for (const need of needs) {
    if (found.get(needKey(need))?.is === 'missing' && (await canBeMade(ctx.files, need, asked.firmware)))
      found.set(needKey(need), { is: 'template' });
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

/** Whether libvirt creates the missing file itself: from its template, or from the template of a known firmware. */
async function canBeMade(
  files: HostFiles,
  { madeFor }: Need,
  firmware: ReadonlySet<string>,
): Promise<boolean> {
  if (madeFor === undefined) return false;
  return firmware.has(madeFor) || (await existence(files, madeFor)) === 'there';
}
