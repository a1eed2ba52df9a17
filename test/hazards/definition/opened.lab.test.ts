// Reverts to a stored definition whose files, sockets and servers are there, are gone, or are another kind of file (hazard 44).
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { scratch, tool, waitFor } from '../../lab/lab.ts';
import { libvirtVersion } from '../../lab/version.ts';
import { succeed, take } from '../../scene/steps.ts';
import { cleanUp, defineVm, start, state, type Vm } from '../../scene/vm.ts';
import { type LackCase, lacking, words } from './lacking.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const place = (name: string) => join(scratch, name);
const device = (xml: string) => words('</devices>', `${xml}</devices>`);
const cdrom = (source: string, type = 'file') =>
  device(
    `<disk type='${type}' device='cdrom'><driver name='qemu' type='raw'/>${source}<target dev='hdc' bus='ide'/><readonly/></disk>`,
  );
/** First something is made at a path, and then the definition names it. */
const after =
  (make: () => void, change: (vm: Vm) => void): ((vm: Vm) => void) =>
  (vm) => {
    make();
    change(vm);
  };
const aDirectory = () => mkdirSync(place('a-directory'), { recursive: true });
const aPipe = () => existsSync(place('a-pipe')) || tool('mkfifo', [place('a-pipe')]);
const aFile = () => writeFileSync(place('a-file'), Buffer.alloc(4096));

/** A socket whose program was killed. */
function staleSocket(): void {
  const script = `require('net').createServer().listen('${place('stale')}', () => process.kill(process.pid, 'SIGKILL'))`;
  if (!existsSync(place('stale'))) expect(() => tool(process.execPath, ['-e', script])).toThrow();
  expect(existsSync(place('stale'))).toBe(true);
}

/** What QEMU opens or connects to: nothing is there, no program is behind it, or it is another kind of file. */
const OPENED: readonly LackCase[] = [
  {
    what: 'a named pipe that is gone',
    lack: device(`<serial type='pipe'><source path='${place('gone')}'/></serial>`),
    says: /pipe \S+\/gone \((?:serial|console) device\), which does not exist/,
  },
  {
    what: 'a socket that is gone',
    lack: device(`<serial type='unix'><source mode='connect' path='${place('gone')}'/></serial>`),
    says: /socket \S+\/gone \((?:serial|console) device\), which does not exist/,
  },
  {
    what: 'a socket whose program was killed',
    lack: after(
      staleSocket,
      device(`<serial type='unix'><source mode='connect' path='${place('stale')}'/></serial>`),
    ),
    says: /socket \S+\/stale \((?:serial|console) device\), which no program listens on/,
  },
  {
    what: 'a server that is not running',
    lack: device(
      "<serial type='tcp'><source mode='connect' host='127.0.0.1' service='5990'/><protocol type='raw'/></serial>",
    ),
    says: /port 5990 of 127\.0\.0\.1 \((?:serial|console) device\), which no program listens on/,
  },
  {
    what: 'an NBD server that is not running',
    lack: cdrom("<source protocol='nbd' name='x'><host name='localhost' port='5991'/></source>", 'network'),
    says: /port 5991 of localhost \(server of hdc\), which no program listens on/,
  },
  {
    what: 'the socket of an NBD server that is gone',
    lack: cdrom(
      `<source protocol='nbd' name='x'><host transport='unix' socket='${place('gone')}'/></source>`,
      'network',
    ),
    says: /socket \S+\/gone \(server of hdc\), which does not exist/,
  },
  {
    what: 'an ISO in whose place there is a directory',
    lack: after(aDirectory, cdrom(`<source file='${place('a-directory')}'/>`)),
    says: /\/a-directory \(medium of hdc\), which is a directory, not a file/,
  },
  {
    what: 'an ISO in whose place there is a named pipe',
    lack: after(aPipe, cdrom(`<source file='${place('a-pipe')}'/>`)),
    says: /\/a-pipe \(medium of hdc\), which is a named pipe, not a file/,
    hangs: true,
  },
  {
    what: 'an ISO in whose place there is a socket',
    lack: after(staleSocket, cdrom(`<source file='${place('stale')}'/>`)),
    says: /\/stale \(medium of hdc\), which is a socket, not a file/,
  },
  {
    what: 'a device in whose place there is a file',
    lack: after(aFile, cdrom(`<source dev='${place('a-file')}'/>`, 'block')),
    says: /\/a-file \(medium of hdc\), which is a regular file, not a device/,
  },
  {
    what: 'a kernel in whose place there is a directory',
    lack: after(aDirectory, words('<os>', `<os><kernel>${place('a-directory')}</kernel>`)),
    says: /\/a-directory \(kernel\), which is a directory, not a file/,
  },
  {
    what: 'firmware in whose place there is a directory',
    lack: after(aDirectory, words('<boot', `<loader type='rom'>${place('a-directory')}</loader><boot`)),
    says: /\/a-directory \(firmware\), which is a directory, not a file/,
  },
  {
    what: 'an output file in whose place there is a directory',
    lack: after(aDirectory, device(`<serial type='file'><source path='${place('a-directory')}'/></serial>`)),
    says: /\/a-directory \((?:serial|console) device\), which is a directory, not a file/,
  },
];

