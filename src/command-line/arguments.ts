import { MeantArgument } from './meaning.ts';

/** The arguments that several commands take. */

/** One VM, by its own name. */
export const vmArgument = () => new MeantArgument('<vm>', 'vm', 'name or UUID of the VM (libvirt: domain)');

/** One VM or, by a pattern, several. */
export const patternArgument = () =>
  new MeantArgument('<vm>', 'vm', 'name, UUID or pattern of the VM (libvirt: domain)');

/** Any number of VMs; `help` says what none means. */
export const vmsArgument = (help: string) => new MeantArgument('[vms...]', 'vm', help);

export const snapshotArgument = () => new MeantArgument('<name>', 'snapshot', 'the snapshot');
