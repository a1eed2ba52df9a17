// `--wait`: trying again while another job holds the VM (hazard 10), by a scripted clock.
import { describe, expect, test } from 'vitest';
import { create } from '../../../src/create/create.ts';
import { deleteSnapshots } from '../../../src/delete/delete.ts';
import { setHold } from '../../../src/describe/describe.ts';
import { KvmsnapError } from '../../../src/errors.ts';
import { pruneVms } from '../../../src/prune/prune.ts';
import { revert } from '../../../src/revert/revert.ts';
import type { Context } from '../../../src/run/context.ts';
import { retryWhileBusy } from '../../../src/run/retry-while-busy.ts';
import { Failure } from '../../libvirt/fake-libvirt.ts';
import { type FakeHost, fakeHost } from '../fake-host.ts';

/** libvirtd waits so long for a VM before it says busy. */
const LIBVIRTD_SECONDS = 30;

const BUSY = new Failure(
  'error: Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSave)\n',
);

interface World extends FakeHost {
  readonly ctx: Context;
  /** Seconds gone. */
  readonly elapsed: () => number;
  readonly pass: (seconds: number) => void;
  readonly progress: string[];
  readonly questions: string[];
  /** What happens while somebody thinks about the answer. */
  meanwhile: () => void;
  answer: boolean;
  /** How often virsh was shown the word. */
  readonly tries: (verb: string) => number;
}

function world(wait: number, settings: Partial<Context['settings']> = {}): World {
  const host = fakeHost();
  const context = host.context({ wait, output: 'name', ...settings });
  const started = context.clock.now();
  let now = started;
  const progress: string[] = [];
  const questions: string[] = [];
  const pass = (seconds: number) => {
    now += seconds * 1000;
  };
  const ctx: Context = {
    ...context,
    clock: { now: () => now, sleep: async (milliseconds) => pass(milliseconds / 1000) },
    terminal: {
      ...context.terminal,
      progress: (text) => progress.push(text),
      hasPerson: true,
      ask: async (question) => {
        questions.push(question);
        made.meanwhile();
        return made.answer;
      },
    },
  };
  const made: World = {
    ...host,
    ctx,
    pass,
    progress,
    questions,
    meanwhile: () => undefined,
    answer: true,
    elapsed: () => (now - started) / 1000,
    tries: (verb) => host.libvirt.commands.filter(([first]) => first === verb).length,
  };
  return made;
}

/** Another run takes a snapshot below `run1`. */
function takeLate(host: World): void {
  const [first] = host.vm.snapshots.values();
  const child = (first ?? '')
    .replace('<name>off1<', '<name>late<')
    .replace('<state>', '<parent><name>run1</name></parent><state>');
  host.vm.snapshots = new Map([...host.vm.snapshots, ['late', child]]);
}

/** Has virsh say busy the first so many times that it is shown the word; `meanwhile` happens at each. */
function hold(host: World, verb: string, times: number, meanwhile = () => {}): void {
  const ordinary = host.libvirt.intercept;
  let left = times;
  host.libvirt.intercept = (command, process) => {
    if (command[0] !== verb || left-- <= 0) return ordinary(command, process);
    host.pass(LIBVIRTD_SECONDS);
    meanwhile();
    return BUSY;
  };
}

const busy = () => new KvmsnapError('busy', 'it is busy');

