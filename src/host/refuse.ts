import type { Context } from '../context.ts';
import type { Finding, RuledFinding } from '../core/preflight.ts';
import { KvmsnapError } from '../errors.ts';

/** Ends what the rules are against, before anything is touched. */

/** Says the warnings, and throws `check` for what refuses. `force` passes judgements only. */
export function refuseOn(ctx: Context, what: string, ruled: readonly RuledFinding[], force: boolean): void {
  const findings = ruled.map((finding) => withConnection(ctx, finding));
  const refusing = findings.filter(
    ({ severity }) => severity === 'error' || (severity === 'judgement' && !force),
  );
  for (const finding of findings) {
    if (!refusing.includes(finding)) ctx.terminal.note(`warning: ${finding.what}`);
  }
  const [first, ...others] = refusing;
  if (!first) return;
  const advice = [...new Set(refusing.map(adviceOf).filter((text) => text !== ''))];
  throw new KvmsnapError(
    'check',
    [`${what}: ${first.what}`, ...others.map((other) => other.what)].join('\n       '),
    {
      hint: advice.join('\n      ') || undefined,
      command: refusing.find(({ command }) => command !== undefined)?.command,
      unsuitable: refusing.every(({ unsuitable }) => unsuitable),
    },
  );
}

/** The rules know nothing of connections: their commands get the one that this run uses. */
export function withConnection<F extends Finding>(ctx: Context, finding: F): F {
  if (finding.command === undefined) return finding;
  const connection = ctx.virsh.line([]).replace(/^virsh/, '');
  const command = finding.command.replace(/(?:^|&& )(?:virsh|kvmsnap)(?= )/g, (tool) => tool + connection);
  return { ...finding, command };
}

function adviceOf({ hint, command }: Finding): string {
  return [hint, command].filter((part) => part !== undefined).join(': ');
}
