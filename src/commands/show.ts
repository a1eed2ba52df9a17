import type { Context } from '../context.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { render } from '../render/render.ts';
import { createPaint } from '../render/style.ts';
import { section, type View } from '../render/view.ts';

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
  if (ctx.settings.output === 'table') ctx.terminal.print(commands.map((line) => `${line}\n`).join(''));
  else await show(ctx, planView(commands));
}

const planView = (commands: readonly string[]): View => ({
  document: { dryRun: true, commands },
  sections: [
    section<string>({
      columns: [{ key: 'command', title: 'COMMAND', kind: 'text', value: (line) => line }],
      rows: commands,
    }),
  ],
  names: commands,
});