describe('a task', () => {
  /** Runs a task that fails so long, each try taking so many seconds. */
  async function tryFor(host: World, takes: number, freeAfter: number) {
    const again: boolean[] = [];
    const ended = retryWhileBusy(host.ctx, async (ctx, isAgain) => {
      again.push(isAgain);
      ctx.terminal.note('a warning');
      host.pass(takes);
      if (host.elapsed() < freeAfter) throw busy();
      return 'done';
    });
    return { again, end: await ended.catch((error: KvmsnapError) => error.code) };
  }

  test('without --wait is tried once', async () => {
    expect(await tryFor(world(0), 0, 10)).toEqual({ again: [false], end: 'busy' });
  });

  test('is tried again a second later, till it is done', async () => {
    const host = world(60);
    expect(await tryFor(host, 0, 3)).toEqual({ again: [false, true, true, true], end: 'done' });
    expect(host.elapsed()).toBe(3);
  });

  test('beyond the time it throws what the last try threw; the last try is at the very end', async () => {
    const host = world(2.5);
    expect(await tryFor(host, 0, 99)).toEqual({ again: [false, true, true, true], end: 'busy' });
    expect(host.elapsed()).toBe(2.5);
  });

  test('the time that libvirtd itself waits counts', async () => {
    const host = world(60);
    expect((await tryFor(host, LIBVIRTD_SECONDS, 999)).again).toHaveLength(2);
    expect(host.elapsed()).toBe(61);
  });

  test('says a warning once, whatever the number of tries', async () => {
    const host = world(60);
    await tryFor(host, 0, 3);
    expect(host.notes).toEqual(['a warning']);
  });

  test('says what it waits for and how long at most, and clears that', async () => {
    const host = world(120);
    await tryFor(host, 0, 2);
    expect(host.progress).toEqual([
      'waiting for at most 2 min: it is busy',
      '',
      expect.stringMatching(/^waiting for at most .*: it is busy$/),
      '',
    ]);
  });

  test('is not tried again for any other failure', async () => {
    const host = world(60);
    let tries = 0;
    const ended = retryWhileBusy(host.ctx, async () => {
      tries++;
      throw new KvmsnapError('exists', 'there already');
    });
    await expect(ended).rejects.toThrow('there already');
    expect([tries, host.elapsed()]).toEqual([1, 0]);
  });

  test('is not tried again after a signal', async () => {
    const host = world(60);
    const ended = retryWhileBusy(host.ctx, () =>
      host.ctx.interrupts.protect('a write', async () => {
        host.ctx.interrupts.raise('SIGTERM');
        throw busy();
      }),
    );
    await expect(ended).rejects.toMatchObject({ code: 'busy' });
    expect(host.elapsed()).toBe(0);
  });
});

describe('create --wait', () => {
  test('takes the snapshot once the VM is let go', async () => {
    const host = world(120);
    hold(host, 'snapshot-create-as', 2);
    await create(host.ctx, ['b-fix'], 's1', {});
    expect(host.printed).toEqual(['s1\n']);
    expect(host.tries('snapshot-create-as')).toBe(3);
  });

  test('without it is busy at once', async () => {
    const host = world(0);
    hold(host, 'snapshot-create-as', 1);
    await expect(create(host.ctx, ['b-fix'], 's1', {})).rejects.toMatchObject({ code: 'busy', exitCode: 7 });
    expect(host.tries('snapshot-create-as')).toBe(1);
  });

  test('looks at the VM anew: a snapshot that came meanwhile is seen', async () => {
    const host = world(120);
    hold(host, 'snapshot-create-as', 1, () => {
      const [first] = host.vm.snapshots.values();
      host.vm.snapshots = new Map([...host.vm.snapshots, ['s1', (first ?? '').replace('off1', 's1')]]);
    });
    await expect(create(host.ctx, ['b-fix'], 's1', {})).rejects.toMatchObject({ code: 'exists' });
    expect(host.tries('snapshot-create-as')).toBe(1);
  });

  test('an automatic name is of the moment of the try', async () => {
    const host = world(120);
    const before = String(Math.floor(host.ctx.clock.now() / 1000));
    hold(host, 'snapshot-create-as', 1);
    await create(host.ctx, ['b-fix'], null, {});
    expect(Number(host.printed[0])).toBe(Number(before) + LIBVIRTD_SECONDS + 1);
  });
});

describe('revert --wait', () => {
  test('asks once, takes one backup, and reverts once the VM is let go', async () => {
    const host = world(120);
    hold(host, 'snapshot-revert', 2);
    await revert(host.ctx, 'b-fix', 'off1', { backup: true });
    expect(host.questions).toHaveLength(1);
    expect(host.tries('snapshot-create-as')).toBe(1);
    expect(host.tries('snapshot-revert')).toBe(3);
    expect(host.vm.current).toBe('off1');
    expect(new Set(host.notes).size).toBe(host.notes.length);
  });

  test('a backup that has to wait is taken once as well', async () => {
    const host = world(120);
    hold(host, 'snapshot-create-as', 2);
    await revert(host.ctx, 'b-fix', 'off1', { backupName: 'kept' });
    expect(host.questions).toHaveLength(1);
    expect([...host.vm.snapshots.keys()]).toEqual(['off1', 'run1', 'kept']);
    expect(host.tries('snapshot-revert')).toBe(1);
  });

  test('beyond the time the backup stands, and nothing was reverted', async () => {
    const host = world(60);
    hold(host, 'snapshot-revert', 99);
    await expect(revert(host.ctx, 'b-fix', 'off1', { backupName: 'kept' })).rejects.toMatchObject({
      code: 'busy',
    });
    expect(host.tries('snapshot-create-as')).toBe(1);
    expect(host.vm.current).toBe('kept');
  });
});

