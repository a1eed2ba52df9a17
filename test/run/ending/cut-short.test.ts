// A signal that comes while the first of two snapshots of one VM is deleted.
import { expect, test } from 'vitest';
import { create } from '../../../src/create/create.ts';
import { deleteSnapshots } from '../../../src/delete/delete.ts';
import { pruneVms } from '../../../src/prune/prune.ts';
import type { Context } from '../../../src/run/context.ts';
import { fakeHost } from '../fake-host.ts';

const ALL = { match: '*', keepLast: 0, allowEmpty: true };

/** What the document says of the VM, and what is left of it. */
async function interrupted(run: (ctx: Context) => Promise<void>, settings = {}) {
  const host = fakeHost();
  const { intercept } = host.libvirt;
  const ctx = host.context(settings);
  host.libvirt.intercept = (command, process) => {
    if (command[0] === 'snapshot-delete') ctx.interrupts.raise('SIGTERM');
    return intercept(command, process);
  };
  await run(ctx);
  const [domain] = JSON.parse(host.printed.join('')).domains;
  return { domain, left: [...host.vm.snapshots.keys()], ctx };
}

test('a prune says which it did not come to, and is not done', async () => {
  const { domain, left } = await interrupted((ctx) => pruneVms(ctx, ['b-fix'], ALL));
  expect(domain).toMatchObject({
    outcome: 'not reached',
    errors: [],
    snapshots: [
      { name: 'off1', outcome: 'deleted' },
      { name: 'run1', outcome: 'not reached' },
    ],
  });
  expect(left).toEqual(['run1']);
});

test('a delete likewise', async () => {
  const { domain, left } = await interrupted((ctx) =>
    deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['off1', 'run1'] }], paired: false }, {}),
  );
  expect(domain).toMatchObject({ outcome: 'not reached', deleted: ['off1'], failed: [] });
  expect(left).toEqual(['run1']);
});

test('and a create whose prune is cut short; the snapshot stands', async () => {
  const taken = await interrupted((ctx) => create(ctx, ['b-fix'], null, { ...ALL, label: 'l' }));
  expect(taken.domain).toMatchObject({ outcome: 'not reached', snapshot: { current: true } });
  expect(taken.left).toEqual(['run1', taken.domain.snapshot.name]);
});

test('what the signal finds at its last one is done', async () => {
  const { domain, left } = await interrupted((ctx) =>
    deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['off1'] }], paired: false }, {}),
  );
  expect(domain).toMatchObject({ outcome: 'done', deleted: ['off1'] });
  expect(left).toEqual(['run1']);
});
