// kvmsnap as a program within this process, with somebody at its terminal who answers by chance.
import { createProgram } from '../../src/cli.ts';
import { KvmsnapError } from '../../src/errors.ts';
import type { Terminal } from '../../src/host/terminal.ts';
import { systemContext } from '../../src/run/context.ts';
import type { Session } from './session.ts';

/** What the person says to every question; null: there is none, as in a script. */
export type Answer = boolean | null;

export interface Run {
  /** 0, or the exit code of the failure. */
  readonly exitCode: number;
  readonly message: string;
  readonly said: string;
}

/** Runs it to its end; it reads by the virsh that is there, and writes by one of its own. Throws what is no KvmsnapError: a bug. */
export async function run(args: readonly string[], answer: Answer, session: Session): Promise<Run> {
  const said: string[] = [];
  const { program } = await createProgram(args, async (settings, action) => {
    const ctx = systemContext(settings);
    const terminal: Terminal = {
      ...ctx.terminal,
      hasPerson: answer !== null,
      print: (text) => void said.push(text),
      note: (line) => void said.push(`${line}\n`),
      trace: () => undefined,
      ask: async (question) => {
        said.push(`${question} [y/N] ${answer}\n`);
        return answer === true;
      },
      askLine: async () => '',
      progress: () => undefined,
      release: () => undefined,
    };
    await action({ ...ctx, terminal, virsh: { ...ctx.virsh, read: session.read } });
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return { exitCode: 0, message: '', said: said.join('') };
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    return { exitCode: error.exitCode, message: error.message, said: said.join('') };
  }
}
