// A virsh and a qemu-img that print what they never should: each run ends with its result or a failure of the table.
import { describe, expect, test } from 'vitest';
import { check } from '../../src/check/check.ts';
import { create } from '../../src/create/create.ts';
import { deleteSnapshots } from '../../src/delete/delete.ts';
import { setHold } from '../../src/describe/describe.ts';
import { KvmsnapError } from '../../src/errors.ts';
import type { Executed, Tool } from '../../src/host/process/exec.ts';
import { createVirsh } from '../../src/libvirt/virsh.ts';
import { pruneVms } from '../../src/prune/prune.ts';
import { revert } from '../../src/revert/revert.ts';
import type { Context } from '../../src/run/context.ts';
import { current } from '../../src/show/current.ts';
import { info } from '../../src/show/info.ts';
import { list } from '../../src/show/list.ts';
import { space } from '../../src/space/space.ts';
import { fakeHost } from '../run/fake-host.ts';
import { chooseSeed, randomFrom } from '../scene/random.ts';

/** Every command that asks virsh or qemu-img. */
const COMMANDS: Readonly<Record<string, (ctx: Context) => Promise<unknown>>> = {
  'list VM': (ctx) => list(ctx, ['b-fix'], {}),
  'list --space': (ctx) => list(ctx, ['b-fix'], { space: true }),
  'list --all': (ctx) => list(ctx, [], { all: true }),
  current: (ctx) => current(ctx, 'b-fix'),
  'info VM': (ctx) => info(ctx, 'b-fix', undefined),
  'info VM NAME': (ctx) => info(ctx, 'b-fix', 'run1'),
  check: (ctx) => check(ctx, ['b-fix'], {}),
  space: (ctx) => space(ctx, 'b-fix', [], {}),
  create: (ctx) => create(ctx, ['b-fix'], 'new', {}),
  'create of all': (ctx) => create(ctx, [], null, { all: true }),
  revert: (ctx) => revert(ctx, 'b-fix', 'off1', {}),
  delete: (ctx) => deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['run1'] }], paired: false }, {}),
  prune: (ctx) => pruneVms(ctx, ['b-fix'], { match: '*', keepLast: 1 }),
  hold: (ctx) => setHold(ctx, 'b-fix', 'off1', true),
};

/** What becomes of one answer. */
type Harm = (answer: Executed) => Executed;

const NOTHING: Executed = { stdout: '', stderr: '', exitCode: 0 };

/** With these, a part or all of the answer is missing: what needs it cannot end well. */
const LOSSES: Readonly<Record<string, Harm>> = {
  nothing: () => NOTHING,
  half: (answer) => ({ ...answer, stdout: answer.stdout.slice(0, answer.stdout.length / 2) }),
  'the second half': (answer) => ({ ...answer, stdout: answer.stdout.slice(answer.stdout.length / 2) }),
  'another document': (answer) => ({ ...answer, stdout: '{"a":[<b c="d">&e;</b>]}\n' }),
  'the words of an error': (answer) => ({ ...answer, stdout: 'error: it is broken\n' }),
  'exit 0 with an error': () => ({ stdout: '', stderr: 'error: it is broken\n', exitCode: 0 }),
  'exit 1 without a word': () => ({ stdout: '', stderr: '', exitCode: 1 }),
  'exit 255 and noise': () => ({ stdout: '\0\0\n', stderr: '\x1b[31m%s\u202e\n'.repeat(99), exitCode: 255 }),
  killed: () => ({ stdout: '', stderr: '', exitCode: null }),
  'killed in the middle': ({ stdout }) => ({
    stdout: stdout.slice(0, stdout.length / 2),
    stderr: '',
    exitCode: null,
  }),
};

const REFUSALS = Object.entries(LOSSES).flatMap(([name, harm]) => (name.startsWith('exit') ? [harm] : []));

const ofStdout =
  (change: (text: string) => string): Harm =>
  (answer) => ({ ...answer, stdout: change(answer.stdout) });

