import { commandsOf, type RuledFinding, type Severity } from '../model/rule.ts';
import { type Column, type Section, section, VM_COLUMN } from '../output/view.ts';
import type { DomainOutcome } from '../run/for-each-domain.ts';
import type { Checked } from './check.ts';
import type { Judged } from './fix-report.ts';

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

const levelOf = ({ finding }: Pick<Row, 'finding'>): Level | 'ok' =>
  finding ? LEVELS[finding.severity] : 'ok';

const FINDING_COLUMNS: readonly Column<Row>[] = [
  VM_COLUMN,
  { key: 'level', title: 'LEVEL', kind: 'text', value: levelOf, tone: (row) => TONES[levelOf(row)] },
  { key: 'rule', title: 'RULE', kind: 'text', value: ({ finding }) => finding?.rule ?? null },
  { key: 'what', title: 'FINDING', kind: 'text', value: ({ says }) => says, wraps: true },
];

/** One line of advice: of a finding with several commands, each has a line. */
interface Remedy extends Row {
  readonly remedy: string;
}

const REMEDY_COLUMNS: readonly Column<Remedy>[] = [
  VM_COLUMN,
  { key: 'rule', title: 'RULE', kind: 'text', value: ({ finding }) => finding?.rule ?? null },
  {
    key: 'remedy',
    title: 'FIX',
    kind: 'text',
    value: ({ remedy }) => remedy,
    wraps: true,
  },
];

/** All of a finding in one row. */
export const CSV_COLUMNS: readonly Column<Row>[] = [
  ...FINDING_COLUMNS,
  { key: 'hint', title: '', kind: 'text', value: ({ finding }) => finding?.hint ?? null },
  {
    key: 'command',
    title: '',
    kind: 'text',
    value: ({ finding }) => (finding && commandsOf(finding)[0]) ?? null,
  },
];

/** What is said of one VM: which snapshots can be taken, and each finding; or why it could not be read. */
export function rowsOf({ vm: { name }, value, failures }: DomainOutcome<Judged>): Row[] {
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

export const findingRow = (vm: string, finding: RuledFinding): Row => ({
  vm,
  finding,
  says: finding.what,
});

/** The findings, and beneath them what fixes them. */
export function tablesOf(rows: readonly Row[]): Section<never>[] {
  const fixable = rows.flatMap((row) => remediesOf(row.finding).map((remedy) => ({ ...row, remedy })));
  return [
    section({ columns: FINDING_COLUMNS, rows }),
    ...(fixable.length > 0 ? [section({ columns: REMEDY_COLUMNS, rows: fixable })] : []),
  ];
}

function remediesOf(finding: Row['finding']): readonly string[] {
  if (!finding) return [];
  const [hint, commands] = [finding.hint === undefined ? [] : [finding.hint], commandsOf(finding)];
  if (commands.length > 1) return [...hint, ...commands];
  const line = [...hint, ...commands].join(': ');
  return line === '' ? [] : [line];
}

/** Whether it is one that a check fails for. */
export const isBad = (row: Row): boolean => levelOf(row) === 'error' || levelOf(row) === 'warning';

/** Which modes of a snapshot work here; information unless both do. */
function modesRow(vm: string, { running, off, external }: Checked): Row {
  if (running && off)
    return { vm, finding: null, says: 'snapshots can be taken, running with the memory, and off' };
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
    vm,
    finding: { rule: 'modes', severity: 'information', unsupported: false, what },
    says: what,
  };
}

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
