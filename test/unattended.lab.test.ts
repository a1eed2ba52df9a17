// The manual's crontab and systemd units, as they stand there, doing their work: judged by virsh and the images.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmsnapPath, nodePath } from './lab/cli.ts';
import { killLibvirtd, processes } from './lab/daemon.ts';
import { scratch, type ToolResult, tool, tryTool, waitFor } from './lab/lab.ts';
import { installCommands, smallFilesystem } from './scene/mount.ts';
import { snapshotNames } from './scene/snapshot.ts';
import { cleanUp, defineVm, start, state, type Vm } from './scene/vm.ts';
import { halves, settled } from './scene/whole.ts';

const page = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');

/** The fenced blocks of a page in a language. */
const blocks = (language: string, path = 'src/manual/nightly.md'): string[] =>
  [...page(path).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
    ([, text = '']) => text,
  );

const SILENCE: ToolResult = { code: 0, stdout: '', stderr: '' };

const [crontab = ''] = blocks('crontab');
/** What `kvmsnap timer` prints there. */
const units = (blocks('console').find((text) => text.startsWith('$ kvmsnap timer ')) ?? '')
  .split(/^(?=# kvmsnap-)/m)
  .slice(1);

let vm: Vm;

beforeEach(() => {
  vm = defineVm({ name: 'web', disks: [{ size: '8M' }, { size: '8M' }], boot: 'counter' });
  start(vm);
  installCommands('/usr/local/bin', { kvmsnap: kvmsnapPath, node: nodePath });
});
afterEach(cleanUp);

/** Waits for tonight's snapshot: whole, of a VM that runs on, and by the rules the only one of the day. */
async function tonight(): Promise<string> {
  await waitFor(() => snapshotNames(vm).length > 0, { what: 'a snapshot' });
  await settled(vm);
  const [name = '', ...others] = snapshotNames(vm);
  expect(name).toMatch(/^nightly-\d{8}T\d{6}Z(-\d+)?$/);
  expect([others, state(vm), halves(vm)]).toEqual([[], 'running', []]);
  return name;
}

describe('the crontab', () => {
  const lines = crontab.trimEnd().split('\n');
  const settings = lines.filter((line) => /^\w+=/.test(line));
  const command = lines.at(-1)?.replace(/^(\S+ +){5}/, '') ?? '';

  /** By the shell, in the environment that cron gives. */
  const asCron = (redirections: string): ToolResult =>
    tryTool('env', [
      '-i',
      ...['SHELL=/bin/sh', 'PATH=/usr/bin:/bin', 'LOGNAME=root', ...settings],
      ...['/bin/sh', '-c', `{ ${command}; } ${redirections}`],
    ]);

  test('is the one of the README, too', () => {
    expect(blocks('crontab', 'README.md')).toEqual([crontab]);
  });

  test('is one that crontab takes, and nothing in it is a % for cron', () => {
    const file = join(scratch, 'crontab');
    writeFileSync(file, crontab);
    expect(tryTool('crontab', ['-n', file])).toMatchObject({ code: 0 });
    expect(crontab).not.toContain('%');
    expect(lines.at(-1)).toMatch(/^0 3 \* \* \* {2}kvmsnap create /);
  });

  test('works in the environment of cron, whatever its streams are', async () => {
    const out = join(scratch, 'out');
    const streams = ['</dev/null', `<&- >${out} 2>&1`, '<&- >&- 2>&-', '</dev/null 2>&1 | true'];
    const names: string[] = [];
    for (const redirections of streams) {
      expect(asCron(redirections)).toEqual(SILENCE);
      expect(existsSync(out) ? readFileSync(out, 'utf8') : '').toBe('');
      names.push(await tonight());
    }
    expect(new Set(names).size).toBe(streams.length);
  });

  /** Debian's cron and that of other systems; both run `@reboot` once when they start. */
  const DAEMONS = [
    {
      daemon: '/usr/sbin/cron',
      args: ['-f'],
      spool: '/var/spool/cron/crontabs',
      started: '/run/crond.reboot',
    },
    { daemon: '/usr/sbin/crond', args: ['-n'], spool: '/var/spool/cron', started: '/run/cron.reboot' },
  ];

  /** Has the real cron run it once, on no other crontab than this; returns the mails it sends. */
  async function runByCron(): Promise<string> {
    const here = DAEMONS.find(({ daemon }) => existsSync(daemon));
    if (!here) throw new Error('no cron is installed');
    const { daemon, args, spool, started } = here;
    const mails = join(scratch, 'mails');
    const done = join(scratch, 'done');
    const sendmail = join(scratch, 'sendmail');
    writeFileSync(mails, '');
    writeFileSync(sendmail, `#!/bin/sh\ncat >>'${mails}'\n`);
    chmodSync(sendmail, 0o755);
    installCommands('/usr/sbin', { sendmail });
    for (const directory of ['/etc/cron.d', spool]) {
      mkdirSync(directory, { recursive: true });
      smallFilesystem(1, directory);
    }
    const mine = crontab.replace(/^(\S+ +){5}(.*)$/m, `@reboot { $2; }; s=$?; echo $s >${done}; exit $s`);
    writeFileSync(join(spool, 'root'), mine, { mode: 0o600 });
    rmSync(started, { force: true });
    const cron = spawn(daemon, args, { stdio: 'ignore' });
    try {
      await waitFor(() => existsSync(done), { what: 'the end of the job', timeoutMs: 60_000 });
      // its own child for the job, which also mails
      const isAtWork = () => processes().some(({ args }) => /\/CROND?$/.test(args[0] ?? ''));
      await waitFor(() => !isAtWork(), { what: 'the end of the mail' });
    } finally {
      cron.kill();
    }
    return readFileSync(mails, 'utf8');
  }

  test('run by cron takes a snapshot, and no mail comes', async () => {
    expect(await runByCron()).toBe('');
    await tonight();
  });

  test('run by cron without libvirt is told by mail', async () => {
    await killLibvirtd();
    expect(await runByCron()).toMatch(/^error: cannot reach libvirt/m);
  });
});

describe('the units', () => {
  const files = () => {
    const directory = join(scratch, 'units');
    mkdirSync(directory);
    return units.map((text) => {
      const path = join(directory, /^# (\S+)\n/.exec(text)?.[1] ?? 'nameless');
      writeFileSync(path, text);
      return path;
    });
  };

  test('are what systemd takes, without a word', () => {
    const paths = files();
    expect(paths.map((path) => path.split('/').at(-1))).toEqual([
      'kvmsnap-nightly.service',
      'kvmsnap-nightly.timer',
    ]);
    expect(tryTool('systemd-analyze', ['verify', ...paths])).toEqual(SILENCE);
    const [, when = ''] = /^OnCalendar=(.*)$/m.exec(units.join('')) ?? [];
    expect(tool('systemd-analyze', ['calendar', when])).toContain('03:00:00');
  });

  test('are so with what the manual adds for a failure and a success', () => {
    const [failed = '', ping = ''] = blocks('ini', 'src/manual/monitoring.md');
    const directory = join(scratch, 'watched-units');
    mkdirSync(directory);
    const [service = ''] = units;
    const texts = {
      'kvmsnap-failed@.service': failed,
      'kvmsnap-nightly.service': service
        .replace('[Unit]', '[Unit]\nOnFailure=kvmsnap-failed@%n.service')
        .replace('[Service]', `[Service]\n${ping}`),
    };
    const paths = Object.entries(texts).map(([name, text]) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    });
    expect(tryTool('systemd-analyze', ['verify', ...paths])).toEqual(SILENCE);
  });

  test('what ExecStart names takes a snapshot', async () => {
    const [, line = ''] = /^ExecStart=(.*)$/m.exec(units.join('')) ?? [];
    expect(line).not.toMatch(/[%$"'\\]/); // words as they stand: no specifier, variable or quote of systemd
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    expect(tryTool('env', ['-i', path, 'LANG=C.UTF-8', ...line.split(' ')])).toEqual(SILENCE);
    await tonight();
  });
});
