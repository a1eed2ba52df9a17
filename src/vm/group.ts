import { KvmsnapError, lineWith, notOnHosts } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';
import { readMarks } from '../model/marks/marks.ts';
import { nearest } from '../model/names.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { allInText, inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { readSelection } from './select.ts';

/** The snapshots that `create --together` has taken of several VMs at one moment, found by the mark in each of them. */

export interface SnapshotGroup {
  readonly name: string;
  /** Those VMs that have their snapshot still, in the order of their names. */
  readonly readings: readonly DomainReading[];
  /** The names of VMs that do not exist any more, or have lost their snapshot of that moment. */
  readonly missing: readonly string[];
}

/** Throws `usage` if a host is named: several VMs at one moment need a kvmsnap that cannot lose its connection. */
export function refuseHosts({ host }: Pick<Context, 'host'>, option: string): void {
  if (host === null) return;
  throw notOnHosts(option);
}

/**
 * Finds the group of that name among all VMs of the connection. `vm`: a VM of the group, if there are several. Throws `not-found` if there
 * is none, and `usage` if there are several.
 */
export async function readGroup(ctx: Context, name: string, vm: string | null): Promise<SnapshotGroup> {
  refuseHosts(ctx, '--group');
  const { targets } = await readSelection(ctx, { words: [], all: true, exclude: [], states: [] });
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  const groups = await groupsNamed(ctx, readings, name);
  const fitting = groups.filter(
    ({ readings }) => vm === null || readings.some(({ domain }) => domain.name === vm || domain.uuid === vm),
  );
  const [group, ...others] = fitting;
  if (!group) throw await noGroup(ctx, name, vm, readings);
  if (others.length > 0) throw severalGroups(name, fitting);
  const present = group.readings.map(({ domain }) => domain.name);
  return {
    name,
    readings: group.readings,
    missing: group.names.filter((each) => !present.includes(each)),
  };
}

/** The groups of that name, one for each moment. */
async function groupsNamed(ctx: Context, all: readonly DomainReading[], name: string) {
  const holders = all.filter(({ snapshotNames }) => snapshotNames.includes(name));
  const found = await readSnapshotsOf(
    ctx.virsh,
    holders.map(({ domain }) => ({ ...domain, names: [name] })),
  );
  const groups = new Map<string, { names: readonly string[]; readings: DomainReading[] }>();
  for (const [i, reading] of holders.entries()) {
    const [snapshot] = found[i]?.snapshots ?? [];
    const { together } = readMarks(snapshot?.description ?? null);
    // a VM that was renamed, or got the snapshot of another one, is none of that moment
    if (!together?.includes(reading.domain.name)) continue;
    const key = JSON.stringify(together);
    const group = groups.get(key) ?? { names: together, readings: [] };
    group.readings.push(reading);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** The name of a group that was probably meant; null if there is none. */
async function nearGroup(ctx: Context, all: readonly DomainReading[], name: string): Promise<string | null> {
  const near = nearest(name, [...new Set(all.flatMap(({ snapshotNames }) => snapshotNames))]);
  return near !== null && (await groupsNamed(ctx, all, near)).length > 0 ? near : null;
}

/** `db no longer has the snapshot s1, which was taken of 3 VMs at the same moment` */
export const missingInWords = ({ name, readings, missing }: SnapshotGroup): string =>
  `${allInText(missing)} no longer ${missing.length === 1 ? 'has' : 'have'} the snapshot ${inText(name)}, ` +
  `which was taken of ${missing.length + readings.length} VMs at the same moment`;

async function noGroup(
  ctx: Context,
  name: string,
  vm: string | null,
  all: readonly DomainReading[],
): Promise<KvmsnapError> {
  const holders = all.filter(({ snapshotNames }) => snapshotNames.includes(name));
  const near = holders.length > 0 ? null : await nearGroup(ctx, all, name);
  const whose = vm === null ? '' : ` and has the VM ${inText(vm)}`;
  const [holder] = holders;
  return new KvmsnapError(
    'not-found',
    `no group of snapshots is named ${inText(name)}${whose}`,
    holder
      ? {
          hint: `${allInText(holders.map(({ domain }) => domain.name))} ${holders.length === 1 ? 'has a snapshot' : 'have snapshots'} of that name, but --together has not taken it, or has not finished; this shows ${holders.length === 1 ? 'it' : 'one of them'}`,
          command: kvmsnapLine('info', [holder.domain.name, name]),
        }
      : near !== null
        ? {
            hint: `did you mean ${inText(near)}?`,
            meant: lineWith({ kind: 'snapshot', word: name, by: near }),
          }
        : {
            hint: 'create-as --together makes groups; this lists all snapshots',
            command: kvmsnapLine('list', [], '--all'),
          },
  );
}

const severalGroups = (
  name: string,
  groups: readonly { readonly names: readonly string[] }[],
): KvmsnapError =>
  new KvmsnapError(
    'usage',
    `${groups.length} groups of snapshots are named ${inText(name)}: ${groups.map(({ names }) => `one of the VMs ${allInText(names)}`).join('; ')}`,
    { hint: 'add the name of a VM of the group that you mean' },
  );
