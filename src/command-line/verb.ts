import { FAILURES, type FailureCode } from '../errors.ts';
import type { Context } from '../run/context.ts';
import { type AnyCommand, Command, CommanderError } from './commander.ts';

/** One command of the program: commander's own, with what its help, its man page and its checks also need to know. */

export type Group = 'Take and go back' | 'Look' | 'Keep and clean' | 'Repair' | 'More';

/** What a command says of itself beside its arguments and options. */
export interface VerbFacts {
  /** Under which heading the program's help lists it. */
  readonly group: Group;
  /** A verb phrase for lists of commands. */
  readonly summary: string;
  /** What the summary leaves out, in one or two sentences; the manual has the rest. */
  readonly detail: string;
  /** The failures beside those that every command can end with. */
  readonly failures?: readonly FailureCode[];
  readonly examples: readonly string[];
  /** Whether it needs more than a read-only connection; a list: only with one of these options, such as `securityInfo`. */
  readonly needsWriting: boolean | readonly string[];
}

/** Failures that every command can end with. */
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
  readonly needsWriting: boolean | readonly string[];
  /** All failures that it can end with, by their exit codes. */
  readonly failures: readonly FailureCode[];

  constructor(name: string, { group, summary, detail, failures = [], examples, needsWriting }: VerbFacts) {
    super(name);
    this.group = group;
    this.examples = examples;
    this.needsWriting = needsWriting;
    this.failures = [...COMMON_FAILURES, ...failures].sort(
      (a, b) => FAILURES[a].exitCode - FAILURES[b].exitCode,
    );
    this.summary(summary).description(
      `${summary.charAt(0).toUpperCase()}${summary.slice(1)}. ${detail}`.trim(),
    );
  }

  /** As a part of that program. Of too many arguments check-line.ts says more than commander. */
  override copyInheritedSettings(program: AnyCommand): this {
    return super
      .copyInheritedSettings(program)
      .allowExcessArguments()
      .exitOverride((error) => {
        throw new VerbError(error, this);
      });
  }
}

/** What commander says of a command's line, with the command. */
export class VerbError extends CommanderError {
  readonly verb: Verb;

  constructor({ exitCode, code, message }: InstanceType<typeof CommanderError>, verb: Verb) {
    super(exitCode, code, message);
    this.verb = verb;
  }
}

/** What a command asks of the program that it is a part of. */
export interface Program {
  /** Runs an action within the context that the global options make. */
  run(action: (ctx: Context) => Promise<void>): Promise<void>;
  /** The program with all its commands: that which runs has only the one that was called. */
  whole(): Promise<AnyCommand>;
}
