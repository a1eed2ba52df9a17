import { type ErrorFinding, KvmsnapError } from '../errors.ts';
import type { Destination } from '../host/ssh/host-away.ts';
import { commandLine, quote } from '../model/quote.ts';

/** Advice that was made for a host, as it can be pasted where kvmsnap was called. */

/** A command that has to be run on that host: kvmsnap itself goes there, everything else goes through ssh. */
export function hostCommand(line: string, { name, address, sudo }: Destination): string {
  if (name === 'local' || address === null) return line;
  if (/^kvmsnap [a-z]/.test(line))
    return line.includes(' --host ') ? line : line.replace(/^kvmsnap ([a-z-]+)/, `$& --host ${quote(name)}`);
  // what it says of a file, a path: no command
  if (!/^(virsh|qemu-img|rm|chmod|mv|cp|systemctl|sudo|sed|printf|\{) /.test(line)) return line;
  if (!sudo || line.startsWith('sudo ')) return `ssh ${quote(address)} ${quote(line)}`;
  // of a pipe, sudo would run only the first command
  const asRoot = /^\{|[|;]/.test(line) ? commandLine('sudo', ['-n', 'sh', '-c', line]) : `sudo -n ${line}`;
  return `ssh ${quote(address)} ${quote(asRoot)}`;
}

/** A message with commands on lines of their own, which are indented. */
export const hostMessage = (text: string, host: Destination): string =>
  text
    .split('\n')
    .map((line, i) => {
      const [, indent, command] = /^( {2,}(?:\d+\. )?)(.*)$/.exec(line) ?? [];
      return i === 0 || indent === undefined ? line : indent + hostCommand(command ?? '', host);
    })
    .join('\n');

/** The failure of a command on that host, with commands that can be pasted here. */
export function ofHost(failure: KvmsnapError, host: Destination): KvmsnapError {
  const { code, subject, findings, unsupported } = failure;
  const moved = findings.map(
    ({ message, hint, commands }): ErrorFinding => ({
      message,
      hint,
      commands: commands.map((command) => hostCommand(command, host)),
    }),
  );
  return KvmsnapError.of(code, subject, moved, { unsupported, cause: failure });
}

/** The same with the name of the host before its message, unless the message has it. */
export const namingHost = (failure: KvmsnapError, host: string): KvmsnapError =>
  new RegExp(`(^|[\\s'])${host.replace(/[.\\]/g, '\\$&')}([\\s':,]|$)`).test(failure.message)
    ? failure
    : failure.prefixed(`${host}: `);
