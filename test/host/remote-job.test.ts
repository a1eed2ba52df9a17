// A write on another host whose connection does not come back.
import { expect, test } from 'vitest';
import type { Connection } from '../../src/host/ssh/connection.ts';
import { HostAway } from '../../src/host/ssh/host-away.ts';
import { runJob } from '../../src/host/ssh/remote-job.ts';
import { type Reply, ShellFailure } from '../../src/host/ssh/shell.ts';

const reply = (stdout: string, code = 0): Reply => ({
  stdout: Buffer.from(stdout),
  stderr: Buffer.alloc(0),
  code,
});

/** Answers the scripts in this order; then the host is away. */
function hostWith(answers: readonly (Reply | Error)[]) {
  const scripts: string[] = [];
  const notes: string[] = [];
  const left = [...answers];
  let clock = 0;
  let writes = 0;
  const once: Connection['once'] = async (script) => {
    scripts.push(script);
    const answer = left.shift() ?? new HostAway('unreachable', 'no route to host');
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const running = runJob(
    {
      connection: { name: 'kvm1', once, read: once, close: () => undefined },
      mostBytes: 1000,
      note: (line) => notes.push(line),
      async sleep(milliseconds) {
        clock += milliseconds;
      },
      now: () => clock,
      newId: () => String(scripts.length),
      onWrite: () => writes++,
    },
    'virsh snapshot-create-as',
  );
  return { running, scripts, notes, clock: () => clock, writes: () => writes };
}

test('the host stays away: never a success, after a minute', async () => {
  const host = hostWith([reply(''), reply('running\n')]);
  await expect(host.running).rejects.toMatchObject({
    code: 'unreachable',
    message: 'the connection to kvm1 was lost; what kvmsnap has started there may still be running',
  });
  expect(host.clock()).toBe(60_000);
  expect(host.notes).toHaveLength(1);
});

test('the host was never reached: nothing was begun', async () => {
  const host = hostWith([]);
  await expect(host.running).rejects.toThrow('no route to host');
  expect([host.writes(), host.scripts.length]).toEqual([0, 1]);
});

test('lost while it is started: the directory decides whether it was', async () => {
  const lost = new ShellFailure('lost', 'closed');
  const claimed = hostWith([lost, reply(''), reply(''), reply('done 0 2\nok'), reply('')]);
  expect(await claimed.running).toMatchObject({ code: 0, stdout: Buffer.from('ok') });
  expect(claimed.scripts.filter((script) => script.includes('snapshot-create-as'))).toHaveLength(2);

  const begun = hostWith([lost, reply('', 1), reply('done 3 0\n'), reply('')]);
  expect(await begun.running).toMatchObject({ code: 3 });
  expect(begun.scripts.filter((script) => script.includes('snapshot-create-as'))).toHaveLength(1);
});

test('no answer while it is started, and the host stays away: it may have been begun', async () => {
  const host = hostWith([new HostAway('timed-out', 'no answer within 45 s')]);
  await expect(host.running).rejects.toMatchObject({ code: 'unreachable' });
  expect(host.writes()).toBe(1);
});

test('a host that was restarted: it is unknown how it ended', async () => {
  expect(await hostWith([reply(''), reply('gone\n'), reply('')]).running).toBeNull();
});
