import { REVERT_RULES } from '../../../src/revert/rules/table.ts';
import { checkpointRevertCases } from '../../create/rules/checkpoint-cases.ts';
import { NEW_DAEMON, running } from '../../create/rules/creating.ts';
import { partialRevertCases } from '../../create/rules/partial-cases.ts';
import { sharedReverts } from '../../create/rules/sharing-cases.ts';
import { unmanagedRevertCases } from '../../create/rules/unmanaged-cases.ts';
import { writeRevertCases } from '../../create/rules/write-cases.ts';
import { disk, domain } from '../../model.ts';
import { describeRules } from '../../rule-cases.ts';
import { EXTERNAL_CASES } from './external-cases.ts';
import { EXTERNAL_STATE_CASES } from './external-state-cases.ts';
import { INTERNAL_CASES } from './internal-cases.ts';
import { OVERLAY_CASES } from './overlays-cases.ts';
import { layer, reverting } from './reverting.ts';
import { storedDefinitionCases } from './stored-definition-cases.ts';
import { REVERT_VM_CASES } from './vm-cases.ts';

describeRules(
  'before a revert',
  REVERT_RULES,
  {
    ...sharedReverts(reverting()),
    ...INTERNAL_CASES,
    ...checkpointRevertCases(reverting, layer('e1', 'qcow2')),
    ...unmanagedRevertCases(reverting),
    ...partialRevertCases(reverting, (changes) => domain({ disks: [disk(changes)] })),
    ...EXTERNAL_CASES,
    ...REVERT_VM_CASES,
    ...OVERLAY_CASES,
    ...writeRevertCases(reverting),
    ...storedDefinitionCases(reverting, running),
    ...EXTERNAL_STATE_CASES,
  },
  [reverting(), reverting({ domain: running(), daemonVersion: NEW_DAEMON })],
);
