// What a prune announces, in a dry run, in its question and in its notes, is looked for afterwards in libvirt and the files.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { tool, tryTool, virsh } from '../lab/lab.ts';
import { libvirtVersion } from '../lab/version.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { asked, fitting, NOW, succeed, THEN, tagNames, take, twoDisks, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

/** Bytes that all images of a VM occupy. */
const occupied = ({ disks }: Vm): number =>
  disks.reduce((sum, { path }) => sum + statSync(path).blocks * 512, 0);

const RULES = ['--match', '*', '--keep-last', '1'];

async function plannedOf(code: number, ...options: string[]) {
  const result = await kvmsnap(['--json', '--dry-run', 'prune', 'web', ...RULES, ...options]);
  expect(result).toMatchObject({ code });
  const { domains } = fitting('prune', JSON.parse(result.stdout));
  const names = (wanted: string) =>
    (domains[0]?.snapshots ?? []).flatMap(({ name, outcome }) => (outcome === wanted ? [name] : []));
  return { goes: names('to be deleted'), fails: names('failed'), kept: names('kept'), domain: domains[0] };
}

/** Three of them, and data that only the first ones hold. */
function web(): Vm {
  const vm = twoDisks('web');
  for (const name of ['s1', 's2', 's3']) {
    write(vm, name === 's1' ? THEN : NOW);
    take(vm, name);
  }
  return vm;
}

describe('the plan of a dry run', () => {
  test('what is to be deleted goes, what is kept stays, and so much is freed', async () => {
    const vm = web();
    await succeed('hold', 'web', 's2');
    const { goes, kept, domain } = await plannedOf(0);
    expect([goes, kept]).toEqual([['s1'], ['s2', 's3']]);
    const before = occupied(vm);
    await succeed('prune', 'web', ...RULES);
    expect(snapshotNames(vm).sort()).toEqual(kept);
    expect(tagNames(vm)).toEqual([kept, kept]);
    const freed = before - occupied(vm);
    expect(Math.abs(freed - (domain?.freesBytes ?? -1))).toBeLessThanOrEqual(128 * 1024);
  });

  /** `s1` of web is a snapshot of another VM too, in the one image. */
  function shared(): Vm {
    const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
    for (const name of ['s1', 's2', 's3']) take(vm, name);
    const other = defineVm({ name: 'other', disks: [{ source: pathOf(vm) }] });
    const file = join(dirname(pathOf(vm)), 's1.xml');
    const xml = virsh('snapshot-dumpxml', vm.uuid, 's1')
      .replaceAll(vm.uuid, other.uuid)
      .replaceAll('<name>web<', '<name>other<');
    writeFileSync(file, xml);
    virsh('snapshot-create', other.uuid, file, '--redefine');
    return vm;
  }

  test.each([[[]], [['--free-min', '99%']]])('what a rule is against is no plan: %j', async (options) => {
    const vm = shared();
    const { goes, fails, domain } = await plannedOf(3, ...options);
    expect([goes, fails]).toEqual([['s2'], ['s1']]);
    expect(JSON.stringify(domain?.errors)).toContain('VM other (shut off) has its snapshot s1 in it');
    const { code, stderr } = await kvmsnap(['prune', 'web', ...RULES, ...options]);
    expect([code, snapshotNames(vm).sort()]).toEqual([3, ['s1', 's3']]);
    expect(stderr).toContain('cannot delete s1 of web');
    expect(tagNames(vm)).toEqual([['s1', 's3']]);
  });

  test('nor does the question count it', async () => {
    const vm = shared();
    const terminal = await asked('prune', 'web', ...RULES);
    expect(terminal.screen()).toMatch(/Delete 1 of 3 snapshots of 1 VM/);
    expect(terminal.screen()).toMatch(/not deleted: cannot delete s1 of web/);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(3);
    expect(snapshotNames(vm).sort()).toEqual(['s1', 's3']);
  });
});

describe('files that libvirt leaves', () => {
  /** Two external ones with their memory, which this libvirt leaves behind. */
  function withMemory(): { vm: Vm; memory: string } {
    const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });
    start(vm);
    const memory = join(dirname(pathOf(vm)), 'e1.memory');
    take(vm, 'e1', '--memspec', memory, '--diskspec', 'vda,snapshot=external');
    take(vm, 'e2', '--disk-only');
    return { vm, memory };
  }

  test.runIf(libvirtVersion === '9.0')('what is named is there, and the command removes it', async () => {
    const { vm, memory } = withMemory();
    const { stderr } = await succeed('prune', 'web', ...RULES);
    expect([snapshotNames(vm), existsSync(memory)]).toEqual([['e2'], true]);
    const command = /To remove it:\n +(.*)$/m.exec(stderr)?.[1] ?? null;
    pasteOk(command);
    expect(existsSync(memory)).toBe(false);
  });

  test.runIf(libvirtVersion === '9.0')('what could not be removed is no success', async () => {
    const { vm, memory } = withMemory();
    tool('mount', ['-n', '--bind', memory, memory]); // so that nobody can remove it
    try {
      const { code, stderr } = await kvmsnap(['prune', 'web', ...RULES, '--leftovers']);
      expect({ code, stderr }).toEqual({
        code: 3,
        stderr: expect.stringMatching(
          /error: could not remove \S*e1\.memory, an unused file of web that libvirt left behind/,
        ),
      });
      expect([snapshotNames(vm), existsSync(memory)]).toEqual([['e2'], true]);
    } finally {
      tryTool('umount', [memory]);
    }
  });

  test.runIf(libvirtVersion === '9.0')('with --leftovers it is removed, and that is said', async () => {
    const { vm, memory } = withMemory();
    const { stderr } = await succeed('prune', 'web', ...RULES, '--leftovers');
    expect(stderr).toContain(`removed the unused file that libvirt left behind: ${memory}`);
    expect([snapshotNames(vm), existsSync(memory)]).toEqual([['e2'], false]);
  });
});
