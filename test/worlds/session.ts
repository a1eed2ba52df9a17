// One virsh process for all that a test asks libvirt: its start costs more than most of its answers.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tool } from '../lab/lab.ts';

/** A raw virsh that stays. Each word of a command is passed as it is. */
export interface Session {
  /** What each command prints; '' for one that fails. */
  answers(commands: readonly Command[]): string[];
  /** Whether the command succeeds. */
  does(...command: Command): boolean;
  end(): void;
}

export type Command = readonly string[];

const BEGIN = '@@begin@@';
const END = '@@end@@';

/** Starts one. Its errors come in the stream of its answers: virsh flushes one before it writes to the other. */
export function openSession(): Session {
  const [input, output] = [join(scratch, 'virsh.in'), join(scratch, 'virsh.out')];
  tool('mkfifo', [input, output]);
  const process = spawn('sh', ['-c', 'exec virsh <"$1" >"$2" 2>&1', 'sh', input, output], {
    stdio: 'ignore',
  });
  process.unref();
  const [to, from] = [openSync(input, 'w'), openSync(output, 'r')];
  const chunk = Buffer.alloc(1 << 16);

  function ask(command: Command): { ok: boolean; text: string } {
    writeSync(to, `echo ${BEGIN}; ${command.map(quote).join(' ')}; echo ${END}\n`);
    const parts: Buffer[] = [];
    for (;;) {
      const count = readSync(from, chunk);
      if (count === 0) throw new Error(`virsh has ended at: ${command.join(' ')}`);
      parts.push(Buffer.from(chunk.subarray(0, count)));
      const text = Buffer.concat(parts).toString();
      if (!text.endsWith(`\n${END}\n`) && !text.includes(`\n${END}\nvirsh # `)) continue;
      // before the first mark stands what virsh echoes of the command
      const answer = text.slice(
        text.indexOf(`\n${BEGIN}\n`) + BEGIN.length + 2,
        text.lastIndexOf(`${END}\n`),
      );
      return { ok: !/^error: /m.test(answer), text: answer };
    }
  }

  return {
    answers: (commands) => commands.map(ask).map(({ ok, text }) => (ok ? text.replace(/^\n|\n$/g, '') : '')),
    does: (...command) => ask(command).ok,
    end: () => {
      writeSync(to, 'quit\n');
      closeSync(to);
      closeSync(from);
      rmSync(input);
      rmSync(output);
    },
  };
}

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
