import { readDefinitions } from '../libvirt/definition/definitions.ts';
import { type Element, elementsAt } from '../libvirt/xml/element.ts';
import { needKey } from '../libvirt/xml/need.ts';
import { neededThings } from '../libvirt/xml/needed-things.ts';
import { isActive } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { VmReader } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import type { Vm } from '../vm/load.ts';
import { findNeededThings } from './find-needed-things.ts';
import { lacksToStart, type StoredDefinitionFacts, storedNeeds } from './rules/stored-definition.ts';

export type StoredFacts = Pick<StoredDefinitionFacts, 'stored' | 'things' | 'now'>;

/** The definitions stored with these snapshots, and which of the things that they need exist on the host; two processes for all. */
export async function readStoredFacts(
  ctx: VmReader,
  { uri, domain }: Vm,
  snapshots: readonly Snapshot[],
): Promise<(snapshot: Snapshot) => StoredFacts> {
  const { stored, config, live } = await readDefinitions(
    ctx.virsh,
    domain.uuid,
    snapshots.map(({ name }) => name),
  );
  const needs = snapshots.flatMap((snapshot) => {
    const definition = stored.get(snapshot.name);
    return definition ? storedNeeds(snapshot, definition) : [];
  });
  const own = live ? portsOf(live) : new Set<string>();
  const things = await findNeededThings(
    ctx,
    uri,
    [...new Map(needs.map((need) => [needKey(need), need])).values()].filter(
      // the present QEMU ends before the next one starts
      ({ kind, name }) => kind !== 'port' || !own.has(name.split(' ')[1] ?? ''),
    ),
  );
  return ({ name }) => ({ stored: stored.get(name), things, now: { config, live } });
}

/** The ports on which the QEMU of this definition listens. */
function portsOf(live: Element): Set<string> {
  const ports = elementsAt(live, 'devices/graphics').flatMap(({ attributes }) =>
    ['port', 'tlsPort', 'websocket'].map((name) => attributes[name] ?? ''),
  );
  const needed = neededThings(live, new Set()).filter(({ kind }) => kind === 'port');
  return new Set([...ports, ...needed.map(({ name }) => name.split(' ')[1] ?? '')]);
}

/** After a failure that left the VM off: what is missing to start it, each with the fix. */
export async function lackingNow(ctx: VmReader, { uri, domain }: Vm): Promise<Finding[]> {
  if (isActive(domain.state)) return [];
  const { config } = await readDefinitions(ctx.virsh, domain.uuid, []);
  if (!config) return [];
  const things = await findNeededThings(ctx, uri, neededThings(config, new Set()));
  return lacksToStart(config, things).map((finding) => withConnection(ctx, finding));
}
