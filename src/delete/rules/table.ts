import { isActive } from '../../model/domain.ts';
import type { Rule } from '../../model/rule.ts';
import { internalDisks } from '../../model/snapshot.ts';
import { deletionSetOf } from '../deletion-set.ts';
import { deletesExternal } from './external.ts';
import { EXTERNAL_CHAIN_RULES } from './external-chain.ts';
import { EXTERNAL_MERGE_RULES } from './external-merge.ts';
import { EXTERNAL_ORDER_RULES } from './external-order.ts';
import type { DeleteFacts } from './facts.ts';
import { INTERNAL_RULES } from './internal.ts';
import { isInVolume, LOCATION_RULES } from './location.ts';
import { SHARING_RULES } from './sharing.ts';
import { WRITE_DELETE_RULES } from './write.ts';

/**
 * All rules that decide, before anything is changed, whether a delete can work, and whether libvirt would delete more than
 * the user asked for. The findings are printed in their order.
 */

export const DELETE_RULES: readonly Rule<DeleteFacts>[] = [
  ...LOCATION_RULES,
  ...INTERNAL_RULES,
  ...EXTERNAL_ORDER_RULES,
  ...EXTERNAL_CHAIN_RULES,
  ...SHARING_RULES,
  ...WRITE_DELETE_RULES,
  ...EXTERNAL_MERGE_RULES,
];

/** Whether a rule needs libvirtd's version. */
export const asksVersion = (
  facts: Pick<DeleteFacts, 'domain' | 'snapshot' | 'snapshots' | 'scope'>,
): boolean =>
  deletesExternal(facts) ||
  deletionSetOf(facts).some(
    (member) =>
      isInVolume(member) ||
      (isActive(facts.domain.state) && internalDisks(member).some(({ spelled }) => spelled)),
  );
