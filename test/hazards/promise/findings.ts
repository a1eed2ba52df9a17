// What `kvmsnap check` finds wrong with a VM.

import { kvmsnap } from '../../lab/cli.ts';
import { fitting } from '../../scene/steps.ts';
import type { Vm } from '../../scene/vm.ts';

/** The findings that are more than information, in check's order. */
export async function errorsOf(vm: Vm) {
  const { stdout } = await kvmsnap(['--json', 'check', vm.name]);
  const [domain] = fitting('check', JSON.parse(stdout)).domains;
  return (domain?.findings ?? []).filter(({ level }) => level !== 'information');
}
