import { FAILURES, type FailureCode } from '../errors.ts';
import type { Context, MonitoringFormat } from '../run/context.ts';
import { type AnyCommand, Command, CommanderError } from './commander.ts';

/** A command of the program: commander's class with the facts that help, man page and checks need. */

export type Group = 'Take and revert' | 'Look' | 'Read data' | 'Keep and clean' | 'Check and fix' | 'More';

/** The facts about a command in addition to its arguments and options. */
export interface VerbFacts {
  /** The heading under which the program's help lists it. */
  readonly group: Group;
  /** A verb phrase for lists of commands. */
  readonly summary: string;
  /** One or two sentences with what the summary leaves out; the manual has the rest. */
  readonly detail: string;
  /** The failures in addition to those with which every command can end. */
  readonly failures?: readonly FailureCode[];
  readonly examples: readonly string[];
  /** The pages of the manual that tell more, the most helpful one first. */
  readonly topics: readonly string[];
  /** What may stand in place of the arguments, such as `--group <name>`. */
  readonly insteadOfArguments?: string;
  /**
   * The exit code of all failures of kvmsnap itself but those of a signal, for a command that otherwise exits with a code of
   * something else; absent: each has its own.
   */
  readonly ownFailuresExit?: number;
  /**
   * Whether it needs more than a read-only connection; a list means only with one of these options, such as
   * `securityInfo`.
   */
  readonly needsWriting: boolean | readonly string[];
  /** The output formats that only some commands have; absent: none. */
  readonly outputs?: readonly MonitoringFormat[];
  /** Whether it runs on hosts that are named (`--host`, `HOST:VM`), or on one of them; absent: it refuses them. */
  readonly takesHosts?: boolean | 'one';
  /** Options with which it refuses hosts, such as `--together`. */
  readonly notOnHosts?: readonly string[];
  /** Options with which it prints a text, and so works on one host only. */
  readonly onOneHost?: readonly string[];
}

/** Failures with which every command can end. */
const COMMON_FAILURES: readonly FailureCode[] = [
  'refused',
  'usage',
  'not-found',
  'unreachable',
  'tool-missing',
  'timed-out',
  'hung-up',
  'interrupted',
  'terminated',
];

export class Verb extends Command {
  readonly group: Group;
  readonly examples: readonly string[];
  readonly topics: readonly string[];
  readonly insteadOfArguments: string | null;
  readonly needsWriting: boolean | readonly string[];
  readonly ownFailuresExit: number | null;
  readonly outputs: readonly MonitoringFormat[];
  readonly takesHosts: boolean | 'one';
  readonly notOnHosts: readonly string[];
  readonly onOneHost: readonly string[];
  /** All failures with which it can end, sorted by exit code. */
  readonly failures: readonly FailureCode[];

  constructor(
    name: string,
    {
      group,
      summary,
      detail,
      failures = [],
      examples,
      topics,
      insteadOfArguments,
      ownFailuresExit,
      needsWriting,
      outputs = [],
      takesHosts = false,
      notOnHosts = [],
      onOneHost = [],
    }: VerbFacts,
  ) {
    super(name);
    this.group = group;
    this.examples = examples;
    this.topics = topics;
    this.insteadOfArguments = insteadOfArguments ?? null;
    this.ownFailuresExit = ownFailuresExit ?? null;
    this.needsWriting = needsWriting;
    this.outputs = outputs;
    this.takesHosts = takesHosts;
    this.notOnHosts = notOnHosts;
    this.onOneHost = onOneHost;
    this.failures = [...COMMON_FAILURES, ...failures].sort(
      (a, b) => FAILURES[a].exitCode - FAILURES[b].exitCode,
    );
    this.summary(summary).description(
      `${summary.charAt(0).toUpperCase()}${summary.slice(1)}. ${detail}`.trim(),
    );
  }

  /**
   * Makes it a part of that program. Excess arguments are accepted here, because check-line.ts reports them better than
   * commander.
   */
  override copyInheritedSettings(program: AnyCommand): this {
    return super
      .copyInheritedSettings(program)
      .allowExcessArguments()
      .exitOverride((error) => {
        throw new VerbError(error, this);
      });
  }
}

/** An error of commander about a command line, with the command. */
export class VerbError extends CommanderError {
  readonly verb: Verb;

  constructor({ exitCode, code, message }: InstanceType<typeof CommanderError>, verb: Verb) {
    super(exitCode, code, message);
    this.verb = verb;
  }
}

/** Other hosts, for a command that does not run on them but looks at them. */
export interface OtherHosts {
  /** The hosts and groups (`@NAME`) of the hosts files, and the aliases of ssh_config. Throws `usage` for a file that cannot be used. */
  listed(ctx: Context): Promise<readonly string[]>;
  /**
   * Reads from libvirt on the hosts of these words, some of them if there are many. Nobody is asked and told anything, and a host that
   * has not answered within the seconds has no result.
   */
  look<T>(
    ctx: Context,
    words: readonly string[],
    seconds: number,
    read: (host: Pick<Context, 'connect'>) => Promise<T>,
  ): Promise<readonly T[]>;
}

/** What a command needs from the program. */
export interface Program {
  /**
   * Runs an action within the context that the global options make. A number that it returns is the exit code of the program, for a
   * command that passes one on.
   */
  run(action: (ctx: Context) => Promise<void> | Promise<number>): Promise<void>;
  /** The words of the line, with virsh's words already replaced by those of kvmsnap. */
  words(): readonly string[];
  /** Parses another line and does not run it. Throws the failure if it cannot be run. */
  check(words: readonly string[]): Promise<void>;
  /** Parses and runs another line in place of this one, in a changed context if `change` is given, and returns its exit code. */
  again(words: readonly string[], change?: (ctx: Context) => Context): Promise<number>;
  readonly hosts: OtherHosts;
  /** The program with all its commands; the running program has only the command that was called. */
  whole(): Promise<AnyCommand>;
}
