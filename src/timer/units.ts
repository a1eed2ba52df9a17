/** systemd's units for a command line. Pure. */

export interface TimerRequest {
  readonly name: string;
  /** The words after `kvmsnap`. */
  readonly words: readonly string[];
  /** When it starts, as in systemd.time(7). */
  readonly onCalendar: string;
  /** Seconds by which the start may be later; 0: none. */
  readonly jitterSeconds: number;
}

/** The service, with its name as a comment. */
export const serviceUnit = ({ name, words }: TimerRequest): string => `# kvmsnap-${name}.service
[Unit]
Description=kvmsnap ${words[0] ?? ''} (${name})
After=libvirtd.service virtqemud.service

[Service]
Type=oneshot
ExecStart=${['kvmsnap', ...words].map(unitWord).join(' ')}
# a stop waits for the snapshot under way
KillMode=mixed
TimeoutStopSec=10min
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
`;

/** The timer, with its name as a comment. It makes up for a time at which the host was off. */
export const timerUnit = ({ name, onCalendar, jitterSeconds }: TimerRequest): string =>
  [
    `# kvmsnap-${name}.timer`,
    '[Unit]',
    `Description=Runs kvmsnap-${name}.service regularly`,
    '',
    '[Timer]',
    `OnCalendar=${onCalendar}`,
    ...(jitterSeconds > 0 ? [`RandomizedDelaySec=${jitterSeconds}`] : []),
    'Persistent=true',
    '',
    '[Install]',
    'WantedBy=timers.target',
    '',
  ].join('\n');

/** Words that mean nothing to systemd but themselves. */
const PLAIN = /^[A-Za-z0-9_@%$+=:,./*?[\]!-]+$/;

/** A word of ExecStart: specifiers (%) and variables ($) are doubled, anything else is quoted (systemd.syntax(7)). */
export function unitWord(word: string): string {
  const literal = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  if (PLAIN.test(literal)) return literal;
  return `"${literal.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t')}"`;
}
