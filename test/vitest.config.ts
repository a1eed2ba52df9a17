import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst, labPool } from './lab/pool.ts';
import { allCases } from './lab/share.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

// In a lab already: the files share its libvirtd, and a file's clean-up removes all VMs of it.
const oneLab = { pool: 'forks', fileParallelism: false } as const;

// Else each file in a lab of its own, the longest first. Tests wait half of their time: two labs keep a processor busy.
const manyLabs = {
  pool: labPool,
  maxWorkers: 2 * availableParallelism(),
  setupFiles: 'test/lab/worker.ts',
} as const;

const lab = {
  // a guard against what hangs; a loaded machine is no failure
  testTimeout: 600_000,
  hookTimeout: 600_000,
  ...(process.env['KVMSNAP_LAB'] ? oneLab : manyLabs),
} as const;

// Long, and of what changes seldom: only where every case is wanted, see lab/share.ts.
const ON_DEMAND = [
  'test/create/languages.lab.test.ts',
  'test/create/virsh/*.lab.test.ts',
  'test/host/fuse.lab.test.ts',
  'test/hostile/*.lab.test.ts',
  'test/lab/{debian,lab}.lab.test.ts',
  'test/scene/scene.lab.test.ts',
  'test/revert/memory-load.lab.test.ts',
  'test/sharing/network-image.lab.test.ts',
  'test/stress/{faults,kill-others}.lab.test.ts',
];

const MATRIX = ['test/hazards/**/*.lab.test.ts', 'test/kinds.lab.test.ts'];

export default defineConfig({
  root,
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        root,
        test: {
          name: 'unit',
          // a guard against what hangs; a loaded machine is no failure
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // no file mocks a module, and loading them once is half of the time
          isolate: false,
          pool: 'forks',
          maxWorkers: availableParallelism(),
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.lab.test.ts'],
        },
      },
      {
        root,
        test: {
          name: 'lab',
          include: ['test/**/*.lab.test.ts'],
          exclude: [
            ...(process.env['KVMSNAP_WORLDS'] === '1' ? ['test/worlds/second-half.lab.test.ts'] : []),
            ...(allCases ? [] : ON_DEMAND),
          ],
          ...lab,
        },
      },
      {
        root,
        test: {
          // each hazard and each kind of VM: lab/matrix.sh runs it on every libvirt
          name: 'matrix',
          include: MATRIX,
          ...lab,
        },
      },
      {
        root,
        test: {
          // all that depends on the version of libvirt: lab/matrix.sh --wide
          name: 'matrix-wide',
          include: [
            ...MATRIX,
            'test/{check,clone,create,delete,describe,export,history,merge,open,policy,prune,revert,sharing,show,space,try,verify,vm}/*.lab.test.ts',
            'test/create/virsh/*.lab.test.ts',
            'test/run/{exit-codes,forgiven,names}.lab.test.ts',
            'test/run/several/choosing.lab.test.ts',
            'test/run/ending/*.lab.test.ts',
            'test/tutorial.lab.test.ts',
            // minutes, so only when asked for
            ...(process.env['KVMSNAP_FAULTS'] ? ['test/stress/faults.lab.test.ts'] : []),
          ],
          ...lab,
        },
      },
    ],
  },
});
