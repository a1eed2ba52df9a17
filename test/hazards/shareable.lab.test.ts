// A shareable raw disk: what libvirt refuses, and what works.
import { afterAll, afterEach, expect } from 'vitest';
import { paste } from '../lab/evidence.ts';
import { tryVirsh } from '../lab/lab.ts';
import { snapshotNames } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { cleanUp, defineVm, domainXml, pathOf } from '../lab/vm.ts';
import { hazard } from './promise.ts';
import { refusesAll } from './refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

hazard(49, 'a shareable raw disk, VM off', async () => {
  const disks = [{ size: '4M' }, { size: '4M', format: 'raw', extraXml: '<shareable/>' }];
  const [twin, vm] = [defineVm({ name: 'twin', disks }), defineVm({ name: 'web-1', disks })];
  const raw = (...options: string[]) => tryVirsh('snapshot-create-as', twin.uuid, 's1', ...options).code;
  expect([raw(), raw('--disk-only')]).toEqual([1, 1]);

  const advised = [];
  for (const options of [[], ['--disk-only']]) {
    const { refusal } = await refusesAll(vm, 'create-as', 'web-1', 's1', ...options, '--force');
    advised.push(refusal.findings.find(({ message }) => message.includes('vdb'))?.commands);
  }
  const command = 'kvmsnap create-as --disk-only --diskspec vdb,snapshot=no web-1 without-vdb';
  expect(advised).toEqual([[command], [command]]);
  // before 9.9 there is no way back, which --force passes
  const { code } = paste(`${command}${since({ '7.0': ' --force', '9.9': '' })}`);
  expect(code).toBe(0);
  expect(snapshotNames(vm)).toEqual(['without-vdb']);
  expect(domainXml(vm)).toContain(`'${pathOf(vm, 1)}'`);
  return {
    virsh: 'fails, exit 1, without saying how to fix it',
    kvmsnap: 'refuses, exit 5, nothing changed; its advice works',
  };
});
