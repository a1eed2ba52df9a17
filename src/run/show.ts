import type { VirshCommand } from '../libvirt/batch.ts';
import type { Domain } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { render } from '../output/render.ts';
import { SNAPSHOT_COLUMNS } from '../output/snapshot-columns.ts';
import { painterFor } from '../output/style.ts';
import type { Canvas } from '../output/table.ts';
import { section, type View, type ViewOf } from '../output/view.ts';
import type { Context } from './context.ts';

/** Prints a view in the format that the user chose. */
export async function show(ctx: Context, view: View): Promise<void> {
  const { out } = ctx.terminal;
  ctx.terminal.print(await render(view, ctx.settings.output, await canvasOf(ctx)));
  if (ctx.settings.output !== 'table' || !out.isTerminal) return;
  for (const remark of view.remarks ?? []) ctx.terminal.note(remark);
}

/** Prints a name alone, as `-o name` does. */
export async function showName(ctx: Context, name: string): Promise<void> {
  const content = { document: {}, sections: [], names: [name] };
  ctx.terminal.print(await render(content, 'name', await canvasOf(ctx)));
}

async function canvasOf({ terminal: { out }, clock }: Context): Promise<Canvas> {
  return {
    isTerminal: out.isTerminal,
    columns: out.columns,
    paint: await painterFor(out.color),
    now: clock.now() / 1000,
  };
}

/** Prints one snapshot of a VM. */
export async function showSnapshot(
  ctx: Context,
  { domain }: { readonly domain: Domain },
  snapshot: SnapshotReport,
): Promise<void> {
  await show(ctx, {
    kind: 'current',
    document: { domain: domainDocument(domain), snapshot: snapshotDocument(snapshot) },
    sections: [section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] })],
    names: [snapshot.name],
  });
}

/** What a dry run says beside its commands. */
interface Plan extends Partial<Pick<ViewOf<'dry-run'>, 'sections' | 'names'>> {
  readonly document?: Omit<ViewOf<'dry-run'>['document'], 'dryRun' | 'commands'>;
}

/**
 * Prints what a `--dry-run` would have run, each line whole and ready to paste (a text is one already); `more` is what
 * follows from it.
 */
export async function showPlan(
  ctx: Context,
  planned: readonly (VirshCommand | string)[],
  more: Plan = {},
): Promise<void> {
  const commands = planned.map((command) =>
    typeof command === 'string' ? command : ctx.virsh.line(command),
  );
  const lines = section<string>({
    columns: [{ key: 'command', title: 'COMMAND', kind: 'text', value: (line) => line }],
    rows: commands,
  });
  const asTable = ctx.settings.output === 'table';
  if (asTable) ctx.terminal.print(commands.map((line) => `${line}\n`).join(''));
  const sections = [...(asTable ? [] : [lines]), ...(more.sections ?? [])];
  if (asTable && sections.length > 0) ctx.terminal.print('\n');
  await show(ctx, {
    kind: 'dry-run',
    document: { dryRun: true, commands, ...more.document },
    sections,
    names: more.names ?? commands,
  });
}
