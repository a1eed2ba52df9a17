// An option of which nothing would be made is a usage error, and not passed over.
import { expect, test } from 'vitest';
import { completion } from '../../src/completion/completion.ts';
import { create } from '../../src/create/create.ts';
import type { Context, Settings } from '../../src/run/context.ts';
import { list } from '../../src/show/list.ts';
import { space } from '../../src/space/space.ts';
import { fakeHost } from './fake-host.ts';

type Run = (ctx: Context) => Promise<void>;

test.each<[string, Run, Partial<Settings>]>([
  ['create --allow-empty', (ctx) => create(ctx, ['b-fix'], null, { allowEmpty: true }), {}],
  ['create --label --leftovers', (ctx) => create(ctx, ['b-fix'], null, { label: 'n', leftovers: true }), {}],
  ['create --keep-last', (ctx) => create(ctx, ['b-fix'], null, { keepLast: 1 }), {}],
  [
    'create --redefine --force',
    (ctx) => create(ctx, ['b-fix'], null, { xml: '/x', redefine: true, force: true }),
    {},
  ],
  ['create --print-xml --json', (ctx) => create(ctx, ['b-fix'], 's', { printXml: true }), { output: 'json' }],
  [
    'create --print-xml --label --keep-last',
    (ctx) => create(ctx, ['b-fix'], null, { printXml: true, label: 'n', keepLast: 1 }),
    { output: 'table' },
  ],
  ['list --space -q', (ctx) => list(ctx, ['b-fix'], { space: true }), { output: 'name' }],
  ['space --disks -q', (ctx) => space(ctx, 'b-fix', [], { disks: true }), { output: 'name' }],
  ['space --exact -q', (ctx) => space(ctx, 'b-fix', [], { exact: true }), { output: 'name' }],
  ['completion --json', (ctx) => completion(ctx, 'bash'), { output: 'json' }],
  ['completion -q', (ctx) => completion(ctx, 'fish'), { output: 'name' }],
])('%s', async (_, run, settings) => {
  const host = fakeHost();
  const before = [...host.vm.snapshots.keys()];
  await expect(run(host.context(settings))).rejects.toMatchObject({ code: 'usage' });
  expect([...host.vm.snapshots.keys()]).toEqual(before);
  expect([host.libvirt.commands, host.printed]).toEqual([[], []]);
});
