import { adviseDeletion } from '../../model/deletion-advice.ts';
import { type Bound, exceeded, type Limit } from '../../model/input/limit.ts';
import { nearest } from '../../model/names.ts';
import { NO_RUN, policyInText } from '../../model/policy.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { counted, humanBytes } from '../../output/format.ts';
import { depthsOf, hasLabel, lastProven, watched } from '../../watch/watched.ts';
import type { CheckFacts } from './facts.ts';

/** The rules about limits that the command line sets. Snapshots on hold count only for the age of the newest one. */

export interface Limits {
  /** The limits apply only to snapshots with this label; null: all snapshots. */
  readonly label: string | null;
  /** The age of the newest snapshot, in seconds. */
  readonly maxAge: Limit | null;
  /** The age of the oldest one, in seconds. */
  readonly oldest: Limit | null;
  /** Their number. */
  readonly most: Limit | null;
  /** The bytes that deleting all of them frees. */
  readonly holds: Limit | null;
  /** The overlays of a disk, whatever the label. */
  readonly depth: Limit | null;
  /** Seconds since a snapshot was last proven by `kvmsnap verify`. */
  readonly verified: Limit | null;
}

export const NO_LIMITS: Limits = {
  label: null,
  maxAge: null,
  oldest: null,
  most: null,
  holds: null,
  depth: null,
  verified: null,
};

/** The clocks of hosts differ by less. A date further ahead tells that a clock was wrong, and not how old something is. */
const MOST_SECONDS_AHEAD = 300;

const isInFuture = (seconds: number, nowSeconds: number): boolean =>
  seconds > nowSeconds + MOST_SECONDS_AHEAD;

