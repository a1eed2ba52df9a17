import { expect, test } from 'vitest';
import { withStoredVolumePaths, withVolumePaths } from '../../src/libvirt/volumes.ts';
import { disk, domain, snapshot } from '../model.ts';
import { Failure, fakeLibvirt } from './fake-libvirt.ts';

const volume = (path: string) => `<volume><target><path>${path}</path></target></volume>\n`;

/** Two pools, of which one is active and holds one volume. */
function pools() {
  const fake = fakeLibvirt([]);
  fake.intercept = ([verb = '', ...options]) => {
    if (verb === 'pool-list')
      return options.includes('--all')
        ? 'on                  \noff                 \n\n'
        : 'on                  \n\n';
    if (verb !== 'vol-dumpxml') return undefined;
    const [, pool, , name] = options;
    return pool === 'on' && name === 'a' ? volume('/pool/a') : new Failure('error: no\n');
  };
  return fake;
}

const vda = (name: string, of = 'a') => disk({ source: null, storage: 'volume', pool: { name, volume: of } });

test('volumes of all VMs get their paths in one process, and what is wrong with the others is told', async () => {
  const fake = pools();
  const vms = [vda('on'), vda('on', 'b'), vda('off'), vda('none'), disk()].map((each) =>
    domain({ disks: [each] }),
  );
  const found = await withVolumePaths(fake.virsh, vms);
  expect(found.map(({ disks: [first] }) => [first?.source, first?.pool?.problem])).toEqual([
    ['/pool/a', undefined],
    [null, 'no-volume'],
    [null, 'inactive'],
    [null, 'no-pool'],
    ['/vm/vda.qcow2', undefined],
  ]);
  expect(fake.processes).toHaveLength(1);
});

test('no process is started where there is no volume', async () => {
  const fake = pools();
  await withVolumePaths(fake.virsh, [domain()]);
  await withStoredVolumePaths(fake.virsh, [[snapshot('a')]]);
  expect(fake.processes).toEqual([]);
});

test('a snapshot in a volume is in its path; an overlay keeps its own', async () => {
  const of = (location: string, source: string | null) =>
    snapshot('a', {
      disks: [{ target: 'vda', location, source }],
      definedDisks: [{ target: 'vda', source: null, driver: 'qcow2', pool: { name: 'on', volume: 'a' } }],
    });
  const [found = []] = await withStoredVolumePaths(pools().virsh, [
    [of('internal', null), of('external', '/vm/overlay')],
  ]);
  expect(found.map(({ disks, definedDisks }) => [disks[0]?.source, definedDisks[0]?.source])).toEqual([
    ['/pool/a', '/pool/a'],
    ['/vm/overlay', '/pool/a'],
  ]);
});

test('a volume of the network has no path', async () => {
  const fake = pools();
  fake.intercept = ([verb]) => ({ 'pool-list': 'on\n\n', 'vol-dumpxml': volume('rbd/image') })[verb ?? ''];
  const [found] = await withVolumePaths(fake.virsh, [domain({ disks: [vda('on')] })]);
  expect(found?.disks).toMatchObject([{ source: null, pool: { name: 'on', volume: 'a' } }]);
});
