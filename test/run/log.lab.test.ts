// Who did what: one line in the log of the system per revert, delete, prune, fix and hold.
import { createSocket } from 'node:dgram';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tool } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const user = userInfo().username;
const received: string[] = [];
const daemon = createSocket('udp4', (packet) => received.push(packet.toString()));
let vm: Vm;
let env: Readonly<Record<string, string>>;

beforeAll(() => new Promise<void>((listening) => void daemon.bind(0, '127.0.0.1', listening)));
afterAll(() => void daemon.close());

beforeEach(() => {
  vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  const bin = mkdtempSync(join(scratch, 'logger-'));
  // the real one, which sends to the socket of this test: the lab has no syslog
  const real = tool('sh', ['-c', 'command -v logger']).trim();
  const { port } = daemon.address();
  writeFileSync(join(bin, 'logger'), `#!/bin/sh\nexec ${real} -n 127.0.0.1 -P ${port} -d --rfc3164 "$@"\n`);
  chmodSync(join(bin, 'logger'), 0o755);
  env = { PATH: `${bin}:${process.env['PATH']}`, SUDO_USER: 'ann' };
});

/** The lines of the log since the last look, without the header of syslog. */
async function lines(): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve, 300));
  return received
    .splice(0)
    .flatMap((line) => /^<\d+>.*? kvmsnap: (.*)$/s.exec(line)?.[1] ?? [`odd: ${line}`]);
}

test('each action has its line, and what changes nothing has none', async () => {
  const run = (line: string) => kvmsnap(line.split(' '), { env });
  for (const name of ['s1', 's2', 's3']) take(vm, name);
  const who = (line: string) => `result=done user=${user} sudo-user=ann command='kvmsnap ${line}'`;
  for (const [line, expected] of [
    ['create-as web s4', []],
    ['list web', []],
    ['delete web s1 --dry-run', []],
    ['hold web s4', ['hold vm=web snapshot=s4']],
    ['hold web s4', []],
    ['unhold web s4', ['unhold vm=web snapshot=s4']],
    ['revert web s2', ['revert vm=web snapshot=s2']],
    ['delete web s3', ['delete vm=web snapshot=s3']],
    ['prune web --match s* --keep-last 1', ['delete vm=web snapshot=s1', 'delete vm=web snapshot=s2']],
  ] as const) {
    await run(line);
    const shown = line.replace('s*', "'\\''s*'\\''");
    expect([line, await lines()]).toEqual([line, expected.map((text) => `${text} ${who(shown)}`)]);
  }
  expect(snapshotNames(vm)).toEqual(['s4']);
  tool('qemu-img', ['snapshot', '-d', 's4', pathOf(vm)]);
  await run('check web --fix --yes');
  expect(await lines()).toEqual([`unregister vm=web snapshot=s4 ${who('check web --fix --yes')}`]);
});

test('without logger, with one that fails and with one that hangs, the action is done', async () => {
  const bin = mkdtempSync(join(scratch, 'broken-'));
  for (const script of [null, 'exit 1', 'exec sleep 60']) {
    take(vm, 's1');
    const file = join(bin, 'logger');
    rmSync(file, { force: true });
    if (script !== null) writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const tools = ['virsh', 'qemu-img', 'node', 'sleep', 'sh', 'env'].map((name) =>
      tool('sh', ['-c', `command -v ${name}`]).trim(),
    );
    for (const path of tools) tool('ln', ['-sf', path, bin]);
    const result = await kvmsnap(['delete', 'web', 's1', '-q'], { env: { PATH: bin } });
    expect({ script, ...result }).toMatchObject({ script, code: 0, stdout: 's1\n' });
    expect(snapshotNames(vm)).toEqual([]);
  }
});
