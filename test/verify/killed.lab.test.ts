// `verify`, killed at any moment: the next run leaves nothing of it, and the VM runs on. KVMSNAP_ROUNDS=30 for as many kills.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { fingerprint } from '../lab/evidence.ts';
import { scratch, sendSignal, virsh, waitFor } from '../lab/lab.ts';
import { chanceFrom, chooseSeed, randomFrom } from '../scene/random.ts';
import { count, countTo, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 3);
const RUNS = '/run/kvmsnap';
const SIGNALS = [
  ['SIGKILL', null],
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

afterAll(cleanUp);

const vms = (): string[] => virsh('list', '--all', '--name').split('\n').filter(Boolean);

/** What a run has made and is still there. */
const left = (vm: Vm): string[] => [
  ...vms().filter((name) => name !== vm.name),
  ...readdirSync(dirname(pathOf(vm))).filter((name) => name.startsWith('.')),
  ...(existsSync(RUNS) ? readdirSync(RUNS) : []),
  ...processes()
    .map(({ args }) => args.join(' '))
    .filter((line) => /\/run\/kvmsnap\/|\.kvmsnap-|kvmsnap-verify-/.test(line)),
];

const throwAwayQemu = (): number | undefined =>
  processes().find(({ args }) => args.some((word) => word.startsWith('guest=kvmsnap-verify-')))?.pid;

test(`${ROUNDS} verifications that are killed`, { timeout: 300_000 + ROUNDS * 60_000 }, async () => {
  const seed = chooseSeed();
  const chance = chanceFrom(randomFrom(seed));
  const vm = defineVm({
    name: 'web',
    boot: 'counter',
    disks: [{ size: '8M' }],
    extraDevicesXml: "<interface type='user'><model type='virtio'/></interface>",
  });
  start(vm);
  await countTo(vm, 3);
  take(vm, 's1');
  const before = [fingerprint(vm), virsh('domid', 'web')];
  const ways = [['--memory'], []] as const;
  const line = (way: readonly string[]) => ['verify', 'web', 's1', '--within', '1s', ...way];
  // libvirt does not end a guest that resumes or has resumed: the next run does
  let took = 0;
  for (const isLoading of [true, false]) {
    const resumed = spawnKvmsnap(['verify', 'web', 's1', '--memory', '--within', '10s']);
    const isThere = () => virsh('list', '--name', '--state-running').includes('kvmsnap-verify-');
    const found = () => (isLoading ? throwAwayQemu() : isThere());
    await waitFor(found, { what: 'the throw-away VM', intervalMs: 1 });
    // it stays in the middle of loading
    if (isLoading) sendSignal(throwAwayQemu(), 'SIGSTOP');
    resumed.kill('SIGKILL');
    await resumed.done;
    const next = isLoading ? line(ways[0]) : ['export', 'web', 's1', join(scratch, 'out')];
    // how long one takes here
    const begun = Date.now();
    expect((await kvmsnap(next)).code).toBe(0);
    if (isLoading) took = Date.now() - begun;
    expect(vms()).toEqual(['web']);
    await waitFor(() => left(vm).length === 0, { what: 'the end of what is left' });
  }
  for (let round = 0; round < ROUNDS; round++) {
    const [signal, code] = SIGNALS[round % SIGNALS.length] ?? SIGNALS[0];
    const way = chance.pick(ways);
    const after = chance.between(0, took);
    const said = `${signal} after ${after} of ${took} ms ${way.join('')}, KVMSNAP_SEED=${seed}`;
    const run = spawnKvmsnap(line(way));
    await Promise.race([run.done, new Promise((resolve) => setTimeout(resolve, after))]);
    run.kill(signal);
    const ended = await run.done;
    // as if it had not come, before kvmsnap has begun and after it has ended
    if (ended.signal === null)
      expect([said, [code, 0, 5]]).toEqual([said, expect.arrayContaining([ended.code])]);
    const next = await kvmsnap(line([]));
    expect([said, next.code, next.stderr]).toEqual([said, 5, expect.stringContaining('is not proven')]);
    await waitFor(() => left(vm).length === 0, { what: `the end of what is left: ${said}` });
    expect([fingerprint(vm), virsh('domid', 'web')]).toEqual(before);
    await countTo(vm, count(vm) + 1);
  }
});
