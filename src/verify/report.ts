import { FROM_PIPE, pipedLine, printing } from '../libvirt/piped-lines.ts';
import { elementXml } from '../libvirt/xml/change.ts';
import { commandLine } from '../model/quote.ts';
import { domainDocument } from '../output/documents.ts';
import { rfc3339 } from '../output/format.ts';
import { type Column, section, vmColumn } from '../output/view.ts';
import { overlayArguments, serveArguments } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import { concludeDomains, type DomainOutcome } from '../run/for-each-domain.ts';
import { adviceBeneath, domainResult, ownName } from '../run/results.ts';
import { type PlannedCommand, show, showPlan } from '../run/show.ts';
import type { StageFacts } from './facts.ts';
import { definitionOf } from './stage.ts';
import type { PlannedStage, Verdict, VerifiedSnapshot } from './verify.ts';

/** The output of `verify`. */

interface Row extends Verdict {
  readonly name: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    value: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'proven' ? 'good' : 'bad'),
  },
  { key: 'seen', title: 'SEEN', kind: 'text', wraps: true, value: ({ what }) => what },
];

/** Prints what was seen. */
export async function showVerdict(
  ctx: Context,
  { domain, snapshot, verdict }: VerifiedSnapshot,
): Promise<void> {
  const { outcome, what, seconds, screenshot } = verdict;
  await show(ctx, {
    kind: 'verify',
    document: {
      domain: domainDocument(domain),
      snapshot: { name: snapshot.name, createdAt: rfc3339(snapshot.createdAtSeconds) },
      ...{ outcome, seen: what, seconds, screenshot },
    },
    sections: [section({ columns: COLUMNS, rows: [{ ...verdict, name: snapshot.name }] })],
    names: outcome === 'proven' ? [snapshot.name] : [],
  });
}

type Result = DomainOutcome<VerifiedSnapshot | PlannedStage>;

/**
 * Shows the verdicts on the newest snapshots of several VMs, or what a dry run would do. Throws what the run ends with if one is not
 * proven, or cannot be verified.
 */
export async function showVerdicts(ctx: Context, results: readonly Result[]): Promise<void> {
  const { dryRun } = ctx.settings;
  const conclusion = concludeDomains(ctx, results, {
    strict: false,
    parts: 'verifications',
    inTable: () => !dryRun,
  });
  if (dryRun) await showPlans(ctx, results);
  else
    await show(ctx, {
      kind: 'verify-label',
      document: {
        domains: results.map((result) => ({ ...domainResult(result), verified: verdictDocument(result) })),
      },
      sections: [
        section({
          columns: OF_SEVERAL,
          rows: results.filter(({ outcome }) => outcome !== 'not reached'),
          ...adviceBeneath<Result>(ctx, adviceOf),
        }),
      ],
      names: results.flatMap((result) => {
        const verified = verifiedIn(result);
        return verified?.verdict.outcome === 'proven' ? [ownName(result.vm, verified.snapshot.name)] : [];
      }),
    });
  if (conclusion) throw conclusion;
}

async function showPlans(ctx: Context, results: readonly Result[]): Promise<void> {
  const commands = results.flatMap(({ value }) => (value && 'planned' in value ? value.planned : []));
  await showPlan(ctx, commands, {
    vms: results.map(({ vm }) => vm),
    document: { domains: results.map(domainResult) },
  });
}

const verifiedIn = ({ value }: Result): VerifiedSnapshot | null =>
  value && 'verdict' in value ? value : null;

/** That of a verdict is the same for all of them. */
const adviceOf = ({ value, failures }: Result) => (value ? [] : failures);

function verdictDocument(result: Result) {
  const verified = verifiedIn(result);
  return (
    verified && {
      snapshot: verified.snapshot.name,
      createdAt: rfc3339(verified.snapshot.createdAtSeconds),
      outcome: verified.verdict.outcome,
      seen: verified.verdict.what,
      seconds: verified.verdict.seconds,
    }
  );
}

const OF_SEVERAL: readonly Column<Result>[] = [
  vmColumn<Result>(({ vm }) => vm.name),
  { key: 'name', title: 'NAME', kind: 'text', value: (result) => verifiedIn(result)?.snapshot.name ?? null },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    value: (result) =>
      verifiedIn(result)?.verdict.outcome ?? (result.outcome === 'skipped' ? 'skipped' : 'not verified'),
    tone: (result) => (verifiedIn(result)?.verdict.outcome === 'proven' ? 'good' : 'warn'),
  },
  {
    key: 'seen',
    title: 'SEEN',
    kind: 'text',
    wraps: true,
    value: (result) => verifiedIn(result)?.verdict.what ?? result.failures[0]?.why ?? null,
    data: (result) => verifiedIn(result)?.verdict.what ?? result.failures[0]?.message ?? null,
  },
];

/** The commands that would do the same by hand; the last one ends the VM. */
export function plannedLines(ctx: Context, facts: StageFacts): PlannedCommand[] {
  const lines = facts.overlays.flatMap(({ part, path }) => {
    const socket = `${path}.sock`;
    return [
      commandLine('qemu-nbd', ['--fork', ...serveArguments(part, { socket, clients: 1 })]),
      commandLine('qemu-img', overlayArguments({ socket, diskBytes: part.diskBytes }, path)),
    ];
  });
  const create = pipedLine(ctx.virsh, printing(elementXml(definitionOf(facts))), ['create', FROM_PIPE]);
  return [...lines, create, ['destroy', '--domain', facts.uuid]];
}
