import { type ErrorFinding, KvmsnapError } from '../errors.ts';
import { commandsOf, type Finding, type RuledFinding } from '../model/rule.ts';
import type { Context } from './context.ts';

/** Refuses an action because of findings, before anything is changed. */

/** Prints the warnings, and throws `check` for findings that refuse. `force` overrides only advisory checks (`overridable`). */
export function refuseOn(
  ctx: Pick<Context, 'terminal' | 'virsh'>,
  what: string,
  ruled: readonly RuledFinding[],
  force: boolean,
): void {
  const findings = ruled.map((finding) => withConnection(ctx, finding));
  const refusing = findings.filter(
    ({ severity }) => severity === 'error' || (severity === 'overridable' && !force),
  );
  for (const finding of findings) {
    if (!refusing.includes(finding)) ctx.terminal.note(`warning: ${finding.what}`);
  }
  if (refusing.length === 0) return;
  throw KvmsnapError.of(
    'check',
    what,
    refusing.map((finding) => toErrorFinding(ctx, finding)),
    {
      unsupported: refusing.every(({ unsupported }) => unsupported),
    },
  );
}

/** A finding as a part of an error, with the connection of this run in its commands. */
export const toErrorFinding = (ctx: Pick<Context, 'virsh'>, finding: Finding): ErrorFinding => ({
  message: finding.what,
  hint: finding.hint ?? null,
  commands: commandsOf(withConnection(ctx, finding)),
});

/** The finding with the connection of this run in those of its commands that do not name one: the rules do not know it. */
export function withConnection<F extends Finding>(ctx: Pick<Context, 'virsh'>, finding: F): F {
  const connection = ctx.virsh.line([]).replace(/^virsh/, '');
  const connected = (command: string) =>
    command.replace(/(?:^|&& |\| )(?:virsh|kvmsnap)(?= )(?! -[cr] )/g, (tool) => tool + connection);
  return {
    ...finding,
    ...(finding.command === undefined ? {} : { command: connected(finding.command) }),
    ...(finding.commands === undefined ? {} : { commands: finding.commands.map(connected) }),
  };
}
