import { KvmsnapError } from '../../errors.ts';
import { commandLine } from '../../model/quote.ts';
import type { ShellFailure } from './shell.ts';

/** A host that does not answer, in words that name it as the user does. */

export interface Destination {
  /** As the user names it, and as results do. */
  readonly name: string;
  /** What ssh is given; null: this host, without ssh. */
  readonly address: string | null;
  /** Whether commands are run by `sudo -n`. */
  readonly sudo: boolean;
}

/** The host cannot be reached, or not any more. */
export class HostAway extends KvmsnapError {}

/** The failure of a host to which there is no connection. */
export function unreachable({ name, address, sudo }: Destination, detail: string): HostAway {
  // ssh is silent if the connection ends while keys are exchanged, or if nothing arrives any more
  const why = detail === '' ? 'the connection ended before the host let ssh in' : detail;
  if (sudo && /^sudo:/.test(why))
    return new HostAway('unreachable', `cannot become root on ${name}: ${why}`, {
      hint: 'sudo must not ask for a password there; this command shows whether it does',
      command: commandLine('ssh', [address ?? name, 'sudo', '-n', 'true']),
    });
  return new HostAway('unreachable', `cannot reach the host ${name}: ${why}`, {
    hint: 'this command must succeed, and ask nothing',
    command: commandLine('ssh', ['-o', 'BatchMode=yes', address ?? name, 'true']),
  });
}

/** The failure of a host whose shell did not answer in time, or printed too much. */
export function explained({ name }: Destination, { why, message }: ShellFailure): KvmsnapError {
  if (why === 'timed-out') return new HostAway('timed-out', `the host ${name} does not answer: ${message}`);
  return new KvmsnapError('refused', `the host ${name} printed ${message}, so kvmsnap stopped reading`);
}
