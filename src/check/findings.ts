import { commandsOf, type RuledFinding, type Severity } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import { counted, numbered } from '../output/format.ts';
import { type Column, LEAVES, type Line, type Section, section, vmColumn } from '../output/view.ts';
import type { DomainOutcome } from '../run/for-each-domain.ts';
import type { Findings } from './check-vm.ts';
import type { VmCheck } from './fix-vms.ts';

/** The findings of a check, as rows of tables and members of documents. */

export interface Row {
  readonly vm: string;
  /** null: the row that says what works. */
  readonly finding: RuledFinding | null;
  readonly says: string;
}

type Level = 'error' | 'warning' | 'information';

/** What a create or revert would refuse unless forced is no less than a warning. */
const LEVELS: Readonly<Record<Severity, Level>> = {
  error: 'error',
  overridable: 'warning',
  warning: 'warning',
  information: 'information',
};

const TONES = { error: 'bad', warning: 'warn', information: 'plain', ok: 'good' } as const;

/** As people read them. */
const LEVEL_WORDS = { error: 'error', warning: 'warning', information: 'note', ok: 'ok' } as const;

/** The level of a row, `ok` if it has no finding. */
export const levelOf = ({ finding }: Pick<Row, 'finding'>): Level | 'ok' =>
  finding ? LEVELS[finding.severity] : 'ok';

const VM: Column<Row> = { ...vmColumn(({ vm }: Row) => vm), grouped: true };
const LEVEL: Column<Row> = {
  key: 'level',
  title: 'LEVEL',
  kind: 'text',
  value: (row) => LEVEL_WORDS[levelOf(row)],
  data: levelOf,
  tone: (row) => TONES[levelOf(row)],
};
const RULE: Column<Row> = {
  key: 'rule',
  title: 'RULE',
  kind: 'text',
  leaves: LEAVES.rule,
  value: ({ finding }) => finding?.rule ?? null,
};
const FINDING: Column<Row> = {
  key: 'what',
  title: 'FINDING AND FIX',
  kind: 'text',
  wraps: true,
  value: ({ says }) => says,
};
/** Only in CSV. */
const DATA: readonly Column<Row>[] = [
  { key: 'hint', title: '', kind: 'text', value: ({ finding }) => finding?.hint ?? null },
  {
    key: 'command',
    title: '',
    kind: 'text',
    value: ({ finding }) => (finding && commandsOf(finding)[0]) ?? null,
  },
  { key: 'snapshot', title: '', kind: 'text', value: ({ finding }) => finding?.snapshot ?? null },
  {
    key: 'commands',
    title: '',
    kind: 'text',
    value: ({ finding }) => (finding && commandsOf(finding).join('\n')) || null,
  },
];

/** The findings about all VMs, each with its fix below it. */
export const findingsSection = (rows: readonly Row[]): Section<never> =>
  section({ columns: [VM, LEVEL, RULE, FINDING], rows, beneath: fixLines });

/** The same for programs, all of a finding in one row. */
export const findingsCsv = (rows: readonly Row[]): Section<never> =>
  section({ columns: [VM, LEVEL, RULE, FINDING, ...DATA], rows });

function fixLines({ finding }: Row): Line[] {
  if (!finding) return [];
  return [
    ...(finding.hint === undefined ? [] : [{ text: `fix: ${finding.hint}` }]),
    ...numbered(commandsOf(finding)).map((text) => ({ text, verbatim: true })),
  ];
}

/** `1 error and 2 warnings`; of these levels those that there are. */
export function countsOf(rows: readonly Row[], levels: readonly Level[]): string {
  return levels
    .map((level) => ({ level, count: rows.filter((row) => levelOf(row) === level).length }))
    .filter(({ count }) => count > 0)
    .map(({ level, count }) => counted(count, LEVEL_WORDS[level]))
    .join(' and ');
}

/** `1 error and 2 warnings on 2 of 3 VMs`; `of` is how many VMs were checked, and `left` completes the counts. */
export function summaryOf(bad: readonly Row[], of: number, left = ''): string {
  const vms = [...new Set(bad.map(({ vm }) => vm))];
  const where = of === 1 ? inText(vms[0] ?? '') : `${vms.length} of ${of} VMs`;
  return `${countsOf(bad, ['error', 'warning'])}${left} on ${where}`;
}

/** What is said of one VM: which snapshots can be taken, and each finding; or why it could not be read. */
export function rowsOf({ vm: { name }, value, failures }: DomainOutcome<VmCheck>): Row[] {
  if (value)
    return [
      modesRow(name, value.checked),
      ...value.checked.findings.map((finding) => findingRow(name, finding)),
    ];
  return failures.map(({ message, hint, command }) =>
    findingRow(name, {
      rule: 'unreadable',
      severity: 'error',
      unsupported: false,
      what: message,
      ...(hint === undefined ? {} : { hint }),
      ...(command === undefined ? {} : { command }),
    }),
  );
}

/** A finding as a row of the table. */
export const findingRow = (vm: string, finding: RuledFinding): Row => ({
  vm,
  finding,
  says: finding.what,
});

/** Whether it is one that a check fails for. */
export const isBad = (row: Row): boolean => levelOf(row) === 'error' || levelOf(row) === 'warning';

/** Which modes of a snapshot work here; information unless both do. */
function modesRow(vm: string, { running, off, external }: Findings): Row {
  if (running && off)
    return {
      vm,
      finding: null,
      says: 'snapshots can be taken while the VM runs and while it is off',
    };
  const besides = external ? '; an external one can be taken (create --external)' : '';
  const what =
    running === null || off === null
      ? 'the VM is busy, so kvmsnap cannot find out whether a snapshot can be taken'
      : running
        ? `internal snapshots can be taken only while the VM runs${besides}`
        : off
          ? `internal snapshots can be taken only while the VM is off${besides}`
          : `no internal snapshot can be taken${besides}`;
  return {
    vm,
    finding: { rule: 'modes', severity: 'information', unsupported: false, what },
    says: what,
  };
}

/** A finding as a member of a document. */
export function findingDocument(finding: RuledFinding) {
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
}
