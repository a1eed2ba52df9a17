import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { NOBODY } from '../../../src/sharing/image-users.ts';
import { OLD_DAEMON } from '../../create/rules/creating.ts';
import { disk, domain, seen, snapshot, tag } from '../../model.ts';

export const EXTERNAL = { target: 'vda', location: 'external', source: '/vm/vda.s1' };

export function reverting(changes: Partial<RevertFacts> = {}): RevertFacts {
  return {
    domain: domain(),
    snapshot: snapshot('s1'),
    snapshots: [snapshot('s1')],
    current: 's1',
    images: new Map([['vda', seen({ tags: [tag('s1')] })]]),
    active: new Map([['vda', seen({ tags: [tag('s1')] })]]),
    memoryThere: null,
    users: NOBODY,
    daemonVersion: OLD_DAEMON,
    ...changes,
  };
}

/** An external snapshot of its own name over another file. */
export const layer = (name: string, over: string) =>
  snapshot(name, {
    disks: [{ target: 'vda', location: 'external', source: `/vm/vda.${name}` }],
    definedDisks: [{ target: 'vda', source: `/vm/vda.${over}`, driver: 'qcow2' }],
  });

export const onOverlay = domain({ disks: [disk({ source: '/vm/vda.e2' })] });

export const broken = (why: 'missing' | 'backing-missing') =>
  ({ kind: 'broken', why, path: '/vm/vda.qcow2', detail: '' }) as const;
