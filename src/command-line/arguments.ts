import { KvmsnapError } from '../errors.ts';
import { MeantArgument } from './meaning.ts';

/** Arguments that several commands have. */

/** One VM, by its exact name or UUID. */
export const vmArgument = () => new MeantArgument('<vm>', 'vm', 'name or UUID of the VM (libvirt: domain)');

/** One VM, which an option may name instead, as `VM/NAME`. */
export const neededVmArgument = () =>
  new MeantArgument('[vm]', 'vm', 'name or UUID of the VM (libvirt: domain)', { needed: true });

/** One VM, or several by a pattern. */
export const patternArgument = () =>
  new MeantArgument('<vm>', 'vm', 'name, UUID or pattern of the VM (libvirt: domain)');

/** The same, if an option may stand in place of all words. */
export const neededPatternArgument = () =>
  new MeantArgument('[vm]', 'vm', 'name, UUID or pattern of the VM (libvirt: domain)', { needed: true });

/** The failure for a snapshot that is named beside a group of snapshots. */
export const excessName = (): KvmsnapError =>
  new KvmsnapError('usage', '--group already names the snapshots; beside it, name one VM at most');

/** Any number of VMs; `help` says what happens if none is given. */
export const vmsArgument = (help: string) => new MeantArgument('[vms...]', 'vm', help);

/** It is missing if `VM/NAME` is given instead of the VM. */
export const snapshotArgument = () =>
  new MeantArgument('[name]', 'snapshot', 'name of the snapshot; or write VM/NAME in place of both', {
    needed: true,
  });
