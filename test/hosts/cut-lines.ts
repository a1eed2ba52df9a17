// Lines to hosts that are cut, and processes that are killed, at random moments of what two hosts do together.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliResult, kvmsnap, nodePath, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { scratch, tryTool, waitFor } from '../lab/lab.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { type Chance, chanceFrom, randomFrom } from '../scene/random.ts';

/** A VM of one of the hosts. */
export interface Place {
  readonly host: string;
  readonly image: string;
  virsh(...args: string[]): string;
}

export interface Fleet {
  readonly environment: Readonly<Record<string, string>>;
  /** Ends all connections. */
  cut(): void;
  /** VMs of the same name, one on each host. */
  readonly places: readonly Place[];
}

const VM = 'web';
const [THEN, NOW] = [0x11, 0x22];
const write = (places: readonly Place[], byte: number) => {
  for (const { image } of places) writePattern(image, byte, 0, 4096);
};

/** The line of ssh_config for a line that passes so many bytes of a connection as the file `budget` says, and all without one. */
export function shortLine(): { readonly command: string; limit(bytes: number | null): void } {
  const [script, budget] = [join(scratch, 'line.cjs'), join(scratch, 'budget')];
  writeFileSync(
    script,
    `const { connect } = require('node:net');
let left = Infinity;
try { left = Number(require('node:fs').readFileSync('${budget}', 'utf8')); } catch {}
const server = connect(Number(process.argv[3]), process.argv[2]);
const pass = (from, to) => from.on('data', (piece) => {
  const part = piece.subarray(0, Math.min(left, piece.length));
  left -= part.length;
  to.write(part, () => left > 0 || process.exit(0));
});
pass(process.stdin, server);
pass(server, process.stdout);
for (const end of ['close', 'error']) server.on(end, () => process.exit(0));
process.stdin.on('end', () => process.exit(0));
process.stdout.on('error', () => process.exit(0));\n`,
  );
  return {
    command: `ProxyCommand ${nodePath} ${script} %h %p`,
    limit(bytes) {
      if (bytes === null) rmSync(budget, { force: true });
      else writeFileSync(budget, String(bytes));
    },
  };
}

/** What is wrong with a place after a run that ended with this code, and that was to leave the snapshots and the byte. */
function wrongAt({ host, image, virsh }: Place, expected: readonly string[], byte: number): string[] {
  const known = virsh('snapshot-list', VM, '--name').split('\n').filter(Boolean).sort();
  const inside = tags(image).map(({ name }) => name);
  const isAs = (names: readonly string[]) => JSON.stringify(names) === JSON.stringify(expected);
  return [
    ...(isAs(known) ? [] : [`${host}: libvirt knows ${known}, not ${expected}`]),
    ...(isAs(inside.sort()) ? [] : [`${host}: the image has ${inside}, not ${expected}`]),
    ...(hasPattern(image, byte, 0, 4096) ? [] : [`${host}: the disk has another content`]),
  ];
}

/** What a run does, and what is to be there before and after it. */
const ACTIONS = [
  { what: 'create', line: ['create-as', VM, 's2'], after: ['s1', 's2'], byte: NOW, done: [0, 3, 6] },
  { what: 'revert', line: ['revert', VM, 's1'], after: ['s1'], byte: THEN, done: [0] },
  { what: 'delete', line: ['delete', VM, 's1'], after: [], byte: NOW, done: [0, 3, 4] },
] as const;

/** The words of a command that the hosts run for kvmsnap, or of ssh for a connection; no process of the lab itself. */
const TARGETS: Readonly<Record<string, RegExp>> = {
  ssh: /^\S*ssh .*exec sh -s/,
  shell: /^sh -s$/,
  'command of the host': /^virsh |^sh \/tmp\/kvmsnap\./,
};

const lines = () => processes().map(({ pid, args }) => ({ pid, line: args.join(' ') }));
const isJob = ({ line }: { readonly line: string }) => /^sh \/tmp\/kvmsnap\.\w+\/job$/.test(line);

/** All writes on the hosts have ended. */
export const jobsEnded = () =>
  waitFor(() => !lines().some(isJob), { what: 'the end of the work on the hosts' });

/** So many rounds: each kills something at a random moment, looks at what was said, and runs the line again. */
export async function cutRounds(fleet: Fleet, rounds: number, seed: number): Promise<string[]> {
  const chance = chanceFrom(randomFrom(seed));
  const wrong: string[] = [];
  let most = 4000;
  for (let i = 0; i < rounds; i++) {
    const action = ACTIONS[i % ACTIONS.length] ?? ACTIONS[0];
    for (const { virsh } of fleet.places) clear(virsh);
    write(fleet.places, THEN);
    for (const { virsh } of fleet.places) virsh('snapshot-create-as', VM, 's1');
    write(fleet.places, NOW);
    const started = performance.now();
    const { target, first, at } = await disturbed(fleet, action.line, chance, most);
    if (first.code === 0) most = Math.max(most, performance.now() - started);
    const tell = (what: readonly string[]) =>
      wrong.push(...what.map((each) => `${action.what}, ${target} after ${at} ms: ${each}`));
    if (first.code === 0) tell(fleet.places.flatMap((place) => wrongAt(place, action.after, action.byte)));
    else if (first.code !== null && first.stderr.trim() === '')
      tell([`exit ${first.code} without a message`]);
    await jobsEnded();
    const again = await run(fleet, action.line);
    if (!(action.done as readonly (number | null)[]).includes(again.code))
      tell([`the second run ends with ${again.code}: ${again.stderr}`]);
    tell(fleet.places.flatMap((place) => wrongAt(place, action.after, action.byte)));
  }
  return wrong;
}

function clear(virsh: Place['virsh']): void {
  for (const name of virsh('snapshot-list', VM, '--name').split('\n').filter(Boolean))
    virsh('snapshot-delete', VM, name);
}

const run = ({ environment, places }: Fleet, line: readonly string[]) =>
  kvmsnap([...line, '--host', places.map(({ host }) => host).join(',')], { env: environment });

async function disturbed(
  { environment, places, cut }: Fleet,
  line: readonly string[],
  chance: Chance,
  most: number,
): Promise<{ readonly target: string; readonly first: CliResult; readonly at: number }> {
  const target = chance.pick(['kvmsnap', 'connections', ...Object.keys(TARGETS)]);
  const at = chance.between(0, Math.round(most));
  const running = spawnKvmsnap([...line, '--host', places.map(({ host }) => host).join(',')], {
    env: environment,
  });
  await Promise.race([sleep(at), running.done]);
  const pattern = TARGETS[target];
  if (target === 'kvmsnap') running.kill('SIGKILL');
  else if (pattern === undefined) cut();
  else {
    const found = lines().filter((each) => pattern.test(each.line));
    if (found.length > 0) tryTool('kill', ['-KILL', String(chance.pick(found).pid)]);
  }
  return { target, first: await running.done, at };
}
