/**
 * The table of all failures. Scripts use the `exitCode`; the key is `error.code` in JSON; `meaning` is the line in help,
 * man page and manual. The codes for signals follow the shell's 128+n.
 */
export const FAILURES = {
  refused: {
    exitCode: 1,
    meaning:
      'virsh or qemu-img failed, or the output could not be written; the action may be done, or a part of it',
  },
  usage: { exitCode: 2, meaning: 'the command line is wrong' },
  partial: {
    exitCode: 3,
    meaning:
      'some VMs or snapshots failed; or all failed, for different reasons (if for one reason, the exit code is that of the reason)',
  },
  'not-found': { exitCode: 4, meaning: 'no such VM or snapshot' },
  check: {
    exitCode: 5,
    meaning:
      'a check before the action, or a program of --before, prevented it; or check found problems; or verify could not prove a snapshot; or, after deletions, --free-min was not reached',
  },
  exists: { exitCode: 6, meaning: 'the name or file exists already' },
  busy: { exitCode: 7, meaning: 'another job (such as a backup) is running on the VM' },
  unreachable: { exitCode: 8, meaning: 'libvirt cannot be reached, or does not permit the action' },
  'tool-missing': { exitCode: 9, meaning: 'virsh or qemu-img is not installed' },
  declined: {
    exitCode: 10,
    meaning:
      'the question was answered with no; or stdin is not a terminal, and this action needs --yes there (kvmsnap help scripting)',
  },
  bug: { exitCode: 70, meaning: 'a bug in kvmsnap' },
  'timed-out': {
    exitCode: 124,
    meaning: '--timeout has passed, or libvirt does not answer; libvirt may still be working',
  },
  'hung-up': { exitCode: 129, meaning: 'ended by SIGHUP' },
  interrupted: { exitCode: 130, meaning: 'ended by Ctrl-C (SIGINT)' },
  terminated: { exitCode: 143, meaning: 'ended by SIGTERM' },
} as const satisfies Record<string, { exitCode: number; meaning: string }>;

export type FailureCode = keyof typeof FAILURES;

/** The signals that end a run, with the failure that reports each of them. */
export const SIGNAL_FAILURES = {
  SIGINT: 'interrupted',
  SIGTERM: 'terminated',
  SIGHUP: 'hung-up',
} as const satisfies Partial<Record<NodeJS.Signals, FailureCode>>;

export type EndingSignal = keyof typeof SIGNAL_FAILURES;

/** One finding of a failure: what is wrong, and what to do about it. */
export interface ErrorFinding {
  readonly message: string;
  readonly hint: string | null;
  /** Commands to paste, in this order. */
  readonly commands: readonly string[];
}

/** A name as it was typed, alone, in `VM/NAME` or in a list of hosts, and the one that was meant. */
export interface ReplacedName {
  readonly kind: 'vm' | 'snapshot' | 'policy' | 'host';
  readonly word: string;
  readonly by: string;
}

/** What was probably meant: the command line as it was typed, but for these words. */
export interface Meant {
  /** Absent: the command that was typed. */
  readonly command?: string;
  /** All of its arguments that are no options; or a name that another one replaces, in them or in the value of an option. */
  readonly operands: readonly string[] | ReplacedName;
  /** Options that are added after the command. */
  readonly options?: readonly string[];
  /** Left out, with their values: long names, such as `--set`. */
  readonly without?: readonly string[];
}

/** The line as typed with the name that was meant. Whoever pastes it is asked again, because it is only a guess. */
export const lineWith = (operands: ReplacedName): Meant => ({ operands, without: ['--yes', '-y'] });

export interface FailureDetails {
  /** What to do about it, in words. */
  hint?: string | undefined;
  /** The command that fixes it, ready to paste. */
  command?: string | undefined;
  /** The line that was meant, if the code that fails does not know the line as typed. */
  meant?: Meant | undefined;
  /** Whether the action does not support this kind of VM, so that a run over many VMs skips it. */
  unsupported?: boolean | undefined;
  cause?: unknown;
}

/** Any outcome that is neither success nor a bug: what happened, why, and what fixes it. */
export class KvmsnapError extends Error {
  override readonly name = 'KvmsnapError';
  readonly code: FailureCode;
  readonly hint: string | undefined;
  readonly command: string | undefined;
  readonly meant: Meant | undefined;
  readonly unsupported: boolean;
  /** What could not be done; the findings say why. Null if the first finding says it itself. */
  readonly subject: string | null = null;
  /** At least one; for a simple failure its own message. */
  readonly findings: readonly ErrorFinding[];

