import type { Rule } from '../../model/rule.ts';
import { AGE_RULES } from './age.ts';
import type { CheckFacts } from './facts.ts';
import { IMAGE_RULES } from './images.ts';
import { SNAPSHOT_RULES } from './snapshots.ts';

/**
 * All rules that compare what libvirt knows with what the disks hold. What stops a create or a revert is told by the
 * rules of these, so that a check and a later create or revert cannot differ.
 */

export const CHECK_RULES: readonly Rule<CheckFacts>[] = [...SNAPSHOT_RULES, ...IMAGE_RULES, ...AGE_RULES];
