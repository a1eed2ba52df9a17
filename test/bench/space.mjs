// What `kvmsnap space` costs, the whole command as a user runs it, beside `qemu-img check` of the same image in turn:
// test/lab/enter.sh node test/bench/space.mjs [ROUNDS]. Takes about 1 GB of disk. Prints ratios; asserts nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createImage, ENTRIES } from './space-image.mjs';

const rounds = Number(process.argv[2] ?? 7);
const node = process.execPath;
const kvmsnap = fileURLToPath(new URL('../../bin/kvmsnap.cjs', import.meta.url));
if (!process.env.KVMSNAP_LAB)
  throw new Error('run it in the lab: test/lab/enter.sh node test/bench/space.mjs');
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

/**
 * Loaded before kvmsnap: tells its peak of memory and, in CPU time (what others on the VM take is no block of ours), the
 * longest time for which nothing else could run.
 */
const WATCH = `
  const { readFileSync, writeFileSync } = require('fs');
  let last = process.cpuUsage(), longest = 0;
  setInterval(() => {
    const { user, system } = process.cpuUsage(last);
    longest = Math.max(longest, (user + system) / 1000);
    last = process.cpuUsage();
  }, 1).unref();
  process.on('exit', () => {
    const peak = Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
    writeFileSync(process.env.WATCHED, JSON.stringify({ longest, peak }));
  });`;

/** What was watched of one run. */
function watch(directory, args) {
  const [hook, file] = [join(directory, 'watch.cjs'), join(directory, 'watched')];
  writeFileSync(hook, WATCH);
  execFileSync(node, ['--require', hook, ...args], {
    env: { ...process.env, WATCHED: file },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** A VM on the image, which is off. */
function define(path) {
  const xml = `${path}.xml`;
  writeFileSync(
    xml,
    `<domain type='qemu'><name>bench</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
     <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
     <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/></disk>
     </devices></domain>`,
  );
  execFileSync('virsh', ['define', xml], { stdio: 'ignore' });
}

/** CPU and wall of a whole process, in ms, by bash's own account of its children. */
function measure(args) {
  const { stderr, status } = spawnSync(
    'bash',
    ['-c', `TIMEFORMAT='%R %U %S'; time "$@" >/dev/null`, 'bash', ...args],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`${args.join(' ')}: exit ${status}\n${stderr}`);
  const [wall, user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { wall: wall * 1000, cpu: (user + system) * 1000 };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

function compare(name, path, { tables, metadata }, directory, floor) {
  const args = [kvmsnap, 'space', 'bench'];
  define(path);
  const results = Array.from({ length: rounds }, () => ({
    ours: measure([node, ...args]),
    theirs: measure(['qemu-img', 'check', '-q', path]),
  }));
  const { longest, peak } = watch(directory, args);
  const of = (value) => median(results.map(value));
  const ms = (key) =>
    `${of(({ ours }) => ours[key]).toFixed(0)} / ${of(({ theirs }) => theirs[key]).toFixed(0)}`;
  const cells = [
    name,
    tables,
    (metadata / 1e6).toFixed(0),
    of(({ ours, theirs }) => ours.cpu / theirs.cpu).toFixed(2),
    of(({ ours, theirs }) => ours.wall / theirs.wall).toFixed(2),
    ms('cpu'),
    ms('wall'),
    (peak - floor).toFixed(0),
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
  const floor = watch(directory, ['-e', '0']).peak;
  console.log(
    `Node.js ${process.version}, median of ${rounds} rounds, ratios to qemu-img check within the round\n`,
  );
  console.log(
    `| image | L2 tables | metadata MB | CPU ratio | wall ratio | CPU ms | wall ms | peak MiB beyond node (${floor.toFixed(0)}) | longest block CPU ms |`,
  );
  console.log(`|${' --- |'.repeat(9)}`);
  for (const [name, make] of IMAGES) {
    const path = join(directory, 'image.qcow2');
    compare(name, path, make(path), directory, floor);
    rmSync(path);
    execFileSync('virsh', ['undefine', 'bench'], { stdio: 'ignore' });
  }
} finally {
  rmSync(directory, { recursive: true });
}
