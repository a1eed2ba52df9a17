// What `list --all --host` costs over a line with 20 ms of round trip, beside raw ssh and virsh, and beside libvirt's own remote
// transport: test/lab/enter.sh node test/bench/hosts.mjs [ROUNDS [HOSTS]]. All hosts are this lab. Prints ratios; asserts nothing.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';

const rounds = Number(process.argv[2] ?? 5);
const scratch = process.env.KVMSNAP_LAB;
if (!scratch) throw new Error('run it in the lab: test/lab/enter.sh node test/bench/hosts.mjs');
const node = process.execPath;
const kvmsnap = fileURLToPath(new URL('../../bin/kvmsnap.cjs', import.meta.url));
delete process.env.NODE_EXTRA_CA_CERTS;
/** Their own work is done by this machine too, so with few processors these rows measure that. */
const HOSTS = Number(process.argv[3] ?? 50);
const ONE_WAY_MS = 10;

// ---- VMs -------------------------------------------------------------------------------------------

const virsh = (...args) =>
  execFileSync('virsh', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

for (let i = 1; i <= 20; i++) {
  const disk = `${scratch}/web-${i}.qcow2`;
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '8M']);
  writeFileSync(
    `${scratch}/vm.xml`,
    `<domain type='qemu'><name>web-${i}</name><memory unit='MiB'>32</memory>
     <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'>
     <driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>`,
  );
  virsh('define', `${scratch}/vm.xml`);
  for (let k = 0; k < 5; k++) virsh('snapshot-create-as', `web-${i}`, `s${k}`);
}

// ---- the line: sshd, and a relay before it that holds back each piece for half of the round trip ----------

const at = (name) => `${scratch}/${name}`;
mkdirSync('/run/sshd', { recursive: true });
// bash reads it for each command over ssh, and what this machine has in there is not measured
writeFileSync(at('bashrc'), '');
if (existsSync(`${homedir()}/.bashrc`))
  execFileSync('mount', ['--bind', at('bashrc'), `${homedir()}/.bashrc`]);
const [program, ...words] = ['ssh-keygen', '-q', '-t', 'ed25519', '-N', ''];
for (const key of ['host', 'user']) execFileSync(program, [...words, '-f', at(key)]);
writeFileSync(
  at('sshd_config'),
  `ListenAddress 127.0.0.1:2200\nHostKey ${at('host')}\nAuthorizedKeysFile ${at('user.pub')}\nStrictModes no
UsePAM no\nPermitRootLogin yes\nPidFile none\nMaxStartups 100\nMaxSessions 100\nSetEnv XDG_STATE_HOME=${at('state')}\n`,
);
writeFileSync(
  at('ssh_config'),
  `Host kvm*\n  HostName 127.0.0.1\n  Port 2201\n  IdentityFile ${at('user')}\n  IdentitiesOnly yes
  StrictHostKeyChecking no\n  UserKnownHostsFile ${at('known')}\n`,
);
mkdirSync(at('bin'));
const ssh = execFileSync('sh', ['-c', 'command -v ssh'], { encoding: 'utf8' }).trim();
writeFileSync(at('bin/ssh'), `#!/bin/sh\nexec ${ssh} -F ${at('ssh_config')} "$@"\n`);
chmodSync(at('bin/ssh'), 0o755);
process.env.PATH = `${at('bin')}:${process.env.PATH}:/usr/sbin:/sbin`;
process.env.XDG_RUNTIME_DIR = at('run');
mkdirSync(at('run'), { mode: 0o700 });
const RELAY = `const { createServer, connect } = require('node:net');
const hold = (from, to) => {
  from.on('data', (piece) => setTimeout(() => to.write(piece), ${ONE_WAY_MS}));
  from.on('close', () => setTimeout(() => to.destroy(), ${ONE_WAY_MS}));
  from.on('error', () => undefined);
};
createServer({ noDelay: true }, (client) => {
  const server = connect({ port: 2200, host: '127.0.0.1', noDelay: true });
  hold(client, server);
  hold(server, client);
}).listen(2201, '127.0.0.1');`;
const sshd = execFileSync('sh', ['-c', 'command -v sshd'], { encoding: 'utf8' }).trim();
for (const [file, ...args] of [
  [sshd, '-D', '-f', at('sshd_config')],
  [node, '-e', RELAY],
])
  spawn(file, args, { stdio: 'ignore', detached: true }).unref();
