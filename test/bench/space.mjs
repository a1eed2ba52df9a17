// What measuring the snapshots of an image costs, beside `qemu-img check` of the same image, in turn: node test/bench/space.mjs
// [ROUNDS]. The images have real metadata and holes for data; they take about 1 GB of disk. Prints ratios; asserts nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const rounds = Number(process.argv[2] ?? 7);
const node = process.execPath;
// Node.js 20 reads this bundle at every start, which would double the floor
delete process.env.NODE_EXTRA_CA_CERTS;

const CLUSTER = 65536;
const ENTRIES = CLUSTER / 8;

// ---- images ---------------------------------------------------------------------------------------------

/** Writes an image of version 3 cluster by cluster; data stays a hole. */
function createImage(path, tables) {
  const file = openSync(path, 'w');
  let next = 1;
  const tree = { l1: Array.from({ length: tables }, () => null) };
  const snapshots = [];
  const every = new Set();
  const take = (count = 1) => {
    next += count;
    return next - count;
  };
  return {
    /** Maps that cluster of the guest's disk to a new one of the file, as a write does. */
    write(guest) {
      const index = Math.floor(guest / ENTRIES);
      let table = tree.l1[index];
      if (!table || table.shared) {
        table = { entries: Float64Array.from(table?.entries ?? new Float64Array(ENTRIES)), cluster: take() };
        tree.l1[index] = table;
        every.add(table);
      }
      table.entries[guest % ENTRIES] = take();
    },
    snapshot() {
      for (const table of tree.l1) if (table) table.shared = true;
      snapshots.push({ l1: [...tree.l1], cluster: take(Math.ceil((tables * 8) / CLUSTER)) });
    },
    /** Lets go of a table's entries when its cluster has been written: a terabyte of them does not fit. */
    finish() {
      const l1Cluster = take(Math.ceil((tables * 8) / CLUSTER));
      const snapshotCluster = take(Math.ceil((snapshots.length * 72) / CLUSTER));
      const perBlock = CLUSTER / 2;
      const blocks = Math.ceil((next + next / perBlock + 8) / perBlock);
      const blockCluster = take(blocks);
      const tableClusters = Math.ceil((blocks * 8) / CLUSTER);
      const tableCluster = take(tableClusters);
      const counts = new Uint16Array(blocks * perBlock);
      const used = (cluster, count = 1) => {
        for (let i = 0; i < count; i++) counts[cluster + i] = 1;
      };
      used(0);
      used(l1Cluster, Math.ceil((tables * 8) / CLUSTER));
      if (snapshots.length > 0) used(snapshotCluster, Math.ceil((snapshots.length * 72) / CLUSTER));
      used(blockCluster, blocks);
      used(tableCluster, tableClusters);
      const trees = [tree, ...snapshots];
      for (const { cluster } of snapshots) used(cluster, Math.ceil((tables * 8) / CLUSTER));
      for (const table of every) table.owners = trees.filter(({ l1 }) => l1.includes(table)).length;
      for (const table of every) {
        counts[table.cluster] = table.owners;
        for (const cluster of table.entries) if (cluster !== 0) counts[cluster] += table.owners;
      }
      const put = (bytes, cluster) => writeSync(file, bytes, 0, bytes.length, cluster * CLUSTER);
      const buffer = Buffer.alloc(CLUSTER);
      const entry = (into, at, cluster) => {
        const offset = cluster * CLUSTER;
        into.writeUInt32BE(Math.floor(offset / 2 ** 32) + (counts[cluster] === 1 ? 0x8000_0000 : 0), at);
        into.writeUInt32BE(offset % 2 ** 32, at + 4);
      };
      const active = new Set(tree.l1);
      for (const table of every) {
        buffer.fill(0);
        for (let i = 0; i < ENTRIES; i++) if (table.entries[i] !== 0) entry(buffer, i * 8, table.entries[i]);
        if (!active.has(table)) for (let i = 0; i < CLUSTER; i += 8) buffer[i] &= 0x7f;
        put(buffer, table.cluster);
      }
      for (const { l1, cluster } of [{ l1: tree.l1, cluster: l1Cluster }, ...snapshots]) {
        const bytes = Buffer.alloc(tables * 8);
        for (const [i, table] of l1.entries()) if (table) entry(bytes, i * 8, table.cluster);
        if (l1 !== tree.l1) for (let i = 0; i < bytes.length; i += 8) bytes[i] &= 0x7f;
        put(bytes, cluster);
      }
      const list = Buffer.alloc(snapshots.length * 72);
      for (const [i, { cluster }] of snapshots.entries()) {
        list.writeBigUInt64BE(BigInt(cluster * CLUSTER), i * 72);
        list.writeUInt32BE(tables, i * 72 + 8);
        list.writeUInt16BE(4, i * 72 + 12);
        list.writeUInt16BE(4, i * 72 + 14);
        list.writeUInt32BE(24, i * 72 + 36);
        list.writeBigUInt64BE(BigInt(tables * ENTRIES * CLUSTER), i * 72 + 48);
        list.write(`${String(i + 1).padStart(4, '0')}${String(i + 1).padStart(4, '0')}`, i * 72 + 64);
      }
      put(list, snapshotCluster);
      const bytes = Buffer.from(counts.buffer).swap16();
      put(bytes, blockCluster);
      const pointers = Buffer.alloc(tableClusters * CLUSTER);
      for (let i = 0; i < blocks; i++) pointers.writeBigUInt64BE(BigInt((blockCluster + i) * CLUSTER), i * 8);
      put(pointers, tableCluster);
      const header = Buffer.alloc(112);
      header.write('QFI\xfb', 0, 'latin1');
      header.writeUInt32BE(3, 4);
      header.writeUInt32BE(16, 20);
      header.writeBigUInt64BE(BigInt(tables * ENTRIES * CLUSTER), 24);
      header.writeUInt32BE(tables, 36);
      header.writeBigUInt64BE(BigInt(l1Cluster * CLUSTER), 40);
      header.writeBigUInt64BE(BigInt(tableCluster * CLUSTER), 48);
      header.writeUInt32BE(tableClusters, 56);
      header.writeUInt32BE(snapshots.length, 60);
      header.writeBigUInt64BE(BigInt(snapshotCluster * CLUSTER), 64);
      header.writeUInt32BE(4, 96);
      header.writeUInt32BE(104, 100);
      put(header, 0);
      ftruncateSync(file, next * CLUSTER);
      closeSync(file);
      return { tables: every.size, metadata: (every.size + blocks) * CLUSTER };
    },
  };
}

