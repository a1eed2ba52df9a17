// UEFI variables in a file of their own (<varstore>), which QEMU does not lock.
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { failure, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const VARIABLES = join(scratch, 'variables.json');

function withVarstore(name: string): Vm {
  const [rom, template] = [join(scratch, 'rom.bin'), join(scratch, 'template.json')];
  tool('truncate', ['--size=128K', rom]);
  writeFileSync(template, '{"version":2,"variables":[]}');
  return defineVm({
    name,
    disks: [{ size: '8M' }],
    osXml: `<os><type arch='x86_64' machine='q35'>hvm</type><loader type='rom' readonly='yes'>${rom}</loader>
      <varstore template='${template}' path='${VARIABLES}'/></os>`,
  });
}

/** Whether QEMU has written to the file meanwhile. */
async function isWrittenBy(act: () => unknown): Promise<boolean> {
  utimesSync(VARIABLES, 1, 1);
  await act();
  return statSync(VARIABLES).mtimeMs > 1000;
}

describe.runIf(since({ '7.0': false, '12.8': true }))('a varstore', () => {
  test('is part of a snapshot with memory, and a revert to it writes the file', async () => {
    const vm = withVarstore('web');
    start(vm);
    await succeed('create-as', 'web', 's1');
    destroy(vm);
    expect(await isWrittenBy(() => succeed('revert', 'web', 's1'))).toBe(true);
  });

  test('that another VM has too: virsh overwrites it, kvmsnap refuses', async () => {
    const [vm, other] = [withVarstore('web'), withVarstore('other')];
    take(vm, 'off');
    start(vm);
    take(vm, 'ran');
    destroy(vm);
    const { findings } = await failure(5, 'revert', 'web', 'ran');
    expect(findings).toMatchObject([
      { message: expect.stringMatching(/changes the NVRAM \S+, and VM other \(shut off\) has it/) },
    ]);
    start(other);
    const before = readFileSync(VARIABLES);
    for (const options of [['ran'], ['off', '--running']])
      expect((await failure(5, 'revert', 'web', ...options)).message).toMatch(
        /and VM other \(running\) has it/,
      );
    await succeed('revert', 'web', 'off');
    expect(readFileSync(VARIABLES).equals(before)).toBe(true);
    expect(
      await isWrittenBy(() => virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'ran')),
    ).toBe(true);
  });

  test('is missing, and so is its template: a revert is refused', async () => {
    const vm = withVarstore('web');
    take(vm, 's1');
    start(vm);
    destroy(vm);
    tool('rm', ['-f', VARIABLES, join(scratch, 'template.json')]);
    expect((await failure(5, 'revert', 'web', 's1', '--running')).message).toContain(VARIABLES);
  });

  test('is not that of a clone, nor of a VM that is verified', async () => {
    const vm = withVarstore('web');
    take(vm, 's1');
    start(vm);
    destroy(vm);
    expect(
      await isWrittenBy(async () => {
        await succeed('clone', 'web', 's1', 'copy');
        await kvmsnap(['verify', 'web', 's1', '--timeout', '20']);
      }),
    ).toBe(false);
    expect(virsh('dumpxml', 'copy')).toMatch(/<varstore /);
    expect(virsh('dumpxml', 'copy')).not.toContain(VARIABLES);
    virsh('undefine', 'copy');
  });
});
