// A VM with a small Linux in it, whose guest agent answers: its file system can be held still.
import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { defineVm, domainXml, start, type Vm } from './vm.ts';

const build = fileURLToPath(new URL('../lab/linux-guest.sh', import.meta.url));

/** Where enter.sh keeps what is built once. */
const cache = process.env['KVMSNAP_LAB_CACHE'] ?? dirname(scratch);

/** A Linux that counts in a file of its disk, all the time. */
export interface LinuxGuest extends Vm {
  /** All that it has said on its serial port. */
  readonly said: () => string;
  /** The last number that it has written. */
  readonly count: () => number;
  /** Has its shell do a line, and waits till that is done. */
  readonly shell: (line: string) => Promise<void>;
}

/** What the VM has as its first disk: ext4, empty. */
function fileSystem(): string {
  const [raw, image] = [join(scratch, 'ext4.raw'), join(scratch, 'ext4.qcow2')];
  tool('mke2fs', ['-q', '-F', '-t', 'ext4', raw, '16M']);
  tool('qemu-img', ['convert', '-O', 'qcow2', '--', raw, image]);
  return image;
}

/** Starts a Linux and waits till its agent is connected: some seconds. `cleanUp` removes it. */
export async function startLinux(name: string): Promise<LinuxGuest> {
  const directory = tool(build, [cache], { timeoutMs: 600_000 }).trim();
  const [socket, log] = [join(scratch, 'serial'), join(scratch, 'serial.log')];
  const vm = defineVm({
    name,
    memoryMiB: 160,
    disks: [{ source: fileSystem() }],
    osXml: `<os><type arch='x86_64' machine='pc'>hvm</type><kernel>${directory}/kernel</kernel>
      <initrd>${directory}/initrd</initrd><cmdline>console=ttyS0 quiet panic=1</cmdline></os>`,
    extraDevicesXml: `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <serial type='unix'><source mode='bind' path='${socket}'/><log file='${log}'/></serial>`,
  });
  start(vm);
  const serial = await connect(socket);
  const said = () => readFileSync(log, 'utf8');
  const count = () => Number(/.*^count (\d+)\r?$/ms.exec(said())?.[1] ?? 0);
  await waitFor(() => domainXml(vm).includes("state='connected'"), {
    what: 'a connected guest agent',
    timeoutMs: 60_000,
    intervalMs: 100,
  });
  await waitFor(() => count() > 0, { what: 'the first count of the guest' });
  let lines = 0;
  const shell = async (line: string): Promise<void> => {
    const mark = `line ${++lines} is done`;
    serial.write(`${line}\necho ${mark.replace('is', '"is"')} >/dev/console\n`); // the port shows the line too
    await waitFor(() => said().includes(mark), { what: line });
  };
  return { ...vm, said, count, shell };
}

async function connect(path: string): Promise<Socket> {
  const socket = createConnection(path);
  socket.on('error', () => {}); // the VM's end
  socket.resume();
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

/** Whether the guest's file systems are held still, by its agent's word. */
export function isFrozen(guest: Vm): boolean {
  const status = '{"execute":"guest-fsfreeze-status"}';
  return virsh('qemu-agent-command', '--domain', guest.uuid, '--cmd', status).includes('"frozen"');
}

/** A file system of a disk, as a VM would find it that starts from this image. */
export interface FoundFileSystem {
  /** Whether it was in use, and its journal holds what it lacks. */
  readonly needsRecovery: boolean;
  /** The last number in the file of the guest; null: there is none. */
  readonly count: number | null;
}

/** Looks into an image, also of a running VM; throws when its file system is damaged. */
export function lookInto(path: string): FoundFileSystem {
  const raw = join(scratch, 'look.raw');
  tool('qemu-img', ['convert', '-U', '-O', 'raw', '--', path, raw]);
  tool('fsck.ext4', ['-fn', raw]);
  const count = tool('debugfs', ['-R', 'cat /count', raw]).trim();
  return {
    needsRecovery: /^Filesystem features:.* needs_recovery /m.test(tool('dumpe2fs', ['-h', raw])),
    count: count === '' ? null : Number(count),
  };
}
