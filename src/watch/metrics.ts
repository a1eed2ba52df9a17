import { labelOf } from '../model/labels.ts';
import type { FamilyName, Series } from '../output/prometheus.ts';
import type { EndedRun, Recording } from '../run/recording.ts';
import type { Vm } from '../vm/load.ts';
import type { Freed } from './freed.ts';
import { lastProven, type Watched, watched } from './watched.ts';

/** The metrics of VMs and of runs, and what stays of those of earlier runs. Pure. */

/** The snapshots of a VM that have one label; '' for those without a label. */
export interface LabelGroup extends Watched {
  readonly label: string;
  readonly held: number;
  /** When `kvmsnap verify` last proved one of them, in seconds since the epoch; null: never. */
  readonly provenAtSeconds: number | null;
}

/** The snapshots of a VM by their labels. The label that was asked for has a group even if no snapshot has it. */
export function groupsOf({ snapshots }: Pick<Vm, 'snapshots'>, asked: string | null): LabelGroup[] {
  const complete = snapshots.filter(({ underWay }) => !underWay);
  const labels = new Set(complete.map(({ name }) => labelOf(name) ?? ''));
  if (asked !== null || labels.size === 0) labels.add(asked ?? '');
  return [...labels].map((label) => {
    const own = complete.filter(({ name }) => (labelOf(name) ?? '') === label);
    return {
      label,
      held: own.filter(({ held }) => held).length,
      provenAtSeconds: lastProven(own, null)?.provenAtSeconds ?? null,
      ...watched(own, null),
    };
  });
}

/** The series of a group; `freed`: what deleting those that are not on hold frees. */
export function seriesOf(
  vm: string,
  { label, newest, kept, held, provenAtSeconds }: LabelGroup,
  freed: Freed,
): Series[] {
  const [oldest] = kept;
  const values: readonly (readonly [FamilyName, number | undefined])[] = [
    ['kvmsnap_newest_timestamp_seconds', newest?.createdAtSeconds],
    ['kvmsnap_oldest_timestamp_seconds', oldest?.createdAtSeconds],
    ['kvmsnap_proven_timestamp_seconds', provenAtSeconds ?? undefined],
    ['kvmsnap_snapshots', kept.length],
    ['kvmsnap_held_snapshots', held],
    ['kvmsnap_frees_bytes', 'bytes' in freed ? freed.bytes : undefined],
  ];
  return values.flatMap(([family, value]) =>
    value === undefined ? [] : [{ family, labels: { vm, label }, value }],
  );
}

/**
 * The series after a run: what it has read, its own result, and of the series before it those that it does not replace. A run on a
 * host that was named replaces only series of this host, and adds the label `host` to its own.
 */
export function afterRun(before: readonly Series[], { host, run, reading }: Recording): Series[] {
  const { vms, unread, isAll } = reading;
  const stays = ({ labels: { vm, command, label, host: of } }: Series): boolean => {
    if ((of ?? null) !== host) return true;
    return vm === undefined
      ? command !== run.command || label !== (run.label ?? '')
      : !vms.has(vm) && (!isAll || unread.includes(vm));
  };
  const own = [...vms.values()].flat().concat(ofRun(before, host, run));
  return [
    ...before.filter(stays),
    ...own.map((series) => (host === null ? series : { ...series, labels: { host, ...series.labels } })),
  ];
}

function ofRun(
  before: readonly Series[],
  host: string | null,
  { command, label, succeeded, endedAt }: EndedRun,
): Series[] {
  const labels = { command, label: label ?? '' };
  const earlier = before.find(
    (each) =>
      each.family === 'kvmsnap_last_success_timestamp_seconds' &&
      each.labels['command'] === command &&
      each.labels['label'] === labels.label &&
      (each.labels['host'] ?? null) === host,
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

/** The hosts on which a run with this command and label has ended, by the series that it has left. */
export const recordedHosts = (
  before: readonly Series[],
  run: Pick<EndedRun, 'command' | 'label'>,
): string[] =>
  before.flatMap(({ family, labels: { host, command, label } }) =>
    family === 'kvmsnap_last_run_success' &&
    host !== undefined &&
    command === run.command &&
    label === (run.label ?? '')
      ? [host]
      : [],
  );
