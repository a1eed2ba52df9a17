import { KvmsnapError } from '../errors.ts';

/**
 * What virsh's error text means. virsh exits 1 for everything and libvirtd's texts come in libvirtd's own language, so
 * callers decide on queried state; this table only explains. Names of VMs and snapshots stand in the texts too, so
 * only words at their fixed place count: those of the client, which kvmsnap runs in English, and `remoteDispatch...`, an
 * API name that no language translates.
 */
const BUSY = /\b\w+=remoteDispatch\w+|^error: Timed out during operation: cannot acquire state change lock/m;
const BUSY_HINT =
  'another job (a snapshot, save, migration or backup) holds the VM; try again when that job is done, or let kvmsnap wait for it with --wait 10m';

const NO_CONNECTION = /^error: [Ff]ailed to (re)?connect to the hypervisor/m;

const URI_HINT = 'check the connection URI: qemu:///system is this host, qemu+ssh://HOST/system another one';

/** Why there is no connection, by what follows its first line. */
const CONNECTION_HINTS: readonly { readonly pattern: RegExp; readonly hint: string }[] = [
  {
    pattern: /authenticat|polkit/i,
    hint: 'libvirt asks who you are: run as root, or join the group libvirt: sudo usermod -aG libvirt "$USER", then log in again',
  },
  {
    pattern: /libvirt-sock.*Permission denied|Permission denied.*libvirt-sock/,
    hint: 'join the group libvirt: sudo usermod -aG libvirt "$USER", then log in again',
  },
  {
    // before 9.0, of a driver that there is not; the daemons of the others are those of modular libvirt
    pattern: /\/virt(?!(?:bhyve|ch|lxc|qemu|vbox|vz|xen)d-)\w+d-sock'/,
    hint: URI_HINT,
  },
  {
    pattern: /Failed to connect socket|libvirt-sock/,
    hint: 'is libvirtd running? systemctl start libvirtd (or virtqemud.socket, where the daemons are modular)',
  },
  {
    pattern: /no connection driver available|could not parse|invalid connection|unsupported URI/i,
    hint: URI_HINT,
  },
  {
    pattern: /user runtime directory/,
    hint: "this user's own libvirt (qemu:///session) cannot start; the VMs of the host are reached with: --connect qemu:///system",
  },
  {
    pattern: /ssh|Cannot recv data/i,
    hint: 'check the connection; over ssh a key or an agent is needed, for virsh has no terminal here to ask for a password',
  },
  { pattern: /(?:)/, hint: URI_HINT },
];

/** A batch over hundreds of VMs may fail hundreds of times. */
const MOST_LINES = 12;

/** What libvirt's library logs in between, such as its version before the first warning. */
const LOGGED = /^\d{4}-\d\d-\d\d [\d:.]+\+0000: \d+: (?:debug|info|warning|error) : /;

/** virsh's own words, each line once, without its prefix and blank lines, and without the log unless there is nothing else. */
export function virshMessage(stderr: string): string {
  // each command of a batch says it anew that libvirtd is gone
  const all = [...new Set(stderr.split(/\r?\n/))].filter((line) => line.trim() !== '');
  const said = all.filter((line) => !LOGGED.test(line));
  // a batch that cannot connect tries, and says so, with each of its commands
  const lines = [...new Set(said.length > 0 ? said : all)];
  const shown = lines.slice(0, MOST_LINES).map((line) => line.replace(/^error: /, ''));
  const rest = lines.length - shown.length;
  return (
    [...shown, ...(rest > 0 ? [`and ${rest} more lines`] : [])].join('; ') || 'virsh failed without a word'
  );
}

/** The error for a virsh command that failed; `refused` unless the text says more. `what` says what was attempted. */
export function virshFailure(what: string, stderr: string): KvmsnapError {
  const message = `${what}: ${virshMessage(stderr)}`;
  if (NO_CONNECTION.test(stderr))
    return new KvmsnapError('unreachable', message, { hint: connectionHint(stderr) });
  if (BUSY.test(stderr)) return new KvmsnapError('busy', message, { hint: BUSY_HINT });
  return new KvmsnapError('refused', message);
}

/** The error when virsh could not even list VMs: there is no connection, whatever the text says. */
export function connectionFailure(stderr: string): KvmsnapError {
  return new KvmsnapError('unreachable', `cannot reach libvirt: ${virshMessage(stderr)}`, {
    hint: connectionHint(stderr),
  });
}

function connectionHint(stderr: string): string | undefined {
  return CONNECTION_HINTS.find(({ pattern }) => pattern.test(stderr))?.hint;
}

/** How many commands of a batch failed. `error: ` at a line's start is virsh's own prefix. */
export function countErrors(stderr: string): number {
  return stderr.split('\n').filter((line) => line.startsWith('error: ')).length;
}

/** True when virsh lost libvirtd in the middle: the job's end is unknown, not failed (hazard 9). Client-side words. */
export function lostConnection(stderr: string): boolean {
  return /Disconnected from|End of file while reading data|Cannot (recv|write) data|client socket is closed/.test(
    stderr,
  );
}
