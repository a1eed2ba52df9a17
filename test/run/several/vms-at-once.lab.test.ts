// Several VMs at once, interrupted, made to wait: on a real libvirtd, held in the middle of a write.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { inText } from '../../../src/model/text.ts';
import { DOCUMENTS } from '../../../src/output/contract.ts';
import { kvmsnap, type RunningCli, spawnKvmsnap } from '../../lab/cli.ts';
import { processes } from '../../lab/daemon.ts';
import { errorDocument } from '../../lab/failure.ts';
import { scratch, waitFor } from '../../lab/lab.ts';
import { onTerminal } from '../../lab/terminal.ts';
import { slowVirsh } from '../../scene/saving.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { countTo, tagNames, take, takeHalf } from '../../scene/steps.ts';
import { cleanUp, continueQemu, defineVm, start, state, type Vm } from '../../scene/vm.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

const CREATE = 'snapshot-create-as';
const FIVE = ['m-1', 'm-2', 'm-3', 'm-4', 'm-5'];

const small = (name: string): Vm => defineVm({ name, disks: [{ size: '8M' }] });

/** The VMs of which a virsh that creates a snapshot is under way, or held before it. */
const underWay = (vms: readonly Vm[]): string[] =>
  vms
    .filter(({ uuid }) => processes().some(({ args }) => args.includes(CREATE) && args.includes(uuid)))
    .map(({ name }) => name);

/** The VMs that have a snapshot, by libvirt and by the image. */
function haveOne(vms: readonly Vm[]): string[] {
  const having = vms.filter((vm) => snapshotNames(vm).length > 0);
  for (const vm of vms) expect(tagNames(vm)[0]).toEqual(snapshotNames(vm));
  return having.map(({ name }) => name);
}

async function interrupt(run: RunningCli, signal: NodeJS.Signals): Promise<void> {
  run.kill(signal);
  await waitFor(() => run.stderr.includes(`${signal}: libvirt cannot cancel`), {
    what: 'a word on the signal',
  });
}

describe('--jobs', () => {
  test.each([
    ['without it one', [], ['m-1']],
    ['with 3 three', ['--jobs', '3'], ['m-1', 'm-2', 'm-3']],
    ['with 99 all', ['--jobs', '99'], FIVE],
  ])('%s at once, and no more; the results are complete and in order', async (_, options, atOnce) => {
    const vms = FIVE.map(small);
    const gate = slowVirsh(CREATE);
    const run = spawnKvmsnap(['create-as', 'm-*', 's1', '-q', ...options], { env: gate.env });
    await waitFor(() => underWay(vms).length >= atOnce.length, { what: `${atOnce.length} at once` });
    await sleep(500); // whatever comes too many
    expect(underWay(vms)).toEqual(atOnce);
    gate.goOn();
    const { code, stdout } = await run.done;
    expect([code, stdout]).toEqual([0, FIVE.map((name) => `${name}/s1\n`).join('')]);
    expect(haveOne(vms)).toEqual(FIVE);
  });

  test('delete and prune too', async () => {
    const vms = FIVE.map(small);
    for (const vm of vms) for (const name of ['s1', 's2']) take(vm, name);
    await succeedWith(
      ['--yes', 'delete', 'm-*', 's1', '--jobs', '3'],
      /^(m-\d: note: snapshot s1 will be deleted permanently \(taken .*\n){5}$/,
    );
    expect(vms.map(snapshotNames)).toEqual(FIVE.map(() => ['s2']));
    await succeedWith(['prune', '--all', '--match', '*', '--keep-last', '0', '--allow-empty', '--jobs', '3']);
    expect(haveOne(vms)).toEqual([]);
  });

  /** Runs it; the names it prints are in the order of the machines. */
  async function succeedWith(args: readonly string[], says = /^$/): Promise<void> {
    const { code, stdout, stderr } = await kvmsnap([...args, '-q']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(says) });
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split('/')[0]),
    ).toEqual(FIVE);
  }
});

