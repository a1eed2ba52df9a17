import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { readNamed, withOneNamed } from '../../src/vm/named.ts';
import { type FakeVm, fakeLibvirt } from '../libvirt/fake-libvirt.ts';
import { fakeHost } from '../run/fake-host.ts';

const UUID_OF_WEB = '5a4e0001-0000-4000-8000-000000000001';

const fakeVm = (name: string, n: number, snapshots: readonly string[] = []): FakeVm => ({
  name,
  uuid: `5a4e0001-0000-4000-8000-00000000000${n}`,
  state: 'shut off (shutdown)',
  xml: '',
  snapshots: new Map(snapshots.map((each) => [each, ''])),
  current: null,
});

/** QEMU takes no `/` in a VM's name, and libvirt none in a snapshot's; other drivers and other tools may. */
const VMS = [
  fakeVm('web', 1, ['s1', 'old/1']),
  fakeVm('db', 2, ['s1']),
  fakeVm('a', 3, ['b/c']),
  fakeVm('a/b', 4, ['c']),
  fakeVm('101', 5),
  fakeVm('odd/name', 6, ['s1']),
];

async function read(words: readonly string[], isNew = false) {
  const fake = fakeLibvirt([...VMS]);
  const result = await readNamed({ virsh: fake.virsh }, words, { isNew }).catch((error: unknown) => error);
  return { result, processes: fake.processes.length };
}

describe('what words name', () => {
  const cases: readonly (readonly [string, readonly (readonly [string, ...string[]])[], boolean, number])[] =
    [
      // without a / nothing is asked
      ['web', [['web']], false, 0],
      ['web s1', [['web', 's1']], false, 0],
      ['nosuch s1 s1', [['nosuch', 's1']], false, 0],
      // VM/NAME, as list --all -q prints it
      ['web/s1', [['web', 's1']], true, 1],
      [
        'web/s1 db/s1 web/s2 web/s1',
        [
          ['web', 's1', 's2'],
          ['db', 's1'],
        ],
        true,
        1,
      ],
      ['101/s1', [['101', 's1']], true, 1],
      [`${UUID_OF_WEB}/s1 web/s2`, [['web', 's1', 's2']], true, 1],
      ['web/old/1', [['web', 'old/1']], true, 1],
      [
        'nosuch/s1 web/s1',
        [
          ['nosuch', 's1'],
          ['web', 's1'],
        ],
        true,
        1,
      ],
      ['a/c', [['a', 'c']], true, 1],
      // an exact name wins
      ['odd/name', [['odd/name']], false, 1],
      ['odd/name s1', [['odd/name', 's1']], false, 1],
      ['a/b c', [['a/b', 'c']], false, 1],
      ['odd/name/s1', [['odd/name', 's1']], true, 1],
      // a name with a / that is none of another VM
      ['web x/y', [['web', 'x/y']], false, 1],
      ['a b/c', [['a', 'b/c']], false, 1],
    ];

  test.each(cases)('%j', async (line, named, paired, processes) => {
    expect(await read(line.split(' '))).toEqual({
      result: { named: named.map(([vm, ...names]) => ({ vm, names })), paired },
      processes,
    });
  });

  test('a snapshot of the VM that stands before it wins over the VM that its name begins with', async () => {
    const vms = [fakeVm('web', 1, ['db/s1']), fakeVm('db', 2, ['s1'])];
    const named = await readNamed({ virsh: fakeLibvirt(vms).virsh }, ['web', 'db/s1']);
    expect(named).toEqual({ named: [{ vm: 'web', names: ['db/s1'] }], paired: false });
  });

  test('of a new snapshot only the first word can be both', async () => {
    expect(await read(['web/s9'], true)).toMatchObject({ result: { named: [{ vm: 'web', names: ['s9'] }] } });
    expect(await read(['web', 'db/s1'], true)).toMatchObject({
      result: { named: [{ vm: 'web', names: ['db/s1'] }] },
      processes: 0,
    });
    expect((await read(['web/s9', 's9'], true)).result).toMatchObject({ code: 'usage' });
  });

  test.each<[string, RegExp, readonly string[] | undefined]>([
    ['web/s1 s2', /cannot be mixed: 'web\/s1', s2/, ['web', 's1', 's2']],
    ['web web/s1', /cannot be mixed/, ['web', 's1']],
    ['web s1 web/s2', /cannot be mixed/, ['web', 's1', 's2']],
    ['web db/s1', /cannot be mixed/, undefined],
    ['s1 web/s2', /cannot be mixed/, undefined],
    ['web-* db/s1', /cannot be mixed/, undefined],
    ['web/s1 db', /cannot be mixed/, undefined],
    ['a/b/c', /ambiguous: it can mean snapshot 'b\/c' of a or snapshot c of 'a\/b'/, undefined],
    ['/s1', /does not name a VM and a snapshot/, undefined],
    ['web/', /does not name a VM and a snapshot/, undefined],
    ['web-*/s1', /names one VM, and 'web-\*' is a pattern/, undefined],
  ])('%j is a usage error', async (line, message, operands) => {
    const { result } = await read(line.split(' '));
    expect(result).toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
    expect((result as KvmsnapError).meant?.operands).toEqual(operands);
  });
});

