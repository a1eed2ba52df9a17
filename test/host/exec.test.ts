import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { createExec, type Exec } from '../../src/host/process/exec.ts';

/** A virsh that is a shell script, in a PATH of its own. */

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvmsnap-exec-'));
  vi.stubEnv('PATH', `${directory}:/usr/bin:/bin`);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

function virshIs(script: string): void {
  const path = join(directory, 'virsh');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

interface Traits {
  readonly stop?: AbortSignal;
  readonly readLimitSeconds?: number;
}

function execOf({ stop = new AbortController().signal, readLimitSeconds = 20 }: Traits = {}): Exec & {
  readonly lines: string[];
} {
  const lines: string[] = [];
  return {
    lines,
    ...createExec({ stop, readLimitSeconds, mostBytes: 1_000_000, onRun: (line) => lines.push(line) }),
  };
}

/** A process that nobody has waited for yet (Z) runs no more; proc(5). */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

const ALL = ['read', 'write', 'writeToTheEnd'] as const;

test.each(['read', 'write'] as const)('a %s that prints without end', async (kind) => {
  virshIs(kind === 'read' ? 'cat /dev/zero' : 'head -c 3000000 /dev/zero');
  const run = execOf()[kind]('virsh', []);
  if (kind === 'read') await expect(run).rejects.toMatchObject({ code: 'refused' });
  else expect((await run).stdout.length).toBeLessThan(1_100_000);
});

describe.each(ALL)('a %s', (kind) => {
  test('gives arguments as they are, and returns all that was said', async () => {
    virshIs(`printf '%s|' "$@"; echo; echo oops >&2; exit 3`);
    const exec = execOf();
    expect(await exec[kind]('virsh', ["it's; $(x)", '', '--domain'])).toEqual({
      stdout: "it's; $(x)||--domain|\n",
      stderr: 'oops\n',
      exitCode: 3,
    });
    expect(exec.lines).toEqual(["virsh 'it'\\''s; $(x)' '' --domain"]);
  });

  test('has no terminal to read from, and a process group of its own', async () => {
    virshIs('cat; ps -o pid=,pgid= -p $$');
    const { stdout } = await execOf()[kind]('virsh', []);
    const [pid, group] = stdout.trim().split(/\s+/);
    expect(group).toBe(pid);
  });

  test('speaks English in UTF-8, and keeps its debug text to itself (hazard 20)', async () => {
    vi.stubEnv('LC_ALL', 'zh_CN.UTF-8');
    vi.stubEnv('LANGUAGE', 'zh_CN');
    vi.stubEnv('VIRSH_DEBUG', '0');
    vi.stubEnv('LIBVIRT_LOG_OUTPUTS', '1:stderr');
    vi.stubEnv('LIBVIRT_DEFAULT_URI', 'qemu:///system');
    virshIs(
      `echo "$LC_ALL|$LANGUAGE|\${VIRSH_DEBUG-unset}|\${LIBVIRT_LOG_OUTPUTS-unset}|$LIBVIRT_DEFAULT_URI"`,
    );
    expect((await execOf()[kind]('virsh', [])).stdout).toBe('C.UTF-8||unset|unset|qemu:///system\n');
  });

  test('that a signal ends has no exit code', async () => {
    virshIs('echo so far; kill -KILL $$');
    expect(await execOf()[kind]('virsh', [])).toEqual({ stdout: 'so far\n', stderr: '', exitCode: null });
  });

  test.each([
    ['virsh', /libvirt-clients/],
    ['qemu-img', /qemu-utils/],
  ] as const)('without a %s names its package', async (tool, hint) => {
    vi.stubEnv('PATH', directory);
    await expect(execOf()[kind](tool, [])).rejects.toMatchObject({
      code: 'tool-missing',
      hint: expect.stringMatching(hint),
    });
  });

  test('does not start when the run is over', async () => {
    const over = new KvmsnapError('interrupted', 'over');
    const exec = execOf({ stop: AbortSignal.abort(over) });
    await expect(exec[kind]('virsh', [])).rejects.toBe(over);
    expect(exec.lines).toEqual([]);
  });
});

test('what comes to its end has no pipe that could break, and no place to say it is a reason not to begin', async () => {
  virshIs('readlink /proc/$$/fd/1 /proc/$$/fd/2');
  const { stdout } = await execOf().writeToTheEnd('virsh', []);
  expect(stdout).toMatch(/^\/.* \(deleted\)\n\/.* \(deleted\)\n$/);
  vi.stubEnv('TMPDIR', join(directory, 'nosuch'));
  const exec = execOf();
  await expect(exec.writeToTheEnd('virsh', [])).rejects.toMatchObject({ code: 'check' });
  expect(exec.lines).toEqual([]);
});

test('a working directory that is gone is none to run in', async () => {
  const before = process.cwd();
  const gone = join(directory, 'gone');
  mkdirSync(gone);
  process.chdir(gone);
  rmSync(gone, { recursive: true });
  try {
    virshIs('pwd');
    expect((await execOf().read('virsh', [])).stdout).toBe('/\n');
  } finally {
    process.chdir(before);
  }
});

describe('giving up', () => {
  const over = new KvmsnapError('interrupted', 'over');

  /** A virsh that leaves a mark at its end, if it was let live. */
  const SLOW = 'sleep 0.3; touch "$0.done"';

  async function stopAfter(kind: (typeof ALL)[number], milliseconds: number): Promise<void> {
    virshIs(SLOW);
    const controller = new AbortController();
    setTimeout(() => controller.abort(over), milliseconds);
    await expect(execOf({ stop: controller.signal })[kind]('virsh', [])).rejects.toBe(over);
  }

  const mark = (): Promise<string> =>
    import('node:fs/promises').then(({ readFile }) => readFile(join(directory, 'virsh.done'), 'utf8'));

  test('a read is killed', async () => {
    await stopAfter('read', 50);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await expect(mark()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.each(['stopped', 'too late', 'endless'])(
    'nothing stays of a read that is %s, such as its ssh',
    async (why) => {
      virshIs(`sleep 60 & echo $! > "$0.pid"; ${why === 'endless' ? 'cat /dev/zero' : 'wait'}`);
      const stop = new AbortController();
      const exec = execOf({ stop: stop.signal, readLimitSeconds: why === 'too late' ? 0.5 : 20 });
      const read = exec.read('virsh', []).catch((error: unknown) => error);
      const pid = await vi.waitFor(
        () => Number(readFileSync(join(directory, 'virsh.pid'), 'utf8')) || Promise.reject(),
      );
      if (why === 'stopped') stop.abort(over);
      expect(await read).toBeInstanceOf(KvmsnapError);
      await vi.waitFor(() => expect(isRunning(pid)).toBe(false));
    },
  );

  test.each(['write', 'writeToTheEnd'] as const)('a %s goes on without us (hazard 8)', async (kind) => {
    await stopAfter(kind, 50);
    await vi.waitFor(mark, { timeout: 5000 });
  });

  test('a read that gives no answer times out, and says where to look (hazard 21)', async () => {
    virshIs('exec sleep 20');
    await expect(execOf({ readLimitSeconds: 0.1 }).read('virsh', [])).rejects.toMatchObject({
      code: 'timed-out',
      message: 'virsh did not answer within 0.1 s',
      hint: expect.stringMatching(/hangs or is overloaded/),
      command: 'systemctl status libvirtd',
    });
  });

  test('a write may take longer than a read', async () => {
    virshIs('sleep 0.3; echo done');
    expect((await execOf({ readLimitSeconds: 0.1 }).write('virsh', [])).stdout).toBe('done\n');
  });
});

test('many reads that are stopped all end, those that wait for their turn too', async () => {
  virshIs('sleep 60');
  const stop = new AbortController();
  const exec = execOf({ stop: stop.signal });
  const reads = Array.from({ length: 40 }, () => exec.read('virsh', []));
  setTimeout(() => stop.abort(new KvmsnapError('timed-out', 'too late')), 50);
  const ends = await Promise.allSettled(reads);
  expect(ends.map((end) => end.status === 'rejected' && end.reason.code)).toEqual(
    Array.from({ length: 40 }, () => 'timed-out'),
  );
});
