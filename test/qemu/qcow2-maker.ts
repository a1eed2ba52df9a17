// Random images, made by the real qemu-img, qemu-io and QEMU from a seed.
import { spawnSync } from 'node:child_process';
import { rmSync, statSync, writeFileSync } from 'node:fs';

/** Numbers from 0 up to, not including, 1, always the same for a seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Dice {
  below(limit: number): number;
  chance(likelihood: number): boolean;
  pick<Value>(...values: readonly [Value, ...Value[]]): Value;
}

function createDice(seed: number): Dice {
  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  return {
    below,
    chance: (likelihood) => random() < likelihood,
    pick: (...values) => values[below(values.length)] ?? values[0],
  };
}

/** An image, what it was made of, and how. */
export interface Made {
  readonly path: string;
  readonly traits: ReadonlySet<string>;
  readonly log: readonly string[];
}

/** What an image is made with. */
interface Plan {
  readonly clusterBits: number;
  readonly refcountBits: number;
  readonly old: boolean;
  readonly extended: boolean;
  readonly luks: boolean;
  /** Compressed clusters are written. */
  readonly packs: boolean;
  readonly zstd: boolean;
  readonly preallocated: boolean;
  readonly backing: boolean;
  readonly lazy: boolean;
}

function planImage({ chance, pick }: Dice): Plan {
  const clusterBits = pick(9, 9, 10, 12, 12, 14, 16, 16, 16, 18, 21);
  const old = chance(0.15);
  const luks = chance(0.05);
  const packs = !luks && chance(0.4);
  const preallocated = !packs && chance(0.15);
  return {
    clusterBits,
    old,
    luks,
    packs,
    preallocated,
    refcountBits: old ? 16 : pick(2, 4, 8, 16, 16, 32, 64),
    extended: !old && clusterBits >= 14 && chance(0.4),
    zstd: packs && !old && chance(0.6),
    backing: !preallocated && chance(0.15),
    lazy: !old && chance(0.15),
  };
}

const SECRET = ['--object', 'secret,id=s,data=abcdef'];

/** How qemu-img and qemu-io are to open an image: arguments, after all others. */
export const openArgs = (path: string, luks: boolean): string[] =>
  luks
    ? [...SECRET, '--image-opts', `driver=qcow2,encrypt.key-secret=s,file.filename=${path}`]
    : ['-f', 'qcow2', path];

/** The same where qemu-img takes no format: for snapshots. */
export const snapshotArgs = (path: string, luks: boolean): string[] => (luks ? openArgs(path, true) : [path]);

/** Makes the image of that seed in a directory. */
export function makeImage(directory: string, seed: number): Made {
  const dice = createDice(seed);
  const plan = planImage(dice);
  const path = `${directory}/${seed}.qcow2`;
  const workshop = openWorkshop(path, seed, plan, dice);
  workshop.create(`${directory}/base.raw`);
  const rounds = 2 + dice.below(4);
  for (let round = 0; round < rounds; round++) {
    workshop.write(1 + dice.below(plan.clusterBits < 14 ? 25 : 12));
    workshop.writeMemory();
    workshop.takeSnapshot(round);
    workshop.goBack();
    workshop.grow(round);
  }
  workshop.write(dice.below(8));
  workshop.crash();
  workshop.tidyUp();
  return { path, traits: workshop.traits, log: workshop.log };
}

function optionsOf(plan: Plan, base: string): string {
  const options = [
    `cluster_size=${2 ** plan.clusterBits}`,
    plan.old ? 'compat=0.10' : `compat=1.1,refcount_bits=${plan.refcountBits}`,
    plan.extended && 'extended_l2=on',
    plan.zstd && 'compression_type=zstd',
    plan.lazy && 'lazy_refcounts=on',
    plan.preallocated && 'preallocation=metadata',
    plan.luks && 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=50',
    plan.backing && `backing_file=${base},backing_fmt=raw`,
  ];
  return options.filter((option) => option !== false).join();
}

