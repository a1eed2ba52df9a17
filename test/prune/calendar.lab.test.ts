// The rules of the calendar over days of snapshots that libvirt has.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { scratch } from '../lab/lab.ts';
import { succeed } from '../scene/steps.ts';
import { cleanUp } from '../scene/vm.ts';
import { present, small, takeAt } from './dated.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('rules of the calendar', () => {
  /** What a prune says with this time zone, wherever the test runs. */
  async function planIn(TZ: string, ...args: string[]) {
    const { stdout } = await kvmsnap(['--json', ...args], { env: { TZ } });
    return z.parse(DOCUMENTS.prune, JSON.parse(stdout)).domains;
  }

  test('twenty days, a snapshot each noon and each evening: days and weeks', async () => {
    const vm = small('calendar');
    // 2020-11-03 was a Tuesday; the last day, 2020-11-22, a Sunday
    const at = (day: number, hour: number) => Date.UTC(2020, 10, day, hour) / 1000;
    const days = Array.from({ length: 20 }, (_, n) => n + 3);
    const noons: string[] = [];
    // in the order of time: a snapshot is newer than those that it descends from, whatever its date
    const evenings = days.map((day) => {
      if ([5, 15, 22].includes(day)) noons.push(takeAt(vm, 'nightly', at(day, 12)));
      return takeAt(vm, 'nightly', at(day, 20));
    });
    const evening = (day: number): string => evenings[day - 3] ?? '';

    const domains = await planIn(
      'UTC',
      '--dry-run',
      'prune',
      'calendar',
      '--label',
      'nightly',
      '--keep-daily',
      '3',
      '--keep-weekly',
      '2',
    );
    expect(
      domains[0]?.snapshots.filter(({ keep }) => keep).map(({ name, reasons }) => [name, reasons]),
    ).toEqual([
      [evening(15), ['weekly 2020-W46']],
      [evening(20), ['daily 2020-11-20']],
      [evening(21), ['daily 2020-11-21']],
      [evening(22), ['daily 2020-11-22', 'weekly 2020-W47']],
    ]);
    expect(present(vm)).toEqual([...evenings, ...noons].sort());

    const { code, stdout, stderr } = await kvmsnap(
      ['prune', 'calendar', '--label', 'nightly', '--keep-daily', '3', '--keep-weekly', '2', '-q'],
      { env: { TZ: 'UTC' } },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const kept = [15, 20, 21, 22].map(evening);
    expect(present(vm)).toEqual(kept);
    // oldest first
    expect(stdout.trimEnd().split('\n')).toEqual(
      [...evenings, ...noons].filter((name) => !kept.includes(name)).sort(),
    );
  });

  test('a day is that of the local clock', async () => {
    const vm = small('zones');
    const at = (day: number, hour: number) => Date.UTC(2020, 10, day, hour) / 1000;
    const [first = '', second = ''] = [at(10, 14), at(10, 16)].map((when) => takeAt(vm, 'nightly', when));
    const plan = async (zone: string) => {
      const domains = await planIn(
        zone,
        '--dry-run',
        'prune',
        'zones',
        '--label',
        'nightly',
        '--keep-daily',
        '2',
      );
      return domains[0]?.snapshots.map(({ name, reasons }) => [name, reasons]);
    };
    expect(await plan('UTC')).toEqual([
      [first, []],
      [second, ['daily 2020-11-10']],
    ]);
    // midnight in Tokyo is 15:00 UTC
    expect(await plan('Asia/Tokyo')).toEqual([
      [first, ['daily 2020-11-10']],
      [second, ['daily 2020-11-11']],
    ]);
  });

  test('--keep-within counts back from the newest, not from now: a stopped job keeps its history', async () => {
    const vm = small('stopped');
    const at = (day: number) => Date.UTC(2020, 0, day, 3) / 1000;
    const names = [1, 5, 9, 10].map((day) => takeAt(vm, 'nightly', at(day)));
    await succeed('prune', 'stopped', '--label', 'nightly', '--keep-within', '3d');
    expect(present(vm)).toEqual(names.slice(2));
  });
});
