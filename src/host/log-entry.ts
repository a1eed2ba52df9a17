import { quote } from '../model/quote.ts';

/** Who did what to a VM, for the system's log. */
export interface LogEntry {
  /** Such as `revert`, `delete`, `hold`. */
  readonly action: string;
  readonly vm: string;
  /** The snapshots; empty if it is about none. */
  readonly snapshots: readonly string[];
  /** The host of the VM; absent: the one on which kvmsnap runs. */
  readonly host?: string;
}

/** Who runs kvmsnap, and with which command line. */
export interface Actor {
  readonly user: string;
  /** The user who became this one with sudo; null: none. */
  readonly sudoUser: string | null;
  readonly commandLine: string;
}

/** One line: `revert vm=web-1 snapshot=s1 result=done user=root sudo-user=ann command='kvmsnap revert web-1 s1'`. */
export function logLine({ action, vm, snapshots, host }: LogEntry, result: string, actor: Actor): string {
  const values: readonly (readonly [name: string, value: string])[] = [
    ...(host === undefined ? [] : [['host', host] as const]),
    ['vm', vm],
    ...snapshots.map((name) => ['snapshot', name] as const),
    ['result', result],
    ['user', actor.user],
    ...(actor.sudoUser === null ? [] : [['sudo-user', actor.sudoUser] as const]),
    ['command', actor.commandLine],
  ];
  return [action, ...values.map(([name, value]) => `${name}=${quote(value)}`)].join(' ');
}
