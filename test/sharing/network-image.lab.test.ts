// A network disk that two VMs have: the address is the identity of its image.
import { spawn } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { refused } from '../lab/evidence.ts';
import { scratch, tool, waitFor } from '../lab/lab.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { succeed } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const PORT = 10_877;
const MiB = 1024 * 1024;

/** A VM whose disk is a qcow2 image on that server. */
function onServer(name: string, host: string): Vm {
  const source = `<source protocol='nbd' name='disk'><host name='${host}' port='${PORT}'/></source>`;
  const xml = `<disk type='network' device='disk'><driver name='qemu' type='qcow2'/>${source}<target dev='vda' bus='virtio'/></disk>`;
  return defineVm({ name, disks: [], extraDevicesXml: xml });
}

const answers = () =>
  new Promise<boolean>((resolve) => {
    const socket = connect(PORT, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.end());
  });

test('neither reverts the image of another VM, nor deletes its snapshot', async () => {
  const image = join(scratch, 'served.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '8M']);
  writePattern(image, 0x11, 0, MiB);
  truncateSync(image, 64 * MiB); // the export does not grow
  const server = spawn('qemu-nbd', ['-x', 'disk', '-f', 'raw', '-p', String(PORT), '-e', '9', '-t', image], {
    stdio: 'ignore',
  });
  try {
    await waitFor(answers, { what: 'the server' });
    const [first, second] = [onServer('first', 'localhost'), onServer('second', '127.0.0.1')];
    start(first);
    const { stderr } = await succeed('create-as', 'first', 's1');
    expect(stderr).toContain(`other VMs use nbd://localhost:${PORT}/disk too: VM second (shut off)`);
    const command = ['qemu-monitor-command', '--domain', first.uuid, '--hmp'];
    const write = 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 34 0 1M"';
    tool('virsh', [...command, write]);
    const { exitCode, message } = await refused('revert', 'first', 's1', '--force');
    expect([exitCode, message]).toEqual([
      5,
      expect.stringContaining('VM second (shut off) uses it as disk vda'),
    ]);
    destroy(first);
    expect(hasPattern(`nbd://127.0.0.1:${PORT}/disk`, 0x22, 0, MiB)).toBe(true);
    // the same snapshot, known to the other VM
    tool('sh', [
      '-c',
      'virsh snapshot-dumpxml "$1" s1 | sed "s/$1/$2/g; s/<name>first</<name>second</" > "$3" && virsh snapshot-create "$2" "$3" --redefine',
      ...['sh', first.uuid, second.uuid, join(scratch, 's1.xml')],
    ]);
    expect((await refused('delete', 'first', 's1')).message).toContain('belongs to another VM too');
    expect([snapshotNames(first), tags(`nbd://127.0.0.1:${PORT}/disk`).length]).toEqual([['s1'], 1]);
  } finally {
    server.kill('SIGKILL');
  }
});
