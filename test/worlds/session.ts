// One virsh process for all that is asked of libvirt: its start costs more than most of its answers.
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { packBatches, splitAnswers } from '../../src/libvirt/batch.ts';
import type { Virsh } from '../../src/libvirt/virsh.ts';
import { virshQuote } from '../../src/model/quote.ts';
import { scratch, tool } from '../lab/lab.ts';

/** A raw virsh that stays. */
export interface Session {
  /** Runs a line of commands, and waits for its end. */
  run(line: string): { readonly stdout: string; readonly stderr: string };
  /** What each command prints; '' for one that fails. */
  answers(commands: readonly Command[]): string[];
  /** Whether the command succeeds. */
  does(...command: Command): boolean;
  /** The reads of kvmsnap, answered by this process: a start less for each. */
  readonly read: Virsh['read'];
  end(): void;
}

export type Command = readonly string[];

const BEGIN = '@@begin@@';
const END = '@@end@@';

/** Starts one. Its errors are there before the end of its answer: virsh writes one stream out before the other. */
export function openSession(): Session {
  const paths = ['in', 'out', 'err'].map((name) => join(scratch, `virsh.${name}`));
  tool('mkfifo', paths);
  const [input = '', output = '', errors = ''] = paths;
  const stderr = openSync(errors, constants.O_RDONLY | constants.O_NONBLOCK);
  const script = 'exec virsh <"$1" >"$2" 2>"$3"';
  const env = { ...process.env, LC_ALL: 'C.UTF-8', LANGUAGE: '' };
  spawn('sh', ['-c', script, 'sh', ...paths], { stdio: 'ignore', env }).unref();
  const [stdin, stdout] = [openSync(input, 'w'), openSync(output, 'r')];

  function run(line: string): { stdout: string; stderr: string } {
    writeSync(stdin, `echo ${BEGIN}; ${line}; echo ${END}\n`);
    const text = readUntil(stdout, (so) => so.includes(`\n${END}\n`));
    // before the first mark stands what virsh echoes of the line
    const from = text.indexOf(`\n${BEGIN}\n`) + BEGIN.length + 2;
    return { stdout: text.slice(from, text.indexOf(`\n${END}\n`) + 1), stderr: readAll(stderr) };
  }

  function ask(command: Command): string | null {
    const answer = run(command.map(virshQuote).join(' '));
    return answer.stderr.includes('error: ') ? null : answer.stdout.trimEnd();
  }

  return {
    run,
    answers: (commands) => commands.map((command) => ask(command) ?? ''),
    does: (...command) => ask(command) !== null,
    read: async (commands) => {
      // the last by itself: kvmsnap goes by whether that one succeeded
      const parts = [commands.slice(0, -1), commands.slice(-1)].map((part) => {
        const done = packBatches(part, NONCE).map((batch) => ({ batch, ...run(batch.script) }));
        const texts = done.flatMap((each) => splitAnswers(each.stdout, each.batch, NONCE));
        return { texts, stderr: done.map((each) => each.stderr).join('') };
      });
      return {
        texts: parts.flatMap(({ texts }) => texts),
        stderr: parts.map((part) => part.stderr).join(''),
        lastSucceeded: !parts.at(-1)?.stderr.includes('error: '),
      };
    },
    end: () => {
      writeSync(stdin, 'quit\n');
      for (const file of [stdin, stdout, stderr]) closeSync(file);
      for (const path of paths) rmSync(path);
    },
  };
}

const NONCE = 'session';

const chunk = Buffer.alloc(1 << 16);

function readUntil(file: number, isEnd: (text: string) => boolean): string {
  const parts: Buffer[] = [];
  for (;;) {
    const count = readSync(file, chunk);
    if (count === 0) throw new Error('virsh has ended');
    parts.push(Buffer.from(chunk.subarray(0, count)));
    const text = Buffer.concat(parts).toString();
    if (isEnd(text)) return text;
  }
}

/** What is there just now, of a pipe that does not block. */
function readAll(file: number): string {
  const parts: Buffer[] = [];
  try {
    for (;;) {
      const count = readSync(file, chunk);
      if (count === 0) break;
      parts.push(Buffer.from(chunk.subarray(0, count)));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return Buffer.concat(parts).toString();
}
