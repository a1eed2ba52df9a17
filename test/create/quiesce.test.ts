// --quiesce: whatever becomes of the snapshot, the guest's file systems are not left frozen. The guest and its agent are made up.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { create } from '../../src/create/create.ts';
import type { KvmsnapError } from '../../src/errors.ts';
import type { Context } from '../../src/run/context.ts';
import { Failure } from '../libvirt/fake-libvirt.ts';
import { type FakeHost, fakeHost } from '../run/fake-host.ts';

const directory = mkdtempSync(join(tmpdir(), 'quiesce-'));
afterAll(() => rmSync(directory, { recursive: true }));

const SILENT = new Failure('error: Guest agent is not responding: QEMU guest agent is not connected\n');
const LOST = new Failure(
  'error: Disconnected from qemu:///system due to end of file\nerror: End of file while reading data: Input/output error\n',
);
const BUSY = new Failure(
  'error: Timed out: cannot acquire state change lock (held by monitor=remoteDispatchX)\n',
);
const REFUSED = new Failure('error: operation failed: no space\n');

let host: FakeHost;
let ctx: Context;
/** What the agent says: `frozen`, `thawed`; null: nothing. */
let status: string | null;
let pings: boolean;
let thaws: () => string | Failure;
/** What becomes of the create once the guest is frozen. */
let creating: () => string | Failure;

beforeEach(() => {
  host = fakeHost();
  ctx = host.context();
  host.vm.state = 'running (booted)';
  host.vm.xml = host.vm.xml.replace(
    '</devices>',
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel></devices>",
  );
  status = 'thawed';
  pings = true;
  thaws = () => {
    status = 'thawed';
    return 'Thawed 1 filesystem(s)\n';
  };
  creating = () => REFUSED;
  const ordinary = host.libvirt.intercept;
  host.libvirt.intercept = (command, process) => {
    const [verb = ''] = command;
    const answers: Readonly<Record<string, () => string | Failure>> = {
      domstats: () => '',
      blockjob: () => '',
      domjobinfo: () => 'Job type:         None\n',
      'qemu-agent-command': () => agent(command.at(-1) ?? ''),
      domfsthaw: () => thaws(),
      'snapshot-create-as': () => {
        status = 'frozen';
        return creating();
      },
    };
    return answers[verb]?.() ?? ordinary(command, process);
  };
});

function agent(json: string): string | Failure {
  if (JSON.parse(json).execute === 'guest-ping') return pings ? '{"return":{}}\n' : SILENT;
  return status === null ? SILENT : `{"return":"${status}"}\n`;
}

const commands = () => host.libvirt.commands.map(([verb]) => verb);

const take = () =>
  create(ctx, ['b-fix'], 's9', {
    diskOnly: true,
    quiesce: true,
    diskspec: ['vda', 'vdb'].map((disk) => ({
      text: '',
      spec: { disk, location: null, file: join(directory, disk), driver: null, storage: null },
    })),
  }).then(
    () => null,
    (error: KvmsnapError) => error,
  );

describe('an agent that does not answer', () => {
  test('connected, but silent: nothing is begun', async () => {
    pings = false;
    expect(await take()).toMatchObject({
      code: 'check',
      message: expect.stringContaining('does not answer'),
    });
    expect(commands()).not.toContain('snapshot-create-as');
    expect(commands()).not.toContain('domfsthaw');
  });
});

test('file systems that are held still already are whoever holds them: nothing is begun, and nothing thawed', async () => {
  status = 'frozen';
  expect(await take()).toMatchObject({
    code: 'check',
    message: expect.stringContaining('already frozen, possibly by a backup'),
    command: `virsh domfsthaw ${host.vm.name}`,
  });
  expect(commands()).not.toContain('snapshot-create-as');
  expect(commands()).not.toContain('domfsthaw');
});

describe('a create that fails', () => {
  test('is asked whether the guest is thawed, and nothing more where it is', async () => {
    creating = () => {
      status = 'thawed';
      return REFUSED;
    };
    expect(await take()).toMatchObject({ code: 'refused' });
    expect(commands()).not.toContain('domfsthaw');
  });

  test.each([
    ['refused by libvirtd', REFUSED],
    ['cut off from it', LOST],
    [
      'busy',
      new Failure('error: Timed out: cannot acquire state change lock (held by monitor=remoteDispatchX)\n'),
    ],
  ])('%s, and still frozen: the guest is thawed, and said so', async (_, failure) => {
    creating = () => failure;
    expect(await take()).toMatchObject({ code: failure.stderr.includes('Timed out') ? 'busy' : 'refused' });
    expect(status).toBe('thawed');
    expect(host.notes.join('\n')).toContain('were still frozen; kvmsnap has thawed them');
  });

  test('after a signal too', async () => {
    creating = () => {
      ctx.interrupts.raise('SIGTERM');
      return REFUSED;
    };
    expect(await take()).toMatchObject({ code: 'refused' });
    expect(ctx.interrupts.pending?.code).toBe('terminated');
    expect(status).toBe('thawed');
  });

  test.each([REFUSED, BUSY])('what cannot be thawed is told, with the command: %o', async (failure) => {
    creating = () => failure;
    thaws = () => SILENT;
    const error = await take();
    expect(error?.message).toContain('still frozen, so programs in the guest that write to them hang');
    expect(error?.hint).toContain(`virsh domfsthaw --domain ${host.vm.uuid}`);
  });

  test('an agent that has fallen silent is thawed all the same, and not known is told', async () => {
    creating = () => {
      status = null;
      return REFUSED;
    };
    thaws = () => 'Thawed 1 filesystem(s)\n';
    expect((await take())?.message).not.toContain('thawed');
    expect(commands()).toContain('domfsthaw');
    thaws = () => SILENT;
    expect((await take())?.message).toContain('may still be frozen; the guest agent does not answer');
  });
});

test('a run that is to end now says how to thaw it', async () => {
  creating = () => {
    ctx.interrupts.raise('SIGTERM');
    ctx.interrupts.raise('SIGTERM');
    return REFUSED;
  };
  await take();
  expect(ctx.interrupts.pending?.message).toContain(`virsh domfsthaw --domain ${host.vm.uuid}`);
});

test('a VM that was halted has nothing to thaw', async () => {
  creating = () => {
    host.vm.state = 'shut off (from snapshot)';
    return REFUSED;
  };
  await take();
  expect(commands()).not.toContain('domfsthaw');
});
