// Kills a run, one of its tools or all of them at a random moment, and looks what is left: by the bytes, by virsh, and by the next run.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliResult, spawnKvmsnap } from '../lab/cli.ts';
import { sendSignal } from '../lab/lab.ts';
import { chanceFrom, randomFrom } from '../scene/random.ts';
import { exporting, opening } from './killed-readers.ts';
import { mergingOff, mergingRunning, takingTogether } from './killed-writers.ts';

/** A command that is killed, on VMs of its own. */
export interface Target {
  readonly what: string;
  /** What the nth run finds; returns its arguments. */
  readonly prepare: (n: number) => Promise<readonly string[]>;
  /** Whether the run has reached what it waits for, until it is ended; absent: it ends by itself. */
  readonly waits?: (run: { readonly stdout: string }) => boolean;
  /** All that is wrong when the killed run is gone. */
  readonly after: (n: number, ended: CliResult) => Promise<string[]>;
  /** All that is wrong after the next run, which it does. */
  readonly next: (n: number) => Promise<string[]>;
}

const TARGETS: readonly (() => Target)[] = [exporting, opening, mergingRunning, mergingOff, takingTogether];

const WHOM = ['kvmsnap', 'a tool', 'all'] as const;

interface Round {
  /** `export, kvmsnap killed after 312 ms` */
  readonly title: string;
  /** How the run ended. */
  readonly left: string;
  readonly wrong: readonly string[];
}

/** So many rounds; the seed chooses the commands, the processes and the moments. */
export async function killOthers(rounds: number, seed: number): Promise<Round[]> {
  const random = randomFrom(seed);
  const chance = chanceFrom(random);
  const made = new Map<number, { readonly target: Target; readonly milliseconds: number }>();
  const first = chance.between(0, TARGETS.length - 1);
  const done: Round[] = [];
  for (let n = 0; n < rounds; n++) {
    const which = (first + n) % TARGETS.length;
    const { target, milliseconds } = made.get(which) ?? (await measured(TARGETS[which] as () => Target));
    made.set(which, { target, milliseconds });
    const whom = chance.pick(WHOM);
    const at = Math.round(random() * milliseconds * 1.05);
    const run = spawnKvmsnap(await target.prepare(n));
    await Promise.race([sleep(at), run.done]);
    await kill(run.pid, whom, run.done);
    if (target.waits) await endWaiting(target.waits, run);
    const ended = await run.done;
    const wrong = await target.after(n, ended);
    const title = `${target.what}, ${whom} killed after ${at} ms`;
    done.push({
      title,
      left: `exit ${ended.code ?? ended.signal}`,
      wrong: [...wrong, ...(await target.next(n)).map((what) => `the next run: ${what}`)].map(
        (what) => `${what}\n${ended.stderr}`,
      ),
    });
  }
  return done;
}

/** A target, and how long a run takes that nobody kills. */
async function measured(make: () => Target) {
  const target = make();
  const args = await target.prepare(-1);
  const from = performance.now();
  const run = spawnKvmsnap(args);
  if (target.waits) await endWaiting(target.waits, run);
  const ended = await run.done;
  const milliseconds = performance.now() - from;
  const wrong = [...(await target.after(-1, ended)), ...(await target.next(-1))];
  if (ended.code !== 0 || wrong.length > 0)
    throw new Error(`${target.what}, not killed: exit ${ended.code}\n${ended.stderr}${wrong.join('\n')}`);
  return { target, milliseconds };
}

type Run = ReturnType<typeof spawnKvmsnap>;

/** Ends a run that waits for its user, as a user does. */
async function endWaiting(waits: (run: Run) => boolean, run: Run): Promise<void> {
  let isOver = false;
  const over = run.done.then(() => {
    isOver = true;
  });
  while (!isOver && !waits(run)) await Promise.race([sleep(20), over]);
  if (!isOver) run.kill('SIGINT');
}

/** Kills the run itself, one of the processes that it has started, or all; of a tool, waits until there is one. */
async function kill(pid: number, whom: (typeof WHOM)[number], done: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = done.then(() => {
    isOver = true;
  });
  let tools = childrenOf(pid);
  if (whom === 'a tool')
    while (!isOver && tools.length === 0) {
      await Promise.race([sleep(2), over]);
      tools = childrenOf(pid);
    }
  const targets = { kvmsnap: [pid], 'a tool': tools.slice(-1), all: [pid, ...tools] }[whom];
  if (isOver) return;
  for (const id of targets)
    try {
      sendSignal(id, 'SIGKILL');
    } catch {
      // it has ended meanwhile
    }
}

/** The processes whose parent it is. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        const text = readFileSync(`/proc/${entry}/stat`, 'latin1');
        const [state, its] = text.slice(text.lastIndexOf(')') + 2).split(' ');
        return Number(its) === parent && state !== 'Z';
      } catch {
        return false; // gone meanwhile
      }
    })
    .map(Number);
}
