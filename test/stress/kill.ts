// Kills kvmsnap at random moments, and looks what is left: by virsh, by the images, by the guest, by the next run.
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliResult, kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { virsh, waitFor } from '../lab/lab.ts';
import { randomFrom } from '../scene/random.ts';
import { virshProcesses } from '../scene/saving.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { count } from '../scene/steps.ts';
import { defineVm, destroy, start, state, type Vm } from '../scene/vm.ts';
import { halves, imageFlaws, settled } from '../scene/whole.ts';

type Condition = 'running' | 'shut off';

interface Command {
  readonly what: string;
  readonly condition: Condition;
  /** Of the nth run. */
  readonly args: (vm: string, n: number) => readonly string[];
  /** Snapshots that are there before, oldest first. */
  readonly before: readonly string[];
  /** Whether all is done that the nth run was to do, by the names that are there. */
  readonly isDone: (names: readonly string[], n: number) => boolean;
}

const NIGHTS = ['x-20261101T030000Z', 'x-20261102T030000Z', 'x-20261103T030000Z', 'x-20261104T030000Z'];

const create = (condition: Condition): Command => ({
  what: `create, ${condition}`,
  condition,
  args: (vm, n) => ['create-as', vm, `s${n}`],
  before: [],
  isDone: (names, n) => names.includes(`s${n}`),
});

const COMMANDS: readonly Command[] = [
  create('running'),
  create('shut off'),
  {
    what: 'create --label --keep-last 2, running',
    condition: 'running',
    args: (vm) => ['create', vm, '--label', 'x', '--keep-last', '2'],
    before: NIGHTS,
    isDone: (names) => names.length === 2 && names.some((name) => !NIGHTS.includes(name)),
  },
  {
    what: 'prune, shut off',
    condition: 'shut off',
    args: (vm) => ['prune', vm, '--label', 'x', '--keep-last', '1'],
    before: NIGHTS,
    isDone: (names) => names.join() === NIGHTS.at(-1),
  },
];

/** Each with the exit code of a shell for it. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGKILL: 137 } as const;
type Signal = keyof typeof SIGNALS;

/** What a run had done when all was quiet again; the last word is for what must never be. */
const OUTCOMES = ['nothing done', 'whole steps done', 'all done', 'left half'] as const;

interface Round {
  readonly command: Command;
  readonly signal: Signal;
  readonly atMilliseconds: number;
  /** Exit code, by the shell's rule after a signal. */
  readonly exit: number;
  readonly outcome: (typeof OUTCOMES)[number];
  /** libvirt was still at work when the run was gone. */
  readonly byLibvirt: boolean;
  /** All that is wrong, each in a line. */
  readonly wrong: readonly string[];
}

/** So many rounds, every command with every signal in turn; the seed chooses the order and the moments. */
export async function killRounds(rounds: number, seed: number): Promise<Round[]> {
  const random = randomFrom(seed);
  const vms = { running: newVm('on'), 'shut off': newVm('off') };
  start(vms.running);
  const cells = COMMANDS.flatMap((command) =>
    (Object.keys(SIGNALS) as Signal[]).map((signal) => ({ command, signal, place: random() })),
  ).sort((a, b) => a.place - b.place);
  const durations = new Map<Command, number>();
  for (const command of COMMANDS) durations.set(command, await measure(vms[command.condition], command));

  const done: Round[] = [];
  for (let n = 0; n < rounds; n++) {
    const { command, signal } = cells[n % cells.length] as (typeof cells)[number];
    const atMilliseconds = random() * (durations.get(command) ?? 0);
    done.push(await killOne(vms[command.condition], command, { n, signal, atMilliseconds }));
  }
  destroy(vms.running);
  const flaws = Object.values(vms).flatMap(imageFlaws);
  if (flaws.length > 0) throw new Error(flaws.join('; '));
  return done;
}

const newVm = (name: string): Vm =>
  defineVm({ name, disks: [{ size: '8M' }, { size: '8M' }], boot: 'counter' });

/** How long it takes when nobody kills it, with a little more, so that some are done before: milliseconds. */
async function measure(vm: Vm, command: Command): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < 3; n++) {
    prepare(vm, command);
    const from = performance.now();
    await succeed(vm, command, n);
    times.push(performance.now() - from);
  }
  return 1.05 * (times.sort((a, b) => a - b)[1] ?? 0);
}

/** Puts the VM's snapshots back to what the command is to find. */
function prepare({ uuid, ...vm }: Vm, { before }: Command): void {
  const remove = snapshotNames({ uuid, ...vm }).map((name) => `snapshot-delete ${uuid} ${name}`);
  const take = before.map((name) => `snapshot-create-as ${uuid} ${name}`);
  if (remove.length + take.length > 0) virsh([...remove, ...take].join('; '));
}

async function succeed(vm: Vm, command: Command, n: number): Promise<void> {
  const { code, stderr } = await kvmsnap(command.args(vm.name, n));
  if (code !== 0) throw new Error(`${command.what}: exit ${code}\n${stderr}`);
}

interface Shot {
  readonly n: number;
  readonly signal: Signal;
  readonly atMilliseconds: number;
}