/** With these, it says something else: it may be believed, or not. */
const LIES: Readonly<Record<string, Harm>> = {
  twice: ofStdout((text) => text + text),
  'no line feeds': ofStdout((text) => text.replaceAll('\n', '')),
  'other elements': ofStdout((text) => text.replace(/<[a-zA-Z]+/g, '<x')),
  'words for numbers': ofStdout((text) => text.replace(/\d+/g, 'many')),
  'huge numbers': ofStdout((text) => text.replace(/(?<=[>:] ?)\d+/g, (digits) => digits.padEnd(25, '9'))),
  'negative numbers': ofStdout((text) => text.replace(/(?<=[>:] ?)\d+/g, '-$&')),
  'no quotes': ofStdout((text) => text.replace(/["']/g, '')),
  nulls: ofStdout((text) => text.replace(/: ?("[^"]*"|\d+)/g, ': null')),
  'bytes of no encoding': ofStdout((text) => text.replace(/[a-e]/g, '\u{fffd}\0\x1b[2J')),
  'exit 1 after all': (answer) => ({ ...answer, exitCode: 1 }),
};

interface Trial {
  /** Null when it ended well. */
  readonly failure: unknown;
  readonly printed: string;
  /** Only answers of qemu-img were harmed. */
  readonly ofImages: boolean;
  /** How many answers there were. */
  readonly processes: number;
  readonly names: readonly string[];
}

/** Runs a command on a host whose nth process answers otherwise, and perhaps all those after it. */
async function run(
  command: (ctx: Context) => Promise<unknown>,
  nth: number,
  harm: Harm,
  lasting: boolean,
): Promise<Trial> {
  const host = fakeHost();
  let [processes, now, ofImages] = [0, 1_800_000_000_000, true];
  const spoilt = async (ask: () => Promise<Executed>, tool: Tool, isWrite = false): Promise<Executed> => {
    const turn = processes++;
    if (lasting ? turn < nth : turn !== nth) return ask();
    if (tool === 'virsh') ofImages = false;
    // a tool that refuses has done nothing
    return harm(isWrite && REFUSALS.includes(harm) ? NOTHING : await ask());
  };
  const { exec, intercept } = host.libvirt;
  host.libvirt.intercept = (command, process) =>
    command[0] === 'domjobinfo' ? 'Job type:         None\n\n' : intercept(command, process);
  const ctx = host.context();
  const virsh = createVirsh(
    {
      read: (...call) => spoilt(() => exec.read(...call), 'virsh'),
      write: (...call) => spoilt(() => exec.write(...call), 'virsh', true),
      writeToTheEnd: (...call) => spoilt(() => exec.writeToTheEnd(...call), 'virsh', true),
      start: exec.start,
      setRight: (...call) => exec.setRight(...call),
    },
    null,
    'nonce',
  );
  const clock = {
    now: () => now,
    sleep: async (milliseconds: number) => {
      now += milliseconds;
    },
  };
  const failure = await command({
    ...ctx,
    virsh,
    clock,
    qemuImg: (args) => spoilt(() => ctx.qemuImg(args) as Promise<Executed>, 'qemu-img'),
  }).then(
    () => null,
    (error: unknown) => error,
  );
  return {
    failure,
    printed: host.printed.join(''),
    ofImages,
    processes,
    names: [...host.vm.snapshots.keys()],
  };
}

/** What is wrong with how a run ended; undefined when nothing is. */
function flaw({ failure }: Trial): string | undefined {
  if (failure === null) return undefined;
  if (!(failure instanceof KvmsnapError)) return `${(failure as Error).stack}`;
  return failure.code === 'bug' || failure.message.length > 20_000 ? failure.message : undefined;
}

const random = randomFrom(chooseSeed());
const ALL = process.env['KVMSNAP_RUNS'] !== undefined;

/** Which answers to harm: one by chance, or each in its turn; and with it, all those that come after, or none of them. */
async function* trials(
  command: (ctx: Context) => Promise<unknown>,
  harm: Harm,
): AsyncGenerator<Trial & Place> {
  const { processes } = await run(command, Infinity, harm, false);
  const places = Array.from({ length: 2 * processes }, (_, i) => ({ nth: i >> 1, lasting: i % 2 === 1 }));
  for (const place of ALL
    ? places
    : [places[Math.floor(random() * places.length)] ?? { nth: 0, lasting: true }])
    yield { ...place, ...(await run(command, place.nth, harm, place.lasting)) };
}

interface Place {
  readonly nth: number;
  readonly lasting: boolean;
}

describe.each(Object.entries(COMMANDS))('%s', (_, command) => {
  test.each(Object.entries({ ...LOSSES, ...LIES }))('%s', async (name, harm) => {
    const right = await run(command, Infinity, harm, false);
    for await (const trial of trials(command, harm)) {
      const { nth, lasting, failure } = trial;
      expect({ nth, lasting, flaw: flaw(trial) }).toEqual({ nth, lasting, flaw: undefined });
      if (name in LOSSES && failure === null && right.failure === null)
        expect({ nth, lasting, ...outcome(trial) }).toEqual({
          nth,
          lasting,
          ...outcome(right),
          // an image that cannot be looked at is shown as such
          ...(trial.ofImages ? { printed: trial.printed } : {}),
        });
    }
  });
});

const outcome = ({ printed, names }: Trial) => ({ printed, names });
