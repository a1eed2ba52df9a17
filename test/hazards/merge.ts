// A chain of overlays, of which one is half merged.
import { domainXml, pathOf, type Vm } from '../scene/vm.ts';

export const MiB = 1024 * 1024;

/** What a snapshot holds, what came after it, and what came only after it: the merge grows the file by that. */
export const EARLY = 0x11;

export const LATE = 0x22;

export const overlay = (vm: Vm, name: string) => pathOf(vm).replace(/qcow2$/, name);

/** The file that the VM's disk is on now. */
export const inUse = (vm: Vm) => /<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '';
