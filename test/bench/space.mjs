// What measuring the snapshots of an image costs, beside `qemu-img check` of the same image in turn:
// node test/bench/space.mjs [ROUNDS]. Takes about 1 GB of disk. Prints ratios; asserts nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { createImage, ENTRIES } from './space-image.mjs';

const rounds = Number(process.argv[2] ?? 7);
const node = process.execPath;
// Node.js 20 reads this bundle at every start, which would double the floor
delete process.env.NODE_EXTRA_CA_CERTS;

/** A linear congruence: the same image in every run. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** 200 tables of disk are 100 GiB. */
function scattered(path) {
  const image = createImage(200);
  const next = numbers(1);
  for (let i = 0; i < 33_000; i++) image.write(next(200 * ENTRIES));
  for (let i = 0; i < 20; i++) {
    image.snapshot();
    for (let k = 0; k < 425; k++) image.write(next(200 * ENTRIES));
  }
  return image.save(path);
}

function withMany(path) {
  const made = scattered(path);
  for (let i = 0; i < 200; i++) execFileSync('qemu-img', ['snapshot', '-c', `x${i}`, path]);
  return made;
}

/** 2048 tables of disk are 1 TiB. */
function full(path) {
  const image = createImage(2048);
  for (let guest = 0; guest < 2048 * ENTRIES; guest++) image.write(guest);
  for (let i = 0; i < 4; i++) {
    image.snapshot();
    for (let table = 0; table < 2048; table++) image.write(table * ENTRIES + i);
  }
  return image.save(path);
}

// ---- measuring ------------------------------------------------------------------------------------------

const PEAK = `Number(/VmHWM:\\s+(\\d+)/.exec(require('fs').readFileSync('/proc/self/status', 'utf8'))[1]) / 1024`;

/** A program that measures one image and says what that took, beyond the start of Node.js. */
const RUNNER = `
  const { execFile } = require('child_process');
  const { measureImage } = require('./space.cjs');
  const run = (args) => new Promise((resolve) => {
    execFile('qemu-img', args, { encoding: 'utf8', maxBuffer: 2 ** 30 }, (error, stdout, stderr) => {
      resolve({ stdout, stderr, exitCode: error ? 1 : 0 });
    });
  });
  // in time of the CPU: what others on the machine take is no block of ours
  let last = process.cpuUsage(), longest = 0;
  const look = () => {
    const { user, system } = process.cpuUsage(last);
    longest = Math.max(longest, (user + system) / 1000);
    last = process.cpuUsage();
  };
  const timer = process.argv[3] === 'blocks' ? setInterval(look, 1) : null;
  const id = (i) => String(i).padStart(4, '0');
  const since = new Map(Array.from({ length: 500 }, (_, i) => [id(i + 2), id(i + 1)]));
  const before = process.cpuUsage();
  measureImage(run, process.argv[2], { since }).then((space) => {
    clearInterval(timer);
    if (space.kind !== 'measured') throw new Error(space.detail);
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ cpu: (user + system) / 1000, longest, peak: ${PEAK} }));
  });`;

async function bundle(directory) {
  const build = await rolldown({
    input: fileURLToPath(new URL('../../src/qemu/image-space.ts', import.meta.url)),
    platform: 'node',
  });
  await build.write({ file: join(directory, 'space.cjs'), format: 'cjs' });
  writeFileSync(join(directory, 'run.cjs'), RUNNER);
  return join(directory, 'run.cjs');
}

/** CPU and wall of a whole process, in ms, by bash's own account of its children. */
function measure(args) {
  const { stdout, stderr } = spawnSync('bash', ['-c', `TIMEFORMAT='%R %U %S'; time "$@"`, 'bash', ...args], {
    encoding: 'utf8',
  });
  const [wall, user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { stdout, wall: wall * 1000, cpu: (user + system) * 1000 };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

function compare(name, path, { tables, metadata }, runner, floor) {
  const results = Array.from({ length: rounds }, () => {
    const ours = measure([node, runner, path]);
    const inner = JSON.parse(ours.stdout);
    return { ours, inner, theirs: measure(['qemu-img', 'check', '-q', path]) };
  });
  const { longest } = JSON.parse(measure([node, runner, path, 'blocks']).stdout);
  const of = (value) => median(results.map(value));
  const ms = (key) =>
    `${of(({ ours }) => ours[key]).toFixed(0)} / ${of(({ theirs }) => theirs[key]).toFixed(0)}`;
  const cells = [
    name,
    tables,
    (metadata / 1e6).toFixed(0),
    of(({ ours, theirs }) => ours.cpu / theirs.cpu).toFixed(2),
    of(({ ours, theirs }) => ours.wall / theirs.wall).toFixed(2),
    of(({ inner, theirs }) => inner.cpu / theirs.cpu).toFixed(2),
    ms('cpu'),
    ms('wall'),
    (of(({ inner }) => inner.peak) - floor).toFixed(0),
    longest.toFixed(0),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

const IMAGES = [
  ['100 GiB, 20 snapshots, scattered writes', scattered],
  ['the same, and 200 snapshots more that share their tables', withMany],
  ['1 TiB fully mapped, 4 snapshots, every table copied', full],
];

const directory = mkdtempSync('/var/tmp/kvmsnap-space-');
try {
  const runner = await bundle(directory);
  const floor = JSON.parse(execFileSync(node, ['-p', PEAK], { encoding: 'utf8' }));
  console.log(
    `Node.js ${process.version}, median of ${rounds} rounds, ratios to qemu-img check within the round\n`,
  );
  console.log(
    `| image | L2 tables | metadata MB | CPU ratio | wall ratio | CPU ratio without Node's start | CPU ms | wall ms | peak MiB beyond node (${floor.toFixed(0)}) | longest block CPU ms |`,
  );
  console.log(`|${' --- |'.repeat(10)}`);
  for (const [name, make] of IMAGES) {
    const path = join(directory, 'image.qcow2');
    compare(name, path, make(path), runner, floor);
    rmSync(path);
  }
} finally {
  rmSync(directory, { recursive: true });
}