for (let i = 0; spawnSync('ssh', ['-o', 'BatchMode=yes', 'kvm1', 'true']).status !== 0; i++)
  if (i > 50) throw new Error('sshd does not answer');

// ---- measuring ------------------------------------------------------------------------------------------

const sh = (word) => `'${word.replaceAll("'", "'\\''")}'`;

/** Wall seconds of a shell line. */
function wall(line) {
  const { stderr, status } = spawnSync(
    'bash',
    ['-c', `TIMEFORMAT=%R; time { ${line}; } >/dev/null 2>${at('said')}`],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`${line}: ${readFileSync(at('said'), 'utf8')}`);
  return Number(stderr.trim().split('\n').at(-1));
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Both in turn, round by round, so that a change of the machine's speed affects both. */
function compare(what, ours, theirs, n = rounds) {
  const pairs = Array.from({ length: n }, () => [wall(ours), wall(theirs)]);
  const ratio = median(pairs.map(([a, b]) => a / b));
  const seconds = (side) => median(pairs.map((pair) => pair[side])).toFixed(2);
  console.log(
    `| ${what} | ${ratio < 0.5 ? `1/${(1 / ratio).toFixed(1)}` : ratio.toFixed(2)} | ${seconds(0)} / ${seconds(1)} |`,
  );
}

/** The commands that kvmsnap runs for this line here. */
function rawCommands(args) {
  const { stderr } = spawnSync(node, [kvmsnap, ...args, '-v'], { encoding: 'utf8', maxBuffer: 1e8 });
  const lines = stderr.split('\n').filter((line) => line.startsWith('+ '));
  writeFileSync(at('raw.sh'), lines.map((line) => line.slice(2)).join('\n'));
  return `. ${at('raw.sh')}`;
}

const ours = (args) => `${sh(node)} ${sh(kvmsnap)} ${args}`;
const raw = rawCommands(['list', '--all']);
const shared = `ssh -o ControlMaster=auto -o ControlPath=${at('shared')} -o ControlPersist=60`;
const one = ours('list --all --host kvm1');
// the connections that both keep are open
wall(one);
wall(`${shared} kvm1 true`);
console.log(
  `Node.js ${process.version}, ${2 * ONE_WAY_MS} ms of round trip, 20 VMs of 5 snapshots, median of ${rounds} rounds\n`,
);
console.log('| `list --all --host` / beside it | wall ratio | wall s |\n| --- | --- | --- |');
compare('one host / `ssh HOST true` and the raw commands there', one, `${shared} kvm1 true; ${raw}`);
compare('the same / and `node -e 0`', one, `${sh(node)} -e 0; ${shared} kvm1 true; ${raw}`);
compare('one host / `list --all` on the host itself', one, ours('list --all'));
compare(
  'one host / through `-c qemu+ssh://`',
  one,
  ours('list --all -c qemu+ssh://kvm1/system'),
  Math.min(3, rounds),
);
const all = `list --all --host 'kvm[1-${HOSTS}]'`;
compare(`${HOSTS} hosts, which are all this machine / one host`, ours(all), one, Math.min(3, rounds));

const hook = at('peak.cjs');
writeFileSync(
  hook,
  `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(at('peak'))}, String(process.resourceUsage().maxRSS)))`,
);
wall(`${sh(node)} --require ${hook} ${sh(kvmsnap)} ${all}`);
console.log(
  `\npeak memory with ${HOSTS} hosts: ${(Number(readFileSync(at('peak'), 'utf8')) / 1024).toFixed(0)} MiB`,
);
// the lab ends all that runs in it
process.exit(0);
