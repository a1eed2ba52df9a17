// Faults in the middle of everything. A few of them each time, and all of them with `npm run stress`; on other versions of
// libvirt: KVMSNAP_FAULTS=all test/lab/matrix.sh -- test/stress/faults
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { isSystemLab } from '../lab/lab.ts';
import { cleanUp } from '../scene/vm.ts';
import { compareUnderFault, faultTable, type Outcome } from './compare.ts';
import { FAULTS, titleOf } from './fault.ts';

/** Each kind of damage, and each way to say so, at least once. */
const EACH_TIME = [
  'create, running: libvirtd killed',
  'create, shut off: libvirtd killed',
  'create, shut off: libvirtd stopped',
  'revert, shut off: qemu-img killed',
  'revert, shut off: metadata full',
  'delete, running: QEMU killed',
  'delete, shut off: libvirtd killed',
  'delete, shut off: metadata full',
];

/** `all`, or those with this in their title. */
const asked = process.env['KVMSNAP_FAULTS'];
const isWanted = (title: string): boolean =>
  asked === undefined ? EACH_TIME.includes(title) : asked === 'all' || title.includes(asked);
const wanted = FAULTS.map((fault) => [titleOf(fault), fault] as const).filter(([title]) => isWanted(title));

const outcomes: Outcome[] = [];

afterEach(cleanUp);
afterAll(() => console.info(`\n${faultTable(outcomes)}\n`));

describe.runIf(isSystemLab)('no VM is lost that virsh alone would not have lost', () => {
  test.each(wanted)('%s', async (_title, fault) => {
    const outcome = await compareUnderFault(fault);
    outcomes.push(outcome);
    expect({ wrong: outcome.wrong, stderr: outcome.stderr }).toMatchObject({ wrong: [] });
  });
});