OPENED.forEach(lacking);
const listening = (server: Server): Promise<unknown> =>
  new Promise((resolve) => server.once('listening', resolve));

test('what QEMU opens or connects to is there: the revert works, and no server is disturbed', async () => {
  const clients = { unix: 0, tcp: 0 };
  const unix = createServer((client) => {
    clients.unix++;
    client.on('error', () => {});
  }).listen(place('server'));
  const tcp = createServer((client) => {
    clients.tcp++;
    client.on('error', () => {});
  }).listen(5992, '127.0.0.1');
  await Promise.all([unix, tcp].map(listening));
  tool('mkfifo', [place('p.in'), place('p.out')]);
  aFile();
  const nbd = spawn('qemu-nbd', ['-r', '-t', '-f', 'raw', '-k', place('nbd'), place('a-file')], {
    stdio: 'ignore',
  });
  await waitFor(() => existsSync(place('nbd')), { what: 'the socket of qemu-nbd' });
  const devices = [
    `<serial type='unix'><source mode='connect' path='${place('server')}'/></serial>`,
    "<serial type='tcp'><source mode='connect' host='127.0.0.1' service='5992'/><protocol type='raw'/></serial>",
    `<serial type='pipe'><source path='${place('p')}'/></serial>`,
    // libvirt does not wait for this one
    `<serial type='unix'><source mode='connect' path='${place('gone')}'><reconnect enabled='yes' timeout='5'/></source></serial>`,
    `<disk type='network' device='cdrom'><driver name='qemu' type='raw'/><source protocol='nbd'><host transport='unix' socket='${place('nbd')}'/></source><target dev='hdc' bus='ide'/><readonly/></disk>`,
  ];
  try {
    const vm = defineVm({
      name: 'web-1',
      boot: 'counter',
      disks: [{ size: '8M' }],
      extraDevicesXml: devices.join(''),
    });
    start(vm);
    take(vm, 's1');
    await waitFor(() => clients.unix + clients.tcp === 2, { what: 'the connections of QEMU' });
    const before = { ...clients };
    const { stderr } = await succeed('revert', 'web-1', 's1', '--dry-run');
    expect(stderr).not.toMatch(/warning/);
    expect(clients).toEqual(before);
    await succeed('revert', 'web-1', 's1');
    expect(state(vm)).toBe('running');
  } finally {
    nbd.kill();
    unix.close();
    tcp.close();
  }
});

test('a server of another host: a warning says that it is not checked', async () => {
  const vm = defineVm({ name: 'web-1', boot: 'counter', disks: [{ size: '8M' }] });
  start(vm);
  take(vm, 's1');
  device(
    "<serial type='tcp'><source mode='connect' host='192.0.2.9' service='4555'/><protocol type='raw'/></serial>",
  )(vm);
  const { stderr } = await succeed('revert', 'web-1', 's1', '--dry-run');
  // 7.0 loads the memory into the QEMU that runs, which connects to nothing
  const says = /warning: .*port 4555 of 192\.0\.2\.9 .*cannot check whether that server answers/;
  expect(says.test(stderr)).toBe(libvirtVersion !== '7.0');
});
