// What `kvmsnap check` finds wrong with a machine.
import { fitting } from '../lab/scene.ts';
import { kvmsnap } from '../lab/cli.ts';
import type { Machine } from '../lab/machine.ts';

/** The findings that are more than information, in check's order. */
export async function errorsOf(machine: Machine) {
  const { stdout } = await kvmsnap(['--json', 'check', machine.name]);
  const [domain] = fitting('check', JSON.parse(stdout)).domains;
  return (domain?.findings ?? []).filter(({ level }) => level !== 'information');
}
