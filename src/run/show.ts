import type { VirshCommand } from '../libvirt/batch.ts';
import type { Domain } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { visible } from '../output/format.ts';
import { render } from '../output/render.ts';
import { SNAPSHOT_COLUMNS, SNAPSHOT_CSV } from '../output/snapshot-columns.ts';
import { painterFor } from '../output/style.ts';
import type { Canvas } from '../output/table/cell.ts';
import { section, type View, type ViewOf } from '../output/view.ts';
import type { Context, Output } from './context.ts';
import type { ResultName } from './for-each-domain.ts';

/** Prints a view in the format that the user chose, and remarks for people on stderr. */
export async function show(ctx: Output, view: View): Promise<void> {
  const { terminal, settings, host } = ctx;
  if (host) return host.gather(view);
  // the command itself prints it
  if (settings.output === 'nagios' || settings.output === 'prometheus') return;
  const { text, leftOut } = await render(view, settings.output, await canvasOf(ctx));
  terminal.print(text);
  if (settings.output !== 'table') return;
  if (text === '' && view.empty !== undefined) terminal.note(view.empty);
  if (!terminal.out.isTerminal) return;
  for (const remark of [...leftOutLines(leftOut), ...(view.remarks ?? [])]) await noteWrapped(ctx, remark);
}

const leftOutLines = (titles: readonly string[]): string[] =>
  titles.length === 0 ? [] : [`(no room for ${titles.join(', ')}: a wider terminal shows all columns)`];

/** A sentence for people, wrapped at words. */
async function noteWrapped({ terminal }: Pick<Context, 'terminal'>, text: string): Promise<void> {
  const { columns } = terminal.out;
  if (text.length < columns) return terminal.note(text);
  const { wrapText } = await import('../output/table/grid.ts');
  for (const line of wrapText(text, columns)) terminal.note(line);
}

/** Prints a name alone, as `-o name` does. */
export async function showName(ctx: Output, name: string): Promise<void> {
  const content = { document: {}, sections: [], names: [name] };
  ctx.terminal.print((await render(content, 'name', await canvasOf(ctx))).text);
}

async function canvasOf({ terminal: { out }, clock }: Output): Promise<Canvas> {
  return {
    isTerminal: out.isTerminal,
    columns: out.columns,
    paint: await painterFor(out.color),
    ascii: out.ascii,
    now: clock.now() / 1000,
  };
}

/** Prints one snapshot of a VM, and what was done to it for people on a terminal. */
export async function showSnapshot(
  ctx: Output,
  { domain }: { readonly domain: Domain },
  snapshot: SnapshotReport,
  remarks: readonly string[] = [],
): Promise<void> {
  await show(ctx, {
    kind: 'current',
    document: { domain: domainDocument(domain), snapshot: snapshotDocument(snapshot) },
    sections: [section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] })],
    csv: section({ columns: SNAPSHOT_CSV, rows: [snapshot] }),
    names: [ctx.host === null ? snapshot.name : `${domain.name}/${snapshot.name}`],
    remarks,
  });
}

/** Adds the VM's name as a comment after a command that has its UUID. */
const withVmNames = (commands: readonly string[], vms: readonly ResultName[]): readonly string[] =>
  commands.map((line) => {
    const named = vms.filter(({ uuid }) => uuid !== null && line.includes(uuid));
    const names = named.map(({ name }) => visible(name));
    return names.length === 0 ? line : `${line}  # ${names.join(', ')}`;
  });

/** What a dry run prints in addition to its commands. */
interface Plan extends Partial<Pick<ViewOf<'dry-run'>, 'sections' | 'names'>> {
  readonly document?: Omit<ViewOf<'dry-run'>['document'], 'dryRun' | 'commands'>;
  /** The VMs that the commands are about. */
  readonly vms: readonly ResultName[];
}

/** A command of virsh, or the line of another program. */
export type PlannedCommand = VirshCommand | string;

/**
 * Prints the commands of a `--dry-run`, each on a line that can be pasted (a text is such a line already); `more` is what
 * would follow from them.
 */
export async function showPlan(ctx: Context, planned: readonly PlannedCommand[], more: Plan): Promise<void> {
  const commands = planned.map((command) =>
    typeof command === 'string' ? command : ctx.virsh.line(command),
  );
  const lines = section<string>({
    columns: [{ key: 'command', title: 'COMMAND', kind: 'text', value: (line) => line }],
    rows: commands,
  });
  const asTable = ctx.settings.output === 'table' && ctx.host === null;
  if (asTable)
    ctx.terminal.print(
      withVmNames(commands, more.vms)
        .map((line) => `${line}\n`)
        .join(''),
    );
  const sections = [...(asTable ? [] : [lines]), ...(more.sections ?? [])];
  if (asTable && sections.some(({ rows }) => rows.length > 0)) ctx.terminal.print('\n');
  await show(ctx, {
    kind: 'dry-run',
    document: { dryRun: true, commands, ...more.document },
    sections,
    names: more.names ?? commands,
  });
}
