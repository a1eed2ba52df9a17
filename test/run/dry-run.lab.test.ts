// What a dry run leaves: nothing on any disk, and lines that do when they are pasted what the run would have done.
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { facts, tagNames, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const room = () => mkdtempSync(join(scratch, 'dry-'));

/** Runs it with a state directory of its own, which must stay empty. */
async function dryRun(...args: string[]) {
  const state = room();
  const result = await kvmsnap(['--dry-run', ...args], { env: { XDG_STATE_HOME: state, HOME: state } });
  expect({ args, left: readdirSync(state) }).toEqual({ args, left: [] });
  return result;
}

const small = (name: string): Vm => defineVm({ name, disks: [{ size: '8M' }] });

/** Known to the image only. */
function withOrphan(name: string): Vm {
  const vm = small(name);
  tool('qemu-img', ['snapshot', '-c', 'lost', pathOf(vm)]);
  return vm;
}

test('no command writes a file or changes a VM', async () => {
  const vm = small('web');
  for (const name of ['one', 'two']) take(vm, name);
  tool('qemu-img', ['snapshot', '-c', 'lost', pathOf(vm)]);
  const directory = room();
  const xml = join(directory, 'one.xml');
  writeFileSync(xml, virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', 'one'));
  const bare = join(directory, 'bare.xml');
  writeFileSync(bare, '<domainsnapshot><description>by a file</description></domainsnapshot>');
  const before = facts(vm);
  const files = readdirSync(directory);
  for (const args of [
    ['create', 'web'],
    ['create-as', 'web', 'three'],
    ['create', 'web', '--label', 'n', '--keep-last', '1'],
    ['create', 'web', '--xml', bare],
    ['create', 'web', '--xml', xml, '--redefine'],
    ['revert', 'web', 'one', '--backup'],
    ['delete', 'web', 'one'],
    ['prune', 'web', '--match', '*', '--keep-last', '0'],
    ['hold', 'web', 'one'],
    ['describe', 'web', 'one', 'text'],
    ['current', 'web', '--set', 'one'],
    ['check', 'web', '--fix'],
  ]) {
    expect({ args, code: (await dryRun(...args)).code }).toEqual({ args, code: 0 });
    expect({ args, facts: facts(vm) }).toEqual({ args, facts: before });
  }
  expect(readdirSync(directory)).toEqual(files);
});

test('create --xml without a name: the line takes the one that was announced', async () => {
  const vm = small('web');
  const file = join(room(), 'bare.xml');
  writeFileSync(
    file,
    "<domainsnapshot>\n<description>it's \\n &lt;bare&gt;</description>\n</domainsnapshot>\n",
  );
  const { code, stdout } = await dryRun('create', 'web', '--xml', file);
  expect(code).toBe(0);
  expect(snapshotNames(vm)).toEqual([]);
  pasteOk(stdout);
  const [name = ''] = snapshotNames(vm);
  expect(stdout).toContain(`<name>${name}</name>`);
  const xml = virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name);
  expect(xml).toContain('<description>it&apos;s \\n &lt;bare&gt;</description>');
});

describe('check --fix --dry-run', () => {
  test('its line has libvirt know the snapshot again, with the definition and its passwords, which it does not print', async () => {
    const vm = defineVm({
      name: 'web',
      disks: [{ size: '8M' }],
      extraDevicesXml: "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cr3t&amp;'/>",
    });
    tool('qemu-img', ['snapshot', '-c', "it's lost", pathOf(vm)]);
    const { code, stdout, stderr } = await dryRun('check', 'web', '--fix');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining("register the snapshot 'it's lost'"),
    });
    expect(stdout + stderr).not.toContain('s3cr3t');
    pasteOk(stdout);
    expect(snapshotNames(vm)).toEqual(["it's lost"]);
    const at = ['--domain', vm.uuid, '--snapshotname', "it's lost"];
    expect(virsh('snapshot-dumpxml', ...at, '--security-info')).toContain("passwd='s3cr3t&amp;'");
    virsh('snapshot-revert', ...at);
  });

  test('shows what no step answers, exit 5', async () => {
    const vm = withOrphan('web');
    const raw = defineVm({ name: 'oldbox', disks: [{ size: '8M', format: 'raw' }] });
    const before = [facts(vm), virsh('dumpxml', '--domain', raw.uuid)];
    const table = await dryRun('check', '--fix');
    expect(table.code).toBe(5);
    expect(table.stdout).toMatch(/^\{ printf .*\| virsh snapshot-create .*\n\n.*LEVEL/s);
    expect(table.stdout).toMatch(/^oldbox +error +\S+ +.* is raw, and internal snapshots need qcow2/m);
    expect(table.stdout).not.toMatch(/^web +/m);
    expect(table.stderr).toMatch(/error: 1 error that --fix cannot fix on 1 of 2 VMs\n$/);
    const json = await dryRun('check', '--fix', '--json');
    expect(json.code).toBe(5);
    const { domains = [], commands } = z.parse(DOCUMENTS['dry-run'], JSON.parse(json.stdout));
    expect(commands).toHaveLength(1);
    expect(
      domains.map(({ name, findings = [] }) => [name, findings.some(({ level }) => level === 'error')]),
    ).toEqual([
      ['oldbox', true],
      ['web', false],
    ]);
    const csv = await dryRun('check', '--fix', '-o', 'csv');
    expect(csv).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/note: oldbox: .* is raw, and internal snapshots need qcow2/),
    });
    expect([facts(vm), virsh('dumpxml', '--domain', raw.uuid)]).toEqual(before);
    expect(tagNames(vm)).toEqual([['lost']]);
  });

  test('with nothing to fix, and with something that cannot be: never silent', async () => {
    defineVm({ name: 'oldbox', disks: [{ size: '8M', format: 'raw' }] });
    const result = await dryRun('check', 'oldbox', '--fix');
    expect(result).toMatchObject({
      code: 5,
      stdout: expect.stringContaining('is raw, and internal snapshots need qcow2'),
    });
    const fine = small('fine');
    expect(await dryRun('check', 'fine', '--fix')).toMatchObject({ code: 0, stdout: '' });
    expect(existsSync(pathOf(fine))).toBe(true);
  });
});

test('a command with a UUID says whose it is, also in a shell, and no name can add to the command', async () => {
  const vms = ['web', 'two words; touch touched #'].map(small);
  const { stdout, code } = await dryRun('create-as', '*', 's1');
  expect(code).toBe(0);
  const lines = stdout.trim().split('\n');
  expect(lines.map((line) => line.replace(/^virsh snapshot-create-as --domain \S+ .*? {2}# /, ''))).toEqual([
    'two words; touch touched #',
    'web',
  ]);
  pasteOk(stdout);
  expect(vms.map(snapshotNames)).toEqual([['s1'], ['s1']]);
  expect(existsSync('touched')).toBe(false);
  expect((await dryRun('create-as', 'web', 's2', '--json')).stdout).not.toContain('#');
  expect((await dryRun('current', 'web', '--set', 's1')).stdout).toBe('');
  for (const args of [
    ['hold', 'web', 's1'],
    ['describe', 'web', 's1', 'x # y'],
    ['delete', 'web', 's1'],
    ['revert', 'web', 's1'],
  ])
    expect((await dryRun(...args)).stdout).toMatch(/ {2}# web\n$/);
});
