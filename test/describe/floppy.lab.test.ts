// A floppy drive without a medium: libvirt refuses to register a snapshot with what it says itself about the drive.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { scratch, tryVirsh, virsh } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { bytes, NOW, succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, start } from '../scene/vm.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

test('a VM with an empty floppy drive: hold, create --together, and history load', async () => {
  const vm = defineVm({
    name: 'web',
    boot: 'idle',
    disks: [{ size: '8M' }],
    extraDevicesXml: "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>",
  });
  write(vm, THEN);
  take(vm, 's1');
  const dump = () => virsh('snapshot-dumpxml', '--domain', vm.uuid, 's1');
  const raw = join(scratch, 's1.xml');
  writeFileSync(raw, dump());
  expect(tryVirsh('snapshot-create', vm.uuid, raw, '--redefine').stderr).toContain("disk 'fda' must use");
  const disks = /<disks>[\s\S]*?<\/disks>/;
  const before = disks.exec(dump())?.[0];
  await succeed('hold', 'web', 's1');
  expect(disks.exec(dump())?.[0]).toBe(before);
  await succeed('unhold', 'web', 's1');
  const { stdout } = await succeed('history', 'save', 'web');
  writeFileSync(join(scratch, 'web.json'), stdout);
  virsh('snapshot-delete', vm.uuid, 's1', '--metadata');
  await succeed('history', 'load', 'web', join(scratch, 'web.json'));
  expect(snapshotNames(vm)).toEqual(['s1']);
  start(vm);
  await succeed('create-as', 'web', 'now', '--together');
  await succeed('revert', '--group', 'now', '--yes');
  virsh('destroy', vm.uuid);
  write(vm, NOW);
  await succeed('revert', 'web', 's1');
  expect(bytes(vm)).toEqual([THEN]);
});
