import { describe, expect, test } from 'vitest';
import { revertConsequences, revertNeedsForce, stateAfterRevert } from '../../src/revert/consequences.ts';
import { running } from '../create/rules/creating.ts';
import { disk, domain, snapshot } from '../model.ts';
import { layer, reverting } from './rules/reverting.ts';

describe('what a revert changes beside the content', () => {
  const grown = domain({
    disks: [disk(), disk({ target: 'vdb' }), disk({ target: 'vdc', storage: 'network', source: null })],
  });

  test.each([
    { says: 'nothing', facts: reverting(), end: 'shutoff', said: [] },
    {
      says: 'disks added since',
      facts: reverting({ domain: grown }),
      end: 'shutoff',
      said: [/disks vdb \(\/vm\/vdb\.qcow2\), vdc \(network\) will be removed from the VM/],
    },
    {
      says: 'no disks lost where the old definition is not known',
      facts: reverting({ domain: grown, snapshot: snapshot('s1', { definedDisks: [] }) }),
      end: 'shutoff',
      said: [],
    },
    {
      says: 'a running VM stopped',
      facts: reverting({ domain: running() }),
      end: 'shutoff',
      said: [/is running and will be stopped/],
    },
    {
      says: 'new overlays, and a snapshot of a running VM without its memory',
      facts: reverting({
        snapshot: { ...layer('e1', 'qcow2'), state: 'disk-snapshot' },
        domain: domain({ state: 'running', disks: [disk({ source: '/vm/vda.e1' })] }),
      }),
      end: 'shutoff',
      said: [
        /new overlay on top of \/vm\/vda\.qcow2; \/vm\/vda\.e1 stays/,
        /without its memory; --running/,
        /is running and will be stopped/,
      ],
    },
    {
      says: 'a new QEMU',
      facts: reverting({ domain: running() }),
      end: 'running',
      said: [/will be restarted/],
    },
    {
      says: 'perhaps a new QEMU, where the version is not known',
      facts: reverting({
        domain: running(),
        snapshot: snapshot('s1', { state: 'running' }),
        daemonVersion: null,
      }),
      end: 'running',
      said: [/may be restarted \(libvirtd does not tell its version\)/],
    },
    {
      says: 'no new QEMU before 7.10',
      facts: reverting({
        domain: running(),
        snapshot: snapshot('s1', { state: 'running' }),
        daemonVersion: 7_000_000,
      }),
      end: 'running',
      said: [],
    },
    {
      says: 'a new QEMU there too, where the snapshot has no memory',
      facts: reverting({ domain: running(), daemonVersion: 7_000_000 }),
      end: 'running',
      said: [/will be restarted/],
    },
  ])('$says', ({ facts, end, said }) => {
    expect(revertConsequences(facts, end)).toEqual(said.map((line) => expect.stringMatching(line)));
  });
});

test.each([
  ['a running VM, to run from a snapshot without memory', {}, 'running', true],
  ['to be paused there', {}, 'paused', true],
  ['to be off there', {}, 'shutoff', false],
  ['a VM that is off', { domain: domain() }, 'running', false],
  ['a snapshot with memory', { snapshot: snapshot('s1', { state: 'running' }) }, 'running', false],
  ['a newer libvirtd', { daemonVersion: 9_000_000 }, 'running', false],
] as const)('virsh before 7.10 needs --force: %s', (_, changes, end, needed) => {
  const facts = reverting({ domain: running(), daemonVersion: 7_000_000, ...changes });
  expect(revertNeedsForce(facts, end)).toBe(needed);
});

test.each([
  ['running', {}, 'running'],
  ['shutoff', {}, 'shutoff'],
  ['paused', {}, 'paused'],
  ['disk-snapshot', {}, 'shutoff'],
  ['shutoff', { running: true }, 'running'],
  ['running', { paused: true }, 'paused'],
] as const)('a revert to a snapshot that is %s, wanting %j, ends %s', (state, want, end) => {
  expect(stateAfterRevert(snapshot('s1', { state }), want)).toBe(end);
});
