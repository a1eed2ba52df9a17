// Start-up, speed and memory of the built kvmsnap beside raw virsh and beside the shell loop that a person would write.
// Runs in the lab: test/lab/enter.sh node test/bench/bench.mjs [ROUNDS]. Prints ratios; asserts nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const rounds = Number(process.argv[2] ?? 15);
const scratch = process.env.KVMSNAP_LAB;
if (!scratch) throw new Error('run it in the lab: test/lab/enter.sh node test/bench/bench.mjs');
const node = process.execPath;
const kvmsnap = fileURLToPath(new URL('../../bin/kvmsnap.cjs', import.meta.url));
// Node.js 20 reads this bundle at every start, which would double the floor and halve every ratio.
delete process.env.NODE_EXTRA_CA_CERTS;

const virsh = (...args) =>
  execFileSync('virsh', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const sh = (word) => `'${word.replaceAll("'", "'\\''")}'`;

// ---- VMs -------------------------------------------------------------------------------------------

function define(name) {
  const disk = `${scratch}/${name}.qcow2`;
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '64M']);
  const xml = `${scratch}/${name}.xml`;
  writeFileSync(
    xml,
    `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
     <os><type arch='x86_64' machine='pc'>hvm</type></os><seclabel type='none'/><devices>
     <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
     <memballoon model='none'/></devices></domain>`,
  );
  virsh('define', xml);
}

/** A chain of snapshots: one is real, the others are its metadata under other names. */
function snapshots(name, count, { running } = { running: true }) {
  if (running) virsh('start', name);
  virsh('snapshot-create-as', '--domain', name, '--name', 's0');
  if (running) virsh('destroy', name);
  const model = virsh('snapshot-dumpxml', '--domain', name, '--snapshotname', 's0');
  mkdirSync(`${scratch}/${name}`);
  const commands = [];
  for (let i = 1; i < count; i++) {
    const file = `${scratch}/${name}/${i}.xml`;
    const xml = model
      .replace('<name>s0</name>', `<name>s${i}</name><parent><name>s${i - 1}</name></parent>`)
      .replace(/<creationTime>(\d+)/, (_, time) => `<creationTime>${Number(time) + i}`);
    writeFileSync(file, xml);
    commands.push(`snapshot-create --domain ${name} --xmlfile ${file} --redefine`);
  }
  for (let i = 0; i < commands.length; i += 500) virsh(commands.slice(i, i + 500).join('; '));
}

// ---- measuring ------------------------------------------------------------------------------------------

