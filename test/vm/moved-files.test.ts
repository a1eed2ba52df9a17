import { describe, expect, test } from 'vitest';
import type { DiskImage, Image } from '../../src/model/image.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { type FileEvidence, findMovedFiles, movedFileFindings } from '../../src/vm/moved-files.ts';

const CREATED = 1_795_000_000;

/** An external snapshot of vda: its overlay is laid over that file. */
const external = (name: string, parent: string | null, over: string, overlay: string): Snapshot => ({
  name,
  description: null,
  state: 'shutoff',
  parent,
  createdAtSeconds: CREATED,
  memory: { location: 'no', file: null },
  disks: [{ target: 'vda', location: 'external', source: overlay }],
  definedDisks: [{ target: 'vda', source: over, driver: 'qcow2' }],
});

function chain(...paths: string[]): DiskImage {
  const [top, ...below] = paths.map((path) => ({ path, tags: [] }) as unknown as Image);
  return { kind: 'seen', chain: [top as Image, ...below] };
}

const TWO = [external('e1', null, '/a/base', '/a/o1'), external('e2', 'e1', '/a/o1', '/a/o2')];

const evidence = (now: string[], gone: string[], more: Partial<FileEvidence> = {}): FileEvidence => ({
  snapshots: TWO,
  current: 'e2',
  images: new Map([['vda', chain(...now)]]),
  gone: new Set(gone),
  memories: [],
  ...more,
});

describe('files of external snapshots that are elsewhere now', () => {
  test.each([
    [
      'all in another directory',
      ['/b/o2', '/b/o1', '/b/base'],
      ['/a/o2', '/a/o1', '/a/base'],
      {
        e1: [
          ['/a/o1', '/b/o1'],
          ['/a/base', '/b/base'],
        ],
        e2: [
          ['/a/o2', '/b/o2'],
          ['/a/o1', '/b/o1'],
        ],
      },
    ],
    ['the newest overlay', ['/a/new', '/a/o1', '/a/base'], ['/a/o2'], { e2: [['/a/o2', '/a/new']] }],
    [
      'one in the middle',
      ['/a/o2', '/a/new', '/a/base'],
      ['/a/o1'],
      { e1: [['/a/o1', '/a/new']], e2: [['/a/o1', '/a/new']] },
    ],
    ['the base', ['/a/o2', '/a/o1', '/a/golden'], ['/a/base'], { e1: [['/a/base', '/a/golden']] }],
    [
      'the base, which lies on more',
      ['/a/o2', '/a/o1', '/b/base', '/b/deeper'],
      ['/a/base'],
      { e1: [['/a/base', '/b/base']] },
    ],
  ])('%s', (_, now, gone, moved) => {
    const found = findMovedFiles(evidence(now, gone));
    expect(Object.fromEntries([...found].map(([name, each]) => [name, each.moved]))).toEqual(moved);
    expect([...found.values()].flatMap(({ lost }) => lost)).toEqual([]);
  });

  test.each<[string, string[], string[]]>([
    ['the chain is shorter than the snapshots tell', ['/b/o2', '/b/base'], ['/a/o2', '/a/o1', '/a/base']],
    ['one that is there is at another place', ['/b/x', '/a/base', '/a/o1'], ['/a/o2']],
    ['what is there now is another snapshot’s', ['/a/o1', '/a/base', '/b/y'], ['/a/o2']],
    ['an old path is still there', ['/b/o2', '/a/o1', '/a/base'], []],
  ])('nothing is proven: %s', (_, now, gone) => {
    const found = findMovedFiles(evidence(now, gone));
    expect([...found.values()].flatMap(({ moved }) => moved)).toEqual([]);
    expect(new Set([...found.values()].flatMap(({ lost }) => lost))).toEqual(
      new Set(gone.filter((path) => path !== '/a/o2')), // nothing needs what was written last
    );
  });

  test('what only a branch beside needs is lost, and what it shares is found', () => {
    const branch = [external('e3', null, '/a/base', '/a/o3'), external('e4', 'e3', '/a/o3', '/a/o4')];
    const all = ['/a/o2', '/a/o1', '/a/base', '/a/o3', '/a/o4'];
    const found = findMovedFiles(
      evidence(['/b/o2', '/b/o1', '/b/base'], all, { snapshots: [...TWO, ...branch] }),
    );
    // an overlay alone may be gone: a revert removes it
    expect(found.get('e3')).toEqual({ moved: [['/a/base', '/b/base']], lost: [] });
    expect(found.get('e4')).toEqual({ moved: [], lost: ['/a/o3'] });
  });

  test('where a part is lost, the advice is to put it back, and none that a hold would refuse', () => {
    const held = { name: 'e4', description: null, held: true };
    const movedFiles = { moved: [['/a/m', '/b/m']] as const, lost: ['/a/o3'] };
    const [finding] = movedFileFindings(
      { domain: { name: 'web' }, snapshots: [held] },
      { name: 'e4', movedFiles },
    );
    expect(finding?.hint).toContain('put /a/o3 back');
    expect(finding?.commands).toEqual(['kvmsnap unhold web e4', 'kvmsnap delete --metadata web e4']);
  });

  const withMemory = (name: string, file: string, later = 0): Snapshot => ({
    ...external(name, null, '/a/base', `/a/${name}`),
    createdAtSeconds: CREATED + later,
    memory: { location: 'external', file },
  });
  const memory = (path: string, later: number) => ({ path, writtenAtSeconds: CREATED + later });

  test.each([
    ['by its time', [memory('/b/x', 5)], '/b/x'],
    ['not one of another day', [memory('/b/x', 90_000)], null],
    ['not one from before', [memory('/b/x', -60)], null],
    ['of two of the time, the one of the name', [memory('/b/x', 5), memory('/b/m1', 6)], '/b/m1'],
    ['of two of the time, neither', [memory('/b/x', 5), memory('/b/y', 6)], null],
  ])('a memory: %s', (_, memories, to) => {
    const found = findMovedFiles(
      evidence(['/a/m', '/a/base'], ['/a/m1'], {
        snapshots: [withMemory('m', '/a/m1')],
        current: 'm',
        memories,
      }),
    );
    expect(found.get('m')).toEqual(
      to === null ? { moved: [], lost: ['/a/m1'] } : { moved: [['/a/m1', to]], lost: [] },
    );
  });

  test('one memory is not taken for that of two snapshots', () => {
    const found = findMovedFiles(
      evidence(['/a/m'], ['/a/m1', '/a/m2'], {
        snapshots: [withMemory('m', '/a/m1'), withMemory('n', '/a/m2', 60)],
        current: 'm',
        memories: [memory('/b/x', 65)],
      }),
    );
    expect([...found.values()].flatMap(({ moved }) => moved)).toEqual([]);
  });
});
