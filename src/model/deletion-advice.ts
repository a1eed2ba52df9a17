import { isHeld } from './hold.ts';
import { kvmsnapLine } from './quote.ts';
import type { Finding } from './rule.ts';
import { allInText } from './text.ts';

/** What a finding advises where snapshots are to be deleted first: a command that a hold would refuse helps nobody. */

/** A snapshot as far as the advice goes; where `held` is absent, the description is as libvirt stores it. */
interface Holdable {
  readonly name: string;
  readonly description: string | null;
  readonly held?: boolean;
}

export interface AdviceFacts {
  readonly domain: { readonly name: string };
  /** All of the VM; a name that is none of them is not on hold. */
  readonly snapshots: readonly Holdable[];
}

export interface Advice {
  readonly hint: string;
  /** Options of `kvmsnap delete`. */
  readonly options?: readonly string[];
  /** Instead of the one deletion of all names. */
  readonly lines?: readonly string[];
}

/**
 * The advice to delete the snapshots of these names. Where some of them are on hold, the hint names them, and the holds are
 * taken back first: by whoever can do without them.
 */
export function adviseDeletion(
  { domain, snapshots }: AdviceFacts,
  names: readonly string[],
  { hint, options = [], lines }: Advice,
): Pick<Finding, 'hint' | 'command' | 'commands'> {
  const deletions = lines ?? [kvmsnapLine('delete', [domain.name, ...names], ...options)];
  const held = snapshots
    .filter((each) => names.includes(each.name) && isOnHold(each))
    .map(({ name }) => name);
  const unholds = held.map((name) => kvmsnapLine('unhold', [domain.name, name]));
  const commands = [...unholds, ...deletions];
  const those = allInText(held);
  const said =
    held.length === 0
      ? hint
      : `${hint}. ${those} ${held.length === 1 ? 'is' : 'are'} on hold: take the hold back only if you can do without ${held.length === 1 ? 'it' : 'them'}`;
  return commands.length === 1 ? { hint: said, command: commands[0] as string } : { hint: said, commands };
}

export const isOnHold = ({ held, description }: Holdable): boolean => held ?? isHeld(description);