export const LIMIT_RULES: readonly Rule<CheckFacts>[] = [
  {
    id: 'other-policy',
    hazards: [],
    severity: 'information',
    find: ({ limitsLeftOut }) =>
      limitsLeftOut === null ? [] : [{ what: `${limitsLeftOut}, so the limits do not apply to the VM` }],
  },
  {
    id: 'no-policy',
    hazards: [],
    severity: 'warning',
    find: ({ domain: { name, policy }, policies }) => {
      if (policies === null || policy === null || policy === NO_RUN || policies.includes(policy)) return [];
      const near = nearest(policy, policies);
      return [
        {
          what: `its policy is ${policyInText(policy)}, for which there is no file, so all runs with a policy leave out the VM`,
          hint:
            near === null
              ? `write the file /etc/kvmsnap/${policy}.conf, or let the VM take part in the runs with any policy`
              : `did you mean ${near}?`,
          command: kvmsnapLine('policy', [name], ...(near === null ? ['--unset'] : ['--set', near])),
        },
      ];
    },
  },
  {
    id: 'too-old',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshots, unread, nowSeconds, limits: { maxAge, label } }) => {
      if (!maxAge) return [];
      const past = snapshots.filter(({ createdAtSeconds }) => !isInFuture(createdAtSeconds, nowSeconds));
      const last = watched(past, label).newest;
      const over = last
        ? exceeded(maxAge, nowSeconds - last.createdAtSeconds)
        : { severity: 'error' as const, bound: maxAge.crit };
      if (!over) return [];
      const [one, all] = unread.some((each) => hasLabel(each, label))
        ? ['readable snapshot', 'readable snapshots']
        : ['snapshot', 'snapshots'];
      const { newest } = watched(snapshots, label);
      const state = newest === last ? 'is' : 'is dated in the future, so it may be';
      const what = newest
        ? `the newest ${one}${labeled(label)}, ${inText(newest.name)}, ${state} older than ${over.bound.says}`
        : `the VM has no ${all}${labeled(label)}, so none is younger than ${over.bound.says}`;
      const options = label === null ? [] : ['--label', label];
      return [{ what, severity: over.severity, command: kvmsnapLine('create', [domain.name], ...options) }];
    },
  },
  {
    id: 'not-proven-lately',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshots, nowSeconds, limits: { verified, label } }) => {
      if (!verified) return [];
      const past = snapshots.filter((each) => !isInFuture(each.verified?.atSeconds ?? 0, nowSeconds));
      const last = lastProven(past, label);
      const over = last
        ? exceeded(verified, nowSeconds - last.provenAtSeconds)
        : { severity: 'error' as const, bound: verified.crit };
      if (!over) return [];
      const proof = lastProven(snapshots, label);
      const state = proof?.name === last?.name ? 'is' : 'is dated in the future, so it may be';
      const what = proof
        ? `the last proof that a snapshot${labeled(label)} works, of ${inText(proof.name)}, ${state} older than ${over.bound.says}`
        : `no snapshot${labeled(label)} is proven to work`;
      const { newest } = watched(snapshots, label);
      return [
        {
          what,
          severity: over.severity,
          ...(newest === null ? {} : { command: kvmsnapLine('verify', [domain.name, newest.name]) }),
        },
      ];
    },
  },
  {
    id: 'kept-too-long',
    hazards: [],
    severity: 'error',
    find: (facts) => {
      const { snapshots, nowSeconds, limits } = facts;
      const { kept } = watched(snapshots, limits.label);
      const [first] = kept;
      const age = ({ createdAtSeconds }: { readonly createdAtSeconds: number }) =>
        nowSeconds - createdAtSeconds;
      const over = limits.oldest && first && exceeded(limits.oldest, age(first));
      if (!over) return [];
      const old = kept.filter((each) => age(each) > over.bound.amount);
      const are = old.length === 1 ? 'is' : `and ${old.length - 1} more are`;
      return [
        {
          what: `the oldest snapshot${labeled(limits.label)}, ${inText(first.name)}, ${are} older than ${over.bound.says}`,
          severity: over.severity,
          ...adviceToDelete(facts, old),
        },
      ];
    },
  },
  {
    id: 'too-many',
    hazards: [],
    severity: 'error',
    find: (facts) => {
      const { snapshots, limits } = facts;
      const { kept } = watched(snapshots, limits.label);
      const over = limits.most && exceeded(limits.most, kept.length);
      if (!over) return [];
      return [
        {
          what: `the VM has ${counted(kept.length, 'snapshot')}${labeled(limits.label)}, more than ${over.bound.says}`,
          severity: over.severity,
          ...adviceToDelete(facts, kept.slice(0, excess(kept.length, over.bound))),
        },
      ];
    },
  },
  {
    id: 'too-much-space',
    hazards: [],
    severity: 'error',
    find: ({ domain, freed, limits: { holds, label } }) => {
      if (!holds || !freed) return [];
      if ('problem' in freed)
        return [
          {
            what: `the space that the snapshots${labeled(label)} use cannot be measured: ${freed.problem}`,
            severity: 'warning',
          },
        ];
      const over = exceeded(holds, freed.bytes);
      if (!over) return [];
      const about = freed.approximate ? 'about ' : '';
      return [
        {
          what: `the snapshots${labeled(label)} use ${about}${humanBytes(freed.bytes)}, more than ${over.bound.says}`,
          severity: over.severity,
          hint: 'this shows what the deletion of each snapshot frees',
          command: kvmsnapLine('space', [domain.name], '--sort', 'frees'),
        },
      ];
    },
  },
  {
    id: 'too-deep',
    hazards: [],
    severity: 'error',
    find: (facts) => {
      const { snapshots, images, limits } = facts;
      const { depth } = limits;
      if (!depth) return [];
      return depthsOf(images, snapshots).flatMap(({ target, overlays }): Finding[] => {
        const over = exceeded(depth, overlays);
        if (!over) return [];
        const made = snapshots.filter(
          (each) => !each.held && externalDisks(each).some((disk) => disk.target === target),
        );
        return [
          {
            what: `disk ${target} has a chain of ${overlays} overlays, more than ${over.bound.says}`,
            severity: over.severity,
            ...adviceToDelete(facts, made.slice(0, excess(overlays, over.bound))),
          },
        ];
      });
    },
  },
];

const labeled = (label: string | null): string => (label === null ? '' : ` with the label ${label}`);

const excess = (count: number, { amount }: Bound): number => count - amount;

/** The advice to delete these snapshots, or to hold them; none of them is on hold. */
function adviceToDelete(
  facts: CheckFacts,
  those: readonly { readonly name: string }[],
): Pick<Finding, 'hint' | 'command' | 'commands'> {
  if (those.length === 0) return {};
  const [it, they] = those.length === 1 ? ['this snapshot', 'it'] : ['these snapshots', 'them'];
  return adviseDeletion(
    facts,
    those.map(({ name }) => name),
    { hint: `delete ${it} if you do not need ${they}; a snapshot on hold (kvmsnap hold) does not count` },
  );
}