/** A linear congruence: the same image in every run. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function scattered(path, tables, snapshots, first, each) {
  const image = createImage(path, tables);
  const next = numbers(1);
  for (let i = 0; i < first; i++) image.write(next(tables * ENTRIES));
  for (let i = 0; i < snapshots; i++) {
    image.snapshot();
    for (let k = 0; k < each; k++) image.write(next(tables * ENTRIES));
  }
  return image.finish();
}

function full(path, tables, snapshots) {
  const image = createImage(path, tables);
  for (let guest = 0; guest < tables * ENTRIES; guest++) image.write(guest);
  for (let i = 0; i < snapshots; i++) {
    image.snapshot();
    for (let table = 0; table < tables; table++) image.write(table * ENTRIES + i);
  }
  return image.finish();
}

// ---- measuring ------------------------------------------------------------------------------------------

async function bundle(directory) {
  const build = await rolldown({
    input: fileURLToPath(new URL('../../src/qemu/image-space.ts', import.meta.url)),
    platform: 'node',
  });
  await build.write({ file: join(directory, 'space.mjs'), format: 'esm' });
  const runner = join(directory, 'run.mjs');
  writeFileSync(
    runner,
    `import { spawnSync } from 'node:child_process';
     import { measureImage } from './space.mjs';
     const run = async (args) => {
       const { stdout, stderr, status } = spawnSync('qemu-img', args, { encoding: 'utf8', maxBuffer: 2 ** 30 });
       return { stdout, stderr, exitCode: status };
     };
     let longest = 0, last = performance.now();
     const timer = setInterval(() => { const now = performance.now(); longest = Math.max(longest, now - last); last = now; }, 1);
     const { cpuUsage, resourceUsage } = process;
     const [before, start] = [cpuUsage(), performance.now()];
     const since = new Map(Array.from({ length: 9998 }, (_, i) => [String(i + 2).padStart(4, '0'), String(i + 1).padStart(4, '0')]));
     const space = await measureImage(run, process.argv[2], { since });
     clearInterval(timer);
     if (space.kind !== 'measured') throw new Error(space.detail);
     const { user, system } = cpuUsage(before);
     process.stdout.write(JSON.stringify({ wall: performance.now() - start, cpu: (user + system) / 1000, longest,
       peak: resourceUsage().maxRSS / 1024, snapshots: space.snapshots.length, frees: space.snapshots.at(-1).frees }));`,
  );
  return runner;
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

const directory = mkdtempSync(join(process.env.KVMSNAP_LAB ?? '/var/tmp', 'kvmsnap-space-'));
try {
  const runner = await bundle(directory);
  const floor = JSON.parse(execFileSync(node, ['-p', 'process.resourceUsage().maxRSS / 1024'], { encoding: 'utf8' }));
  console.log(`Node.js ${process.version}, median of ${rounds} rounds, peak memory of node alone ${floor.toFixed(0)} MiB\n`);
  console.log(
    '| image | L2 tables | metadata MB | CPU / check | wall / check | reader alone, CPU / check | CPU ms | wall ms | peak MiB beyond node | longest block ms |',
  );
  console.log(`|${' --- |'.repeat(10)}`);
  const images = [
    ['100 GiB, 20 snapshots, scattered writes', (path) => scattered(path, 200, 20, 33_000, 425)],
    ['the same with 200 more snapshots of the last state', (path) => scattered(path, 200, 20, 33_000, 425)],
    ['1 TiB fully mapped, 4 snapshots, every table copied', (path) => full(path, 2048, 4)],
  ];
  for (const [name, make] of images) {
    const path = join(directory, 'image.qcow2');
    const { tables, metadata } = make(path);
    if (name.startsWith('the same'))
      for (let i = 0; i < 200; i++) execFileSync('qemu-img', ['snapshot', '-c', `x${i}`, path]);
    const check = ['qemu-img', 'check', '-q', path];
    const results = Array.from({ length: rounds }, () => {
      const ours = measure([node, runner, path]);
      const theirs = measure(check);
      return { ours, theirs, inner: JSON.parse(ours.stdout) };
    });
    const of = (value) => median(results.map(value));
    console.log(
      `| ${[
        name,
        tables,
        (metadata / 1e6).toFixed(0),
        of(({ ours, theirs }) => ours.cpu / theirs.cpu).toFixed(2),
        of(({ ours, theirs }) => ours.wall / theirs.wall).toFixed(2),
        of(({ inner, theirs }) => inner.cpu / theirs.cpu).toFixed(2),
        `${of(({ ours }) => ours.cpu).toFixed(0)} / ${of(({ theirs }) => theirs.cpu).toFixed(0)}`,
        `${of(({ ours }) => ours.wall).toFixed(0)} / ${of(({ theirs }) => theirs.wall).toFixed(0)}`,
        (of(({ inner }) => inner.peak) - floor).toFixed(0),
        of(({ inner }) => inner.longest).toFixed(0),
      ].join(' | ')} |`,
    );
    rmSync(path);
  }
} finally {
  rmSync(directory, { recursive: true });
}
