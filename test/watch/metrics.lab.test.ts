// The metrics as Prometheus and the textfile collector of node_exporter read them.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, kvmsnapPath } from '../lab/cli.ts';
import { signalLibvirtd } from '../lab/daemon.ts';
import { scratch, tool, tryTool, virsh, waitFor } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { succeed } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf } from '../scene/vm.ts';

afterEach(() => {
  signalLibvirtd('SIGCONT');
  cleanUp();
});
afterAll(cleanUp);

const fresh = (): string => join(mkdtempSync(join(scratch, 'metrics-')), 'kvmsnap.prom');

/** The text after promtool has found nothing to complain of. */
function linted(text: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  return text;
}

/** Value by series, as in the text. */
const valuesIn = (text: string): Record<string, number> =>
  Object.fromEntries(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );

const takenAt = (uuid: string, name: string): number =>
  Number(
    /<creationTime>(\d+)/.exec(virsh('snapshot-dumpxml', '--domain', uuid, '--snapshotname', name))?.[1],
  );

test('create, check and prune print metrics that promtool accepts, of names with quotes and backslashes too', async () => {
  const name = 'odd "q" \\ n';
  const vm = defineVm({ name, disks: [{ size: '64M' }] });
  tool('qemu-io', ['-c', 'write -P 1 0 4M', pathOf(vm)]);
  const created = valuesIn(
    linted((await succeed('create', '--all', '--label', 'n', '-o', 'prometheus')).stdout),
  );
  tool('qemu-io', ['-c', 'write -P 2 0 4M', pathOf(vm)]);
  const [first = ''] = snapshotNames(vm);
  const of = '{vm="odd \\"q\\" \\\\ n",label="n"}';
  expect(created).toMatchObject({
    [`kvmsnap_newest_timestamp_seconds${of}`]: takenAt(vm.uuid, first),
    [`kvmsnap_oldest_timestamp_seconds${of}`]: takenAt(vm.uuid, first),
    [`kvmsnap_snapshots${of}`]: 1,
    [`kvmsnap_held_snapshots${of}`]: 0,
    'kvmsnap_last_run_success{command="create",label="n"}': 1,
  });
  const now = Date.now() / 1000;
  expect(now - (created['kvmsnap_last_run_timestamp_seconds{command="create",label="n"}'] ?? 0)).toBeLessThan(
    60,
  );
  // with --silent too, and though check finds a problem
  const checked = await kvmsnap(['check', '-o', 'prometheus', '--most', '0', '--silent']);
  expect(checked.code).toBe(5);
  const values = valuesIn(linted(checked.stdout));
  expect(values['kvmsnap_last_run_success{command="check",label=""}']).toBe(0);
  expect(values[`kvmsnap_frees_bytes${of}`]).toBeGreaterThanOrEqual(4 * 1024 * 1024);
  const space = JSON.parse((await succeed('space', name, '--json')).stdout).domains[0].snapshots[0]
    .freesBytes;
  expect(values[`kvmsnap_frees_bytes${of}`]).toBe(space);
  const pruned = await succeed(
    'prune',
    '--all',
    '--label',
    'n',
    '--keep-last',
    '0',
    '--allow-empty',
    '-o',
    'prometheus',
  );
  expect(valuesIn(linted(pruned.stdout))).toMatchObject({
    [`kvmsnap_snapshots${of}`]: 0,
    'kvmsnap_last_run_success{command="prune",label="n"}': 1,
  });
});

test('the alerts of the manual are rules that promtool accepts', () => {
  const page = readFileSync(new URL('../../src/manual/monitoring.md', import.meta.url), 'utf8');
  const [, rules = ''] = /^```yaml\n(.*?)^```/ms.exec(page) ?? [];
  const file = join(scratch, 'rules.yml');
  writeFileSync(file, `groups:\n- name: kvmsnap\n  rules:\n${rules.replace(/^/gm, '  ')}`);
  expect(tool('promtool', ['check', 'rules', file])).toMatch(/SUCCESS: 2 rules found/);
});

