import { KvmsnapError } from '../errors.ts';

/**
 * What virsh's error text means. virsh exits 1 for everything and libvirtd's texts come in libvirtd's own language, so
 * callers decide on queried state; this table only explains. Its patterns are words of the client, which kvmsnap runs
 * in English, except `remoteDispatch...`, an API name that no language translates (libvirt.md, 2.1 and 6).
 */
const KINDS: readonly { pattern: RegExp; code: 'busy' | 'unreachable'; hint: string }[] = [
  {
    pattern: /remoteDispatch\w+|state change lock/,
    code: 'busy',
    hint: 'another job (a snapshot, save, migration or backup) holds the machine; try again when it is done',
  },
  {
    pattern: /authenticat|polkit/i,
    code: 'unreachable',
    hint: 'libvirt asks who you are: run as root, or join the group libvirt: sudo usermod -aG libvirt "$USER", then log in again',
  },
  {
    pattern: /libvirt-sock.*Permission denied|Permission denied.*libvirt-sock/,
    code: 'unreachable',
    hint: 'join the group libvirt: sudo usermod -aG libvirt "$USER", then log in again',
  },
  {
    pattern: /Failed to connect socket|libvirt-sock/,
    code: 'unreachable',
    hint: 'is libvirtd running? systemctl start libvirtd (or virtqemud.socket, where the daemons are modular)',
  },
  {
    pattern: /no connection driver available|could not parse|invalid connection|unsupported URI/i,
    code: 'unreachable',
    hint: 'check the connection URI: qemu:///system is this host, qemu+ssh://HOST/system another one',
  },
  {
    pattern: /failed to connect to the hypervisor/,
    code: 'unreachable',
    hint: 'check the connection; over ssh a key or an agent is needed, for virsh has no terminal here to ask for a password',
  },
];

/** virsh's own words without its prefix and blank lines. */
export function virshMessage(stderr: string): string {
  const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== '');
  return lines.map((line) => line.replace(/^error: /, '')).join('; ') || 'virsh failed without a word';
}

/** The error for a virsh command that failed; `refused` unless the text says more. `what` says what was attempted. */
export function virshFailure(what: string, stderr: string): KvmsnapError {
  const kind = KINDS.find(({ pattern }) => pattern.test(stderr));
  return new KvmsnapError(kind?.code ?? 'refused', `${what}: ${virshMessage(stderr)}`, { hint: kind?.hint });
}

/** The error when virsh could not even list machines: there is no connection, whatever the text says. */
export function connectionFailure(stderr: string): KvmsnapError {
  const known = virshFailure('cannot reach libvirt', stderr);
  return new KvmsnapError('unreachable', known.message, { hint: known.hint });
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