function openWorkshop(path: string, seed: number, plan: Plan, { below, chance, pick }: Dice) {
  const log: string[] = [];
  const texture = `${path}.text`;
  const cluster = 2 ** plan.clusterBits;
  const clustersPerTable = cluster / (plan.extended ? 16 : 8);
  const span = clustersPerTable * cluster;
  // the disk of several tables, but not many clusters where all are allocated
  const clusters = (1 + below(plan.clusterBits < 14 ? 30 : 6)) * clustersPerTable;
  let size = Math.max(4, plan.preallocated ? Math.min(clusters, 1500) : clusters) * cluster;
  if (chance(0.3)) size -= 512;
  const names: string[] = [];
  const traits = new Set([
    `clusters of ${cluster} bytes`,
    `refcounts of ${plan.refcountBits} bits`,
    plan.old ? 'version 2' : 'version 3',
    ...Object.entries(plan).flatMap(([name, is]) => (is === true && name !== 'old' ? [name] : [])),
  ]);

  const run = (tool: string, args: readonly string[], input = ''): boolean => {
    log.push([tool, ...args].join(' ') + (input && ` <<< ${JSON.stringify(input)}`));
    return spawnSync(tool, args, { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0;
  };
  const io = (commands: readonly string[]): boolean => {
    if (commands.length === 0) return true;
    return run('qemu-io', [
      '-d',
      'unmap',
      ...commands.flatMap((command) => ['-c', command]),
      ...openArgs(path, plan.luks),
    ]);
  };

  const snapshot = (action: string, name: string) =>
    run('qemu-img', ['snapshot', action, name, ...snapshotArgs(path, plan.luks)]);

  /** Near the start of a few tables, so that snapshots meet in the same ones; sometimes over the end of one. */
  const somewhere = () => {
    const table = below(Math.min(Math.ceil(size / span), plan.packs ? 3 : 40)) * span;
    const at =
      table + (below(Math.min(clustersPerTable, plan.packs ? 12 : 40)) - (chance(0.2) ? 2 : 0)) * cluster;
    return Math.max(0, Math.min(at, Math.floor(size / cluster) * cluster - cluster));
  };
  const most = Math.max(1, Math.min(12, Math.floor((512 * 1024) / cluster)));
  const length = (offset: number) => Math.min((1 + below(most)) * cluster, size - offset);
  const part = (whole: number) => Math.max(512, Math.floor(whole / (1 + below(4)) / 512) * 512);

  const compressed = () => {
    const offset = somewhere();
    const whole = Math.floor(length(offset) / cluster) * cluster;
    // of one byte a cluster becomes a sector, of the file about half as long
    const content = chance(0.5) ? `-P ${1 + below(250)}` : `-s ${texture}`;
    return `write -c ${content} ${offset} ${chance(0.7) ? cluster : whole}`;
  };
  const plain = () => {
    const offset = somewhere();
    const whole = length(offset);
    return pick(
      `write -P ${1 + below(250)} ${offset} ${whole}`,
      `write -P ${1 + below(250)} ${offset} ${part(whole)}`,
      `write -P ${1 + below(250)} ${offset + whole - part(512)} 512`,
      `write -z ${offset} ${whole}`,
      `write -z -u ${offset} ${part(whole)}`,
      `discard ${offset} ${whole}`,
    );
  };
  const many = (count: number, command: () => string) => Array.from({ length: count }, command);

  return {
    log,
    traits,

    create(base: string): void {
      if (plan.packs) writeFileSync(texture, randomText(seed));
      if (plan.backing) writeFileSync(base, Buffer.alloc(65536, 1));
      const args = [
        'create',
        '-q',
        ...(plan.luks ? SECRET : []),
        '-f',
        'qcow2',
        '-o',
        optionsOf(plan, base),
        path,
      ];
      // the first try of LUKS can fail on a busy VM: no accurate CPU time
      for (let tries = 0; !run('qemu-img', [...args, String(size)]); tries++)
        if (tries === 20) throw new Error(log.join('\n'));
    },

    write(count: number): void {
      // QEMU 7.2 corrupts an image that one process writes compressed clusters to after it has freed some
      const packed = plan.packs ? Math.ceil(count * 0.7) : 0;
      io(many(packed, compressed));
      io(many(count - packed, plain));
    },

    writeMemory(): void {
      if (plan.luks || chance(0.85)) return;
      const beyond = Math.ceil(size / span) * span + below(3) * cluster;
      const bytes = Math.max(512, Math.min(cluster * 3, 300 * 1024));
      if (io([`write -b -P 7 ${beyond} ${bytes}`])) traits.add('written memory');
    },

    takeSnapshot(round: number): void {
      const name = `s${round}${'x'.repeat(chance(0.3) ? below(200) : 0)}`;
      if (!plan.luks && chance(0.12)) {
        if (saveVm(path, name, run)) {
          names.push(name);
          traits.add('saved VM');
        }
      } else if (snapshot('-c', name)) names.push(name);
    },

    goBack(): void {
      const some = names[below(names.length)];
      if (some && chance(0.2) && snapshot('-a', some)) traits.add('reverted');
      if (names.length > 2 && some && chance(0.15) && snapshot('-d', some)) {
        names.splice(names.indexOf(some), 1);
        traits.add('deleted before');
      }
    },

    grow(round: number): void {
      if (!plan.luks && chance(0.15) && run('qemu-img', ['resize', '-q', path, `+${span}`])) {
        size += span;
        traits.add('resized');
      }
      if (!plan.old && chance(0.1) && run('qemu-img', ['bitmap', '--add', '-g', '64k', path, `b${round}`]))
        traits.add('bitmap');
    },

    tidyUp: (): void => rmSync(texture, { force: true }),

    /** With lazy refcounts, a writer that dies leaves them wrong. */
    crash(): void {
      if (!plan.lazy || plan.luks || chance(0.4)) return;
      io([...many(1 + below(4), plain), 'flush', 'abort']);
      traits.add('crashed');
    },
  };
}

/** Of sixteen different bytes. */
function randomText(seed: number): Buffer {
  const random = randomNumbers(seed);
  return Buffer.from(Array.from({ length: 2 ** 16 }, () => Math.floor(random() * 16)));
}

/** A VM of 2 MiB saves its memory into the image. */
function saveVm(
  path: string,
  name: string,
  run: (tool: string, args: readonly string[], input: string) => boolean,
): boolean {
  const before = statSync(path).mtimeMs;
  const vm = ['-accel', 'tcg', '-M', 'isapc', '-m', '2', '-nodefaults', '-display', 'none', '-S'];
  const drive = ['-drive', `if=none,id=d,format=qcow2,discard=unmap,file=${path}`];
  run('qemu-system-x86_64', [...vm, '-monitor', 'stdio', ...drive], `savevm ${name}\nquit\n`);
  return statSync(path).mtimeMs !== before;
}
