// Processes and files of a host that is reached over ssh, beside those of this host: a real sshd, real tools.
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { errorCode, type HostFiles, MissingBytes, readFetched } from '../../src/host/files.ts';
import { type Connection, createConnection } from '../../src/host/ssh/connection.ts';
import { controlSocket } from '../../src/host/ssh/control-socket.ts';
import { createRemoteExec } from '../../src/host/ssh/remote-exec.ts';
import { createRemoteFiles } from '../../src/host/ssh/remote-files.ts';
import { sshPrograms } from '../../src/host/ssh/ssh-process.ts';
import { processes } from '../lab/daemon.ts';
import { isSystemLab, scratch, sendSignal, tool, waitFor } from '../lab/lab.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { localFiles } from './local-files.ts';

const isPossible = isSystemLab && hasSshd;

let hosts: SshHosts;
const [before, home] = [process.env['PATH'], process.env['XDG_RUNTIME_DIR']];
beforeAll(async () => {
  if (!isPossible) return;
  hosts = await startSshHosts(['kvm1', 'kvm2'], {
    config: ['MaxSessions 2'],
    profile: 'echo "welcome to this host"; echo "do not disturb" >&2\n',
  });
  process.env['PATH'] = hosts.path;
  process.env['XDG_RUNTIME_DIR'] = hosts.directory;
});
afterAll(() => {
  process.env['PATH'] = before;
  if (home === undefined) delete process.env['XDG_RUNTIME_DIR'];
  hosts?.stop();
});

