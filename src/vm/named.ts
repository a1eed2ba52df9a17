import { KvmsnapError, type Meant } from '../errors.ts';
import { listDomains, readSnapshotNames } from '../libvirt/domains.ts';
import type { DomainName } from '../libvirt/resolve.ts';
import { isPattern, matcher } from '../model/selection.ts';
import { allInText, inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';

/**
 * The VM and the snapshots that the words of a command line name: `VM NAME...`, or each as `VM/NAME`, as `list --all -q` prints
 * it. A VM of exactly that name wins over `VM/NAME`, and so does a snapshot of that name where a VM stands before it.
 */

/** A VM, and snapshots of it. */
export interface Named {
  /** Its name, UUID or pattern as given; of a `VM/NAME` the exact name where there is such a VM. */
  readonly vm: string;
  /** Each once. */
  readonly names: readonly string[];
}

export interface NamedSnapshots {
  /** One, unless `paired`. */
  readonly named: readonly Named[];
  /** Each word was `VM/NAME`. */
  readonly paired: boolean;
}

/**
 * Reads the words; one process where one of them has a `/`, or two, else none. `isNew`: the snapshot does not exist yet. Throws
 * `usage` for words of both kinds, and for a `VM/NAME` that could mean two snapshots.
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

/** The words of a line that means one VM. */
export interface OneNamed {
  readonly words: readonly string[];
  /** What else the line has behind them that is no option. */
  readonly rest?: readonly string[];
  /** A snapshot must be named. */
  readonly needsName?: boolean;
  /** The snapshot does not exist yet. */
  readonly isNew?: boolean;
  /** An option of the line that means other VMs too, with which no `VM/NAME` goes. */
  readonly others?: string | null;
  /** The line for this VM and snapshot, where it is not `VM NAME` before the rest. */
  readonly lineFor?: ((vm: string, name: string) => Meant) | undefined;
}

/** Does it to the VM of the line and the snapshots named, which are of one VM. Throws as `readNamed`. */
export async function withOneNamed(
  ctx: Context,
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
  if (needsName && names.length === 0) throw new KvmsnapError('usage', "missing required argument 'name'");
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

/** Does it to the VMs and snapshots that the words name. `others`: as above. Throws as `readNamed`. */
export async function withNamed(
  ctx: Context,
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
  new KvmsnapError('usage', `VM/NAME names its VM itself, and cannot be combined with ${option}`);

const findVm = (known: readonly DomainName[], word: string): DomainName | undefined =>
  known.find(({ name }) => name === word) ?? known.find(({ uuid }) => uuid === word.toLowerCase());

interface Pair {
  readonly vm: string;
  readonly name: string;
}

/** The ways to read a word as VM and snapshot: a VM's name may hold a `/` itself (not with QEMU). */
function splits(known: readonly DomainName[], word: string): Pair[] {
  return [...word.matchAll(/\//g)].flatMap(({ index }) => {
    const vm = findVm(known, word.slice(0, index));
    const name = word.slice(index + 1);
    return vm && name !== '' ? [{ vm: vm.name, name }] : [];
  });
}

/** The snapshots that `VM/NAME` words name, by their VMs, in the order in which these come first. */
function grouped(
  known: readonly DomainName[],
  words: readonly string[],
  lineFor: OneNamed['lineFor'],
): Named[] {
  if (!words.every((word) => word.includes('/'))) throw mixed(known, words, lineFor);
  const groups = new Map<string, Set<string>>();
  for (const word of words) {
    const { vm, name } = pairOf(known, word);
    groups.set(vm, (groups.get(vm) ?? new Set()).add(name));
  }
  return [...groups].map(([vm, names]) => ({ vm, names: [...names] }));
}

/** A word as VM and snapshot; the VM need not be there. */
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

/** The `usage` for words with and without a VM; where all mean the same VM, with the line for it. */
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

/** The failure of a line whose VM and snapshot have changed places says so; any other is handed back as it is. */
async function explainSwapped(
  { virsh, interrupts }: Context,
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
