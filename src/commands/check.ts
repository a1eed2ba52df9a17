import type { Context } from '../context.ts';
import { parseSpan } from '../core/calendar.ts';
import { commandsOf, type RuledFinding, type Severity } from '../core/preflight.ts';
import { kvmsnapLine } from '../core/quote.ts';
import { KvmsnapError } from '../errors.ts';
import { type Checked, type CheckRequest, checkMachine } from '../host/check-machine.ts';
import { noteUnseen } from '../host/disks.ts';
import { createLeftoverFinder } from '../host/find-leftovers.ts';
import { prepareFixes } from '../host/fix-machine.ts';
import { assembleMachine, isDrifting, readAgain } from '../host/machine.ts';
import { concludeMachines, type MachineResult, overMachines, requireDeed } from '../host/over-machines.ts';
import { readAllSnapshots, readSelection } from '../host/select.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { NO_SNAPSHOTS } from '../libvirt/snapshots.ts';
import { type Column, MACHINE_COLUMN, type Section, section } from '../render/view.ts';
import { FIX_COLUMNS, fixDocument, fixMachines, type Judged, planFor } from './fix.ts';
import { domainResult } from './results.ts';
import { type SelectionOptions, toSelection } from './selection.ts';
import { show, showPlan } from './show.ts';

export interface CheckOptions extends SelectionOptions {
  readonly maxAge?: string;
  readonly label?: string;
  readonly fix?: boolean;
}

interface Row {
  readonly machine: string;
  /** null: the row that says what works. */
  readonly finding: RuledFinding | null;
  readonly says: string;
}

type Level = 'error' | 'warning' | 'information' | 'ok';

/** What a create or revert would refuse unless forced is no less than a warning. */
const LEVELS: Readonly<Record<Severity, Level>> = {
  error: 'error',
  judgement: 'warning',
  warning: 'warning',
  information: 'information',
};

const TONES = { error: 'bad', warning: 'warn', information: 'plain', ok: 'good' } as const;

const levelOf = ({ finding }: Pick<Row, 'finding'>): Level => (finding ? LEVELS[finding.severity] : 'ok');

const FINDING_COLUMNS: readonly Column<Row>[] = [
  MACHINE_COLUMN,
  { key: 'level', title: 'LEVEL', kind: 'text', value: levelOf, tone: (row) => TONES[levelOf(row)] },
  { key: 'rule', title: 'RULE', kind: 'text', value: ({ finding }) => finding?.rule ?? null },
  { key: 'what', title: 'FINDING', kind: 'text', value: ({ says }) => says, whole: true },
];

/** One line of advice: of a finding with several commands, each has a line. */
interface Remedy extends Row {
  readonly remedy: string;
}

const REMEDY_COLUMNS: readonly Column<Remedy>[] = [
  MACHINE_COLUMN,
  { key: 'rule', title: 'RULE', kind: 'text', value: ({ finding }) => finding?.rule ?? null },
  {
    key: 'remedy',
    title: 'WHAT MENDS IT',
    kind: 'text',
    value: ({ remedy }) => remedy,
    whole: true,
  },
];

const CSV_COLUMNS: readonly Column<Row>[] = [
  ...FINDING_COLUMNS,
  { key: 'hint', title: '', kind: 'text', value: ({ finding }) => finding?.hint ?? null },
  {
    key: 'command',
    title: '',
    kind: 'text',
    value: ({ finding }) => (finding && commandsOf(finding)[0]) ?? null,
  },
];

/**
 * `check`: can these machines be snapshotted, reverted, trusted. Changes nothing but what `--fix` is allowed to. Throws
 * `check` when one cannot.
 */
export async function check(ctx: Context, words: readonly string[], options: CheckOptions): Promise<void> {
  const maxAge = toMaxAge(options);
  const all = words.length === 0 ? { ...options, all: true } : options;
  const selected = await readSelection(ctx, toSelection(words, all));
  const request: CheckRequest = {
    maxAge,
    daemonVersion: await readDaemonVersion(ctx.virsh),
    findLeftovers: createLeftoverFinder(ctx),
  };
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: 1, skips: () => false };
  const looked = await overMachines<Judged>(ctx, selected, run, async (ctx, reading) => {
    const seen = await assembleMachine(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS);
    const machine = isDrifting(seen) ? await readAgain(ctx, seen.domain) : seen;
    noteUnseen(ctx, machine.domain, machine.images);
    const checked = await checkMachine(ctx, machine, request);
    const prepared = options.fix ? await prepareFixes(ctx, machine, checked.fixes) : [];
    return { value: { checked, prepared, fixed: null }, failures: [], succeeded: 1 };
  });
  requireDeed(ctx, selected.single, looked);
  if (options.fix && ctx.settings.dryRun) return showFixes(ctx, looked);
  const results = options.fix ? await fixMachines(ctx, selected, looked, request) : looked;
  await report(ctx, results, options.fix ?? false);
}

async function showFixes(ctx: Context, looked: readonly MachineResult<Judged>[]): Promise<void> {
  const conclusion = concludeMachines(ctx, looked, { strict: false, parts: 'checks' });
  const { text, commands } = planFor(ctx, looked);
  if (text !== null && ctx.settings.output === 'table') ctx.terminal.note(text);
  await showPlan(ctx, commands, {
    document: {
      domains: looked.map((result) => ({ ...domainResult(result), fixes: fixDocument(ctx, result) })),
    },
  });
  if (conclusion) throw conclusion;
}

