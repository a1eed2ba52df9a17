import { describe, expect, test } from 'vitest';
import {
  isIdle,
  readDaemonVersion,
  readJobProgress,
  readMerged,
  readRuntime,
} from '../../src/libvirt/runtime.ts';
import { capture, VERSIONS } from '../captures.ts';
import { type Answer, Failure, type FakeLibvirt, fakeLibvirt, optionValue } from './fake-libvirt.ts';

const UUID = '423f4d57-8887-409e-a29c-e2ee1690a61b';

function answering(answer: (command: readonly string[]) => Answer): FakeLibvirt {
  const fake = fakeLibvirt([]);
  fake.intercept = (command) => (command[0] === 'echo' ? undefined : answer(command));
  return fake;
}

describe("libvirtd's version", () => {
  test.each(VERSIONS)('%s', async (version) => {
    const [major = 0, minor = 0, release = 0] = version.split('.').map(Number);
    const { virsh } = answering(() => capture(version, 'version.out'));
    expect(await readDaemonVersion(virsh)).toBe(major * 1_000_000 + minor * 1_000 + release);
  });

  test("is the daemon's, not virsh's", async () => {
    const text =
      'Using library: libvirt 12.8.0\nRunning hypervisor: QEMU 7.2.22\nRunning against daemon: 9.0.0\n\n';
    expect(await readDaemonVersion(answering(() => text).virsh)).toBe(9_000_000);
  });

  test('is unknown where it does not say', async () => {
    expect(await readDaemonVersion(answering(() => new Failure('error: no\n')).virsh)).toBeNull();
  });
});

/** libvirt 9.0's `domstats --balloon` of a running VM (libvirt-domain.c names its fields). */
const STATS = `Domain: 'b-fix'
  balloon.current=65536
  balloon.maximum=65536
  balloon.rss=182344

`;
const JOB = `type=Block Copy
bandwidth=0
cur=1048576
end=67108864

`;

const HELD = new Failure(
  'error: Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSnapshotCreateXML)\n',
);

describe('a running VM', () => {
  test.each([
    [[], []],
    [['vda'], []],
    [['vdb'], ['vdb']],
    [
      ['vda', 'vdb', 'vdc'],
      ['vdb', 'vdc'],
    ],
  ])('of its disks %j a block job is under way in %j', async (targets, busy) => {
    const { virsh } = answering(([verb, ...options]) => {
      if (verb === 'domstats') return STATS;
      return optionValue(options, '--path') === 'vda' ? '\n' : JOB;
    });
    expect(await readRuntime(virsh, { uuid: UUID, name: 'web' }, targets)).toEqual({
      blockJobs: busy,
      residentBytes: 182_344 * 1024,
    });
  });

  test('that another job holds is busy, and the further disks are not waited for', async () => {
    const fake = answering(([verb]) => (verb === 'domstats' ? STATS : HELD));
    await expect(
      readRuntime(fake.virsh, { uuid: UUID, name: 'web' }, ['vda', 'vdb', 'vdc']),
    ).rejects.toMatchObject({
      code: 'busy',
    });
    expect(fake.processes).toHaveLength(1);
  });

  test.each(VERSIONS)('libvirt %s, asked for other statistics: the memory is not known', async (version) => {
    const { virsh } = answering(() => capture(version, 'domstats.out'));
    expect((await readRuntime(virsh, { uuid: UUID, name: 'web' }, [])).residentBytes).toBeNull();
  });

  test('that answers nothing: nothing is known', async () => {
    const { virsh } = answering(() => new Failure("error: failed to get domain 'x'\n"));
    expect(await readRuntime(virsh, { uuid: UUID, name: 'web' }, ['vda'])).toEqual({
      blockJobs: [],
      residentBytes: null,
    });
  });
});

describe('the merges under way', () => {
  test('are added up over the disks', async () => {
    const { virsh } = answering((command) => (command.includes('vdc') ? '\n' : JOB));
    expect(await readMerged(virsh, UUID, ['vda', 'vdb', 'vdc'])).toEqual({
      doneBytes: 2_097_152,
      totalBytes: 134_217_728,
    });
  });

  test('are none where libvirt tells of none, or nothing at all', async () => {
    expect(await readMerged(answering(() => '\n').virsh, UUID, ['vda'])).toBeNull();
    expect(await readMerged(answering(() => HELD).virsh, UUID, ['vda'])).toBeNull();
    const fake = answering(() => JOB);
    expect([await readMerged(fake.virsh, UUID, []), fake.processes]).toEqual([null, []]);
  });
});

describe('waiting for the job that holds a VM', () => {
  test.each([
    ['none', 'Job type:         None        \n\n', true],
    [
      'a VM that is off',
      new Failure('error: Requested operation is not valid: domain is not running\n'),
      true,
    ],
    ['it goes on', HELD, false],
  ])('%s', async (_, answer, idle) => {
    const { virsh } = answering(([verb]) => (verb === 'uri' ? 'qemu:///system\n\n' : answer));
    expect(await isIdle(virsh, UUID)).toBe(idle);
  });

  test('libvirtd is away', async () => {
    const fake = answering(() => '');
    fake.die = () => 'error: failed to connect to the hypervisor\n';
    await expect(isIdle(fake.virsh, UUID)).rejects.toMatchObject({ code: 'unreachable' });
  });
});

describe('how far a save to a file is', () => {
  const RAW = `Job type: 2\noperation: 6\ntime_elapsed: 604\ndata_total: 1468538880\ndata_processed: 351218309\ndata_remaining: 1117093888\n\n`;

  test.each([
    ['under way', RAW, { doneBytes: 351_444_992, totalBytes: 1_468_538_880 }],
    ['none', 'Job type: None\n\n', null],
    ['the VM is gone', new Failure("error: failed to get domain 'x'\n"), null],
  ])('%s', async (_, answer, progress) => {
    expect(await readJobProgress(answering(() => answer).virsh, UUID)).toEqual(progress);
  });
});
