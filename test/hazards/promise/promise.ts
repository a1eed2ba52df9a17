// A hazard of virsh, as the manual promises it: what raw virsh makes of it and what kvmsnap does instead, on each libvirt.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, TestRunner, test } from 'vitest';
import { since } from '../../lab/version.ts';

/** Both ends in a few plain words, told from what the test has seen; the same on every run. */
export interface Outcome {
  readonly virsh: string;
  readonly kvmsnap: string;
}

const PAGE = fileURLToPath(new URL('../../../src/manual/hazards.md', import.meta.url));
const HAZARD_TABLE = /<!-- hazards -->(.*?)<!-- end -->/s;

/** What the manual's table says of it for this libvirt. */
function promised(number: number, what: string): Outcome {
  const [, table = ''] = HAZARD_TABLE.exec(readFileSync(PAGE, 'utf8')) ?? [];
  const rows = table.split('\n').flatMap((line) => {
    const [first, title, versions = '', virsh = '', kvmsnap = ''] = line.slice(2, -2).split(' | ');
    if (first !== String(number) || title !== what) return [];
    return versions.split(', ').map((version) => [version, { virsh, kvmsnap }] as const);
  });
  if (rows.length === 0)
    throw new Error(`the manual's table (src/manual/hazards.md) has no hazard ${number}: ${what}`);
  return since(Object.fromEntries(rows.map(([version, row]) => [version === 'all' ? '0.0' : version, row])));
}

/**
 * A test of hazard `number` of shared knowledge: `what` names it in the manual's table, and `show` tells what became of
 * it. It is compared with the manual; with UPDATE_README=1 (lab/matrix.sh --readme) it is only noted for the manual.
 */
export function hazard(number: number, what: string, show: () => Promise<Outcome> | Outcome): void {
  test(`${number}: ${what}`, async () => {
    const outcome = await show();
    Object.assign(TestRunner.getCurrentTest()?.meta ?? {}, { hazard: { number, what, ...outcome } });
    if (process.env['UPDATE_README'] !== '1') expect(outcome).toEqual(promised(number, what));
  });
}
