// What a deletion costs: `kvmsnap delete` of many internal snapshots beside as many `virsh snapshot-delete`, for a VM
// that is off and one that runs. Runs in the lab: test/lab/enter.sh node test/bench/delete.mjs [ROUNDS]. Prints ratios.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const rounds = Number(process.argv[2] ?? 3);
const scratch = process.env.KVMSNAP_LAB;
if (!scratch) throw new Error('run it in the lab: test/lab/enter.sh node test/bench/delete.mjs');
const node = process.execPath;
const kvmsnap = fileURLToPath(new URL('../../bin/kvmsnap.cjs', import.meta.url));
// Node.js 20 reads this bundle at every start, which would double the floor
delete process.env.NODE_EXTRA_CA_CERTS;

const virsh = (...args) =>
  execFileSync('virsh', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

function define(name, { running }) {
  const disk = `${scratch}/${name}.qcow2`;
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '64M']);
  const xml = `${scratch}/${name}.xml`;
  writeFileSync(
    xml,
    `<domain type='qemu'><name>${name}</name><memory unit='MiB'>8</memory><vcpu>1</vcpu>
     <os><type arch='x86_64' machine='pc'>hvm</type></os><seclabel type='none'/><devices>
     <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
     <memballoon model='none'/></devices></domain>`,
  );
  virsh('define', xml);
  if (running) virsh('start', name);
}

const namesOf = (name) => virsh('snapshot-list', '--name', name).trim().split('\n').filter(Boolean);

/** Takes snapshots until there are so many, the new ones last. */
function fill(name, count, round) {
  const missing = count - namesOf(name).length;
  const commands = Array.from(
    { length: missing },
    (_, i) => `snapshot-create-as --domain ${name} --name r${round}-${i}`,
  );
  for (let i = 0; i < commands.length; i += 50) virsh(commands.slice(i, i + 50).join('; '));
}

/** The wall seconds of a shell line, by bash's own account. */
function measure(line) {
  const { stderr, status } = spawnSync(
    'bash',
    ['-c', `TIMEFORMAT=%R; exec 3>&2; time { ${line}; } >/dev/null 2>&3`],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`failed: ${line.slice(0, 200)}: ${stderr}`);
  return Number(stderr.trim().split('\n').at(-1));
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

function row(count, of, running) {
  const [ours, theirs] = ['ours', 'raw'].map((who) => `${who}-${of}-${running ? 'on' : 'off'}`);
  for (const name of [ours, theirs]) define(name, { running });
  const pairs = [];
  for (let round = 0; round < rounds; round++) {
    for (const name of [ours, theirs]) fill(name, of, round);
    const wanted = namesOf(ours).slice(0, count).join(' ');
    const raw = namesOf(theirs).slice(0, count).join(' ');
    pairs.push([
      measure(`'${node}' '${kvmsnap}' delete ${ours} ${wanted} --yes -q`),
      measure(`for s in ${raw}; do virsh snapshot-delete ${theirs} $s || exit 1; done`),
    ]);
    if (namesOf(ours).length !== of - count) throw new Error('not all of them are deleted');
  }
  const ratio = median(pairs.map(([a, b]) => a / b)).toFixed(2);
  const ms = (side) => (median(pairs.map((pair) => pair[side])) * 1000).toFixed(0);
  console.log(`| ${count} of ${of}, ${running ? 'running' : 'off'} | ${ratio} | ${ms(0)} / ${ms(1)} |`);
  for (const name of [ours, theirs]) {
    if (running) virsh('destroy', name);
    virsh('undefine', '--snapshots-metadata', name);
  }
}

console.log(`Node.js ${process.version}, ${virsh('--version').trim()} virsh, median of ${rounds} rounds\n`);
console.log('| `delete` / as many `virsh snapshot-delete` | wall ratio | wall ms |\n| --- | --- | --- |');
for (const running of [false, true]) {
  row(40, 80, running);
  row(30, 60, running);
  row(30, 180, running);
}
