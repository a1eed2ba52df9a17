import { type ErrorFinding, KvmsnapError } from '../errors.ts';
import { commandsOf, type Finding, type RuledFinding } from '../model/rule.ts';
import type { Context } from './context.ts';

/** Ends what the rules are against, before anything is touched. */

/** Prints the warnings, and throws `check` for what refuses. `force` overrides the advisory checks (`overridable`) only. */
export function refuseOn(ctx: Context, what: string, ruled: readonly RuledFinding[], force: boolean): void {
  const findings = ruled.map((finding) => withConnection(ctx, finding));
  const refusing = findings.filter(
    ({ severity }) => severity === 'error' || (severity === 'overridable' && !force),
  );
  for (const finding of findings) {
    if (!refusing.includes(finding)) ctx.terminal.note(`warning: ${finding.what}`);
  }
  if (refusing.length === 0) return;
  throw KvmsnapError.of('check', what, refusing.map(toErrorFinding), {
    unsupported: refusing.every(({ unsupported }) => unsupported),
  });
}

/** A finding as an error tells it. */
export const toErrorFinding = (finding: Finding): ErrorFinding => ({
  message: finding.what,
  hint: finding.hint ?? null,
  commands: commandsOf(finding),
});

/** The rules know nothing of connections: their commands get the one that this run uses. */
export function withConnection<F extends Finding>(ctx: Context, finding: F): F {
  const connection = ctx.virsh.line([]).replace(/^virsh/, '');
  const connected = (command: string) =>
    command.replace(/(?:^|&& |\| )(?:virsh|kvmsnap)(?= )/g, (tool) => tool + connection);
  return {
    ...finding,
    ...(finding.command === undefined ? {} : { command: connected(finding.command) }),
    ...(finding.commands === undefined ? {} : { commands: finding.commands.map(connected) }),
  };
}
