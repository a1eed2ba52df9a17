import { labelOf } from '../model/labels.ts';
import type { Vm } from '../vm/load.ts';
import type { Freed } from './freed.ts';
import type { FamilyName, Series } from './prometheus.ts';
import { type Watched, watched } from './watched.ts';

/** The metrics of VMs and of runs, and what stays of those of earlier runs. Pure. */

/** The snapshots of a VM that have one label; '' for those without a label. */
export interface LabelGroup extends Watched {
  readonly label: string;
  readonly held: number;
}

/** The snapshots of a VM by their labels. The label that was asked for has a group even if no snapshot has it. */
export function groupsOf({ snapshots }: Pick<Vm, 'snapshots'>, asked: string | null): LabelGroup[] {
  const complete = snapshots.filter(({ underWay }) => !underWay);
  const labels = new Set(complete.map(({ name }) => labelOf(name) ?? ''));
  if (asked !== null || labels.size === 0) labels.add(asked ?? '');
  return [...labels].map((label) => {
    const own = complete.filter(({ name }) => (labelOf(name) ?? '') === label);
    return { label, held: own.filter(({ held }) => held).length, ...watched(own, null) };
  });
}

/** The series of a group; `freed`: what deleting those that are not on hold frees. */
export function seriesOf(vm: string, { label, newest, kept, held }: LabelGroup, freed: Freed): Series[] {
  const [oldest] = kept;
  const values: readonly (readonly [FamilyName, number | undefined])[] = [
    ['kvmsnap_newest_timestamp_seconds', newest?.createdAtSeconds],
    ['kvmsnap_oldest_timestamp_seconds', oldest?.createdAtSeconds],
    ['kvmsnap_snapshots', kept.length],
    ['kvmsnap_held_snapshots', held],
    ['kvmsnap_frees_bytes', 'bytes' in freed ? freed.bytes : undefined],
  ];
  return values.flatMap(([family, value]) =>
    value === undefined ? [] : [{ family, labels: { vm, label }, value }],
  );
}

/** A run that has ended. */
export interface EndedRun {
  readonly command: string;
  /** Of `--label`; null: none. */
  readonly label: string | null;
  readonly succeeded: boolean;
  /** Seconds since the epoch. */
  readonly endedAt: number;
}

/** What a run has read of the VMs. */
export interface Reading {
  /** By the name of the VM. */
  readonly vms: ReadonlyMap<string, readonly Series[]>;
  /** VMs that could not be read. */
  readonly unread: readonly string[];
  /** Whether these are all VMs, so that any other does not exist any more. */
  readonly isAll: boolean;
}

export const NOTHING_READ: Reading = { vms: new Map(), unread: [], isAll: false };

/** The series after a run: what it has read, its own result, and of the series before it those that it does not replace. */
export function afterRun(
  before: readonly Series[],
  run: EndedRun,
  { vms, unread, isAll }: Reading,
): Series[] {
  const stays = ({ labels: { vm, command, label } }: Series): boolean =>
    vm === undefined
      ? command !== run.command || label !== (run.label ?? '')
      : !vms.has(vm) && (!isAll || unread.includes(vm));
  return [...before.filter(stays), ...[...vms.values()].flat(), ...ofRun(before, run)];
}

function ofRun(before: readonly Series[], { command, label, succeeded, endedAt }: EndedRun): Series[] {
  const labels = { command, label: label ?? '' };
  const earlier = before.find(
    (each) =>
      each.family === 'kvmsnap_last_success_timestamp_seconds' &&
      each.labels['command'] === command &&
      each.labels['label'] === labels.label,
  );
  const success = succeeded ? endedAt : earlier?.value;
  return [
    { family: 'kvmsnap_last_run_timestamp_seconds', labels, value: endedAt },
    { family: 'kvmsnap_last_run_success', labels, value: succeeded ? 1 : 0 },
    ...(success === undefined
      ? []
      : [{ family: 'kvmsnap_last_success_timestamp_seconds' as const, labels, value: success }]),
  ];
}
