// The kept shell: scripts that are cut anywhere, and answers that lie, never end or come too late.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { shellWord } from '../../src/host/ssh/quoting.ts';
import { openShell, type ShellProcess } from '../../src/host/ssh/shell.ts';

const directory = mkdtempSync(join(tmpdir(), 'shell-'));
afterAll(() => rmSync(directory, { recursive: true }));

const LIMITS = { mostBytes: 1000, seconds: 20 };

/** A host that answers each line that it receives as `answer` says. */
function lying(answer: (mark: string, out: PassThrough, err: PassThrough) => void) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  stdin.on('data', (text: Buffer) => {
    const [mark = ''] = /@@n\.\d+@/.exec(text.toString()) ?? [];
    answer(mark, stdout, stderr);
  });
  const child: ShellProcess = { stdin, stdout, stderr, ended, kill: () => end() };
  return openShell(child, 'n');
}

/** What a shell is sent for a script. */
async function sentFor(script: string): Promise<string> {
  const stdin = new PassThrough();
  const idle = new PassThrough();
  const child = { stdin, stdout: idle, stderr: idle, ended: new Promise<void>(() => {}), kill: () => {} };
  openShell(child, 'n')
    .run(script, LIMITS)
    .catch(() => {});
  return String(await new Promise((resolve) => stdin.once('data', resolve)));
}

test('a script that is cut anywhere is not run, not even in parts', async () => {
  const ran = join(directory, 'ran');
  const sent = await sentFor(`: >${ran}\n: >${ran}; cat <<'E'\nx\nE\n: >${ran}`);
  const cuts = Array.from({ length: sent.length - 1 }, (_, i) => i);
  // several cuts in one process: a subshell each, as the end of its input would be
  const some = cuts.filter((_, i) => i % 3 === 0 || i > sent.length - 20);
  const lines = some.map((at) => `printf %s ${shellWord(sent.slice(0, at))} | sh -s >/dev/null 2>&1`);
  spawnSync('sh', ['-s'], { input: lines.join('\n') });
  expect(existsSync(ran)).toBe(false);
  spawnSync('sh', ['-s'], { input: sent });
  expect(existsSync(ran)).toBe(true);
});

test('words come through as they are', () => {
  const words = ["it's", '$HOME `x` "\\"', 'line\nfeed', '', '-n', '*', "'"];
  const { stdout } = spawnSync('sh', ['-s'], { input: `printf '%s\\0' ${words.map(shellWord).join(' ')}\n` });
  expect(stdout.toString().split('\0').slice(0, -1)).toEqual(words);
});

test('many scripts are sent without waiting, and each has its own answer, with any bytes', async () => {
  const child = spawn('sh', ['-s']);
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const shell = openShell(
    {
      ...child,
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      ended,
      kill: () => void child.kill(),
    },
    'n',
  );
  const replies = await Promise.all(
    [0, 1, 2, 3].map((i) => shell.run(`printf 'a\\000\\n@@n'; echo said ${i} >&2; (exit ${i})`, LIMITS)),
  );
  expect(replies.map(({ code }) => code)).toEqual([0, 1, 2, 3]);
  expect(replies.map(({ stdout }) => stdout.toString('latin1'))).toEqual([0, 1, 2, 3].map(() => 'a\0\n@@n'));
  expect(replies.map(({ stderr }) => stderr.toString())).toEqual([0, 1, 2, 3].map((i) => `said ${i}\n`));
  shell.end();
  await ended;
  await expect(shell.run('echo', LIMITS)).rejects.toMatchObject({ why: 'lost' });
});

describe('a host that lies', () => {
  const flood = (stream: PassThrough) => {
    for (let i = 0; i < 40; i++) stream.write(Buffer.alloc(65_536, 'x'));
  };
  test.each([
    ['output without end', (_: string, out: PassThrough) => flood(out)],
    ['messages without end', (_: string, __: PassThrough, err: PassThrough) => flood(err)],
  ])('%s', async (_, answer) => {
    await expect(lying(answer).run('x', LIMITS)).rejects.toMatchObject({ why: 'too-long' });
  });

  test('an answer that is not complete', async () => {
    const shell = lying((mark, out, err) => {
      out.write(`text${mark} 0`);
      err.write(`${mark}\n`);
    });
    await expect(shell.run('x', { mostBytes: 10, seconds: 0.2 })).rejects.toMatchObject({ why: 'timed-out' });
  });

  test.each([' 99999', ' -1', '', ' 0x', ' a'])('an exit code that is none: %j', async (code) => {
    const shell = lying((mark, out, err) => {
      out.write(`text${mark}${code}\n`);
      err.write(`${mark}\n`);
    });
    expect(await shell.run('x', LIMITS)).toMatchObject({ code: 255 });
  });

  test('output that nobody has asked for', async () => {
    const shell = lying((mark, out, err) => {
      out.write(`${mark} 0\n`);
      err.write(`${mark}\n`);
      setTimeout(() => flood(out), 10);
    });
    await shell.run('x', LIMITS);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(shell.isOpen).toBe(false);
  });
});