describe('one VM', () => {
  const ctx = () => {
    const host = fakeHost();
    host.libvirt.vms.push(...VMS);
    return host.context();
  };

  test('several VMs are a usage error, and an option for others too', async () => {
    const run = (words: string[], others: string | null = null) =>
      withOneNamed(ctx(), { words, others }, async () => undefined);
    await expect(run(['web/s1', 'db/s1'])).rejects.toMatchObject({ code: 'usage', message: /web, db/ });
    await expect(run(['web/s1'], '--vm')).rejects.toMatchObject({ code: 'usage', message: /--vm/ });
    await expect(run(['web', 's1'], '--vm')).resolves.toBeUndefined();
  });

  test('a snapshot that must be named is, or it is a usage error', async () => {
    const run = (words: string[]) => withOneNamed(ctx(), { words, needsName: true }, async () => undefined);
    await expect(run(['odd/name'])).rejects.toMatchObject({ code: 'usage', message: /missing.*'name'/ });
    await expect(run(['web/s1'])).resolves.toBeUndefined();
  });

  const missing = new KvmsnapError('not-found', 'no such VM');
  const failing = async (words: readonly string[], error: KvmsnapError, more = {}) =>
    withOneNamed(ctx(), { words, ...more }, async () => {
      throw error;
    }).catch((error: unknown) => error);

  test.each<[string, readonly string[]]>([
    ['s1 web', ['web', 's1']],
    ['s1 s2 web', ['web', 's1', 's2']],
    [`s1 ${UUID_OF_WEB}`, [UUID_OF_WEB, 's1']],
    ['s1 we*', ['we*', 's1']],
  ])('%j: the VM comes first', async (line, operands) => {
    expect(await failing(line.split(' '), missing)).toMatchObject({
      code: 'not-found',
      message: 'no such VM',
      hint: expect.stringMatching(/is a VM, and the VM comes first$/),
      meant: { operands },
    });
  });

  test('the rest of the line stays behind them', async () => {
    expect(await failing(['s1', 'web'], missing, { rest: ['text'] })).toMatchObject({
      meant: { operands: ['web', 's1', 'text'] },
    });
  });

  test.each(['web db', 'web s1', 's1', 's1 s2', 'we* web', 'web/s9', 'nosuch/web'])(
    '%j has not changed places',
    async (line) => {
      expect(await failing(line.split(' '), missing)).toBe(missing);
    },
  );

  test('a line whose option names the snapshot is put right in that option', async () => {
    const lineFor = (vm: string, name: string) => ({ operands: [vm], options: [`--set=${name}`] });
    const meant = { operands: ['web'], options: ['--set=s1'] };
    expect(await failing(['s1', 'web'], missing, { lineFor })).toMatchObject({ meant });
    expect(await failing(['web', 'web/s1'], missing, { lineFor })).toMatchObject({ code: 'usage', meant });
  });

  test('any other failure stays as it is', async () => {
    const other = new KvmsnapError('check', 'no');
    expect(await failing(['s1', 'web'], other)).toBe(other);
  });
});