  constructor(code: FailureCode, message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const { hint, command, meant, unsupported = false } = details;
    this.code = code;
    this.hint = hint;
    this.command = command;
    this.meant = meant;
    this.unsupported = unsupported;
    this.findings = [{ message, hint: hint ?? null, commands: command === undefined ? [] : [command] }];
  }

  /** A failure with several findings, from which its message, hint and command are made. `subject` as above. */
  static of(
    code: FailureCode,
    subject: string | null,
    findings: readonly ErrorFinding[],
    details: Pick<FailureDetails, 'unsupported' | 'cause'> = {},
  ): KvmsnapError {
    const words = findings.map(({ message }) => message).join('; ');
    const hints = [...new Set(findings.map(adviceOf).filter((text) => text !== ''))];
    const failure = new KvmsnapError(code, subject === null ? words : `${subject}: ${words}`, {
      ...details,
      hint: hints.join('; ') || undefined,
      command: findings.find(({ commands }) => commands.length > 0)?.commands[0],
    });
    return Object.assign(failure, { subject, findings });
  }

  /** The same failure with a prefix before its message, and with another code if one is given. */
  prefixed(prefix: string, code: FailureCode = this.code): KvmsnapError {
    const { message, hint, command, meant, unsupported, subject, findings } = this;
    const failure = new KvmsnapError(code, `${prefix}${message}`, {
      hint,
      command,
      meant,
      unsupported,
      cause: this,
    });
    if (subject !== null) return Object.assign(failure, { subject: `${prefix}${subject}`, findings });
    const [first, ...others] = findings;
    const begun = first ? [{ ...first, message: `${prefix}${first.message}` }] : [];
    return Object.assign(failure, { findings: [...begun, ...others] });
  }

  get exitCode(): number {
    return FAILURES[this.code].exitCode;
  }

  /** The message without its subject, for a row of a table that names the subject already. */
  get why(): string {
    return this.findings.map(({ message }) => message).join('; ');
  }
}

/** What to do about a finding, on one line; several commands are no line, and stand in the findings alone. */
export function adviceOf({ hint, commands }: ErrorFinding): string {
  const [command] = commands.length === 1 ? commands : [];
  if (command === undefined) return hint ?? '';
  if (hint === null) return command;
  return hint.includes(command) ? hint : `${hint}: ${command}`;
}

/**
 * Parses the output of a tool; `what` says which ("virsh about a VM"). A failure is thrown as `refused` with the first
 * problem in the output: the tool is broken, or it is another program.
 */
export function understand<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new KvmsnapError('refused', `cannot parse the output of ${what}: ${senseless(cause)}`, {
      hint: 'with --verbose, kvmsnap shows each command; run the last one by hand to see what it prints',
      cause,
    });
  }
}

/** The options for zod: compiling a parser would pay off only after more input than one run has. */
export const INTERPRETED = { jitless: true } as const;

/** The first problem: the first issue of a schema with its place, or the first line of a parser's message. */
function senseless(cause: unknown): string {
  const { issues, message = '' } = cause as {
    issues?: readonly { path: readonly PropertyKey[]; message: string }[];
    message?: string;
  };
  const [issue] = issues ?? [];
  return issue ? `${issue.path.map(String).join('.')}: ${issue.message}` : (message.split('\n')[0] ?? '');
}

/** The exit code for any thrown value: the one in the table, or 70 for an unexpected error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof KvmsnapError ? error.exitCode : FAILURES.bug.exitCode;
}

/**
 * Combines several failures of one run into one: `partial` if something else succeeded or the causes differ, otherwise
 * their common code. `summary` is its message; the single failures were printed before.
 */
export function combineFailures(
  failures: readonly KvmsnapError[],
  succeeded: number,
  summary: string,
): KvmsnapError {
  const [first] = failures;
  if (!first) throw new Error('combineFailures needs a failure');
  if (failures.length === 1 && succeeded === 0) return first;
  const oneCause = succeeded === 0 && failures.every((failure) => failure.code === first.code);
  return new KvmsnapError(oneCause ? first.code : 'partial', summary);
}

/** The refusal of an option that needs a kvmsnap on the host itself. */
export const notOnHosts = (option: string): KvmsnapError =>
  new KvmsnapError('usage', `${option} does not work on other hosts`, {
    hint: 'run kvmsnap on the host itself',
  });
