import type { KvmsnapError } from '../errors.ts';
import type { Destination } from '../host/ssh/host-away.ts';
import { errorDocument } from '../output/documents.ts';
import { type Column, type Line, type Section, section, type View, type ViewOf } from '../output/view.ts';
import { hostCommand } from './host-command.ts';
import type { HostRecording } from './record-hosts.ts';

/** One view of what a command has shown on several hosts: the same tables with a column for the host. */

export interface HostResult {
  readonly name: string;
  readonly destination: Destination;
  readonly views: readonly View[];
  /** What it leaves for the metrics; null: nothing. */
  readonly recording: HostRecording | null;
  readonly failure: KvmsnapError | null;
  /** Whether the run has ended before this host was reached. */
  readonly isUnreached: boolean;
  /** The exit code of a program that the command passes on; 0: none. */
  readonly code: number;
}

/** A row of a host with its columns; `row` null: the host has only a failure. */
interface HostRow {
  readonly host: HostResult;
  readonly row: unknown;
  readonly columns: ReadonlyMap<string, Column<unknown>>;
  readonly beneath: (() => readonly Line[]) | null;
}

/** `inTable`: whether failures of hosts without any result get a row. */
export function mergeViews(results: readonly HostResult[], inTable: boolean): ViewOf<'hosts'> {
  const shown = results.flatMap((host) => host.views.map((view) => ({ host, view })));
  const failed = inTable ? results.filter(({ views, failure }) => failure && views.length === 0) : [];
  const csv = shown.flatMap(({ host, view }) => {
    const content = view.csv ?? view.sections[0];
    return content ? [{ host, content }] : [];
  });
  const several = results.length > 1;
  return {
    kind: 'hosts',
    document: { hosts: results.map(document) },
    sections: mergeSections(shown, failed),
    ...(csv.length > 0 || failed.length > 0 ? { csv: mergeSection(csv, failed, true) } : {}),
    names: shown.flatMap(({ host, view }) => view.names.map((name) => `${host.name}:${name}`)),
    ...emptyOf(shown),
    // what is the same for all hosts, such as a legend
    remarks: several
      ? (shown[0]?.view.remarks ?? []).filter((remark) =>
          shown.every(({ view }) => view.remarks?.includes(remark)),
        )
      : (shown[0]?.view.remarks ?? []),
  };
}

function emptyOf(shown: readonly Shown[]): { readonly empty?: string } {
  const texts = shown.flatMap(({ host, view }) =>
    view.empty === undefined ? [] : [`${host.name}: ${view.empty}`],
  );
  return texts.length === 0 ? {} : { empty: texts.join('\n') };
}

const outcomeOf = ({ failure, isUnreached }: HostResult) =>
  isUnreached ? 'not reached' : failure ? 'failed' : 'done';

/** The members of the host's own document; without one, it has no VMs. */
function document(result: HostResult) {
  const own = result.views.map((view): object => view.document);
  return {
    name: result.name,
    outcome: outcomeOf(result),
    errors: result.failure ? [errorDocument(result.failure)] : [],
    ...(own.length === 0 ? { domains: [] } : Object.assign({}, ...own)),
  } as const;
}

interface Shown {
  readonly host: HostResult;
  readonly view: View;
}

interface HostSection {
  readonly host: HostResult;
  readonly content: Section<never>;
}

/** Sections with the same title, or at the same place without one, become one section. */
function mergeSections(shown: readonly Shown[], failed: readonly HostResult[]): Section<never>[] {
  const groups = new Map<string, HostSection[]>();
  for (const { host, view } of shown)
    for (const [i, content] of view.sections.entries()) {
      const key = content.title ?? `\0${i}`;
      groups.set(key, [...(groups.get(key) ?? []), { host, content }]);
    }
  const all = [...groups.values()];
  // a section without rows is not shown
  const first = all.findIndex((group) => group.some(({ content }) => content.rows.length > 0));
  const merged = all.map((group, i) => mergeSection(group, i === Math.max(first, 0) ? failed : []));
  return merged.length === 0 && failed.length > 0 ? [mergeSection([], failed)] : merged;
}

