import { describe, expect, test } from 'vitest';
import { createVirsh } from '../../src/libvirt/virsh.ts';
import { Failure, fakeLibvirt } from './fake-libvirt.ts';

describe('the connection', () => {
  test.each([
    [null, []],
    ['qemu+ssh://root@host/system', ['-c', 'qemu+ssh://root@host/system']],
  ])('%j', async (uri, connection) => {
    const fake = fakeLibvirt([], uri);
    fake.intercept = ([verb]) => (verb === 'snapshot-delete' ? '' : undefined);
    await fake.virsh.read([['uri']]);
    await fake.virsh.write(['snapshot-delete', '--domain', 'u', '--snapshotname', '--x; y']);
    expect(fake.processes).toEqual([
      [...connection, 'echo @@nonce-0; uri'],
      [...connection, 'snapshot-delete', '--domain', 'u', '--snapshotname', '--x; y'],
    ]);
  });

  test('read-only: reads say so, and a write is refused', async () => {
    const fake = fakeLibvirt([]);
    const virsh = createVirsh(fake.exec, 'qemu:///system', 'nonce', true);
    await virsh.read([['uri']]);
    await expect(virsh.write(['snapshot-delete'])).rejects.toMatchObject({ code: 'usage' });
    await expect(virsh.writeInOne([['snapshot-delete']])).rejects.toMatchObject({ code: 'usage' });
    expect(fake.processes).toEqual([['-r', '-c', 'qemu:///system', 'echo @@nonce-0; uri']]);
  });

  test('an option of virsh is no URI', () => {
    expect(() => createVirsh(fakeLibvirt([]).exec, '--readonly', 'n')).toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
  });

  test('the line of a write can be pasted', () => {
    expect(fakeLibvirt([], 'qemu:///system').virsh.line(['snapshot-delete', '--snapshotname', 'a b'])).toBe(
      "virsh -c qemu:///system snapshot-delete --snapshotname 'a b'",
    );
  });
});

describe('reading', () => {
  test('the answers of several processes, in order, with all that they said on stderr', async () => {
    const fake = fakeLibvirt([]);
    fake.intercept = ([verb = '', word = '']) =>
      verb === 'fail' ? new Failure(`error: ${word.length}\n`) : undefined;
    const long = ['fail', 'x'.repeat(90_000)];
    const answers = await fake.virsh.read([['uri'], long, long, ['uri']]);
    expect(answers).toEqual({
      texts: ['qemu:///system\n', '', '', 'qemu:///system\n'],
      stderr: 'error: 90000\nerror: 90000\n',
      lastSucceeded: true,
    });
    expect(fake.processes).toHaveLength(2);
  });

  test("a failure that is not a process's last does not show in its exit code", async () => {
    const fake = fakeLibvirt([]);
    fake.intercept = ([verb]) => (verb === 'fail' ? new Failure('error: no\n') : undefined);
    expect((await fake.virsh.read([['fail'], ['uri']])).lastSucceeded).toBe(true);
    expect((await fake.virsh.read([['uri'], ['fail']])).lastSucceeded).toBe(false);
  });

  test('a virsh that was killed has answered nothing', async () => {
    const fake = fakeLibvirt([]);
    fake.die = () => '';
    await expect(fake.virsh.read([['uri']])).rejects.toMatchObject({ code: 'unreachable' });
  });
});