describe('interrupted in the middle of several', () => {
  test.each([
    ['SIGTERM', 143, []],
    ['SIGINT', 130, ['--jobs', '2']],
  ] as const)(
    '%s: those under way come to their end, the rest is not reached and said so, exit %i',
    async (signal, exitCode, options) => {
      const vms = FIVE.map(small);
      const reached = FIVE.slice(0, options.length === 0 ? 1 : 2);
      const rest = FIVE.slice(reached.length);
      const gate = slowVirsh(CREATE);
      const run = spawnKvmsnap(['create-as', 'm-*', 's1', ...options], { env: gate.env });
      await waitFor(() => underWay(vms).length === reached.length, { what: 'a create under way' });
      await interrupt(run, signal);
      gate.goOn();
      const { code, stdout, stderr } = await run.done;
      expect(code).toBe(exitCode);
      expect(haveOne(vms)).toEqual(reached);
      const rows = stdout.trimEnd().split('\n').slice(1);
      expect(rows.map((row) => row.replace(/ .* {2}/, ' '))).toEqual([
        ...reached.map((name) => `${name} taken`),
        ...rest.map((name) => `${name} not reached`),
      ]);
      expect(stderr).toMatch(/^note: work on \d VMs? was not started: /m);
      expect(stderr).toContain(` was not started: ${rest.map((name) => `${inText(name)}`).join(', ')}\n`);
      expect(stderr).toMatch(new RegExp(`error: ended by ${signal}\n$`));
    },
  );

  test('json: the document says all of it, and the error is the last line', async () => {
    const vms = FIVE.map(small);
    take(vms[0] as Vm, 's1');
    const gate = slowVirsh(CREATE);
    const run = spawnKvmsnap(['--json', 'create-as', 'm-*', 's1'], { env: gate.env });
    await gate.waits();
    await interrupt(run, 'SIGTERM');
    gate.goOn();
    const result = await run.done;
    const { domains } = z.parse(DOCUMENTS.create, JSON.parse(result.stdout));
    expect(domains.map(({ outcome }) => outcome)).toEqual([
      'failed',
      'done',
      'not reached',
      'not reached',
      'not reached',
    ]);
    expect(errorDocument(result)).toMatchObject({ code: 'terminated', exitCode: 143 });
    expect(errorDocument(result).message).toBe('ended by SIGTERM; 1 of 5 VMs failed, 3 not reached');
    expect(haveOne(vms)).toEqual(['m-1', 'm-2']);
  });

  test('twice: it waits no longer, and says what libvirtd carries on with', async () => {
    const vms = FIVE.map(small);
    const gate = slowVirsh(CREATE);
    const run = spawnKvmsnap(['create-as', 'm-*', 's1'], { env: gate.env });
    await gate.waits();
    await interrupt(run, 'SIGTERM');
    run.kill('SIGTERM');
    const { code, stdout, stderr } = await run.done;
    expect(code).toBe(143);
    expect(stderr).toMatch(
      /error: ended by SIGTERM; kvmsnap stopped waiting, but libvirtd continues with .*s1 of m-1/,
    );
    expect(stderr.match(/libvirtd continues with/g)).toHaveLength(1);
    expect(stdout).toMatch(/m-1 .* failed: .*\nm-2 .* not reached\n/);
    gate.goOn();
    await waitFor(() => vms.some((vm) => snapshotNames(vm).length > 0), {
      what: 'the end of what was carried on',
    });
    expect(haveOne(vms)).toEqual(['m-1']);
  });

  test('a prune stops after the deletion under way; what it would have deleted is not reached', async () => {
    const vms = FIVE.slice(0, 2).map(small);
    for (const vm of vms) for (const name of ['s1', 's2']) take(vm, name);
    const gate = slowVirsh('snapshot-delete');
    const args = ['--json', 'prune', '--all', '--match', '*', '--keep-last', '0', '--allow-empty'];
    const run = spawnKvmsnap(args, { env: gate.env });
    await gate.waits();
    await interrupt(run, 'SIGTERM');
    gate.goOn();
    const { code, stdout } = await run.done;
    expect(code).toBe(143);
    const { domains } = z.parse(DOCUMENTS.prune, JSON.parse(stdout));
    expect(domains.map(({ outcome, snapshots }) => [outcome, snapshots.map((each) => each.outcome)])).toEqual(
      [
        ['not reached', ['deleted', 'not reached']],
        ['not reached', []],
      ],
    );
    expect(vms.map(snapshotNames)).toEqual([['s2'], ['s1', 's2']]);
  });
});