describe('--metrics', () => {
  test('a file that everybody may read, and nothing beside it; each run adds to it', async () => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    defineVm({ name: 'db', disks: [{ size: '8M' }] });
    const file = fresh();
    const { stdout } = await succeed('create', 'web', '--label', 'n', '--metrics', file, '-q');
    expect(stdout).toMatch(/^n-\d/);
    chmodSync(file, 0o600);
    // whatever the umask
    const line = `check --metrics ${file} --max-age 1h --label n web`;
    tool('sh', ['-c', `umask 077; exec ${kvmsnapPath} ${line}`]);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(readdirSync(join(file, '..'))).toEqual(['kvmsnap.prom']);
    expect(
      Object.keys(valuesIn(linted(readFileSync(file, 'utf8')))).filter((key) => /success\{/.test(key)),
    ).toEqual([
      'kvmsnap_last_run_success{command="check",label="n"}',
      'kvmsnap_last_run_success{command="create",label="n"}',
    ]);
    await succeed('check', '--metrics', file);
    expect(valuesIn(readFileSync(file, 'utf8'))).toMatchObject({ 'kvmsnap_snapshots{vm="db",label=""}': 0 });
  });

  test.each([
    ['an unknown option', ['create', 'web', '--label', 'n', '--foo'], 2],
    ['no such VM', ['create', 'nobody', '--label', 'n'], 4],
    ['libvirtd that does not answer', ['create', 'web', '--label', 'n', '--timeout', '0.5s'], 124],
  ])('%s: the values stay, and the run has failed', async (cause, line, code) => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    const file = fresh();
    await succeed('create', 'web', '--label', 'n', '--metrics', file);
    // an older success
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^(kvmsnap_last_.*_seconds.*) \d+$/gm, '$1 5'));
    const before = valuesIn(readFileSync(file, 'utf8'));
    if (cause.startsWith('libvirtd')) signalLibvirtd('SIGSTOP');
    expect((await kvmsnap([...line, '--metrics', file])).code).toBe(code);
    const after = valuesIn(linted(readFileSync(file, 'utf8')));
    expect(after['kvmsnap_last_run_timestamp_seconds{command="create",label="n"}']).toBeGreaterThan(5);
    expect(after).toEqual({
      ...before,
      'kvmsnap_last_run_timestamp_seconds{command="create",label="n"}': expect.any(Number),
      'kvmsnap_last_run_success{command="create",label="n"}': 0,
    });
  });

  test.each([
    ['an option that no command knows', '--foo\n', ['--metrics']],
    ['options that contradict each other', '--label n\n--redefine\n', ['--metrics']],
    ['a file that the policy names', 'FILE\n--redefine\n', []],
  ])('a policy with %s: the run has failed', async (_, text, option) => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    const file = fresh();
    const config = join(mkdtempSync(join(scratch, 'config-')), 'kvmsnap');
    mkdirSync(config);
    writeFileSync(join(config, 'p.conf'), text.replace('FILE', `--metrics ${file}`));
    const line = ['create', 'web', '@p', ...option.flatMap((word) => [word, file])];
    const env = { XDG_CONFIG_HOME: join(config, '..') };
    expect((await kvmsnap(line, { env })).code).toBe(2);
    expect(readFileSync(file, 'utf8')).toMatch(
      /^kvmsnap_last_run_success\{command="create",label=".*"\} 0$/m,
    );
  });

  test('one VM of two fails: what can be read is new, and the run has failed', async () => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    defineVm({ name: 'raw', disks: [{ size: '8M', format: 'raw' }] });
    const file = fresh();
    expect((await kvmsnap(['create', '--all', '--strict', '--label', 'n', '--metrics', file])).code).toBe(3);
    expect(valuesIn(readFileSync(file, 'utf8'))).toMatchObject({
      'kvmsnap_snapshots{vm="web",label="n"}': 1,
      'kvmsnap_snapshots{vm="raw",label="n"}': 0,
      'kvmsnap_last_run_success{command="create",label="n"}': 0,
    });
  });

  test('a file of something else is not replaced, and nothing is done', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
    const file = fresh();
    writeFileSync(file, 'root:x:0:0\n');
    for (const path of [file, '/dev/null', join(file, '..'), join(file, '../nowhere/x.prom')]) {
      const { code, stderr } = await kvmsnap(['create', 'web', '--metrics', path]);
      expect([path, code, stderr]).toEqual([
        path,
        2,
        expect.stringMatching(/^error: .*(not replaced|--metrics)/),
      ]);
    }
    expect(readFileSync(file, 'utf8')).toBe('root:x:0:0\n');
    expect(snapshotNames(vm)).toEqual([]);
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test('a dry run leaves the file as it is', async () => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    const file = fresh();
    await succeed('create', 'web', '--metrics', file, '--dry-run');
    expect(existsSync(file)).toBe(false);
    expect(await kvmsnap(['create', 'web', '--dry-run', '-o', 'prometheus'])).toMatchObject({ code: 2 });
  });

  test('node_exporter shows it', async () => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    const file = fresh();
    await succeed('create', 'web', '--label', 'n', '--metrics', file);
    const port = 20_000 + (process.pid % 20_000);
    const program =
      tryTool('which', ['prometheus-node-exporter']).code === 0
        ? 'prometheus-node-exporter'
        : 'node_exporter';
    const exporter = spawn(program, [
      '--collector.disable-defaults',
      '--collector.textfile',
      `--collector.textfile.directory=${join(file, '..')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    try {
      let text = '';
      await waitFor(
        async () => {
          text = await fetch(`http://127.0.0.1:${port}/metrics`).then(
            (answer) => answer.text(),
            () => '',
          );
          return text !== '';
        },
        { what: 'node_exporter answers' },
      );
      expect(text).toMatch(/^kvmsnap_snapshots\{label="n",vm="web"\} 1$/m);
      expect(text).toMatch(/^node_textfile_scrape_error 0$/m);
    } finally {
      exporter.kill();
    }
  });
});