/** `asData`: the failures of hosts are in a column of their own, even if a column of the table could show them. */
function mergeSection(
  parts: readonly HostSection[],
  failed: readonly HostResult[],
  asData = false,
): Section<never> {
  const all = parts.map(({ host, content }) => ({ host, own: content as unknown as Section<unknown> }));
  const columns = new Map(
    all.flatMap(({ own }) => own.columns.map((column) => [column.key, column] as const)).reverse(),
  );
  const order = [...new Set(all.flatMap(({ own }) => own.columns.map(({ key }) => key)))];
  const ordered = order.flatMap((key) => (key === 'error' ? [] : (columns.get(key) ?? [])));
  const says = asData ? undefined : columns.get(FINDING);
  const [first] = all;
  const { title, heads } = first?.own ?? {};
  return section<HostRow>({
    ...(title === undefined ? {} : { title }),
    ...(heads === undefined ? {} : { heads }),
    columns: [
      HOST_COLUMN,
      ...ordered.map((column) => (column === says ? withFailures(column) : ofHosts(column))),
      ...(columns.has('error') || (failed.length > 0 && !says) ? [errorColumn(columns.get('error'))] : []),
    ],
    rows: [
      ...all.flatMap(rowsOf),
      ...failed.map((host): HostRow => ({ host, row: null, columns: new Map(), beneath: null })),
    ],
    beneath: beneathRow,
  });
}

function rowsOf({ host, own }: { readonly host: HostResult; readonly own: Section<unknown> }): HostRow[] {
  const columns = new Map(own.columns.map((column) => [column.key, column]));
  const { beneath } = own;
  return own.rows.map((row) => ({ host, row, columns, beneath: beneath ? () => beneath(row) : null }));
}

const HOST_COLUMN: Column<HostRow> = {
  key: 'host',
  title: 'HOST',
  kind: 'text',
  grouped: true,
  value: ({ host }) => host.name,
};

/** The column of one host for the rows of all. The name of a VM is repeated, because the next row may be of another host. */
function ofHosts(column: Column<unknown>): Column<HostRow> {
  const { key, title, kind, age, ifAny, leaves, wraps, ownLine, share } = column;
  const given = { age, ifAny, leaves, wraps, ownLine, share };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const of = ({ columns, row }: HostRow) => {
    const own = columns.get(key);
    return own && row !== null ? { own, row } : null;
  };
  return {
    ...present,
    key,
    title,
    kind,
    value: (at) => {
      const found = of(at);
      return found ? found.own.value(found.row) : null;
    },
    ...(column.data && {
      data: (at) => {
        const found = of(at);
        return found ? (found.own.data ?? found.own.value)(found.row) : null;
      },
    }),
    ...(column.lead && {
      lead: (at) => {
        const found = of(at);
        return found?.own.lead?.(found.row) ?? '';
      },
    }),
    ...(column.approximate && {
      approximate: (at) => {
        const found = of(at);
        return found?.own.approximate?.(found.row) ?? false;
      },
    }),
    tone: (at) => {
      const found = of(at);
      return found?.own.tone?.(found.row) ?? 'plain';
    },
  };
}

/** The key of the column of check that says what was found: the failure of a host can stand there, too. */
const FINDING = 'what';

const withFailures = (column: Column<unknown>): Column<HostRow> => {
  const own = ofHosts(column);
  return {
    ...own,
    value: (row) => (row.row === null ? (row.host.failure?.message ?? null) : own.value(row)),
    tone: (row) => (row.row === null ? 'bad' : (own.tone?.(row) ?? 'plain')),
  };
};

const errorColumn = (own: Column<unknown> | undefined): Column<HostRow> => {
  const ofRow = own && ofHosts(own);
  return {
    key: 'error',
    title: 'ERROR',
    kind: 'text',
    ifAny: true,
    wraps: true,
    value: (row) => (row.row === null ? (row.host.failure?.message ?? null) : (ofRow?.value(row) ?? null)),
    tone: () => 'bad',
  };
};

/** The advice of a row, with commands as they are typed here. */
function beneathRow({ host, row, beneath }: HostRow): readonly Line[] {
  if (row !== null)
    return (beneath?.() ?? []).map((line) =>
      line.verbatim ? { ...line, text: hostCommand(line.text, host.destination) } : line,
    );
  return (host.failure?.findings ?? []).flatMap(({ hint, commands }) => [
    ...(hint === null ? [] : [{ text: `hint: ${hint}` }]),
    ...commands.map((text) => ({ text, verbatim: true })),
  ]);
}
