import { isHeld } from './marks/hold.ts';
import { kvmsnapLine } from './quote.ts';
import type { Finding } from './rule.ts';
import { allInText } from './text.ts';

/**
 * The advice of findings to delete snapshots first. The commands take holds into account, because a hold would refuse
 * the deletion.
 */

/** The parts of a snapshot that the advice needs; if `held` is absent, the description is as libvirt stores it. */
interface Holdable {
  readonly name: string;
  readonly description: string | null;
  readonly held?: boolean;
}

export interface AdviceFacts {
  readonly domain: { readonly name: string };
  /** All snapshots of the VM; a name that is none of them is not on hold. */
  readonly snapshots: readonly Holdable[];
}

export interface Advice {
  readonly hint: string;
  /** Options of `kvmsnap delete`. */
  readonly options?: readonly string[];
  /** Commands instead of one deletion of all names. */
  readonly lines?: readonly string[];
}

/**
 * The advice to delete the snapshots of these names. If some are on hold, the hint names them, and the commands release
 * the holds first.
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
      : `${hint}. ${those} ${held.length === 1 ? 'is' : 'are'} on hold: release the hold only if you do not need ${held.length === 1 ? 'this snapshot' : 'these snapshots'}`;
  return commands.length === 1 ? { hint: said, command: commands[0] as string } : { hint: said, commands };
}

/** Whether a hold protects the snapshot. */
export const isOnHold = ({ held, description }: Holdable): boolean => held ?? isHeld(description);
