import type { Context } from '../context.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { render } from '../render/render.ts';
import { createPaint } from '../render/style.ts';
import { type Section, section, type View } from '../render/view.ts';

/** Prints a view in the format that the user chose. */
export async function show(ctx: Context, view: View): Promise<void> {
  const { out } = ctx.terminal;
  const canvas = {
    isTerminal: out.isTerminal,
    columns: out.columns,
    paint: createPaint(out.colour),
    now: ctx.clock.now() / 1000,
  };
  ctx.terminal.print(await render(view, ctx.settings.output, canvas));
  if (ctx.settings.output !== 'table' || !out.isTerminal) return;
  for (const remark of view.remarks ?? []) ctx.terminal.note(remark);
}

/** Prints what a `--dry-run` would have run, each line ready to paste. */
export async function showPlan(ctx: Context, planned: readonly VirshCommand[]): Promise<void> {
  const commands = planned.map((command) => ctx.virsh.line(command));
  await show(ctx, {
    document: { dryRun: true, commands },
    sections: [plannedLines(ctx, planned)],
    names: commands,
  });
}

/** The command lines as a section without a head, so that a table is nothing but lines to paste. */
export function plannedLines(ctx: Context, planned: readonly VirshCommand[]): Section<never> {
  return section<string>({
    columns: [{ key: 'command', title: '', kind: 'text', value: (line) => line }],
    rows: planned.map((command) => ctx.virsh.line(command)),
  });
}
