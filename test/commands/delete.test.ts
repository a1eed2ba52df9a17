import { expect, test } from 'vitest';
import { deleteSnapshots } from '../../src/commands/delete.ts';
import { capture } from '../captures.ts';
import { type FakeHost, fakeHost } from './fake-host.ts';

/** A host on which this is done after the machines of a pattern were read, and before the turn of the first comes. */
function changing(change: (host: FakeHost) => void): FakeHost {
  const host = fakeHost();
  const { intercept } = host.libvirt;
  let reads = 0;
  host.libvirt.intercept = (command, process) => {
    if (command[0] === 'dumpxml' && ++reads === 2) change(host);
    return intercept(command, process);
  };
  return host;
}

const names = ({ machine }: FakeHost) => [...machine.snapshots.keys()];

test('of many machines, the snapshot that was current when it was asked for goes, and not a later one', async () => {
  const host = changing(({ machine }) => {
    machine.current = 'off1';
  });
  await deleteSnapshots(host.context({ yes: true }), 'b-*', [], { current: true });
  expect(names(host)).toEqual(['off1']);
});

test('of many machines, one that had no such snapshot when it was asked for keeps one that came since', async () => {
  const host = changing(({ machine }) => {
    const xml = capture('12.8.0', 'dumpxml-off1.out').replace('<name>off1<', '<name>late<');
    machine.snapshots = new Map([...machine.snapshots, ['late', xml]]);
  });
  await expect(deleteSnapshots(host.context(), 'b-*', ['late'], {})).rejects.toMatchObject({
    code: 'not-found',
  });
  expect(names(host)).not.toHaveLength(0);
  expect(host.libvirt.commands.map(([verb]) => verb)).not.toContain('snapshot-delete');
});