describe('--wait', () => {
  /** How many lines of --verbose have it. */
  const triesOf = (run: RunningCli, command: string): number =>
    run.stderr.split('\n').filter((line) => new RegExp(`\\+ .*${command}`).test(line)).length;

  /** A running VM, hung in the middle of a snapshot 'half' by raw virsh, with these taken before. */
  async function held(name: string, ...before: string[]) {
    const vm = defineVm({ name, disks: [{ size: '16M' }], boot: 'counter' });
    start(vm);
    await countTo(vm, 1);
    for (const snapshot of before) take(vm, snapshot);
    const { done } = await takeHalf(vm, 'half');
    const letGo = async () => {
      continueQemu(vm);
      await done;
    };
    return { vm, letGo };
  }

  test('create and prune go on once the VM is let go; without it exit 7, beside others 3', async () => {
    const { vm, letGo } = await held('held', 'old');
    const free = small('free');
    take(free, 'old');
    const long = { timeoutMs: 110_000 };
    const all = ['--all', '--match', 'old', '--keep-last', '0', '--allow-empty'];
    const create = spawnKvmsnap(['-v', 'create-as', 'held', 'patient', '--wait', '2m'], long);
    const prune = spawnKvmsnap(['-v', 'prune', ...all, '--wait', '2m', '-q'], long);
    const alone = spawnKvmsnap(['create-as', 'held', 'hasty'], long);
    const beside = await kvmsnap(['create-as', '*', 'hasty', '--jobs', '2'], long);
    expect([beside.code, (await alone.done).code]).toEqual([3, 7]);
    expect(beside.stderr).toMatch(
      /^error: cannot read the block jobs of held: .*acquire state change lock.*\nhint: another job .*\nerror: 1 of 2 VMs failed\n$/,
    );
    expect(snapshotNames(vm)).toEqual(['half', 'old']);
    expect(snapshotNames(free)).toEqual(['hasty']);
    await waitFor(() => triesOf(create, 'blockjob') > 1 && triesOf(prune, 'snapshot-delete.*old') > 2, {
      what: 'a second try of both',
    });
    await letGo();
    const [created, pruned] = [await create.done, await prune.done];
    expect([created.code, pruned.code, pruned.stdout]).toEqual([0, 0, 'free/old\nheld/old\n']);
    expect(snapshotNames(vm)).toEqual(['half', 'patient']);
    expect(tagNames(vm)).toEqual([['half', 'patient']]);
    expect(state(vm)).toBe('running');
  });

  test('delete waits for the end of a snapshot under way; without it exit 7', async () => {
    const { vm, letGo } = await held('held');
    expect((await kvmsnap(['delete', 'held', 'half'])).code).toBe(7);
    const terminal = onTerminal(['--yes', 'delete', 'held', 'half', '--wait', '2m']);
    await terminal.waitForText(/waiting for at most .*: the snapshot half of held is still being taken/);
    await letGo();
    const { code, screen } = await terminal.done;
    expect(code).toBe(0);
    // the line is gone at the end
    expect(screen.lastIndexOf('waiting for')).toBeLessThan(screen.lastIndexOf('\x1b[K'));
    expect(snapshotNames(vm)).toEqual([]);
    expect(tagNames(vm)).toEqual([[]]);
  });

  test('beyond its time it is exit 7, and Ctrl-C ends it at once', async () => {
    const { vm, letGo } = await held('held');
    const short = await kvmsnap(['delete', 'held', 'half', '--wait', '2s']);
    expect([short.code, short.stderr.match(/error: /g)?.length]).toEqual([7, 1]);
    const terminal = onTerminal(['--yes', 'delete', 'held', 'half', '--wait', '2h']);
    await terminal.waitForText(/waiting for at most /);
    terminal.type('\x03');
    const { code, screen } = await terminal.done;
    expect(code).toBe(130);
    expect(stripVTControlCharacters(screen)).toContain('error: ended by SIGINT');
    expect(screen).not.toContain('libvirt cannot cancel');
    expect(snapshotNames(vm)).toEqual(['half']);
    await letGo();
    expect(snapshotNames(vm)).toEqual(['half']);
  });
});

describe('the line of progress', () => {
  test('on a terminal: how many of how many, the VM, the time; gone at the end', async () => {
    const vms = FIVE.map(small);
    const gate = slowVirsh(CREATE, vms[2]?.uuid ?? '');
    const terminal = onTerminal(['create-as', 'm-*', 's1'], { env: gate.env });
    await terminal.waitForText(/2\/5 VMs, [^;]*; m-3: /);
    await terminal.waitForText(/2\/5 VMs, [1-9] s; m-3: .*: taking a snapshot of m-3/);
    gate.goOn();
    const { code, screen } = await terminal.done;
    expect(code).toBe(0);
    const end = screen.slice(screen.lastIndexOf('\r\x1b[K') + '\r\x1b[K'.length);
    expect(end).toContain('VM');
    expect(end).not.toContain('/5 VMs');
    expect(end).toContain('5 snapshots taken');
    // one line: nothing of it was ever ended by a line feed
    expect(screen).not.toMatch(/\d\/5 VMs[^\r]*\n/);
    expect(haveOne(vms)).toEqual(FIVE);
  });

  test('in a pipe there is none, nor for one VM called by its name', async () => {
    const vms = FIVE.slice(0, 2).map(small);
    const { stderr } = await kvmsnap(['create-as', 'm-*', 's1']);
    expect(stderr).toBe('');
    const { screen } = await onTerminal(['create-as', 'm-1', 's2']).done;
    expect(screen).not.toContain('/1 VMs');
    expect(stripVTControlCharacters(screen)).toMatch(/m-1 +s2 .* taken/);
    expect(haveOne(vms)).toEqual(['m-1', 'm-2']);
  });
});
