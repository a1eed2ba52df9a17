import type { Rule } from '../../model/rule.ts';
import { CHECKPOINT_REVERT_RULES } from './checkpoint.ts';
import { EXTERNAL_RULES } from './external.ts';
import { EXTERNAL_STATE_RULES } from './external-state.ts';
import type { RevertFacts } from './facts.ts';
import { INTERNAL_RULES } from './internal.ts';
import { OPENED_FILES } from './opened-files.ts';
import { OVERLAY_RULES } from './overlays.ts';
import { PARTIAL_REVERT_RULES } from './partial.ts';
import { SHARED_BASE, SHARED_FILES } from './sharing.ts';
import { STORED_DEFINITION_RULES } from './stored-definition.ts';
import { UNMANAGED_REVERT_RULES } from './unmanaged.ts';
import { VM_RULES } from './vm.ts';
import { WRITE_REVERT_RULES } from './write.ts';

/**
 * All rules that decide, before anything is changed, whether a revert can work. The findings are printed in their order.
 */

export const REVERT_RULES: readonly Rule<RevertFacts>[] = [
  SHARED_FILES,
  SHARED_BASE,
  ...INTERNAL_RULES,
  ...CHECKPOINT_REVERT_RULES,
  ...UNMANAGED_REVERT_RULES,
  ...PARTIAL_REVERT_RULES,
  ...EXTERNAL_RULES,
  ...VM_RULES,
  ...OVERLAY_RULES,
  ...WRITE_REVERT_RULES,
  ...STORED_DEFINITION_RULES,
  OPENED_FILES,
  ...EXTERNAL_STATE_RULES,
];
