// create --disk-only --quiesce with a real guest: its file system is held still for the snapshot, and never any longer.
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmsnap, type RunningCli, spawnKvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { pasteOk } from '../lab/evidence.ts';
import { followHint } from '../lab/failure.ts';
import { sendSignal, virsh, waitFor } from '../lab/lab.ts';
import { isFrozen, type LinuxGuest, lookInto, startLinux } from '../scene/linux-guest.ts';
import { virshUnderWay } from '../scene/saving.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { fail, failure, fitting, succeed } from '../scene/steps.ts';
import { cleanUp, domainXml } from '../scene/vm.ts';

const hasApt = existsSync('/usr/bin/apt-get');
let guest: LinuxGuest;

beforeAll(async () => {
  if (hasApt) guest = await startLinux('web');
});
afterAll(cleanUp);

/** `--force`: an older libvirtd cannot go back to it, which is no matter here. */
const take = (name: string, ...options: string[]) => [
  'create-as',
  'web',
  name,
  '--disk-only',
  '--force',
  ...options,
];

/** The image that the VM writes to. */
const imageInUse = (): string => /<source file='([^']*)'/.exec(domainXml(guest))?.[1] ?? '';

/** Waits till the guest has written once more: nothing holds it. */
const writesOn = (): Promise<unknown> => {
  const before = guest.count();
  return waitFor(() => guest.count() > before, { what: 'another count of the guest' });
};

/** Begins a quiesced snapshot, as far as the guest's agent: that does not freeze before `letFreeze`. */
async function begin(name: string): Promise<RunningCli> {
  const freezes = () => guest.said().split('hook freeze').length;
  const before = freezes();
  await guest.shell('touch /hold');
  const run = spawnKvmsnap([...take(name, '--quiesce'), '-q']);
  await waitFor(() => freezes() > before, { what: 'the freeze' });
  return run;
}
const letFreeze = () => guest.shell('rm /hold');

/** Sends SIGTERM and waits till kvmsnap has said why it does not end. */
async function interrupt(run: RunningCli): Promise<void> {
  run.kill('SIGTERM');
  await waitFor(() => run.stderr.includes('SIGTERM: libvirt cannot cancel this'), {
    what: 'a word on the signal',
  });
}

const connected = (wanted: boolean) =>
  waitFor(() => domainXml(guest).includes("state='connected'") === wanted, { what: `connected: ${wanted}` });

/** Whether the guest, which writes ten times a second, has not written for a while. */
async function standsStill(): Promise<boolean> {
  const before = guest.count();
  await sleep(700);
  return guest.count() === before;
}

/** The rules of what check finds. */
async function found(): Promise<string[]> {
  const { domains } = fitting('check', JSON.parse((await kvmsnap(['--json', 'check', 'web'])).stdout));
  return domains[0]?.findings.map(({ rule }) => rule) ?? [];
}

describe.runIf(hasApt)('--quiesce', () => {
  test('brings to the image all that was written, and its file system is clean; without it, it is not', async () => {
    expect(await found()).not.toContain('no-guest-agent');
    const first = imageInUse();
    await succeed(...take('plain'));
    expect(lookInto(first)).toEqual({ needsRecovery: true, count: null });

    const second = imageInUse();
    await writesOn();
    const written = guest.count();
    await succeed(...take('quiet', '--quiesce'));
    const { needsRecovery, count } = lookInto(second);
    expect(needsRecovery).toBe(false);
    expect(count).toBeGreaterThanOrEqual(written);
    expect(isFrozen(guest)).toBe(false);
    await writesOn();
  });

  test.each([
    {
      what: 'kvmsnap gets a signal',
      name: 'signal',
      interruptBy: interrupt,
      end: { code: 143, stderr: expect.stringContaining('error: ended by SIGTERM') },
    },
    {
      what: 'virsh is killed',
      name: 'virsh',
      interruptBy: async () => void sendSignal(await virshUnderWay('snapshot-create-as'), 'SIGKILL'),
      end: { code: 0, stderr: expect.stringContaining('virsh did not report the result') },
    },
  ])('is seen through when $what in the middle', async ({ name, interruptBy, end }) => {
    const image = imageInUse();
    const run = await begin(name);
    await interruptBy(run);
    await letFreeze();
    expect(await run.done).toMatchObject({ stdout: `${name}\n`, ...end });
    expect(lookInto(image)).toMatchObject({ needsRecovery: false });
    expect(isFrozen(guest)).toBe(false);
    await writesOn();
  });

  test('is left to libvirtd after a second signal, with the command to thaw', async () => {
    const run = await begin('left');
    await interrupt(run);
    run.kill('SIGTERM');
    const { code, stderr } = await run.done;
    expect({ code, told: stderr.includes(`virsh domfsthaw --domain ${guest.uuid}`) }).toEqual({
      code: 143,
      told: true,
    });
    await letFreeze();
    await waitFor(() => snapshotNames(guest).includes('left'), { what: 'the snapshot' });
    await waitFor(() => !isFrozen(guest), { what: 'the thaw' });
    await writesOn();
  });

  test('thaws the guest that a libvirtd has left frozen, which has died', async () => {
    const run = await begin('lost');
    await killLibvirtd();
    await letFreeze();
    await startLibvirtd();
    const { code, stderr } = await run.done;
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the guest file systems were still frozen; kvmsnap has thawed them'),
    });
    expect(isFrozen(guest)).toBe(false);
    await writesOn();
  });

  test('does not begin, nor thaw, where somebody else holds the file systems', async () => {
    const before = [imageInUse(), snapshotNames(guest)];
    virsh('domfsfreeze', '--domain', guest.uuid);
    const { message, command } = await failure(5, ...take('frozen', '--quiesce'));
    expect(message).toContain('already frozen, possibly by a backup');
    expect([imageInUse(), snapshotNames(guest)]).toEqual(before);
    expect(isFrozen(guest)).toBe(true);
    pasteOk(command);
    await writesOn();
  });

  test('does not begin where the agent hangs, or has died', async () => {
    const before = [imageInUse(), snapshotNames(guest)];
    await guest.shell('killall -STOP qemu-ga');
    expect(await fail(5, ...take('hung', '--quiesce'))).toContain('the guest agent does not answer');
    await guest.shell('killall -9 qemu-ga');
    await connected(false);
    expect(await fail(5, ...take('dead', '--quiesce'))).toContain('no guest agent is connected');
    expect(await found()).toContain('no-guest-agent');
    expect([imageInUse(), snapshotNames(guest)]).toEqual(before);
    await guest.shell('agent &');
    await connected(true);
  });

  test('says that it cannot know, where libvirtd and then the agent have died, and what thaws', async () => {
    const run = await begin('unknown');
    await killLibvirtd();
    await letFreeze();
    await waitFor(standsStill, { what: 'a frozen guest' });
    await guest.shell('killall -9 qemu-ga');
    await startLibvirtd();
    const { code, stderr } = await run.done;
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the guest file systems may still be frozen'),
    });
    await guest.shell('agent &');
    await connected(true);
    expect(isFrozen(guest)).toBe(true);
    followHint(guest, stderr);
    await writesOn();
  });
});
