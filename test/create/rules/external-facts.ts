import { plannedFiles, planSnapshot } from '../../../src/create/plan.ts';
import type { CreateFacts, TargetFile } from '../../../src/create/rules/facts.ts';
import { type DiskSpec, INTERNAL_SPEC, type SnapshotSpec } from '../../../src/model/input/snapshot-spec.ts';
import { NOBODY } from '../../../src/sharing/image-users.ts';
import { disk, domain, MiB, seen } from '../../model.ts';

const NOTHING_THERE: TargetFile = {
  holds: null,
  bytes: 0,
  directory: 'fine',
  freeBytes: 10_000 * MiB,
  backing: null,
};

/** Facts about an external snapshot for which all is well: a VM of one disk, and a libvirtd that can do it all. */
export function external(
  spec: Partial<SnapshotSpec> = { external: true },
  vm: Parameters<typeof domain>[0] = {},
  changes: Partial<CreateFacts> = {},
): CreateFacts {
  const it = domain(vm);
  const plan = planSnapshot(it, 's1', { ...INTERNAL_SPEC, ...spec });
  if ('problem' in plan) throw new Error(plan.problem);
  return {
    domain: it,
    images: new Map(it.disks.map(({ target }) => [target, seen()])),
    name: 's1',
    plan,
    mode: plan.mode,
    targetFiles: new Map(plannedFiles(plan).map((path) => [path, NOTHING_THERE])),
    agent: null,
    users: NOBODY,
    labeled: false,
    snapshotNames: [],
    daemonVersion: 11_003_000,
    blockJobs: [],
    freeBytes: 0,
    residentBytes: 300 * MiB,
    ...changes,
  };
}

/** The same with something at a path. */
export const at = (facts: CreateFacts, path: string, place: Partial<TargetFile> | null): CreateFacts => ({
  ...facts,
  targetFiles: new Map(
    [...facts.targetFiles, [path, NOTHING_THERE] as const].flatMap(([known, was]) =>
      known !== path ? [[known, was] as const] : place ? [[known, { ...was, ...place }] as const] : [],
    ),
  ),
});

export const running = { state: 'running' };

export const both = external({ external: true }, running);

export const vda = (changes: Partial<DiskSpec>): readonly DiskSpec[] => [
  { disk: 'vda', location: null, file: null, driver: null, storage: null, ...changes },
];

export const network = { disks: [disk({ storage: 'network', source: null })] };

export const OVERLAY = '/vm/vda.s1';

export const MEMORY = '/vm/centos7-1.s1.mem';

export const noFile = { disks: [disk({ storage: 'block', source: '/dev/vg/web' })] };

export const onBlock = external({ diskOnly: true, disks: vda({ storage: 'block', file: '/dev/vg/o' }) });

export const named = vda({ file: '/vm/o' });