function toMaxAge({ maxAge, label }: CheckOptions): CheckRequest['maxAge'] {
  if (maxAge === undefined) {
    if (label !== undefined) throw new KvmsnapError('usage', '--label goes with --max-age');
    return null;
  }
  const span = parseSpan(maxAge);
  if (span === null)
    throw new KvmsnapError('usage', `'${maxAge}' is no span of time`, { hint: 'such as 26h, 8d, 2w' });
  // for an age, a month is 31 days: rather a day late than a false alarm
  const seconds = (span.hours + 24 * (span.days + 31 * span.months)) * 3600;
  return { seconds, says: maxAge, label: label ?? null };
}

async function report(
  ctx: Context,
  results: readonly MachineResult<Judged>[],
  fixing: boolean,
): Promise<void> {
  const conclusion = concludeMachines(ctx, results, { strict: false, parts: fixing ? 'steps' : 'checks' });
  const rows = results.flatMap(({ machine: { name }, value, failures }): Row[] =>
    value
      ? [
          modesRow(name, value.checked),
          ...value.checked.findings.map((finding) => ({ machine: name, finding, says: finding.what })),
        ]
      : failures.map(({ message, hint, command }) => ({
          machine: name,
          finding: {
            rule: 'unreadable',
            severity: 'error',
            unsuitable: false,
            what: message,
            ...(hint === undefined ? {} : { hint }),
            ...(command === undefined ? {} : { command }),
          },
          says: message,
        })),
  );
  await show(ctx, {
    document: { domains: results.map((result) => document(ctx, result)) },
    sections:
      ctx.settings.output === 'csv'
        ? [section({ columns: CSV_COLUMNS, rows })]
        : [...fixesSection(results), ...tablesOf(rows)],
    names: [...new Set(rows.filter(isBad).map(({ machine }) => machine))],
  });
  if (conclusion) throw conclusion;
  const bad = rows.filter(isBad);
  if (bad.length === 0) return;
  const machines = new Set(bad.map(({ machine }) => machine)).size;
  throw new KvmsnapError(
    'check',
    `${bad.length} ${bad.length === 1 ? 'finding' : 'findings'}${fixing ? ' left' : ''}, on ${machines} of ${results.length} machines`,
    { hint: fixing ? undefined : fixHint(results) },
  );
}

function fixHint(results: readonly MachineResult<Judged>[]): string | undefined {
  const mendable = results.filter(({ value }) => value && value.checked.fixes.length > 0);
  if (mendable.length === 0) return undefined;
  const line = kvmsnapLine(
    'check',
    mendable.map(({ machine }) => machine.name),
    '--fix',
  );
  return `what can safely be mended is mended by: ${line}`;
}

function fixesSection(results: readonly MachineResult<Judged>[]): Section<never>[] {
  const rows = results.flatMap(({ machine, value }) =>
    (value?.fixed ?? []).map((result) => ({ machine: machine.name, result })),
  );
  return rows.length === 0 ? [] : [section({ columns: FIX_COLUMNS, rows })];
}

function tablesOf(rows: readonly Row[]): Section<never>[] {
  const mendable = rows.flatMap((row) => remediesOf(row.finding).map((remedy) => ({ ...row, remedy })));
  return [
    section({ columns: FINDING_COLUMNS, rows }),
    ...(mendable.length > 0 ? [section({ columns: REMEDY_COLUMNS, rows: mendable })] : []),
  ];
}

function remediesOf(finding: Row['finding']): readonly string[] {
  if (!finding) return [];
  const [hint, commands] = [finding.hint === undefined ? [] : [finding.hint], commandsOf(finding)];
  if (commands.length > 1) return [...hint, ...commands];
  const line = [...hint, ...commands].join(': ');
  return line === '' ? [] : [line];
}

const isBad = (row: Row): boolean => levelOf(row) === 'error' || levelOf(row) === 'warning';

/** Which modes of a snapshot work here; information unless both do. */
function modesRow(machine: string, { running, off, external }: Checked): Row {
  if (running && off)
    return { machine, finding: null, says: 'snapshots can be taken, running with the memory, and off' };
  const besides = external ? '; an external one can be taken (create --external)' : '';
  const what =
    running === null || off === null
      ? 'busy: whether a snapshot can be taken is not known now'
      : running
        ? `internal snapshots can be taken only while it runs${besides}`
        : off
          ? `internal snapshots can be taken only while it is off${besides}`
          : `no internal snapshot can be taken${besides}`;
  return {
    machine,
    finding: { rule: 'modes', severity: 'information', unsuitable: false, what },
    says: what,
  };
}

const document = (ctx: Context, result: MachineResult<Judged>) => ({
  ...domainResult(result),
  snapshots: {
    running: result.value?.checked.running ?? null,
    off: result.value?.checked.off ?? null,
    external: result.value?.checked.external ?? null,
  },
  findings: (result.value?.checked.findings ?? []).map((finding) => {
    const { rule, severity, what, hint, snapshot } = finding;
    const commands = commandsOf(finding);
    return {
      level: LEVELS[severity],
      rule,
      snapshot: snapshot ?? null,
      what,
      hint: hint ?? null,
      command: commands[0] ?? null,
      commands,
    };
  }),
  fixes: fixDocument(ctx, result),
});