describe('revert', () => {
  test('checks anew once somebody has thought about the answer', async () => {
    const host = world(0);
    host.meanwhile = () => {
      for (const path of host.images.keys()) host.images.set(path, ['run1']);
    };
    await expect(revert(host.ctx, 'b-fix', 'off1', {})).rejects.toMatchObject({
      code: 'check',
      message: expect.stringContaining('does not contain snapshot off1'),
    });
    expect(host.tries('snapshot-revert')).toBe(0);
  });
});

describe('delete and prune --wait', () => {
  test('delete asks once, and deletes once the VM is let go', async () => {
    const host = world(120);
    hold(host, 'snapshot-delete', 2);
    await deleteSnapshots(host.ctx, { named: [{ vm: 'b-fix', names: ['off1'] }], paired: false }, {});
    expect(host.questions).toHaveLength(1);
    expect([...host.vm.snapshots.keys()]).toEqual(['run1']);
    expect(host.tries('snapshot-delete')).toBe(3);
  });

  test('delete: one that another deleted meanwhile is not found, and not deleted again', async () => {
    const host = world(120);
    hold(host, 'snapshot-delete', 1, () => {
      host.vm.snapshots = new Map([...host.vm.snapshots].filter(([name]) => name !== 'off1'));
      for (const path of host.images.keys()) host.images.set(path, ['run1']);
    });
    await expect(
      deleteSnapshots(host.ctx, { named: [{ vm: 'b-fix', names: ['off1'] }], paired: false }, {}),
    ).resolves.toBeUndefined();
    expect(host.tries('snapshot-delete')).toBe(1);
  });

  test('delete --children deletes none that came while it waited: nobody was asked for it', async () => {
    const host = world(120);
    hold(host, 'snapshot-delete', 1, () => takeLate(host));
    await expect(
      deleteSnapshots(
        host.ctx,
        { named: [{ vm: 'b-fix', names: ['run1'] }], paired: false },
        { children: true },
      ),
    ).rejects.toMatchObject({
      code: 'check',
    });
    expect(host.tries('snapshot-delete')).toBe(1);
    expect([...host.vm.snapshots.keys()]).toEqual(['off1', 'run1', 'late']);
  });

  test('one that came while somebody thought about the answer is asked about', async () => {
    const host = world(0);
    host.meanwhile = () => {
      if (host.questions.length === 1) takeLate(host);
      else host.answer = false;
    };
    await expect(
      deleteSnapshots(
        host.ctx,
        { named: [{ vm: 'b-fix', names: ['run1'] }], paired: false },
        { children: true },
      ),
    ).rejects.toMatchObject({
      code: 'declined',
    });
    expect(host.questions).toHaveLength(2);
    expect(host.questions[1]).toMatch(/This has changed meanwhile:\n {2}now: b-fix loses late/);
    expect(host.tries('snapshot-delete')).toBe(0);
  });

  const prune = (host: World) => pruneVms(host.ctx, ['b-fix'], { match: '*', keepLast: 0, allowEmpty: true });

  test('prune deletes once the VM is let go, and asks a person once', async () => {
    const host = world(120);
    hold(host, 'snapshot-delete', 1);
    await prune(host);
    expect(host.questions).toHaveLength(1);
    expect(host.questions[0]).toMatch(/Delete 2 of 2 snapshots of 1 VM.*\?$/);
    expect(host.vm.snapshots.size).toBe(0);
  });

  test.each<[string, string, (host: World) => Promise<void>]>([
    ['prune', 'snapshot-delete', prune],
    [
      'delete',
      'snapshot-delete',
      ({ ctx }) =>
        deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['off1', 'run1'] }], paired: false }, {}),
    ],
  ])('%s waits so long for the VM, not for each of its snapshots', async (_, verb, run) => {
    const host = world(60);
    hold(host, verb, 99);
    await expect(run(host)).rejects.toMatchObject({ code: 'busy' });
    expect(host.tries(verb)).toBe(2);
    expect(host.vm.snapshots.size).toBe(2);
  });
});

test('hold --wait marks it once the VM is let go', async () => {
  const host = world(120);
  hold(host, 'snapshot-create', 1);
  await setHold(host.ctx, 'b-fix', 'off1', true);
  expect(host.tries('snapshot-create')).toBe(2);
  expect(host.vm.snapshots.get('off1')).toContain('Kvmsnap-Hold: yes');
});
