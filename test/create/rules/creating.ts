import { internalPlan } from '../../../src/create/plan.ts';
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { NOBODY } from '../../../src/sharing/image-users.ts';
import { disk, domain, MiB, seen } from '../../model.ts';

export const OLD_DAEMON = 9_000_000;

export const NEW_DAEMON = 11_003_000;

export function creating(changes: Partial<CreateFacts> = {}): CreateFacts {
  return {
    domain: domain(),
    images: new Map([['vda', seen()]]),
    name: 'snapshot-2',
    plan: internalPlan(changes.domain ?? domain()),
    mode: 'internal',
    targetFiles: new Map(),
    agent: null,
    users: NOBODY,
    labeled: false,
    snapshotNames: [],
    loadsMemory: true,
    daemonVersion: OLD_DAEMON,
    blockJobs: [],
    freeBytes: 10_000 * MiB,
    residentBytes: 300 * MiB,
    ...changes,
  };
}

export const running = (changes: Parameters<typeof domain>[0] = {}) =>
  domain({ state: 'running', ...changes });

export function creatingOn(
  changes: Parameters<typeof disk>[0],
  image: CreateFacts['images'] extends ReadonlyMap<string, infer I> ? I : never = seen(),
): CreateFacts {
  return creating({ domain: domain({ disks: [disk(changes)] }), images: new Map([['vda', image]]) });
}

export const unseen = (format: string | null) =>
  ({ kind: 'unseen', why: 'permission', format, source: 'storage pool' }) as const;

/** Off, with a read-only second disk. */
export const readOnly = (driver: string) =>
  domain({ disks: [disk(), disk({ target: 'vdb', readonly: true, driver })] });
