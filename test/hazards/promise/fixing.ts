// `kvmsnap check --fix` on what raw virsh has left.
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { kvmsnap } from '../../lab/cli.ts';
import { scratch } from '../../lab/lab.ts';
import { fitting } from '../../scene/steps.ts';
import type { Vm } from '../../scene/vm.ts';

/** Fixes a VM, after which nothing is wrong with it; hands back what was done, in the plan's order. */
export async function fix(vm: Vm): Promise<string[]> {
  const env = { XDG_STATE_HOME: mkdtempSync(join(scratch, 'state-')) };
  const { code, stdout } = await kvmsnap(['check', vm.name, '--fix', '--yes', '--json'], { env });
  const [domain] = fitting('check', JSON.parse(stdout)).domains;
  expect({ code, findings: domain?.findings.filter(({ level }) => level !== 'information') }).toEqual({
    code: 0,
    findings: [],
  });
  return (domain?.fixes ?? []).map(({ action, outcome }) => `${action}: ${outcome}`);
}
