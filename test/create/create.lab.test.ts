// create and create-as on VMs that they suit: what is in the snapshot, and what is printed.
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, tagCounts } from '../lab/evidence.ts';
import { tool, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { MARK_ADDRESS } from '../scene/boot.ts';
import { checkImage, hasPattern, hasPatternIn, tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import {
  cleanUp,
  defineVm,
  destroy,
  guestWord,
  pathOf,
  start,
  state,
  type Vm,
  type VmSpec,
} from '../scene/vm.ts';

const AWKWARD = `-it's; $(touch x) \`id\` & 中文快照 %s`;
/** From 10.9 on, libvirt takes only names of QEMU's jobs for a running VM (hazard 6). */
const AWKWARD_RUNNING = since({ '7.0': AWKWARD, '11.3': '-its.a_Job-Name' });

afterEach(cleanUp);
afterAll(cleanUp);

const count = (vm: Vm) => guestWord(vm, MARK_ADDRESS);

/** A VM whose guest counts, with 0x10, 0x11, ... in its disks, brought into that state. */
async function vmIn(wanted: string, disks: VmSpec['disks'] = [{}]): Promise<Vm> {
  const vm = defineVm({ name: 'web-1', boot: 'counter', disks });
  for (const [i, path] of writable(vm).entries()) writePattern(path, 0x10 + i, MiB, MiB);
  if (wanted === 'shut off') return vm;
  start(vm);
  await waitFor(() => count(vm) >= 5, { what: 'a count' });
  if (wanted === 'paused') virsh('suspend', '--domain', vm.uuid);
  return vm;
}

const writable = (vm: Vm) => vm.disks.map(({ path }) => path).filter((path) => path.endsWith('.qcow2'));

/** The text of an element of a snapshot's XML, as libvirt holds it. */
function snapshotText(vm: Vm, name: string, element: string): string | null {
  const [, text] = new RegExp(`^  <${element}>(.*?)</${element}>$`, 'ms').exec(snapshotXml(vm, name)) ?? [];
  const entities: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text?.replace(/&(\w+);/g, (whole, word: string) => entities[word] ?? whole) ?? null;
}

describe.each([{ disks: [{}] }, { disks: [{}, { size: '32M' }, { bus: 'ide' }] }])(
  'with $disks.length disk(s)',
  ({ disks }) => {
    test.each(['shut off', 'running', 'paused'])('a %s VM', async (wanted) => {
      const vm = await vmIn(wanted, disks);
      const active = wanted !== 'shut off';
      const before = active ? count(vm) : 0;
      const result = await kvmsnap(['create-as', 'web-1', 'snapshot-2', '-d', 'before the upgrade']);
      const after = active ? count(vm) : 0;

      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(result.stdout).toMatch(/^VM +SNAPSHOT .*\nweb-1 +snapshot-2 .* taken\n$/);
      expect(state(vm)).toBe(wanted);
      expect(currentSnapshot(vm)).toBe('snapshot-2');
      expect(snapshotText(vm, 'snapshot-2', 'state')).toBe(active ? wanted : 'shutoff');
      const [first, ...others] = vm.disks.map(({ path }) => tags(path));
      expect(first).toEqual([{ id: '1', name: 'snapshot-2', vmStateSize: expect.any(Number) }]);
      expect((first?.[0]?.vmStateSize ?? 0) > 100_000).toBe(active);
      for (const other of others) expect(other).toEqual([{ id: '1', name: 'snapshot-2', vmStateSize: 0 }]);

      destroy(vm);
      vm.disks.forEach(({ path }, i) => {
        writePattern(path, 0x20 + i, MiB, MiB);
        expect(hasPatternIn(path, 'snapshot-2', 0x10 + i, MiB, MiB)).toBe(true);
      });
      virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'snapshot-2');
      expect(state(vm)).toBe(wanted);
      if (active) {
        const reverted = count(vm);
        expect(reverted).toBeGreaterThanOrEqual(before);
        // the count goes on while we look
        expect(reverted).toBeLessThanOrEqual(wanted === 'paused' ? after : after + 18);
      }
      destroy(vm);
      vm.disks.forEach(({ path }, i) => {
        expect(hasPattern(path, 0x10 + i, MiB, MiB)).toBe(true);
        expect(checkImage(path).clean).toBe(true);
      });
    });
  },
);

test.each(['shut off', 'running'])(
  'drives without a writable disk of a %s VM take no part',
  async (wanted) => {
    // Of a VM that is off, 7.0 asks for a snapshot of each: it refuses raw ones (see the hazards), and tags qcow2.
    const isOld = wanted === 'shut off' && since({ '7.0': true, '9.0': false });
    const vm = await vmIn(wanted, [
      {},
      { device: 'cdrom', format: 'raw', size: '2M', readonly: true },
      { device: 'cdrom', format: 'raw', source: null },
      { device: 'floppy', format: 'raw', source: null },
      { format: 'qcow2', size: '2M', readonly: true },
      ...(isOld ? [] : [{ format: 'raw', size: '2M', readonly: true }]),
    ]);
    const others = () => fingerprint(vm).images.slice(1);
    const before = others();
    expect(await kvmsnap(['create-as', 'web-1', 's1'])).toMatchObject({ code: 0, stderr: '' });
    expect(tagCounts(vm, 's1')).toEqual(isOld ? [1, 0, 1] : [1, 0, 0, 0]);
    if (!isOld) expect(others()).toEqual(before);
    const taking = /<disks>.*?<\/disks>/s.exec(snapshotXml(vm, 's1'))?.[0].match(/snapshot='(?!no)/g);
    expect(taking).toHaveLength(1);
  },
);

test('what it works on: a backing chain, a host device of a VM that is off', async () => {
  const base = pathOf(defineVm({ name: 'base', disks: [{ size: '16M' }] }));
  writePattern(base, 0x11, MiB, MiB);
  const vm = defineVm({
    name: 'web-1',
    disks: [{ backing: base }],
    extraDevicesXml: `<hostdev mode='subsystem' type='pci' managed='no'>
      <source><address domain='0x0000' bus='0x7f' slot='0x1f' function='0x7'/></source></hostdev>`,
  });
  expect((await kvmsnap(['create-as', 'web-1', 's1'])).code).toBe(0);
  writePattern(pathOf(vm), 0x22, MiB, MiB);
  expect(hasPatternIn(pathOf(vm), 's1', 0x11, MiB, MiB)).toBe(true);
  expect(tags(base)).toEqual([]);
});

test.each([
  ['lines and quotes', `one\n  two "double" 'single'\n\nlast`],
  ['CJK', '升级之前的快照'],
  ['markup and shell', '<b>&amp;</b> ]]> $(id) `id` ; \\ %s'],
  ['an option', '--disk-only'],
])('a description of %s is kept to the letter', async (_, text) => {
  const vm = defineVm({ name: 'web-1' });
  expect((await kvmsnap(['create-as', 'web-1', 's1', '--description', text])).code).toBe(0);
  expect(snapshotText(vm, 's1', 'description')).toBe(text);
  expect(tagCounts(vm, 's1')).toEqual([1]);
});

test('an empty description is none', async () => {
  const vm = defineVm({ name: 'web-1' });
  expect((await kvmsnap(['create', 'web-1', '-d', ''])).code).toBe(0);
  expect(snapshotXml(vm, snapshotNames(vm)[0] ?? '')).not.toContain('<description>');
});

describe('--dry-run', () => {
  test.each(['shut off', 'running'])(
    'of a %s VM changes nothing, and its line makes the snapshot',
    async (wanted) => {
      const vm = await vmIn(wanted, [{}, {}]);
      const description = `two\nlines, it's "so" \\ $HOME`;
      const name = wanted === 'running' ? AWKWARD_RUNNING : AWKWARD;
      const args = ['create-as', 'web-1', '--dry-run', '-d', description, '--', name];
      const before = fingerprint(vm);
      const table = await kvmsnap(args);
      expect(table).toMatchObject({ code: 0, stderr: '' });
      const json = await kvmsnap(['--json', ...args]);
      expect(DOCUMENTS['dry-run'].parse(JSON.parse(json.stdout)).commands).toEqual([
        table.stdout.trimEnd().replace(/ {2}# web-1$/, ''),
      ]);
      expect(fingerprint(vm)).toEqual(before);

      pasteOk(table.stdout);
      expect(snapshotNames(vm)).toEqual([name]);
      expect(snapshotText(vm, name, 'description')).toBe(description);
      expect(tagCounts(vm, name)).toEqual([1, 1]);
    },
  );

  test('of create names the snapshot too', async () => {
    const vm = defineVm({ name: 'web-1' });
    pasteOk((await kvmsnap(['create', 'web-1', '--dry-run'])).stdout);
    expect(snapshotNames(vm)[0]).toMatch(/^\d{10}$/);
  });
});

test('-v shows each command line, and each can be pasted', async () => {
  const vm = await vmIn('running');
  const { code, stderr } = await kvmsnap(['-v', 'create-as', 'web-1', '--', AWKWARD_RUNNING]);
  expect(code).toBe(0);
  const lines = stderr.trimEnd().split('\n');
  expect(lines.filter((line) => !/^\+ (virsh|qemu-img) /.test(line))).toEqual([]);
  const commands = lines.map((line) => line.slice(2));
  const writes = commands.filter((line) => line.includes('snapshot-create-as'));
  expect(writes).toHaveLength(1);
  for (const line of commands.filter((one) => !writes.includes(one))) expect(pasteOk(line)).not.toBe('');
  expect(snapshotNames(vm)).toEqual([AWKWARD_RUNNING]);
  virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', AWKWARD_RUNNING);
  pasteOk(writes[0] ?? null);
  expect(tagCounts(vm, AWKWARD_RUNNING)).toEqual([1]);
});

describe('output', () => {
  test('-q is the name alone', async () => {
    const vm = defineVm({ name: 'web-1' });
    expect(await kvmsnap(['create-as', '-q', 'web-1', 's 1'])).toMatchObject({ stdout: 's 1\n', stderr: '' });
    const { stdout, stderr } = await kvmsnap(['-q', 'create', 'web-1']);
    expect(stderr).toBe('');
    expect(snapshotNames(vm).sort()).toEqual([stdout.trimEnd(), 's 1'].sort());
  });

  test('--json is the document of the contract, and true', async () => {
    const vm = await vmIn('running', [{}, {}]);
    await kvmsnap(['create-as', 'web-1', 'first']);
    const { stdout } = await kvmsnap(['create-as', '--json', 'web-1', 'second', '-d', 'a\nb']);
    const { domains } = DOCUMENTS.create.parse(JSON.parse(stdout));
    expect(domains).toHaveLength(1);
    const { snapshot, ...domain } = domains[0] as (typeof domains)[number];
    expect(domain).toEqual({
      name: 'web-1',
      uuid: vm.uuid,
      state: 'running',
      outcome: 'done',
      errors: [],
      hooks: [],
      pruned: [],
      leftovers: [],
      // without a rule nothing is pruned
      freesBytes: null,
      freedBytes: 0,
      approximate: false,
      heldMilliseconds: null,
    });
    const vmStateBytes = tags(pathOf(vm))[1]?.vmStateSize;
    const disks = vm.disks.map(({ target, path }) => ({ target, source: path, location: 'internal' }));
    const { createdAt, ...facts } = snapshot ?? { createdAt: '' };
    expect(facts).toEqual({
      name: 'second',
      state: 'running',
      location: 'internal',
      parent: 'first',
      children: [],
      current: true,
      underWay: false,
      held: false,
      verified: null,
      readers: [],
      together: null,
      description: 'a\nb',
      kind: 'internal',
      vmStateBytes,
      memoryBytes: vmStateBytes,
      disks,
    });
    expect(String(Date.parse(createdAt) / 1000)).toBe(snapshotText(vm, 'second', 'creationTime'));
  });

  test('csv is by RFC 4180', async () => {
    const vm = defineVm({ name: 'web-1' });
    const { stdout } = await kvmsnap(['create-as', '-o', 'csv', 'web-1', 'a,b', '-d', 'x "y"\nz']);
    const seconds = Number(snapshotText(vm, 'a,b', 'creationTime'));
    const [head, record] = /^(.*)\n([\s\S]*)\n$/.exec(stdout)?.slice(1) ?? [];
    expect(head).toBe('machine,name,createdAt,state,vmStateBytes,outcome,kind,memoryBytes,error,pruned');
    const [, time] = /^web-1,"a,b",(\S+),shutoff,0,done,internal,0,,0$/.exec(record ?? '') ?? [];
    expect(Date.parse(time ?? '') / 1000).toBe(seconds);
  });

  test('--connect reaches the same VM', async () => {
    const vm = defineVm({ name: 'web-1' });
    const uri = tool('virsh', ['uri']).trim();
    expect((await kvmsnap(['--connect', uri, 'create-as', 'web-1', 's1'])).code).toBe(0);
    expect(tagCounts(vm, 's1')).toEqual([1]);
  });
});
