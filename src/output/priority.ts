/** Priorities of lines for systemd's journal, by sd-daemon(3): `<3>` to `<7>` at the beginning of each line. */

const PRIORITIES: Readonly<Record<string, number>> = { error: 3, warning: 4, note: 5, skipped: 5 };

/** For what has no such word at its beginning. */
const INFORMATION = 6;

/** For the command lines of --verbose. */
export const TRACE = 7;

/**
 * The lines of a message with its priority, which is that of its first word; the name of a VM may stand before it. Hints
 * and commands have that of their message.
 */
export function prioritized(text: string, priority = priorityOf(text)): string {
  return text.replace(/^(?=.)/gm, `<${priority}>`);
}

function priorityOf(text: string): number {
  const [, word = ''] = /(?:^|: )(error|warning|note|skipped)(?=:| )/.exec(text.split('\n')[0] ?? '') ?? [];
  return PRIORITIES[word] ?? INFORMATION;
}
