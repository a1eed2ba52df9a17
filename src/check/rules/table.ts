import type { Rule } from '../../model/rule.ts';
import type { CheckFacts } from './facts.ts';
import { IMAGE_RULES } from './images.ts';
import { LIMIT_RULES } from './limits.ts';
import { SNAPSHOT_RULES } from './snapshots.ts';

/**
 * All rules that compare libvirt's metadata with the disks. Whatever would stop a create or a revert is reported by the
 * rules of create and revert, so that a check and a later action cannot disagree.
 */

export const CHECK_RULES: readonly Rule<CheckFacts>[] = [...SNAPSHOT_RULES, ...IMAGE_RULES, ...LIMIT_RULES];
