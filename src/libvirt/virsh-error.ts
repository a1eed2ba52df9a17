import { KvmsnapError } from '../errors.ts';

/**
 * Explains virsh's error texts. virsh exits with 1 for every failure, and libvirtd's texts are in libvirtd's own
 * language, so callers decide by queried state, and this table only explains. The texts also contain names of VMs and
 * snapshots, so a pattern must match words at a fixed place: words of the client, which kvmsnap runs in English, or
 * `remoteDispatch...`, an API name that is never translated.
 */
const BUSY = /\b\w+=remoteDispatch\w+|^error: Timed out during operation: cannot acquire state change lock/m;
const BUSY_HINT =
  'another job (a snapshot, save, migration or backup) is running on the VM; try again when it has finished, or let kvmsnap wait for it with --wait 10min';

const NO_CONNECTION = /^error: [Ff]ailed to (re)?connect to the hypervisor/m;

const URI_HINT = 'check the connection URI: qemu:///system is this host, qemu+ssh://HOST/system another one';

const JOIN_GROUP = 'sudo usermod -aG libvirt "$USER"';

/** Why there is no connection, by the text after the first line. */
interface Advice {
  readonly pattern: RegExp;
  readonly hint: string;
  readonly command?: string;
}

const CONNECTION_HINTS: readonly Advice[] = [
  {
    pattern: /authenticat|polkit/i,
    hint: 'libvirt requires authentication: run as root, or join the group libvirt and log in again',
    command: JOIN_GROUP,
  },
  {
    pattern: /libvirt-sock.*Permission denied|Permission denied.*libvirt-sock/,
    hint: 'run as root, or join the group libvirt and log in again',
    command: JOIN_GROUP,
  },
  {
    // before 9.0, this is the error for a driver that does not exist; other drivers have daemons of modular libvirt
    pattern: /\/virt(?!(?:bhyve|ch|lxc|qemu|vbox|vz|xen)d-)\w+d-sock'/,
    hint: URI_HINT,
  },
  {
    pattern: /Failed to connect socket|libvirt-sock/,
    hint: 'libvirtd seems not to run; start it (with modular daemons, start virtqemud.socket instead)',
    command: 'systemctl start libvirtd',
  },
  {
    pattern: /no connection driver available|could not parse|invalid connection|unsupported URI/i,
    hint: URI_HINT,
  },
  {
    pattern: /user runtime directory/,
    hint: 'the libvirt of this user (qemu:///session) cannot start; to reach the VMs of the host, add --connect qemu:///system',
  },
  {
    pattern: /ssh|Cannot recv data/i,
    hint: 'check the connection; ssh needs a key or an agent, because virsh cannot ask for a password here',
  },
  { pattern: /(?:)/, hint: URI_HINT },
];

/** The most error lines to show: a batch over hundreds of VMs may fail hundreds of times. */
const MOST_LINES = 12;

/** Lines that libvirt's library logs, such as its version before the first warning. */
const LOGGED = /^\d{4}-\d\d-\d\d [\d:.]+\+0000: \d+: (?:debug|info|warning|error) : /;

/**
 * virsh's error text: each line once, without the prefix and blank lines, and without log lines unless there is nothing
 * else.
 */
export function virshMessage(stderr: string): string {
  // each command of a batch repeats that libvirtd is gone
  const all = [...new Set(stderr.split(/\r?\n/))].filter((line) => line.trim() !== '');
  const said = all.filter((line) => !LOGGED.test(line));
  // a batch that cannot connect tries and reports that again for each command
  const lines = [...new Set(said.length > 0 ? said : all)];
  const shown = lines.slice(0, MOST_LINES).map((line) => line.replace(/^error: /, ''));
  const rest = lines.length - shown.length;
  return (
    [...shown, ...(rest > 0 ? [`and ${rest} more lines`] : [])].join('; ') ||
    'virsh failed without an error message'
  );
}

/** The failure of a virsh command; `refused` unless the text tells more. `what` says what was attempted. */
export function virshFailure(what: string, stderr: string): KvmsnapError {
  const message = `${what}: ${virshMessage(stderr)}`;
  if (NO_CONNECTION.test(stderr)) return new KvmsnapError('unreachable', message, connectionAdvice(stderr));
  if (BUSY.test(stderr)) return new KvmsnapError('busy', message, { hint: BUSY_HINT });
  return new KvmsnapError('refused', message);
}

/** The failure if virsh could not even list VMs: there is no connection, whatever the text says. */
export function connectionFailure(stderr: string): KvmsnapError {
  return new KvmsnapError(
    'unreachable',
    `cannot reach libvirt: ${virshMessage(stderr)}`,
    connectionAdvice(stderr),
  );
}

function connectionAdvice(stderr: string): Pick<Advice, 'hint' | 'command'> | undefined {
  const found = CONNECTION_HINTS.find(({ pattern }) => pattern.test(stderr));
  return found && { hint: found.hint, ...(found.command === undefined ? {} : { command: found.command }) };
}

/** How many commands of a batch failed. virsh begins each error with `error: `. */
export function countErrors(stderr: string): number {
  return stderr.split('\n').filter((line) => line.startsWith('error: ')).length;
}

/**
 * True if virsh lost the connection to libvirtd: the job has not failed, but its end is unknown (hazard 9). These are
 * words of the client.
 */
export function lostConnection(stderr: string): boolean {
  return /Disconnected from|End of file while reading data|Cannot (recv|write) data|client socket is closed/.test(
    stderr,
  );
}
