import { combineFailures, type KvmsnapError } from '../errors.ts';
import { foldNames } from '../model/node-set.ts';
import { inText } from '../model/text.ts';
import { describeError } from '../output/error.ts';
import { counted } from '../output/format.ts';
import type { Context, OutputFormat } from '../run/context.ts';
import { show } from '../run/show.ts';
import { namingHost } from './host-command.ts';
import { type HostResult, mergeViews } from './merge-views.ts';

/** The end of a run over hosts. */

/** Shows what the hosts have answered to a line with this command, and throws the failure of the run. */
export async function conclude(ctx: Context, verb: string, results: readonly HostResult[]): Promise<void> {
  const { terminal, settings } = ctx;
  requireUsableLine(results, settings.output);
  const reached = results.filter(({ isUnreached }) => !isUnreached);
  const failures = new Map(
    reached.flatMap((result) => (result.failure ? [[result, namingHost(result.failure, result.name)]] : [])),
  );
  const summary = foldedLine(results);
  const conclusion = conclusionOf([...failures.values()], reached.length, summary, verb);
  const isRow = settings.output === 'table' && terminal.isOneStream && results.length > 1;
  for (const line of sameVms(results)) terminal.note(line);
  const merged = mergeViews(results, isRow || settings.output === 'csv');
  const isFine = failures.size === 0 && results.length > 1;
  const remarks = [...(merged.remarks ?? []), ...(isFine ? [summary] : [])];
  // of a single host there may be nothing to show but its failure
  if (results.length > 1 || results.some(({ views }) => views.length > 0) || settings.output === 'json')
    await show(ctx, { ...merged, remarks });
  for (const [{ views }, failure] of failures) {
    // a JSON document contains all of them
    const isShown = settings.output === 'json' || (isRow && views.length === 0);
    if (!isShown && failure !== conclusion)
      terminal.note(describeError(failure, { json: false, level: 0 }).trimEnd());
  }
  if (conclusion) throw conclusion;
}

/** Throws what is wrong with the line itself, and so was refused in the same words for each of several hosts; JSON has it for each. */
function requireUsableLine(results: readonly HostResult[], output: OutputFormat): void {
  const [first, ...others] = results;
  const failure = first?.failure ?? null;
  const isSame = (result: HostResult) =>
    result.views.length === 0 &&
    result.failure?.code === 'usage' &&
    result.failure.message === failure?.message;
  if (failure && output !== 'json' && others.length > 0 && results.every(isSame)) throw failure;
}

/** `check` has one exit code for problems that it finds, on however many hosts. */
function conclusionOf(
  failures: readonly KvmsnapError[],
  hosts: number,
  summary: string,
  verb: string,
): KvmsnapError | null {
  if (failures.length === 0) return null;
  const areFindings = verb === 'check' && failures.every(({ code }) => code === 'check');
  return combineFailures(failures, areFindings && hosts > 1 ? 0 : hosts - failures.length, summary);
}

/** A VM whose UUID two hosts have: on shared storage, both would work on the same images. */
function sameVms(results: readonly HostResult[]): string[] {
  const hosts = new Map<string, { readonly vm: string; readonly hosts: Set<string> }>();
  for (const { host, uuid, vm } of results.flatMap(vmsOf)) {
    const found = hosts.get(uuid) ?? { vm, hosts: new Set() };
    found.hosts.add(host);
    hosts.set(uuid, found);
  }
  return [...hosts.values()]
    .filter(({ hosts }) => hosts.size > 1)
    .map(
      ({ vm, hosts }) =>
        `warning: the VM ${inText(vm)} is defined on several hosts (${foldNames([...hosts])}): if they share its images, use it on one of them only`,
    );
}

const vmsOf = ({ name: host, views }: HostResult) =>
  views.flatMap(({ document }) =>
    ('domains' in document ? (document.domains ?? []) : []).flatMap(({ uuid, name: vm }) =>
      typeof uuid === 'string' ? [{ host, uuid, vm }] : [],
    ),
  );

/** `48 hosts ok (kvm[01-06,08-49]), 2 unreachable (kvm07,kvm50)` */
function foldedLine(results: readonly HostResult[]): string {
  const groups = new Map<string, string[]>();
  for (const { name, failure, isUnreached } of results) {
    const word = isUnreached
      ? 'not reached'
      : failure === null
        ? 'ok'
        : failure.code === 'unreachable'
          ? 'unreachable'
          : 'failed';
    groups.set(word, [...(groups.get(word) ?? []), name]);
  }
  return ['ok', 'failed', 'unreachable', 'not reached']
    .flatMap((word) => {
      const names = groups.get(word);
      return names ? [{ word, names }] : [];
    })
    .map(
      ({ word, names }, i) =>
        `${i === 0 ? counted(names.length, 'host') : names.length} ${word} (${foldNames(names)})`,
    )
    .join(', ');
}
