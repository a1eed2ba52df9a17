import { KvmsnapError } from '../errors.ts';
import {
  type DomainName,
  type DomainReading,
  explainMissing,
  listDomains,
  readDomain,
  readDomains,
} from '../libvirt/domains.ts';
import { NO_SNAPSHOTS, readSnapshotsOf, type SnapshotsRead } from '../libvirt/snapshots.ts';
import { nearest } from '../model/names.ts';
import { isPattern, type Selected, type Selection, selectDomains } from '../model/selection.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';

/** A VM of a selection: as it was read, or why it could not be. */
export interface Target {
  /** `uuid` null: a word that means no VM. */
  readonly vm: { readonly name: string; readonly uuid: string | null };
  readonly reading: DomainReading | KvmsnapError;
  /** By its own name or UUID, and not by a pattern that it happens to match. */
  readonly named: boolean;
}

export interface Targets {
  readonly targets: readonly Target[];
  /** One VM, called by its own name or UUID: that is consent, and its results need not say whose they are. */
  readonly single: boolean;
}

/**
 * Reads the VMs that a command line means: one by its name, or many by patterns, in two processes for any number.
 * A word that means nothing stands among others as its failure. Throws `not-found` when it is the only one, or when all
 * of them together mean nothing: never a silent success.
 */
export async function readSelection(ctx: Context, selection: Selection): Promise<Targets> {
  const { words, all, exclude, states } = selection;
  const [word = ''] = words;
  const single = !all && words.length === 1;
  if (single && !isPattern(word) && states.length === 0 && exclude.length === 0) {
    const reading = await readDomain(ctx.virsh, word);
    return { targets: [{ vm: reading.domain, reading, named: true }], single };
  }
  const { vms, named, missing } = await chooseDomains(ctx, selection);
  const readings = await readDomains(ctx.virsh, vms);
  const present = vms
    .map(
      (vm, i): Target => ({
        vm,
        reading: readings[i] as DomainReading | KvmsnapError,
        named: named.has(vm),
      }),
    )
    .filter(
      ({ reading }) =>
        reading instanceof KvmsnapError || states.length === 0 || states.includes(reading.domain.state),
    );
  const absent = missing.map(
    ({ name, uuid, failure }): Target => ({ vm: { name, uuid }, reading: failure, named: true }),
  );
  const targets = [...present, ...absent].sort((a, b) => (a.vm.name < b.vm.name ? -1 : 1));
  if (targets.length === 0) throw nothingLeft(selection, vms.length);
  return { targets, single: single && named.size > 0 };
}

/** A word that means no VM, and why. */
interface Missing {
  readonly name: string;
  readonly uuid: null;
  readonly failure: KvmsnapError;
}

interface Chosen extends Pick<Selected<DomainName>, 'vms' | 'named'> {
  /** Words that mean no VM; none where such a word is the only one. */
  readonly missing: readonly Missing[];
}

/** The VMs of a selection in the order of their names, whatever their state; one process. Throws as `readSelection`. */
export async function chooseDomains(ctx: Context, selection: Selection): Promise<Chosen> {
  const known = (await listDomains(ctx.virsh)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const chosen = selectDomains(known, selection);
  for (const word of chosen.idle) tellIdle(ctx, word, known, selection);
  const words = [...new Set(chosen.unmatched)];
  if (words.length === 0) return { ...chosen, missing: [] };
  const failures = await explainMissing(ctx.virsh, words);
  const missing = words.flatMap((name): Missing[] => {
    const failure = failures.get(name);
    return failure ? [{ name, uuid: null, failure }] : [];
  });
  if (missing.length < words.length) return chooseDomains(ctx, selection); // it has come meanwhile
  const [only] = missing;
  if (only && selection.words.length === 1) throw only.failure;
  return { ...chosen, missing };
}

/** A job of every night may exclude a VM that has gone; where it is an error, it throws `not-found`. */
function tellIdle(
  ctx: Context,
  word: string,
  known: readonly DomainName[],
  { exacting = false }: Selection,
): void {
  const message = `--exclude ${inText(word)} leaves out nothing: ${isPattern(word) ? 'no VM matches' : 'no VM is called so'}`;
  const names = known.map(({ name }) => name);
  const meant = isPattern(word) ? null : nearest(word, names);
  const hint = meant === null ? 'kvmsnap list shows all VMs' : `did you mean ${inText(meant)}?`;
  if (exacting) throw new KvmsnapError('not-found', message, { hint });
  ctx.terminal.note(`note: ${message}${meant === null ? '' : `; ${hint}`}`);
}

/** The snapshots of all VMs that could be read, by UUID; one process per 100 KB of commands. */
export async function readAllSnapshots(
  ctx: Context,
  { targets }: Targets,
): Promise<ReadonlyMap<string, SnapshotsRead>> {
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  const snapshots = await readSnapshotsOf(
    ctx.virsh,
    readings.map(({ domain, snapshotNames }) => ({ ...domain, names: snapshotNames })),
  );
  return new Map(readings.map(({ domain }, i) => [domain.uuid, snapshots[i] ?? NO_SNAPSHOTS]));
}

/** Why nothing is left of a selection; `chosen` counts the VMs whose state was asked. */
export function nothingLeft({ exclude, states }: Selection, chosen: number): KvmsnapError {
  const why =
    chosen > 0
      ? `of ${chosen} selected, none is ${states.join(' or ')}`
      : exclude.length > 0
        ? 'all that were selected are excluded'
        : 'this connection has none';
  const hint =
    chosen + exclude.length > 0
      ? 'kvmsnap list shows all VMs and their states'
      : 'the VMs of the host are at --connect qemu:///system';
  return new KvmsnapError('not-found', `no VM is left: ${why}`, { hint });
}
