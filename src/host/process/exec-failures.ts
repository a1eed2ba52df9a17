import { KvmsnapError } from '../../errors.ts';
import type { Tool } from './exec.ts';

/** Why a tool gives no result. */

/** The tool was ended after this time, in seconds. */
export function noAnswer(tool: Tool, seconds: number): KvmsnapError {
  return new KvmsnapError('timed-out', `${tool} did not answer within ${seconds} s`, {
    ...(tool === 'virsh'
      ? { hint: 'libvirtd hangs or is overloaded; look at its status', command: 'systemctl status libvirtd' }
      : {}),
  });
}

/** The tool printed more than this many bytes. */
export function tooLong(tool: Tool, most: number): KvmsnapError {
  return new KvmsnapError(
    'refused',
    `${tool} printed more than ${Math.floor(most / 1024 / 1024)} MiB of output, so kvmsnap stopped reading`,
  );
}

const PACKAGES: Record<Tool, string> = {
  virsh: 'libvirt-clients (Debian, Ubuntu) or libvirt-client (Fedora, RHEL, SUSE)',
  'qemu-img': 'qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL, SUSE)',
  'qemu-nbd': 'qemu-utils (Debian, Ubuntu), qemu-img (Fedora, RHEL) or qemu-tools (SUSE)',
  stat: 'coreutils',
  logger: 'bsdutils (Debian, Ubuntu) or util-linux (Fedora, RHEL, SUSE)',
};

/** The tool could not be started; `code` is that of the system. */
export function launchFailure(
  tool: Tool,
  result: { readonly code?: string | undefined; readonly cause?: unknown },
): Error {
  if (result.code !== 'ENOENT' && result.code !== 'EACCES')
    return new Error(`cannot start ${tool}`, { cause: result.cause });
  return new KvmsnapError('tool-missing', `${tool} is not installed, or not in PATH`, {
    hint: `install the package ${PACKAGES[tool]}`,
  });
}
