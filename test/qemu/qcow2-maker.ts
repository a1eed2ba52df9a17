// Random images, made by the real qemu-img, qemu-io and QEMU from a seed.
import { execFileSync, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';

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

/** What an image was made of, to count what a run has covered. */
export interface Made {
  readonly path: string;
  readonly traits: ReadonlySet<string>;
  /** The commands that made it. */
  readonly log: readonly string[];
}

const SECRET = ['--object', 'secret,id=s,data=abcdef'];

/** Makes one in `directory`; the name is the seed's. */
export function makeImage(directory: string, seed: number): Made {
  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <Value>(...values: readonly [Value, ...Value[]]): Value =>
    values[below(values.length)] ?? values[0];
  const chance = (likelihood: number) => random() < likelihood;

  const path = `${directory}/${seed}.qcow2`;
  const log: string[] = [];
  const run = (tool: string, args: readonly string[], input = '') => {
    log.push([tool, ...args].join(' ') + (input && ` <<< ${JSON.stringify(input)}`));
    const { status } = spawnSync(tool, args, { input, stdio: ['pipe', 'ignore', 'ignore'], timeout: 60_000 });
    return status === 0;
  };

  const clusterBits = pick(9, 9, 10, 12, 12, 14, 16, 16, 16, 18, 21);
  const cluster = 2 ** clusterBits;
  const old = chance(0.15);
  const extended = !old && clusterBits >= 14 && chance(0.4);
  const luks = chance(0.05);
  const packs = !luks && chance(0.4);
  const preallocated = !packs && chance(0.15);
  const backing = !preallocated && chance(0.15);
  const zstd = packs && !old && chance(0.6);
  const lazy = !old && chance(0.15);
  const bits = old ? 16 : pick(2, 4, 8, 16, 16, 32, 64);
  const perTable = cluster / (extended ? 16 : 8);
  // some tables' worth of disk, but not many allocated clusters if all are
  const tables = preallocated ? 1 + below(3) : 1 + below(clusterBits < 14 ? 30 : 6);
  let size = Math.max(
    cluster * 4,
    Math.min(tables * perTable, preallocated ? 1500 : Number.MAX_SAFE_INTEGER) * cluster,
  );
  if (size % 512 === 0 && chance(0.3)) size -= 512;

  const options = [
    `cluster_size=${cluster}`,
    old ? 'compat=0.10' : `compat=1.1,refcount_bits=${bits}`,
    ...(extended ? ['extended_l2=on'] : []),
    ...(zstd ? ['compression_type=zstd'] : []),
    ...(lazy ? ['lazy_refcounts=on'] : []),
    ...(preallocated ? ['preallocation=metadata'] : []),
    ...(luks ? ['encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=20'] : []),
  ];
  if (backing) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'raw', `${directory}/base.raw`, '64k']);
    options.push(`backing_file=${directory}/base.raw,backing_fmt=raw`);
  }
  log.push(`qemu-img create -f qcow2 -o ${options.join()} ${path} ${size}`);
  execFileSync('qemu-img', [
    'create',
    '-q',
    ...(luks ? SECRET : []),
    '-f',
    'qcow2',
    '-o',
    options.join(),
    path,
    String(size),
  ]);

  const traits = new Set([
    `${cluster} bytes`,
    `${bits} bits`,
    old ? 'version 2' : 'version 3',
    ...Object.entries({ extended, luks, packs, zstd, preallocated, backing, lazy }).flatMap(([name, is]) =>
      is ? [name] : [],
    ),
  ]);

  const io = (commands: readonly string[]) => {
    const image = luks ? ['--image-opts', `driver=qcow2,encrypt.key-secret=s,file.filename=${path}`] : [path];
    const open = luks ? [...SECRET, ...image] : ['-f', 'qcow2', ...image];
    return run('qemu-io', ['-d', 'unmap', ...commands.flatMap((command) => ['-c', command]), ...open]);
  };

  const most = Math.max(1, Math.min(12, Math.floor((512 * 1024) / cluster)));
  /** Near the start of a few tables, so that snapshots meet in the same ones. */
  const place = () => {
    const table = below(Math.ceil(size / (perTable * cluster)));
    const at =
      table * perTable * cluster + below(Math.min(perTable, 40)) * cluster - (chance(0.2) ? 2 * cluster : 0);
    return Math.max(0, Math.min(at, size - cluster));
  };
  const write = (): string => {
    const offset = Math.floor(place() / cluster) * cluster;
    const length = Math.min((1 + below(most)) * cluster, size - offset);
    const whole = Math.floor(length / cluster) * cluster;
    const part = Math.max(512, Math.floor(length / (1 + below(4)) / 512) * 512);
    const what = below(10);
    if (packs && what < 4 && whole > 0) {
      // one cluster each, as qemu-img convert does it; several make it quicker to fill a cluster of the file
      return `write -c -P ${1 + below(250)} ${offset} ${chance(0.7) ? cluster : whole}`;
    }
    if (what === 9) return `discard ${offset} ${length}`;
    if (what === 8) return `write -z ${chance(0.5) ? '-u ' : ''}${offset} ${chance(0.5) ? part : length}`;
    return `write -P ${1 + below(250)} ${offset + (chance(0.2) && length > part ? length - part : 0)} ${part}`;
  };

  const rounds = 2 + below(4);
  const names: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const count = 1 + below(clusterBits < 14 ? 25 : 12);
    // compressed after discards in one process would meet a fault of QEMU 7.2 (a stale free byte offset)
    const commands = Array.from({ length: count }, write);
    if (packs) for (let i = 0; i < commands.length; i += 4) io(commands.slice(i, i + 4));
    else io(commands);
    if (!luks && chance(0.15)) {
      const end = Math.ceil(size / (perTable * cluster)) * perTable * cluster;
      if (
        io([`write -b -P 7 ${end + below(3) * cluster} ${Math.max(512, Math.min(cluster * 3, 300 * 1024))}`])
      )
        traits.add('written vm state');
    }
    const name = `s${round}${'x'.repeat(chance(0.3) ? below(200) : 0)}`;
    const machine = !luks && chance(0.12);
    if (machine ? saveMachine(path, name, run) : run('qemu-img', ['snapshot', '-c', name, path])) {
      names.push(name);
      if (machine) traits.add('saved machine');
    }
    const [some] = names.slice(-1 - below(names.length));
    if (chance(0.2) && some && run('qemu-img', ['snapshot', '-a', some, path])) traits.add('reverted');
    if (chance(0.1) && names.length > 2 && some && run('qemu-img', ['snapshot', '-d', some, path])) {
      names.splice(names.indexOf(some), 1);
      traits.add('deleted before');
    }
    if (!luks && chance(0.15) && run('qemu-img', ['resize', '-q', path, `+${perTable * cluster}`])) {
      size += perTable * cluster;
      traits.add('resized');
    }
    if (!old && chance(0.1) && run('qemu-img', ['bitmap', '--add', '-g', '64k', path, `b${round}`]))
      traits.add('bitmap');
  }
  io(Array.from({ length: below(8) }, write));
  return { path, traits, log };
}

/** A machine of 2 MiB saves its memory into the image. */
function saveMachine(
  path: string,
  name: string,
  run: (tool: string, args: string[], input: string) => boolean,
): boolean {
  const before = statSync(path).mtimeMs;
  run(
    'qemu-system-x86_64',
    [
      '-accel',
      'tcg',
      '-M',
      'isapc',
      '-m',
      '2',
      '-nodefaults',
      '-display',
      'none',
      '-S',
      '-monitor',
      'stdio',
      '-drive',
      `if=none,id=d,format=qcow2,discard=unmap,file=${path}`,
    ],
    `savevm ${name}\nquit\n`,
  );
  return statSync(path).mtimeMs !== before;
}
