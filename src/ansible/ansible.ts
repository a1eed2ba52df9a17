import { splitLine } from '../command-line/line.ts';
import type { Program } from '../command-line/verb.ts';
import { exitCodeOf, KvmsnapError } from '../errors.ts';
import { readUserFile } from '../host/user-files.ts';
import { describeError } from '../output/error.ts';
import type { Context } from '../run/context.ts';
import { parseModuleArguments } from './module-arguments.ts';

/** `ansible`: runs a command line, and prints its result as Ansible expects it from a module: one JSON object on stdout. */

/** The commands with a result; the others run something else, or are for a terminal. */
const COMMANDS: ReadonlySet<string> = new Set([
  ...['create', 'create-as', 'revert', 'list', 'ls', 'info', 'current', 'export', 'clone', 'space', 'delete'],
  ...['rm', 'prune', 'hold', 'unhold', 'describe', 'check', 'verify', 'merge', 'history', 'policy'],
]);

/** What a line has printed, and whether it began to change something. */
interface Captured {
  text: string;
  readonly notes: string[];
  isChange: boolean;
  failure: unknown;
}

/** Returns the exit code: 1 if the task has failed. */
export async function runForAnsible(ctx: Context, program: Program, file: string): Promise<number> {
  const captured: Captured = { text: '', notes: [], isChange: false, failure: null };
  let isCheck = false;
  try {
    const found = parseModuleArguments(await readUserFile(file, 'the arguments of the module'));
    if ('problem' in found) throw new KvmsnapError('usage', found.problem);
    isCheck = found.isCheck;
    const line = await lineOf(program, found.words, isCheck);
    await program.check(line);
    await program.again(line, (own) => capturing(own, captured));
  } catch (error) {
    captured.failure = error;
  }
  const result = resultOf(captured, isCheck);
  ctx.terminal.print(`${JSON.stringify(result)}\n`);
  return result.failed ? 1 : 0;
}

/** The line with its result in JSON, and without changes in check mode. Throws `usage` for a command without a result. */
async function lineOf(
  program: Program,
  words: readonly string[],
  isCheck: boolean,
): Promise<readonly string[]> {
  const line = splitLine(await program.whole(), words);
  if (!line || !COMMANDS.has(line.command))
    throw new KvmsnapError('usage', `the module cannot run '${line?.command ?? words.join(' ')}'`, {
      hint: `its commands are ${[...COMMANDS].join(', ')}`,
    });
  return ['--json', ...(isCheck ? ['--dry-run'] : []), ...line.head, line.command, ...line.rest];
}

/** The context of a line whose output is kept, and which asks nobody. */
function capturing(ctx: Context, captured: Captured): Context {
  return {
    ...ctx,
    onChange() {
      captured.isChange = true;
    },
    terminal: {
      ...ctx.terminal,
      hasPerson: false,
      print(text) {
        captured.text += text;
      },
      note: (line) => void captured.notes.push(line),
      progress: () => undefined,
    },
  };
}

interface ModuleResult extends Readonly<Record<string, unknown>> {
  readonly failed: boolean;
}

/** The document of the line with the members that Ansible reads (its docs: Common Return Values). */
function resultOf({ text, notes, isChange, failure }: Captured, isCheck: boolean): ModuleResult {
  const document = documentIn(text);
  const changed = isChange || (isCheck && wouldChange(document));
  const failed = failure !== null;
  const rc = failed ? exitCodeOf(failure) : 0;
  const said = failed ? describeError(failure, { json: false, level: 0 }) : '';
  const done = changed ? (isCheck ? 'would be changed' : 'changed') : 'nothing to change';
  const warnings = notes.filter((note) => note.startsWith('warning: '));
  return {
    ...(document ?? (text === '' ? {} : { stdout: text })),
    ...{ changed, failed, rc, msg: failed ? said.replace(/^error: /, '').trimEnd() : done },
    ...(notes.length > 0 ? { stderr_lines: notes } : {}),
    ...(warnings.length > 0 ? { warnings: warnings.map((note) => note.replace(/^warning: /, '')) } : {}),
  };
}

/** Null: it is no JSON document, such as XML. */
function documentIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Whether a dry run has found something to do: a command, or a snapshot that is not kept. */
function wouldChange(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(wouldChange);
  if (typeof value !== 'object' || value === null) return false;
  const { commands, keep } = value as Readonly<Record<string, unknown>>;
  if (keep === false || (Array.isArray(commands) && commands.length > 0)) return true;
  return ['hosts', 'domains', 'snapshots', 'fixes'].some((name) =>
    wouldChange((value as Readonly<Record<string, unknown>>)[name]),
  );
}
