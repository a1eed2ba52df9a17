import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { virshTable } from '../create/virsh/options.ts';
import { cleanEnvironment, kvmsnap, kvmsnapPath } from '../lab/cli.ts';
import { isSystemLab, scratch } from '../lab/lab.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { cleanUp, defineVm, start } from '../scene/vm.ts';

/**
 * The console blocks of the README and of each page of the manual, run line by line in their order on VMs of the lab, and the
 * tables that the program itself makes. `UPDATE_README=1 npm run test:lab test/manual` writes what came into the pages.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = [
  'README.md',
  ...readdirSync(join(root, 'src/manual'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `src/manual/${name}`),
];
const update = process.env['UPDATE_README'] === '1';
/** Where a reader of the pages keeps images. */
const IMAGES = '/var/lib/libvirt/images';
/** And kvmsnap what it changes. */
const STATE = '/root/.local/state';
const images = join(scratch, 'images');
const bin = join(scratch, 'bin');

/** What differs from run to run. */
function normal(text: string): string {
  return (
    text
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)/g, 'TIME')
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
      .replace(/\b\d+ (s|min) ago/g, 'AGE')
      .replace(/taken, paused \d+\.\d s/g, 'taken, paused SECONDS s')
      .replace(/clock is now \d+ s behind/g, 'clock is now AGE behind')
      .replace(/\b\d{8}T\d{6}Z/g, 'STAMP')
      .replace(/\b\d{4}-\d\d(-\d\d)?\b|\b\d{4}-W\d\d\b/g, 'PERIOD')
      .replace(/\b\d{10}\b/g, 'SECONDS')
      .replace(/\b\d{13}\b/g, 'MILLISECONDS')
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
      .replace(/\d+(\.\d+)? (B|KiB|MiB|GiB)\b/g, 'SIZE')
      .replace(/("vmStateBytes": )\d+|(,)\d{4,7}(,)/g, '$1$2BYTES$3')
      .replace(/(kvmsnap_frees_bytes\{.*\}) \d+/g, '$1 BYTES')
      .replace(/(_age)=\d+s/g, '$1=AGE')
      // only where libvirt can revert to it
      .replaceAll('. Or take an external snapshot instead (--external)', '')
      .replace(/[ ─]+/g, ' ')
  );
}

interface Example {
  readonly command: string;
  readonly output: string;
}

function examplesIn(block: string): Example[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [command = '', ...output] = part.split('\n');
      return { command, output: output.join('\n').trimEnd() };
    });
}

/** kvm1 is this lab over ssh, and kvm3 is a host that does not answer. */
let hosts: SshHosts | null = null;
const hasHosts = isSystemLab && hasSshd;

function run(command: string): string {
  const line = command.replaceAll(IMAGES, images);
  const output = execFileSync('bash', ['--norc', '-c', `exec 2>&1; ${line}; true`], {
    encoding: 'utf8',
    env: cleanEnvironment({
      PATH: `${bin}:${hosts?.path ?? process.env['PATH']}`,
      ...(hosts && { XDG_RUNTIME_DIR: hosts.directory }),
      TZ: 'Europe/Berlin',
      XDG_STATE_HOME: join(scratch, 'state'),
    }),
  });
  return output.replaceAll(images, IMAGES).replaceAll(join(scratch, 'state'), STATE).trimEnd();
}

const CONSOLE = /^```console\n(.*?)^```/gms;

const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

const shownIn = (page: string): Example[] =>
  [...textOf(page).matchAll(CONSOLE)].flatMap(([, block = '']) => examplesIn(block));

function image(name: string, format: string) {
  const path = join(images, `${name}.${format}`);
  execFileSync('qemu-img', ['create', '-q', '-f', format, path, '1G']);
  return { source: path, format };
}

/** The five VMs of one application. */
function startShop(): void {
  for (const name of ['cache', 'db', 'queue', 'web-1', 'web-2'].map((part) => `shop-${part}`))
    start(defineVm({ name, boot: 'idle', disks: [image(name, 'qcow2')] }));
}