const open: Connection[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

function connectTo(name: string, stop = new AbortController().signal): Connection {
  const made = createConnection({
    destination: { name, address: name, sudo: false },
    programs: sshPrograms(),
    socket: () => controlSocket(name, process.env, 0),
    stop,
    nonce: randomBytes(12).toString('hex'),
    hasPerson: false,
    connectSeconds: 10,
    now: Date.now,
    sleep,
    onRun: () => undefined,
  });
  open.push(made);
  return made;
}

function execOn(connection: Connection, mostBytes = 2 ** 20, readLimitSeconds = 20) {
  const notes: string[] = [];
  const exec = createRemoteExec({
    connection,
    readLimitSeconds,
    mostBytes,
    onRun: () => undefined,
    onWrite: () => undefined,
    note: (line) => notes.push(line),
    sleep,
    now: Date.now,
    newId: () => randomBytes(12).toString('hex'),
  });
  return { exec, notes };
}

const withoutStamp = (found: readonly unknown[]): unknown[] =>
  found.map((each) => (typeof each === 'object' ? { ...each, stamp: expect.any(String) } : each));

const codeOf = (error: unknown): string =>
  error instanceof KvmsnapError ? error.code : (errorCode(error) ?? String(error));

describe.runIf(isPossible)('processes', () => {
  test('output, messages and exit code; words are no shell; many at once', async () => {
    const { exec } = execOn(connectTo('kvm1'));
    const odd = `it's "$(touch ${scratch}/run)" \`x\`\n*; @@`;
    const [list, wrong, words] = await Promise.all([
      exec.read('virsh', ['list', '--all', '--name']),
      exec.read('virsh', ['nonsense']),
      exec.read('stat', ['-c', '%n', '--', odd]),
    ]);
    expect(list).toMatchObject({ exitCode: 0, stdout: '\n' });
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain("unknown command: 'nonsense'");
    expect(words.exitCode).toBe(1);
    expect(existsSync(join(scratch, 'run'))).toBe(false);
    // the master, and one shell for all of it
    const sshs = processes().filter(({ args }) => args[0]?.includes('/ssh') || args[0] === 'ssh:');
    expect(sshs.filter(({ args }) => args.includes('exec sh -s')).length).toBeLessThanOrEqual(1);
  });

  test('a host that cannot be reached, and a tool that is not there', async () => {
    const { exec } = execOn(connectTo('nowhere.invalid'));
    await expect(exec.read('virsh', ['list']).catch(codeOf)).resolves.toBe('unreachable');
    const other = execOn(connectTo('kvm1')).exec;
    await expect(other.read('no-such-tool' as 'stat', []).catch(codeOf)).resolves.toBe('tool-missing');
  });

  test('too much output, and an answer that does not come; the next command has a new shell', async () => {
    const connection = connectTo('kvm1');
    await expect(
      connection.read('cat /dev/zero', { mostBytes: 2 ** 20, seconds: 20 }).catch(codeOf),
    ).resolves.toBe('refused');
    await expect(connection.read('sleep 60', { mostBytes: 0, seconds: 0.3 }).catch(codeOf)).resolves.toBe(
      'timed-out',
    );
    const { stdout } = await connection.read('echo again', { mostBytes: 100, seconds: 20 });
    expect(stdout.toString()).toBe('again\n');
  });

  test('after the end of the run nothing is waited for', async () => {
    const controller = new AbortController();
    const connection = connectTo('kvm1', controller.signal);
    const running = connection.read('sleep 60', { mostBytes: 0, seconds: 20 });
    setTimeout(() => controller.abort(new KvmsnapError('interrupted', 'ended')), 200);
    await expect(running.catch(codeOf)).resolves.toBe('interrupted');
  });

  test('seven shells at once where there is room for two in a connection: each has its answer', async () => {
    const words = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const answers = await Promise.all(
      words.map((word) => connectTo('kvm2').read(`echo ${word}; sleep 0.3`, { mostBytes: 100, seconds: 20 })),
    );
    expect(answers.map(({ stdout }) => stdout.toString())).toEqual(words.map((word) => `${word}\n`));
  });
});

describe.runIf(isPossible)('writes', () => {
  test('their output and exit code; nothing is left there', async () => {
    const { exec } = execOn(connectTo('kvm1'));
    const before = readdirSync('/tmp');
    expect(await exec.write('virsh', ['nonsense'])).toMatchObject({ exitCode: 1, stdout: '' });
    expect(await exec.write('stat', ['-c', "%n it's", '/'])).toEqual({
      exitCode: 0,
      stdout: "/ it's\n",
      stderr: '',
    });
    // other labs have theirs there too, which come and go
    const made = readdirSync('/tmp').filter((name) => name.startsWith('kvmsnap.') && !before.includes(name));
    await waitFor(() => !made.some((name) => existsSync(join('/tmp', name))), { what: 'the removal' });
  });

  test('a connection that is lost meanwhile: the write ends, and its result is found', async () => {
    const { exec, notes } = execOn(connectTo('kvm1'));
    const fifo = join(scratch, 'fifo');
    tool('mkfifo', [fifo]);
    const writing = exec.write('sh' as 'stat', [
      '-c',
      `read line <${fifo}; echo "$line"; echo said >&2; exit 3`,
    ]);
    await waitFor(() => processes().some(({ args }) => args.some((word) => word.startsWith('read line'))), {
      what: 'the write',
    });
    for (const { pid, args } of processes())
      if (args[0]?.startsWith('sshd: root') || args.includes('exec sh -s')) sendSignal(pid, 'SIGKILL');
    await sleep(300);
    writeFileSync(fifo, 'the end\n');
    expect(await writing).toEqual({ exitCode: 3, stdout: 'the end\n', stderr: 'said\n' });
    expect(notes).toEqual([expect.stringContaining('the connection to kvm1 was lost')]);
  });

  test('a command that is killed there has no exit code', async () => {
    const { exec } = execOn(connectTo('kvm1'));
    expect(await exec.write('sh' as 'stat', ['-c', 'kill -9 $$'])).toMatchObject({ exitCode: null });
    expect(await exec.write('sh' as 'stat', ['-c', 'kill -9 $PPID'])).toMatchObject({ exitCode: null });
  });
});

describe.runIf(isPossible)('files', () => {
  const directory = join(scratch, "a dir'ectory");
  const at = (name: string) => join(directory, name);
  let remote: HostFiles;

  beforeAll(() => {
    mkdirSync(directory);
    writeFileSync(at('file\nname'), randomBytes(700_000));
    linkSync(at('file\nname'), at('same'));
    symlinkSync('same', at('link'));
    symlinkSync('nothing', at('dangling'));
    mkdirSync(at('.hidden'));
    tool('mkfifo', [at('pipe')]);
    chmodSync(at('same'), 0o640);
  });

  test('as those of this host', async () => {
    remote = createRemoteFiles(connectTo('kvm1'));
    for (const name of ['file\nname', 'same', 'link', '.hidden', 'pipe', 'dangling', 'gone', 'same/below']) {
      const both = (files: HostFiles) =>
        Promise.all([
          files.stat(at(name)).catch(codeOf),
          files.realpath(at(name)).catch(codeOf),
          files.statfs(at(name)).then(({ type }) => type, codeOf),
          files.checkWritable(at(name)).then(() => 'writable', codeOf),
        ]);
      // what changes with the file, in other words
      expect([name, await both(remote)]).toMatchObject([name, withoutStamp(await both(localFiles))]);
    }
    const sorted = async (files: HostFiles) =>
      [...(await files.readdir(directory))].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(await sorted(remote)).toEqual(await sorted(localFiles));
    expect(await remote.readdir(at('gone')).catch(codeOf)).toBe('ENOENT');
    expect(await remote.readdir(at('.hidden'))).toEqual([]);
    expect(await remote.read('/proc/version')).toEqual(readFileSync('/proc/version'));
    expect(await remote.capacity('/')).toMatchObject({
      sizeBytes: (await localFiles.capacity('/'))?.sizeBytes,
    });
    expect((await remote.stat('/dev/null')).kind).toBe('character-device');
  });

  test('bytes of an open file, those that are fetched first too; no pipe is opened', async () => {
    const file = await remote.open(at('link'));
    const into = Buffer.alloc(300_000);
    const pieces = [0, 65_000, 350_000, 399_999, 690_000, 700_000];
    file?.expect?.([350_000, 650_000], 50_000);
    expect(() => file?.read(350_000, into)).toThrow(MissingBytes);
    const read = await readFetched(() => pieces.map((offset) => file?.read(offset, into)));
    expect(read).toEqual([300_000, 300_000, 300_000, 300_000, 10_000, 0]);
    await readFetched(() => file?.read(350_000, into));
    expect(into.equals(readFileSync(at('same')).subarray(350_000, 650_000))).toBe(true);
    await file?.close();
    expect(await remote.open(at('pipe'))).toBeNull();
    expect(await remote.open(at('gone')).catch(codeOf)).toBe('ENOENT');
  });

  test('what is changed', async () => {
    const bytes = Buffer.from([0, 10, 39, 92, 255, 37, 115]);
    await remote.write(at("new 'file"), bytes, 0o640);
    expect(readFileSync(at("new 'file"))).toEqual(bytes);
    expect(statSync(at("new 'file")).mode & 0o777).toBe(0o640);
    expect(await remote.write(at("new 'file"), bytes, 0o600).catch(codeOf)).toBe('EEXIST');
    expect(await remote.write('/proc/x', bytes, 0o600).catch(codeOf)).toMatch(/ENOENT|EACCES|EPERM/);
    await remote.chmod(at("new 'file"), 0o600);
    await remote.checkOpensForWriting(at("new 'file"));
    expect(statSync(at("new 'file"))).toMatchObject({ mode: 0o100600, size: bytes.length });
    await remote.remove(at("new 'file"));
    expect(await remote.remove(at("new 'file")).catch(codeOf)).toBe('ENOENT');
    expect(await remote.checkOpensForWriting(at('gone')).catch(codeOf)).toBe('ENOENT');
  });

  test('a file system that is mounted read-only', async () => {
    tool('mount', ['-t', 'tmpfs', '-o', 'ro', 'none', at('.hidden')]);
    try {
      expect(await remote.checkWritable(at('.hidden')).catch(codeOf)).toBe('EROFS');
    } finally {
      tool('umount', [at('.hidden')]);
    }
  });
});