async function killOne(vm: Vm, command: Command, { n, signal, atMilliseconds }: Shot): Promise<Round> {
  prepare(vm, command);
  const run = spawnKvmsnap(command.args(vm.name, n));
  await Promise.race([sleep(atMilliseconds), run.done]);
  run.kill(signal);
  const result = await run.done;
  const byLibvirt = ['snapshot-create-as --domain', 'snapshot-delete --domain'].some(
    (write) => virshProcesses(write).length > 0,
  );
  await settled(vm);

  const names = snapshotNames(vm);
  const half = [...halves(vm), ...(await listedWrong(vm, names))];
  const same = [...names].sort().join() === [...command.before].sort().join();
  const reached = command.isDone(names, n) ? 'all done' : same ? 'nothing done' : 'whole steps done';
  const wrong = [
    ...half,
    ...(await standsStill(vm, command.condition)),
    ...dishonesty(result, signal, reached),
    ...(result.code === null ? [] : untold(result, command.before, names)),
  ];
  const next = wrong.length > 0 ? [] : await nextRun(vm, command, n);
  return {
    command,
    signal,
    atMilliseconds: Math.round(atMilliseconds),
    exit: result.code ?? SIGNALS[signal],
    outcome: half.length > 0 ? 'left half' : reached,
    byLibvirt,
    wrong: [...wrong, ...next],
  };
}

/** What `kvmsnap list` shows otherwise than it is, now that nothing is under way. */
async function listedWrong(vm: Vm, names: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await kvmsnap(['list', vm.name, '--json']);
  if (code !== 0) return [`list: exit ${code}: ${stderr}`];
  const snapshots: { name: string; underWay: boolean }[] = JSON.parse(stdout).domains[0].snapshots;
  const complete = snapshots.filter(({ underWay }) => !underWay).map(({ name }) => name);
  const same = [...complete].sort().join() === [...names].sort().join();
  return same ? [] : [`list has ${complete.join()}, virsh has ${names.join()}`];
}

/** Not in the state that it was in, or a guest that does not count on. */
async function standsStill(vm: Vm, condition: Condition): Promise<string[]> {
  const now = state(vm);
  if (now !== condition) return [`was ${condition}, is ${now}`];
  if (condition === 'shut off') return [];
  const ticks = count(vm);
  return waitFor(() => count(vm) > ticks, { what: 'the guest goes on' }).then(
    () => [],
    (error: Error) => [error.message],
  );
}

/** The exit code against what was done: 0 for all, else that of the signal; by itself the signal ends only what has not begun. */
function dishonesty(
  { code, signal: endedBy }: CliResult,
  signal: Signal,
  reached: Round['outcome'],
): string[] {
  if (code === 0) return reached === 'all done' ? [] : [`exit 0, and ${reached}`];
  if (endedBy === signal) {
    return signal === 'SIGKILL' || reached === 'nothing done' ? [] : [`ended by itself, and ${reached}`];
  }
  return code === SIGNALS[signal] ? [] : [`exit ${code}, signal ${endedBy}`];
}

/** What a run did and lived to tell, but did not; its table has a line for each. */
function untold({ stdout }: CliResult, before: readonly string[], after: readonly string[]): string[] {
  const lines = stdout.split('\n');
  const tells = (name: string, word: RegExp) => lines.some((line) => line.includes(name) && word.test(line));
  return [
    ...after.filter((name) => !before.includes(name) && !tells(name, /taken/)),
    ...before.filter((name) => !after.includes(name) && !tells(name, /deleted/)),
  ].map((name) => `not a word on '${name}'`);
}

/** The next night: must succeed, do all, and leave nothing half. */
async function nextRun(vm: Vm, command: Command, n: number): Promise<string[]> {
  const { code, stderr } = await kvmsnap(command.args(vm.name, n + 0.5));
  if (code !== 0) return [`the next run: exit ${code}: ${stderr}`];
  const done = command.isDone(snapshotNames(vm), n + 0.5) ? [] : ['the next run did not do all'];
  return [...done, ...halves(vm)].map((what) => `after the next run: ${what}`);
}

/** The counts as a Markdown table, of each command and signal, and of each signal. */
export function killTable(rounds: readonly Round[]): string {
  const titles = ['command', 'signal', 'rounds', ...OUTCOMES, 'by libvirt afterwards', 'exit codes'];
  const row = (what: string, signal: string, some: readonly Round[]) => [
    what,
    signal,
    String(some.length),
    ...OUTCOMES.map((outcome) => String(some.filter((round) => round.outcome === outcome).length)),
    String(some.filter(({ byLibvirt }) => byLibvirt).length),
    [...new Set(some.map(({ exit }) => exit))]
      .sort((a, b) => a - b)
      .map((exit) => `${exit} (${some.filter((round) => round.exit === exit).length})`)
      .join(', '),
  ];
  const signals = Object.keys(SIGNALS);
  const rows = [...COMMANDS.map(({ what }) => what), 'all'].flatMap((what) =>
    signals.map((signal) =>
      row(
        what,
        signal,
        rounds.filter((round) => (what === 'all' || round.command.what === what) && round.signal === signal),
      ),
    ),
  );
  return [titles, titles.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
