import type { VirshCommand } from '../libvirt/batch.ts';
import type { Domain } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { render } from '../output/render.ts';
import { SNAPSHOT_COLUMNS } from '../output/snapshot-columns.ts';
import { painterFor } from '../output/style.ts';
import { section, type View } from '../output/view.ts';
import type { Context } from './context.ts';

/** Prints a view in the format that the user chose. */
export async function show(ctx: Context, view: View): Promise<void> {
  const { out } = ctx.terminal;
  const canvas = {
    isTerminal: out.isTerminal,
    columns: out.columns,
    paint: await painterFor(out.color),
    now: ctx.clock.now() / 1000,
  };
  ctx.terminal.print(await render(view, ctx.settings.output, canvas));
  if (ctx.settings.output !== 'table' || !out.isTerminal) return;
  for (const remark of view.remarks ?? []) ctx.terminal.note(remark);
}

/** Prints one snapshot of a VM. */
export async function showSnapshot(
  ctx: Context,
  { domain }: { readonly domain: Domain },
  snapshot: SnapshotReport,
): Promise<void> {
  await show(ctx, {
    document: { domain: domainDocument(domain), snapshot: snapshotDocument(snapshot) },
    sections: [section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] })],
    names: [snapshot.name],
  });
}

/**
 * Prints what a `--dry-run` would have run, each line whole and ready to paste (a text is one already); `more` is what
 * follows from it.
 */
export async function showPlan(
  ctx: Context,
  planned: readonly (VirshCommand | string)[],
  more: Partial<View> = {},
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
    document: { dryRun: true, commands, ...more.document },
    sections,
    names: more.names ?? commands,
  });
}
