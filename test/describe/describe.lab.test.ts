// The description of a snapshot, judged by libvirt's XML of it.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { scratch, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { document, fail, succeed, twoDisks } from '../scene/steps.ts';
import { cleanUp } from '../scene/vm.ts';
import { described, facts, family, HOLD, TEXTS, wholeXml } from './described.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('describe', () => {
  test('any text, of the current one and those beside it, and nothing else changes', async () => {
    const vm = family('described');
    const before = facts(vm);
    const wanted = new Map<string, string | null>(snapshotNames(vm).map((name) => [name, null]));
    for (const [n, text] of TEXTS.entries()) {
      const name = ['root', 'middle', 'leaf'][n % 3] ?? '';
      wanted.set(name, text);
      const { snapshot } = await document('current', 'describe', 'described', '--', name, text);
      expect(snapshot).toMatchObject({ name, description: text, held: false, current: name === 'middle' });
      expect(described(wholeXml(vm, name))).toBe(text);
    }
    expect(facts(vm)).toEqual(before);
    const { domains } = await document('list', 'list', 'described');
    expect(new Map(domains[0]?.snapshots.map(({ name, description }) => [name, description]))).toEqual(
      wanted,
    );
  });

  test('an empty text takes it away; a carriage return becomes a line feed', async () => {
    const vm = family('emptied');
    const before = facts(vm);
    await succeed('describe', 'emptied', 'root', '');
    expect(wholeXml(vm, 'root')).not.toContain('<description');
    await succeed('describe', 'emptied', 'root', 'a\r\nb\rc');
    expect(described(wholeXml(vm, 'root'))).toBe('a\nb\nc');
    expect(facts(vm)).toEqual(before);
  });

  test('what XML cannot hold, and what would be a hold, is refused and changes nothing', async () => {
    const vm = family('refused');
    const before = [facts(vm), wholeXml(vm, 'root')];
    await fail(1, 'describe', 'refused', 'root', 'bell \x07');
    await fail(2, 'describe', 'refused', 'root', `sneaky\n${HOLD}`);
    expect(await fail(4, 'describe', 'refused', 'rot', 'x')).toContain('did you mean root?');
    await fail(4, 'hold', 'refusd', 'root');
    expect([facts(vm), wholeXml(vm, 'root')]).toEqual(before);
  });

  test.each(share(2, ['two words', '007', "it's", '--all', '<a&b>', '测试']))(
    'a snapshot called %j',
    async (name) => {
      const vm = twoDisks('named');
      virsh('snapshot-create-as', '--domain', vm.uuid, `--name=${name}`);
      await succeed('describe', 'named', '--', name, 'text');
      await succeed('hold', 'named', '--', name);
      expect(snapshotNames(vm)).toEqual([name]);
      const xml = virsh('snapshot-dumpxml', '--domain', vm.uuid, `--snapshotname=${name}`);
      expect(described(xml)).toBe(`text\n\n${HOLD}`);
      expect(currentSnapshot(vm)).toBe(name);
    },
  );
});
