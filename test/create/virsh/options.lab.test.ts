import { afterAll, describe, expect, test } from 'vitest';
import { createProgram } from '../../../src/cli.ts';
import { virsh } from '../../lab/lab.ts';
import { share } from '../../lab/share.ts';
import { libvirtVersion } from '../../lab/version.ts';
import { cleanUp } from '../../scene/vm.ts';
import { VIRSH_OPTIONS } from './options.ts';

afterAll(cleanUp);

/** The newest libvirt of the lab has them all. */
const NEWEST = '12.8';

const { program } = await createProgram([], async () => undefined);

const listed = (command: string): string[] => {
  const [, options = ''] = virsh('help', `snapshot-${command}`).split(/^ *OPTIONS$/m);
  return [...options.matchAll(/^ +\[?--([a-z-]+)/gm)].flatMap(([, name = '']) => name);
};

describe.each(share(2, Object.entries(VIRSH_OPTIONS)))(
  'snapshot-%s',
  (command, { command: here, options }) => {
    test('every option that virsh lists has its row, and every row is an option somewhere', () => {
      const names = listed(command);
      expect(names.length).toBeGreaterThan(1);
      expect(names.filter((name) => !(name in options))).toEqual([]);
      if (libvirtVersion === NEWEST) expect(Object.keys(options).sort()).toEqual(names.sort());
    });

    test('what is said to be the same is an option here', () => {
      const definition = program.commands.find((each) => each.name() === here.split(' ')[0]);
      const known = definition?.options.map(({ long }) => long?.slice(2)) ?? [];
      const same = Object.keys(options).filter((name) => options[name] === 'same');
      expect(same.filter((name) => !known.includes(name))).toEqual([]);
    });
  },
);

test('every command of virsh for snapshots has its rows', () => {
  const commands = [...virsh('help', 'snapshot').matchAll(/^ +snapshot-([a-z-]+)/gm)].flatMap(
    ([, name = '']) => name,
  );
  expect(Object.keys(VIRSH_OPTIONS).sort()).toEqual(commands.sort());
});
