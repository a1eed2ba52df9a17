// Cases of the rules for snapshots that do not keep all disks: of the memory alone, and with disks left to their storage.

import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import type { DiskSpec, SnapshotSpec } from '../../../src/model/input/snapshot-spec.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { disk, snapshot } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external } from './external-facts.ts';

const diskSpec = (target: string, location: string): DiskSpec => ({
  disk: target,
  location,
  file: null,
  driver: null,
  storage: null,
});

const running = { state: 'running' };
const two = { disks: [disk(), disk({ target: 'vdb' })] };
const block = {
  disks: [disk(), disk({ target: 'vdb', storage: 'block', source: '/dev/vg/b', driver: 'raw' })],
};

const manual = (vm: object, changes: Partial<CreateFacts> = {}, more: Partial<SnapshotSpec> = {}) =>
  external({ external: true, disks: [diskSpec('vdb', 'manual')], ...more }, vm, changes);
const allManual = (vm: object, changes: Partial<CreateFacts> = {}) =>
  external({ diskOnly: true, disks: [diskSpec('vda', 'manual')] }, vm, changes);

const memory = { location: null, file: '/m' };
const MEMORY_ALONE = external({ memory, disks: [diskSpec('vda', 'no')] }, running);
const OLDEST = { daemonVersion: 7_000_000 };
const NEWEST = { daemonVersion: 12_008_000 };

export const PARTIAL_CREATE_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'memory-alone': {
    severity: 'warning',
    cases: [
      { says: 'with the disks', facts: external({ memory }, running), finds: [] },
      { says: 'with a disk of the storage', facts: manual({ ...running, ...two }), finds: [] },
      { says: 'alone', facts: MEMORY_ALONE, finds: [{ what: /only the memory, .* may be damaged/ }] },
    ],
  },
  'manual-unknown': {
    severity: 'error',
    cases: [
      { says: '9.0', facts: manual(two, { daemonVersion: 9_000_000 }), finds: [] },
      { says: 'nobody knows', facts: manual(two, { daemonVersion: null }), finds: [] },
      {
        says: '7.0',
        facts: manual(two, OLDEST),
        finds: [{ what: /disk vdb .*does not support/, hint: /--diskspec vdb,snapshot=no.*virsh suspend/ }],
      },
    ],
  },
  'manual-alone': {
    severity: 'error',
    cases: [
      { says: 'beside an overlay', facts: manual({ ...running, ...two }), finds: [] },
      { says: '11.9', facts: allManual(running, { daemonVersion: 11_009_000 }), finds: [] },
      { says: '7.0: it knows none at all', facts: allManual(running, OLDEST), finds: [] },
      { says: 'running', facts: allManual(running), finds: [{ what: /before 11\.9/, hint: /--memspec/ }] },
      { says: 'off', facts: allManual({}), finds: [{ what: /before 11\.9/, hint: /the VM is off/ }] },
    ],
  },
  'manual-storage': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: external({ external: true }, running), finds: [] },
      {
        says: 'running: it is left paused',
        facts: manual({ ...running, ...two }),
        finds: [{ what: /disk vdb .*stay paused.*resume the VM/ }],
      },
      {
        says: "in the VM's XML",
        facts: external(
          { external: true },
          { ...running, disks: [disk(), disk({ target: 'vdb', snapshot: 'manual' })] },
        ),
        finds: [{ what: /disk vdb .*stay paused/ }],
      },
      { says: 'off', facts: manual(two), finds: [{ what: /before the VM is started/ }] },
      {
        says: 'paused already',
        facts: manual({ state: 'paused', ...two }),
        finds: [{ what: /before the VM is resumed/ }],
      },
      {
        says: 'halted',
        facts: manual({ ...running, ...two }, {}, { halt: true }),
        finds: [{ what: /before the VM is started/ }],
      },
    ],
  },
  'no-revert-beside': {
    severity: 'warning',
    cases: [
      { says: 'files', facts: manual(two, NEWEST), finds: [] },
      { says: 'an old libvirtd reverts none anyway', facts: manual(block, OLDEST), finds: [] },
      {
        says: 'disks of the storage alone',
        facts: external(
          { diskOnly: true, disks: [diskSpec('vda', 'manual'), diskSpec('vdb', 'manual')] },
          block,
          NEWEST,
        ),
        finds: [],
      },
      {
        says: 'a block device left out',
        facts: external({ external: true, disks: [diskSpec('vdb', 'no')] }, block, NEWEST),
        finds: [{ what: /disk vdb \(\/dev\/vg\/b\) is not a file/ }],
      },
      {
        says: 'a block device left to its storage',
        facts: manual(block, NEWEST),
        finds: [{ what: /disk vdb/ }],
      },
    ],
  },
};

type Reverting = (changes?: Partial<RevertFacts>) => RevertFacts;

const kept = (location: string, memoryIn: string | null = null) =>
  snapshot('s1', {
    state: memoryIn === null ? 'disk-snapshot' : 'running',
    memory: { location: memoryIn === null ? 'no' : 'external', file: memoryIn },
    disks: location === 'no' ? [] : [{ target: 'vda', location, source: '/vm/vda.s1' }],
    definedDisks: [{ target: 'vda', source: '/vm/vda.qcow2', driver: 'qcow2' }],
  });

export const partialRevertCases = (
  reverting: Reverting,
  lying: (changes: Parameters<typeof disk>[0]) => RevertFacts['domain'],
): Readonly<Record<string, RuleCases<RevertFacts>>> => ({
  'memory-alone': {
    severity: 'information',
    cases: [
      { says: 'with a disk', facts: reverting({ snapshot: kept('external', '/m') }), finds: [] },
      {
        says: 'alone',
        facts: reverting({ snapshot: kept('no', '/m') }),
        finds: [{ what: /contains only the memory/ }],
      },
    ],
  },
  'manual-storage': {
    severity: 'information',
    cases: [
      { says: 'none', facts: reverting({ snapshot: kept('external') }), finds: [] },
      {
        says: 'without memory',
        facts: reverting({ snapshot: kept('manual') }),
        finds: [{ what: /disk vda .*while the VM is off, before you start it/ }],
      },
      {
        says: 'with memory: the guest runs at once',
        facts: reverting({ snapshot: kept('manual', '/m') }),
        finds: [{ what: /before the revert, while the VM is off/ }],
      },
    ],
  },
  'no-file': {
    severity: 'error',
    cases: [
      {
        says: 'a file',
        facts: reverting({ snapshot: kept('external'), daemonVersion: 11_003_000 }),
        finds: [],
      },
      {
        says: 'disks of the storage alone: nothing is laid over them',
        facts: reverting({
          domain: lying({ storage: 'block' }),
          snapshot: kept('manual'),
          daemonVersion: 12_008_000,
        }),
        finds: [],
      },
      {
        says: 'a block device, though it is left out',
        facts: reverting({
          domain: lying({ storage: 'block', source: '/dev/vg/a' }),
          snapshot: kept('no', '/m'),
          daemonVersion: 11_003_000,
        }),
        finds: [{ what: /disk vda \(\/dev\/vg\/a\) is not a file/ }],
      },
    ],
  },
});
