import { KvmsnapError, lineWith } from '../errors.ts';
import {
  type DomainReading,
  explainMissing,
  listDomains,
  readDomain,
  readDomains,
} from '../libvirt/domains.ts';
import { type DomainName, presentVms, sessionHint } from '../libvirt/resolve.ts';
import type { SnapshotsRead } from '../libvirt/snapshots.ts';
import { isPattern, type Selected, type Selection, selectDomains } from '../model/input/selection.ts';
import { nearest } from '../model/names.ts';
import { whyLeftOut } from '../model/policy.ts';
import { inText } from '../model/text.ts';
import { isThrowAway } from '../model/throw-away.ts';
import type { Context } from '../run/context.ts';

/** A VM of a selection: the VM as it was read, or the reason why it could not be read. */
export interface Target {
  /** `uuid` null: a word that matches no VM. */
  readonly vm: { readonly name: string; readonly uuid: string | null };
  readonly reading: DomainReading | KvmsnapError;
  /** Whether the VM was named exactly, by name or UUID, and not matched by a pattern. */
  readonly named: boolean;
  /** Why nothing is to be done to it; absent: something is. */
  readonly leftOut?: KvmsnapError;
}

export interface Targets {
  readonly targets: readonly Target[];
  /**
   * Whether the selection is one VM named exactly. Naming a VM exactly counts as confirmation, and results do not
   * repeat its name.
   */
  readonly single: boolean;
}

/**
 * Reads the VMs that a command line selects, one by its name or many by patterns, in two processes for any number of
 * VMs. A word that matches nothing becomes a failed result among others. Throws `not-found` if it is the only word, or
 * if all words together match nothing, so that the run is never a silent success.
 */
export async function readSelection(
  ctx: Pick<Context, 'terminal' | 'virsh'>,
  selection: Selection,
): Promise<Targets> {
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
  const targets = [...present.map(leavingOut(selection)), ...absent].sort((a, b) =>
    a.vm.name < b.vm.name ? -1 : 1,
  );
  if (targets.length === 0) throw nothingLeft(ctx, selection, vms.length);
  return { targets, single: single && named.size > 0 };
}

/** Marks a VM that has chosen another policy. One that was named exactly is meant whatever its policy is. */
const leavingOut =
  ({ policy = null }: Selection) =>
  (target: Target): Target => {
    const { reading, named } = target;
    if (policy === null || named || reading instanceof KvmsnapError) return target;
    const why = whyLeftOut(reading.domain.policy, policy);
    return why === null ? target : { ...target, leftOut: new KvmsnapError('check', why) };
  };

/** A word that matches no VM, and why. */
export interface Missing {
  readonly name: string;
  readonly uuid: null;
  readonly failure: KvmsnapError;
}

interface Chosen extends Pick<Selected<DomainName>, 'vms' | 'named'> {
  /** Words that match no VM; empty if such a word is the only one. */
  readonly missing: readonly Missing[];
}

/** The selected VMs in the order of their names, in any state; one process. Throws like `readSelection`. */
export async function chooseDomains(
  ctx: Pick<Context, 'terminal' | 'virsh'>,
  selection: Selection,
): Promise<Chosen> {
  const known = (await listDomains(ctx.virsh))
    .filter(({ name }) => !isThrowAway(name) || selection.words.includes(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const chosen = selectDomains(known, selection);
  for (const word of chosen.idle) tellIdle(ctx, word, known, selection);
  const words = [...new Set(chosen.unmatched)];
  if (words.length === 0) return { ...chosen, missing: [] };
  const failures = await explainMissing(ctx.virsh, words);
  const missing = words.flatMap((name): Missing[] => {
    const failure = failures.get(name);
    return failure ? [{ name, uuid: null, failure }] : [];
  });
  if (missing.length < words.length) return chooseDomains(ctx, selection); // the VM was defined meanwhile
  const [only] = missing;
  if (only && selection.words.length === 1) throw only.failure;
  return { ...chosen, missing };
}

/**
 * Prints a note for each --exclude that matches nothing, because a nightly job may exclude a VM that is gone; throws
 * `not-found` if the selection treats it as an error.
 */
function tellIdle(
  ctx: Pick<Context, 'terminal'>,
  word: string,
  known: readonly DomainName[],
  { exacting = false }: Selection,
): void {
  const message = `--exclude ${inText(word)} matches no VM`;
  const names = known.map(({ name }) => name);
  const meant = isPattern(word) ? null : nearest(word, names);
  const hint = meant === null ? presentVms(names) : `did you mean ${inText(meant)}?`;
  if (exacting)
    throw new KvmsnapError('not-found', message, {
      hint,
      meant: meant === null ? undefined : lineWith({ kind: 'vm', word, by: meant }),
    });
  ctx.terminal.note(`note: ${message}${meant === null ? '' : `; ${hint}`}`);
}

/** The snapshots of all VMs that could be read, by UUID; one process per 100 KB of commands. */
export async function readAllSnapshots(
  ctx: Pick<Context, 'virsh'>,
  { targets }: Targets,
): Promise<ReadonlyMap<string, SnapshotsRead>> {
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  const { NO_SNAPSHOTS, readSnapshotsOf } = await import('../libvirt/snapshots.ts');
  const snapshots = await readSnapshotsOf(
    ctx.virsh,
    readings.map(({ domain, snapshotNames }) => ({ ...domain, names: snapshotNames })),
  );
  return new Map(readings.map(({ domain }, i) => [domain.uuid, snapshots[i] ?? NO_SNAPSHOTS]));
}

/** What to say of a connection without any VM; one process. */
export async function noVmsText({ virsh }: Pick<Context, 'virsh'>): Promise<string> {
  const [uri] = (await virsh.read([['uri']])).texts;
  return ['there are no VMs', sessionHint(uri?.trim() ?? '')].filter((part) => part !== null).join(': ');
}

/** The failure of a selection that selects no VM; `chosen` counts the VMs whose state was read. */
export function nothingLeft(
  ctx: Pick<Context, 'virsh'>,
  { exclude, states }: Selection,
  chosen: number,
): KvmsnapError {
  const why =
    chosen > 0
      ? `${chosen === 1 ? 'the selected VM is not' : `none of the ${chosen} selected VMs is`} ${states.join(' or ')}`
      : exclude.length > 0
        ? 'all selected VMs are excluded'
        : 'this connection has no VMs';
  if (chosen + exclude.length === 0)
    return new KvmsnapError('not-found', why, {
      hint: 'to reach the VMs of the host, add --connect qemu:///system',
    });
  const connected = ctx.virsh.line([]).replace(/^virsh/, 'kvmsnap');
  return new KvmsnapError('not-found', why, {
    hint: 'to see all VMs and their states',
    command: `${connected} list`,
  });
}