/** One run of a shell line: CPU and wall seconds, by bash's own account of its children. */
function measure(line) {
  const { stderr } = spawnSync('bash', ['-c', `TIMEFORMAT='%R %U %S'; time { ${line}; } >/dev/null 2>&1`], {
    encoding: 'utf8',
  });
  const [wall, user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { wall, cpu: user + system };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Runs both in turn, round by round, so that a change of the machine's speed affects both. */
function compare(what, ours, theirs, n = rounds) {
  const pairs = Array.from({ length: n }, () => [measure(ours), measure(theirs)]);
  const ratio = (key) => {
    const value = median(pairs.map(([a, b]) => a[key] / b[key]));
    return value < 0.5 ? `1/${(1 / value).toFixed(1)}` : value.toFixed(2);
  };
  const ms = (side, key) => (median(pairs.map((pair) => pair[side][key])) * 1000).toFixed(0);
  console.log(
    `| ${what} | ${ratio('cpu')} | ${ratio('wall')} | ${ms(0, 'cpu')} / ${ms(1, 'cpu')} | ${ms(0, 'wall')} / ${ms(1, 'wall')} |`,
  );
}

/** The raw commands that one run of kvmsnap starts, after a bare `node -e 0`: the floor for a tool in Node.js. */
function rawCommands(args) {
  const { stderr } = spawnSync(node, [kvmsnap, ...args, '-v'], { encoding: 'utf8' });
  const lines = stderr
    .split('\n')
    .filter((line) => line.startsWith('+ '))
    .map((line) => line.slice(2));
  const file = `${scratch}/raw-${args.join('-')}.sh`;
  writeFileSync(file, [`${sh(node)} -e 0`, ...lines].join('\n'));
  return `. ${file}`;
}

/** A prune's plan alone, in a process that has nothing else to do: its own CPU beside a start of Node.js. */
async function planOf(count) {
  const file = `${scratch}/retention.mjs`;
  const input = fileURLToPath(new URL('../../src/prune/retention.ts', import.meta.url));
  const bundle = await rolldown({ input });
  await bundle.write({ file });
  const script = `${scratch}/plan.mjs`;
  writeFileSync(
    script,
    `import { planRetention } from '${file}';
     const now = 1795424800;
     const rules = { last: 10, periods: { hourly: 48, daily: 30, weekly: 12, monthly: 24, yearly: 5 }, within: { hours: 0, days: 14, months: 0 }, allowEmpty: false };
     const zone = (s) => -new Date(s * 1000).getTimezoneOffset() * 60;
     planRetention(Array.from({ length: Number(process.argv[2]) }, (_, i) => ({ name: 'nightly-' + i, createdAtSeconds: now - i * 3600, held: false, unfinished: null, undeletable: null })), rules, now, zone);`,
  );
  const runs = Array.from({ length: rounds }, () => ({
    plan: measure(`${sh(node)} ${script} ${count}`).cpu,
    none: measure(`${sh(node)} ${script} 0`).cpu,
    start: measure(`${sh(node)} -e 0`).cpu,
  }));
  const ratio = median(runs.map(({ plan, none, start }) => (plan - none) / start));
  console.log(`| a prune's plan of ${count} snapshots alone / \`node -e 0\` | ${ratio.toFixed(2)} | | | |`);
}

function peakMiB(args) {
  const hook = `${scratch}/peak.cjs`;
  const out = `${scratch}/peak`;
  writeFileSync(
    hook,
    `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(out)}, String(process.resourceUsage().maxRSS)))`,
  );
  spawnSync(node, ['--require', hook, kvmsnap, ...args], { maxBuffer: 1e9 });
  return (Number(readFileSync(out, 'utf8')) / 1024).toFixed(0);
}

// ---- the figures ----------------------------------------------------------------------------------------

const ours = (args) => `${sh(node)} ${sh(kvmsnap)} ${args}`;
const loop = (name) =>
  `for s in $(virsh snapshot-list --name ${name}); do virsh snapshot-info ${name} $s; done`;

define('two');
snapshots('two', 2);
console.log(
  `Node.js ${process.version}, ${virsh('--version').trim()} virsh, median of ${rounds} rounds, each ratio within its round\n`,
);
console.log(
  '| kvmsnap / beside it | CPU ratio | wall ratio | CPU ms | wall ms |\n| --- | --- | --- | --- | --- |',
);
compare('`--version` / `node -e 0`', ours('--version'), `${sh(node)} -e 0`);
compare('`--help` / `node -e 0`', ours('--help'), `${sh(node)} -e 0`);
compare(
  '`list` of 2 snapshots / `node -e 0` and the raw commands',
  ours('list two'),
  rawCommands(['list', 'two']),
);
compare('`list` of 2 snapshots / the loop', ours('list two'), loop('two'));
define('off');
compare(
  '`create-as` of a VM that is off / `virsh snapshot-create-as`',
  ours('create-as off "k$RANDOM$RANDOM"'),
  'virsh snapshot-create-as off "v$RANDOM$RANDOM"',
);
virsh('undefine --snapshots-metadata off');
compare('`list`, 1 VM / `virsh list --all`', ours('list'), 'virsh list --all');
define('many');
snapshots('many', 200);
compare('`list` of 200 snapshots / the loop', ours('list many'), loop('many'), 7);
define('most');
snapshots('most', 1000);
compare('`list` of 1000 snapshots / the loop', ours('list most'), loop('most'), 1);
const peak = `peak memory: \`list\` of 2 snapshots ${peakMiB(['list', 'two'])} MiB, of 1000 ${peakMiB(['list', 'most'])} MiB, as JSON ${peakMiB(['list', 'most', '--json'])} MiB`;
virsh(
  'undefine --snapshots-metadata many; undefine --snapshots-metadata most; undefine --snapshots-metadata two',
);
for (let i = 1; i <= 100; i++) {
  define(`web-${i}`);
  snapshots(`web-${i}`, 10, { running: false });
}
const vms = 'for m in $(virsh list --all --name)';
compare(
  '`list`, 100 VMs of 10 snapshots / `virsh snapshot-list` of each',
  ours('list'),
  `${vms}; do virsh snapshot-list $m; done`,
  3,
);
compare(
  '`list --all`, 100 VMs of 10 snapshots / the same loop',
  ours('list --all'),
  `${vms}; do virsh snapshot-list $m; done`,
  3,
);
compare(
  '`list --all`, 100 VMs of 10 snapshots / the loop over each',
  ours('list --all'),
  `${vms}; do for s in $(virsh snapshot-list --name $m); do virsh snapshot-info $m $s; done; done`,
  1,
);
await planOf(10_000);
console.log(`\n${peak}`);
