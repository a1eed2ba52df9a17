import { labelOf } from '../../model/labels.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { inText } from '../../model/text.ts';
import type { CheckFacts } from './facts.ts';

/** The rule about the age of the newest snapshot (`--max-age`). */

export const AGE_RULES: readonly Rule<CheckFacts>[] = [
  {
    id: 'too-old',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshots, unread, nowSeconds, maxAge }) => {
      if (!maxAge) return [];
      const { label, says } = maxAge;
      const counts = ({ name }: { readonly name: string }) => label === null || labelOf(name) === label;
      const newest = snapshots.filter((snapshot) => counts(snapshot) && !snapshot.underWay).at(-1);
      if (newest && nowSeconds - newest.createdAtSeconds <= maxAge.seconds) return [];
      const [one, all] = unread.some(counts)
        ? ['readable snapshot', 'readable snapshots']
        : ['snapshot', 'snapshots'];
      const labeled = label === null ? '' : ` with the label '${label}'`;
      const what = newest
        ? `the newest ${one}${labeled}, ${inText(newest.name)}, is older than ${says}`
        : `the VM has no ${all}${labeled}, so none is younger than ${says}`;
      const options = label === null ? [] : ['--label', label];
      return [{ what, command: kvmsnapLine('create', [domain.name], ...options) }];
    },
  },
];
