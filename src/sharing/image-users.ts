import { virshWord } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { allInText, inText } from '../model/text.ts';

/**
 * Who else uses the files of a VM. A file is the same file under any path (symbolic and hard links, bind mounts), so which
 * VM uses it is decided by device and inode, and this part knows only what was found.
 */

/** A VM of the host, as it was read last. */
export interface OtherVm {
  readonly name: string;
  readonly uuid: string;
  readonly state: string;
}

/**
 * How it uses the file. `disk`: its definition names it. `below`: it lies beneath such a file. `state`: its snapshots keep
 * their state in it. `tags`: its snapshots are inside it, by their names. `named`: only a stored definition names it.
 */
export type UseKind = 'disk' | 'below' | 'state' | 'tags' | 'named';

export interface ImageUse {
  readonly vm: OtherVm;
  readonly kind: UseKind;
  /** The disk that it is, or lies under; null where it is no disk: NVRAM, a kernel, saved memory. */
  readonly target: string | null;
  /** Its QEMU has it open now. */
  readonly open: boolean;
  /** Its QEMU writes to it, or will when it runs. */
  readonly writes: boolean;
  /** Of `state`, `tags` and `named`, the snapshots. */
  readonly snapshots: readonly string[];
}

/** What is known of the users of one VM's files. */
export interface ImageUsers {
  /** By path, as the VM or its snapshots name it, how other VMs use the file. */
  readonly uses: ReadonlyMap<string, readonly ImageUse[]>;
  /** Names of VMs of which not everything could be read: they may use any file. */
  readonly unknown: readonly string[];
}

export const NOBODY: ImageUsers = { uses: new Map(), unknown: [] };

export const usesOf = ({ uses }: ImageUsers, path: string | null | undefined): readonly ImageUse[] =>
  (path ? uses.get(path) : undefined) ?? [];

/** Other content of the file is other content for the VM, or for one of its snapshots. */
const SEES_CONTENT: ReadonlySet<UseKind> = new Set(['disk', 'below', 'state']);

/** Those to whom a change of the file's content is a change of their data. */
export const seeing = (users: ImageUsers, path: string | null | undefined): readonly ImageUse[] =>
  usesOf(users, path).filter(({ kind }) => SEES_CONTENT.has(kind));

/** Those whose QEMU has it open, so that qemu-img cannot write to it. */
export const opening = (users: ImageUsers, path: string | null | undefined): readonly ImageUse[] =>
  usesOf(users, path).filter(({ open }) => open);

/** Those with a snapshot whose tag in the image is of that name. */
export const accounting = (
  users: ImageUsers,
  path: string | null | undefined,
  tag: string,
): readonly ImageUse[] =>
  usesOf(users, path).filter(({ kind, snapshots }) => kind === 'tags' && snapshots.includes(tag));

const nameAll = (names: readonly string[]): string => allInText(names);

const stateOf = ({ state }: OtherVm): string => (state === 'shutoff' ? 'shut off' : state);

const snapshotsOf = ({ snapshots }: ImageUse): string =>
  `${snapshots.length === 1 ? 'snapshot' : 'snapshots'} ${nameAll(snapshots)}`;

const WORDS: Readonly<Record<UseKind, (use: ImageUse) => string>> = {
  disk: ({ target }) => (target === null ? 'has it in its definition' : `has it as disk ${target}`),
  below: ({ target }) => `has an overlay on it (disk ${target})`,
  state: (use) => `keeps its ${snapshotsOf(use)} in it`,
  tags: (use) => `has its ${snapshotsOf(use)} in it`,
  named: (use) => `names it in the definition stored with its ${snapshotsOf(use)}`,
};

/** A golden image may have hundreds of clones. */
const MOST_NAMED = 3;

/** Such as `VM 'web-2' (shut off) has it as disk vda and has its snapshot 's1' in it`. */
export function describeUses(all: readonly ImageUse[]): string {
  // those that run come first, for they are in the way of most
  const uses = [...all.filter(({ open }) => open), ...all.filter(({ open }) => !open)];
  const byVm = new Map<string, ImageUse[]>();
  for (const use of uses) byVm.set(use.vm.uuid, [...(byVm.get(use.vm.uuid) ?? []), use]);
  const said = [...byVm.values()].slice(0, MOST_NAMED).map((theirs) => {
    const { vm } = theirs[0] as ImageUse;
    const words = [...new Set(theirs.map((use) => WORDS[use.kind](use)))];
    return `VM ${inText(vm.name)} (${stateOf(vm)}) ${words.join(' and ')}`;
  });
  const more = byVm.size - said.length;
  return [...said, ...(more > 0 ? [`and so do ${more} more VMs`] : [])].join('; ');
}

/** The one that is to be told what to do about: a running one first. */
const foremost = (uses: readonly ImageUse[]): ImageUse | undefined =>
  uses.find(({ open }) => open) ?? uses.find(({ kind }) => kind === 'disk' || kind === 'below') ?? uses[0];

/** What to do where another VM has a file open that is to be written to. */
export function shutDown(uses: readonly ImageUse[]): Pick<Finding, 'hint' | 'command'> {
  const vm = uses.find(({ open }) => open)?.vm;
  return vm === undefined
    ? {}
    : { hint: `shut ${inText(vm.name)} down first`, command: `virsh shutdown ${virshWord(vm)}` };
}

/** What to do where another VM would see its data changed; `instead`: what the user can have without that. */
export function partFrom(
  uses: readonly ImageUse[],
  instead: Pick<Finding, 'hint' | 'command'> = {},
): Pick<Finding, 'hint' | 'command'> {
  const use = foremost(uses);
  if (!use) return instead;
  const { vm, kind } = use;
  const own =
    kind === 'disk' || kind === 'below'
      ? `first give ${inText(vm.name)} a disk of its own, or take this one out of its definition (virsh edit ${virshWord(vm)})`
      : `first delete ${snapshotsOf(use)} of ${inText(vm.name)}, if you can do without`;
  return {
    hint: instead.hint === undefined ? own : `${own}; or ${instead.hint}`,
    ...(instead.command === undefined ? {} : { command: instead.command }),
  };
}