describe('examples', () => {
  beforeEach(() => {
    for (const directory of [images, bin]) rmSync(directory, { recursive: true, force: true });
    mkdirSync(images);
    mkdirSync(bin);
    symlinkSync(kvmsnapPath, join(bin, 'kvmsnap'));
    start(defineVm({ name: 'web-1', boot: 'idle', disks: [image('web-1', 'qcow2')] }));
    defineVm({ name: 'centos7-1', disks: [image('centos7-1', 'qcow2')] });
    defineVm({ name: 'oldbox', disks: [image('oldbox', 'raw')] });
  });
  afterEach(async () => {
    hosts?.stop();
    hosts = null;
    await cleanUp();
  });
  afterAll(cleanUp);

  test('are in many pages', () => {
    expect(PAGES.flatMap(shownIn).length).toBeGreaterThan(30);
  });

  const needsHosts = (page: string) => textOf(page).includes('--host ');
  const isPossible = (page: string) => hasHosts || !needsHosts(page);
  test.each(PAGES.filter((page) => shownIn(page).length > 0 && isPossible(page)))(
    '%s shows what really comes',
    async (page) => {
      // the clean-up after each page removes their files too
      if (needsHosts(page))
        hosts = await startSshHosts(['kvm1'], { client: ['Host kvm3', '  HostName 127.0.0.1', '  Port 1'] });
      const seen: Example[] = [];
      let hasShop = false;
      const runLine = (command: string) => {
        // not before, because the examples above list all VMs
        if (command.includes('shop-') && !hasShop) startShop();
        hasShop ||= command.includes('shop-');
        return { command, output: run(command) };
      };
      const text = textOf(page).replace(CONSOLE, (_, block: string) => {
        const examples = examplesIn(block).map(({ command }) => runLine(command));
        seen.push(...examples);
        return `\`\`\`console\n${examples.map(({ command, output }) => `$ ${command}\n${output}${output && '\n'}`).join('')}\`\`\``;
      });
      if (update) return writeFileSync(join(root, page), text);
      expect(seen.map((e) => [e.command, normal(e.output)])).toEqual(
        shownIn(page).map((e) => [e.command, normal(e.output)]),
      );
    },
  );
});

test('the tables are those of the program itself, and that of virsh', async () => {
  const { stdout } = await kvmsnap(['manual', '--tables']);
  const tables = { ...(JSON.parse(stdout) as Record<string, string>), virsh: virshTable() };
  for (const [name, table] of Object.entries(tables)) {
    const place = new RegExp(`(<!-- ${name} -->\n).*?(<!-- end -->)`, 's');
    const pages = PAGES.filter((page) => place.test(textOf(page)));
    expect([name, pages.length]).toEqual([name, 1]);
    const [page = ''] = pages;
    const written = textOf(page).replace(
      place,
      (_, before: string, after: string) => `${before}\n${table}\n\n${after}`,
    );
    if (update) writeFileSync(join(root, page), written);
    else expect(textOf(page)).toBe(written);
  }
});

describe('kvmsnap help', () => {
  test.each(
    PAGES.flatMap((page) => /([\w-]+)\.md$/.exec(page)?.[1] ?? []).filter((name) => name !== 'README'),
  )('%s shows the page', async (name) => {
    const [heading] = textOf(`src/manual/${name}.md`).split('\n');
    const { code, stdout, stderr } = await kvmsnap(['help', name]);
    expect([code, stdout.split('\n')[0], stderr]).toEqual([0, heading, '']);
  });

  test.each([
    ['a command', 'rm', /^Usage: kvmsnap delete\|rm /],
    ['what all commands share', 'options', /--connect <uri>/],
    ['exit codes', 'exit-codes', /^ {2}10 +the question was answered with no/m],
  ])('shows %s', async (_, word, shown) => {
    expect(await kvmsnap(['help', word])).toMatchObject({ code: 0, stdout: expect.stringMatching(shown) });
  });

  test.each(['constructor', 'toString'])(
    '%s, which every object of JavaScript has, is no topic',
    async (word) => {
      expect(await kvmsnap(['help', word])).toMatchObject({ code: 2, stdout: '' });
    },
  );

  test('names the one that was meant', async () => {
    const { code, stdout, stderr } = await kvmsnap(['help', 'extrenal']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/did you mean\n +kvmsnap help external/);
  });
});
