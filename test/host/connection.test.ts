// Connections to a host, with an ssh that does as it is told: which of them are used again, and what is said of one that ended.
import { writeSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createConnection } from '../../src/host/ssh/connection.ts';
import type { ShellProcess } from '../../src/host/ssh/shell.ts';
import type { SshPrograms } from '../../src/host/ssh/ssh-process.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LIMITS = { mostBytes: 1000, seconds: 20 };

/** A shell that answers each script with nothing, for as long as `answers` allows; then it ends with a message. */
function shell(answers: number, message: string): ShellProcess {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let left = answers;
  stdin.on('data', (text: Buffer) => {
    if (left === Number.NEGATIVE_INFINITY) return;
    const [mark = ''] = /@@n\.\d+@/.exec(text.toString()) ?? [];
    if (left-- > 0) {
      stdout.write(`${mark} 0\n`);
      stderr.write(`${mark}\n`);
      return;
    }
    stderr.write(message);
    setTimeout(end, 1);
  });
  return { stdin, stdout, stderr, ended, kill: () => end() };
}

/** `shells`: those that are started, in this order. Tells the socket of each of them. */
function connectionWith(shells: readonly ShellProcess[], isShared = true, refusals: readonly string[] = []) {
  const left = [...shells];
  const refused = [...refusals];
  const used: (string | undefined)[] = [];
  const pauses: number[] = [];
  const programs: SshPrograms = {
    environment: {},
    uid: 0,
    async run(args, messages) {
      if (!args.includes('-M')) return 1;
      const refusal = refused.shift();
      if (refusal === undefined || messages === 'ignore') return 0;
      writeSync(messages, refusal);
      return 255;
    },
    start(_, args) {
      used.push(args[args.indexOf('-S') + 1]);
      const next = left.shift();
      if (!next) throw new Error('no more connections');
      return next;
    },
  };
  const connection = createConnection({
    destination: { name: 'kvm1', address: 'kvm1', sudo: false },
    programs,
    socket: () => ({ path: 'shared', exists: () => isShared, fresh: () => 'fresh', adopt: () => undefined }),
    stop: new AbortController().signal,
    nonce: 'n',
    hasPerson: false,
    connectSeconds: 5,
    onRun: () => undefined,
    now: () => 0,
    sleep: async (milliseconds) => void pauses.push(milliseconds),
  });
  return { connection, used, pauses };
}

const SILENT = Number.NEGATIVE_INFINITY;

test('a shared connection on which nothing arrives is not waited for: another one is opened', async () => {
  const { connection, used } = connectionWith([shell(SILENT, ''), shell(9, '')]);
  const read = connection.read('true', LIMITS);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(await read).toMatchObject({ code: 0 });
  expect(used).toEqual(['shared', 'fresh']);
});

test('a new connection on which nothing arrives is given up', async () => {
  const { connection } = connectionWith([shell(SILENT, '')], false);
  const read = connection.read('true', LIMITS);
  const failed = expect(read).rejects.toMatchObject({ code: 'timed-out' });
  await vi.advanceTimersByTimeAsync(40_000);
  await failed;
});

test.each([
  ['65536 bytes (66 kB, 64 KiB) copied, 0.0001 s, 557 MB/s\n', 'the connection was closed'],
  ['client_loop: send disconnect: Broken pipe\r\n', 'client_loop: send disconnect: Broken pipe'],
])('what a command had printed is no reason why the connection ended: %j', async (said, reason) => {
  const { connection } = connectionWith([shell(1, said), shell(1, said)], false);
  const read = connection.read('dd', LIMITS);
  const failed = expect(read).rejects.toMatchObject({
    code: 'unreachable',
    message: `cannot reach the host kvm1: ${reason}`,
  });
  await vi.advanceTimersByTimeAsync(1000);
  await failed;
});

test('a server that drops a connection at once is asked again; one that refuses the user is not', async () => {
  const dropped = 'kex_exchange_identification: Connection closed by remote host\r\n';
  const busy = connectionWith([shell(9, '')], false, [dropped, dropped]);
  expect(await busy.connection.read('true', LIMITS)).toMatchObject({ code: 0 });
  expect(busy.pauses).toHaveLength(2);
  const away = connectionWith(
    [],
    false,
    Array.from({ length: 9 }, () => dropped),
  );
  await expect(away.connection.read('true', LIMITS)).rejects.toMatchObject({ code: 'unreachable' });
  const refused = connectionWith([], false, ['kvm1: Permission denied (publickey).\r\n']);
  await expect(refused.connection.read('true', LIMITS)).rejects.toThrow('Permission denied');
  expect(refused.pauses).toEqual([]);
});
