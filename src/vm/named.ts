import { KvmsnapError, type Meant } from '../errors.ts';
import { listDomains, readSnapshotNames } from '../libvirt/domains.ts';
import type { DomainName } from '../libvirt/resolve.ts';
import { isPattern, matcher } from '../model/input/selection.ts';
import { allInText, inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';

/**
 * Finds the VM and the snapshots that the words of a command line name: `VM NAME...`, or each one as `VM/NAME`, as
 * `list --all -q` prints them. A VM with exactly that name takes precedence over `VM/NAME`, and so does a snapshot with
 * exactly that name if a VM stands before it.
 */

/** A VM and some of its snapshots. */
export interface NamedVm {
  /** The name, UUID or pattern as given; for `VM/NAME` the exact name if there is such a VM. */
  readonly vm: string;
  /** Each once. */
  readonly names: readonly string[];
}

export interface NamedSnapshots {
  /** One entry, unless `paired`. */
  readonly named: readonly NamedVm[];
  /** Whether each word was `VM/NAME`. */
  readonly paired: boolean;
  /** Whether nothing is to be done if it cannot be done for all of them. */
  readonly allOrNone?: boolean;
}

/**
 * Reads the words, in one or two processes if one of them contains a `/`, otherwise in none. `isNew`: the snapshot does
 * not exist yet. Throws `usage` for a mixture of both kinds of words, and for a `VM/NAME` that could mean two
 * snapshots.
 */
export async function readNamed(
  { virsh }: Pick<Context, 'virsh'>,
  words: readonly string[],
  { isNew = false, lineFor }: Pick<OneNamed, 'isNew' | 'lineFor'> = {},
): Promise<NamedSnapshots> {
  const [vm = '', ...names] = words;
  const plain: NamedSnapshots = { named: [{ vm, names: [...new Set(names)] }], paired: false };
  const isSlashed = (word: string) => word.includes('/');
  if (!(isNew ? isSlashed(vm) : words.some(isSlashed))) return plain;
  const known = await listDomains(virsh);
  if (isSlashed(vm) && !findVm(known, vm)) return { named: grouped(known, words, lineFor), paired: true };
  const pairs = isNew ? [] : names.filter((name) => splits(known, name).length > 0);
  if (pairs.length === 0) return plain;
  const present = await readSnapshotNames(virsh, [vm]);
  if (pairs.every((name) => present.includes(name))) return plain;
  throw mixed(known, words, lineFor);
}

/** The words of a line about one VM. */
export interface OneNamed {
  readonly words: readonly string[];
  /** Further words after them that are not options. */
  readonly rest?: readonly string[];
  /** A snapshot must be named. */
  readonly needsName?: boolean;
  /** The snapshot does not exist yet. */
  readonly isNew?: boolean;
  /** An option of the line that selects other VMs too, which cannot be combined with `VM/NAME`. */
  readonly others?: string | null;
  /** Makes the line for this VM and snapshot, if it is not `VM NAME` before the other words. */
  readonly lineFor?: ((vm: string, name: string) => Meant) | undefined;
}

/** Runs the action for the VM and its snapshots that the line names. Throws as `readNamed`. */
export async function withOneNamed(
  ctx: Pick<Context, 'interrupts' | 'virsh'>,
  { words, rest = [], needsName = false, isNew = false, others = null, lineFor }: OneNamed,
  act: (vm: string, names: readonly string[]) => Promise<void>,
): Promise<void> {
  const { named, paired } = await readNamed(ctx, words, { isNew, lineFor });
  const [{ vm, names } = { vm: '', names: [] }] = named;
  if (named.length > 1)
    throw new KvmsnapError(
      'usage',
      `only one VM can be named here, not ${allInText(named.map(({ vm }) => vm))}`,
    );
  if (needsName && names.length === 0)
    throw new KvmsnapError('usage', '<name> is missing: name of the snapshot');
  if (paired && others !== null) throw withOthers(others);
  try {
    await act(vm, names);
  } catch (error) {
    throw paired ? error : await explainSwapped(ctx, error, words, { rest, lineFor });
  }
}

/** The only name, or none. Throws `usage` for several. */
export function requireOneName(names: readonly string[]): string | undefined {
  if (names.length > 1)
    throw new KvmsnapError('usage', `only one snapshot can be named here, not ${allInText(names)}`);
  return names[0];
}

/** Runs the action for the VMs and snapshots that the words name. `others`: as above. Throws as `readNamed`. */
export async function withNamed(
  ctx: Pick<Context, 'interrupts' | 'virsh'>,
  { words, others = null }: Pick<OneNamed, 'words' | 'others'>,
  act: (named: NamedSnapshots) => Promise<void>,
): Promise<void> {
  const snapshots = await readNamed(ctx, words);
  if (snapshots.paired && others !== null) throw withOthers(others);
  try {
    await act(snapshots);
  } catch (error) {
    throw snapshots.paired ? error : await explainSwapped(ctx, error, words, {});
  }
}

const withOthers = (option: string): KvmsnapError =>
  new KvmsnapError('usage', `VM/NAME already names the VM, and cannot be combined with ${option}`);

const findVm = (known: readonly DomainName[], word: string): DomainName | undefined =>
  known.find(({ name }) => name === word) ?? known.find(({ uuid }) => uuid === word.toLowerCase());

interface Pair {
  readonly vm: string;
  readonly name: string;
}

/** The ways to split a word into VM and snapshot: the name of a VM may contain a `/` itself (not with QEMU). */
function splits(known: readonly DomainName[], word: string): Pair[] {
  return [...word.matchAll(/\//g)].flatMap(({ index }) => {
    const vm = findVm(known, word.slice(0, index));
    const name = word.slice(index + 1);
    return vm && name !== '' ? [{ vm: vm.name, name }] : [];
  });
}

/** The snapshots that `VM/NAME` words name, grouped by VM, in the order of the first word of each VM. */
function grouped(
  known: readonly DomainName[],
  words: readonly string[],
  lineFor: OneNamed['lineFor'],
): NamedVm[] {
  if (!words.every((word) => word.includes('/'))) throw mixed(known, words, lineFor);
  const groups = new Map<string, Set<string>>();
  for (const word of words) {
    const { vm, name } = pairOf(known, word);
    groups.set(vm, (groups.get(vm) ?? new Set()).add(name));
  }
  return [...groups].map(([vm, names]) => ({ vm, names: [...names] }));
}

/** Splits a word into VM and snapshot; the VM need not exist. */
function pairOf(known: readonly DomainName[], word: string): Pair {
  const [pair, other] = splits(known, word);
  if (pair && other) {
    const ways = [pair, other]
      .map(({ vm, name }) => `snapshot ${inText(name)} of ${inText(vm)}`)
      .join(' or ');
    throw new KvmsnapError('usage', `'${word}' is ambiguous: it can mean ${ways}`, {
      hint: 'write the VM and the snapshot as two words',
    });
  }
  if (pair) return pair;
  const [, vm = '', name = ''] = /^([^/]*)\/(.*)$/s.exec(word) ?? [];
  if (vm === '' || name === '')
    throw new KvmsnapError('usage', `'${word}' does not name a VM and a snapshot`, {
      hint: 'VM/NAME has a name on both sides of the slash',
    });
  if (isPattern(vm))
    throw new KvmsnapError('usage', `'${word}': VM/NAME names one VM, and ${inText(vm)} is a pattern`, {
      hint: 'write the pattern and the name as two words',
    });
  return { vm, name };
}

/** The `usage` failure for a mixture of words with and without a VM; with the line to paste if all mean the same VM. */
function mixed(
  known: readonly DomainName[],
  words: readonly string[],
  lineFor: OneNamed['lineFor'],
): KvmsnapError {
  const parts = words.map((word) => splits(known, word)[0] ?? word);
  const vms = parts.flatMap((part, i) => {
    if (typeof part !== 'string') return part.vm;
    return i === 0 || findVm(known, part) ? part : [];
  });
  const [vm = ''] = vms;
  const isOne = vms.every((each) => each === vm) && findVm(known, vm) !== undefined;
  const names = parts.flatMap((part) => (typeof part === 'string' ? (part === vm ? [] : part) : part.name));
  return new KvmsnapError('usage', `VM/NAME and other words cannot be mixed: ${allInText(words)}`, {
    hint: 'write each snapshot as VM/NAME, or one VM and then names of its snapshots',
    meant: isOne ? (lineFor?.(vm, names[0] ?? '') ?? { operands: [vm, ...names] }) : undefined,
  });
}

/** If the VM and the snapshot of the line are swapped, the failure says so; any other failure is returned unchanged. */
async function explainSwapped(
  { virsh, interrupts }: Pick<Context, 'interrupts' | 'virsh'>,
  error: unknown,
  [first, ...others]: readonly string[],
  { rest = [], lineFor }: Pick<OneNamed, 'rest' | 'lineFor'>,
): Promise<unknown> {
  if (!(error instanceof KvmsnapError) || error.code !== 'not-found' || interrupts.pending) return error;
  if (first === undefined || others.length === 0) return error;
  const known = await listDomains(virsh).catch(() => []);
  const isMeant = (word: string): boolean =>
    findVm(known, word) !== undefined || (isPattern(word) && known.some(({ name }) => matcher(word)(name)));
  const vm = isMeant(first) ? undefined : others.find(isMeant);
  if (vm === undefined) return error;
  const operands = [vm, first, ...others.filter((word) => word !== vm), ...rest];
  return new KvmsnapError('not-found', error.message, {
    hint: `${inText(vm)} is a VM, and the VM comes first`,
    meant: lineFor ? lineFor(vm, first) : { operands },
    cause: error,
  });
}
