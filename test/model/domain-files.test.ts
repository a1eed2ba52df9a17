import { expect, test } from 'vitest';
import { mentionedFiles, namedFiles, stateFiles } from '../../src/model/domain-files.ts';
import { disk, domain, seen, snapshot } from '../model.ts';

test('a VM names its disks, what lies below them, and all that its snapshots name', () => {
  const files = namedFiles(
    domain({ disks: [disk({ source: '/vm/top' }), disk({ target: 'vdb', source: null })] }),
    [
      snapshot('a', {
        memory: { location: 'external', file: '/vm/a.mem' },
        disks: [{ target: 'vda', location: 'external', source: '/vm/overlay' }],
        definedDisks: [{ target: 'vda', source: '/vm/state', driver: 'qcow2' }],
      }),
    ],
    new Map([['vda', seen({ path: '/vm/top' }, { path: '/vm/base' }, { path: 'nbd://host/x' })]]),
  );
  expect([...files].sort()).toEqual(['/vm/a.mem', '/vm/base', '/vm/overlay', '/vm/state', '/vm/top']);
});

test('a snapshot keeps its state in what lies below its overlays, and has made those and its memory', () => {
  const mixed = snapshot('a', {
    memory: { location: 'external', file: '/vm/a.mem' },
    disks: [
      { target: 'vda', location: 'external', source: '/vm/overlay' },
      { target: 'vdb', location: 'internal', source: '/vm/inside' },
    ],
    definedDisks: [
      { target: 'vda', source: '/vm/state', driver: null },
      { target: 'vdb', source: '/vm/inside', driver: 'qcow2' },
    ],
  });
  expect(stateFiles(mixed)).toEqual([
    { path: '/vm/state', format: 'raw' },
    { path: '/vm/inside', format: 'qcow2' },
  ]);
  expect(mentionedFiles(mixed)).toEqual(['/vm/overlay', '/vm/a.mem']);
});
