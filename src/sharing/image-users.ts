import { virshWord } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { allInText, inText } from '../model/text.ts';

/**
 * Which other VMs use the files of a VM, and the words for it. A file is the same under any path (symbolic and hard links, bind
 * mounts), so other parts identify files by device and inode, and this part only has the result.
 */

/** Another VM of the host. */
export interface OtherVm {
  readonly name: string;
  readonly uuid: string;
  readonly state: string;
}

/**
 * How a VM uses a file. `disk`: its definition names it. `below`: it is in the backing chain of such a file. `data`: it contains
 * the data of such a file, which is qcow2 with a separate data file. `saved`: the VM continues on it from its managed save.
 * `state`: the state of its snapshots is in it. `tags`: it contains internal snapshots of the VM. `named`: only a stored definition
 * names it.
 */
export type UseKind = 'disk' | 'below' | 'data' | 'saved' | 'state' | 'tags' | 'named';

export interface ImageUse {
  readonly vm: OtherVm;
  readonly kind: UseKind;
  /** The disk to which the file belongs; null for other files: NVRAM, a kernel, saved memory. */
  readonly target: string | null;
  /** Whether the VM's QEMU has it open now. */
  readonly open: boolean;
  /** Whether the VM's QEMU writes to it, or will when it runs. */
  readonly writes: boolean;
  /** For `state`, `tags` and `named`, the snapshots. */
  readonly snapshots: readonly string[];
}

/** The users of one VM's files. */
export interface ImageUsers {
  /** By path, as the VM or its snapshots name it, how other VMs use the file. */
  readonly uses: ReadonlyMap<string, readonly ImageUse[]>;
  /** Names of VMs that could not be read completely, and may use any file. */
  readonly unknown: readonly string[];
}

export const NOBODY: ImageUsers = { uses: new Map(), unknown: [] };

/** Who uses the file of that path. */
export const usesOf = ({ uses }: ImageUsers, path: string | null | undefined): readonly ImageUse[] =>
  (path ? uses.get(path) : undefined) ?? [];

/** The uses for which a change of the file's content changes the data of the VM or of its snapshots. */
const SEES_CONTENT: ReadonlySet<UseKind> = new Set(['disk', 'below', 'data', 'saved', 'state']);

/** The users whose data change with the file's content. */
export const seeing = (users: ImageUsers, path: string | null | undefined): readonly ImageUse[] =>
  usesOf(users, path).filter(({ kind }) => SEES_CONTENT.has(kind));

/** How other disks of the VM with this UUID use a file that a change of the disk `target` writes to or removes. */
export const byOtherDisks = (
  users: ImageUsers,
  path: string,
  { uuid, target }: { readonly uuid: string; readonly target: string },
): readonly ImageUse[] =>
  usesOf(users, path).filter(
    (use) => use.vm.uuid === uuid && IS_OF_DISK.has(use.kind) && use.target !== null && use.target !== target,
  );

/** The users whose QEMU has the file open, so that qemu-img cannot write to it. */
export const opening = (users: ImageUsers, path: string | null | undefined): readonly ImageUse[] =>
  usesOf(users, path).filter(({ open }) => open);

/** The users that have a snapshot of that name in the image. */
export const accounting = (
  users: ImageUsers,
  path: string | null | undefined,
  tag: string,
): readonly ImageUse[] =>
  usesOf(users, path).filter(({ kind, snapshots }) => kind === 'tags' && snapshots.includes(tag));

const stateOf = ({ state }: OtherVm): string => (state === 'shutoff' ? 'shut off' : state);

const snapshotsOf = ({ snapshots }: ImageUse): string =>
  `${snapshots.length === 1 ? 'snapshot' : 'snapshots'} ${allInText(snapshots)}`;

const WORDS: Readonly<Record<UseKind, (use: ImageUse) => string>> = {
  disk: ({ target }) => (target === null ? 'has it in its definition' : `uses it as disk ${target}`),
  below: ({ target }) => `has an overlay on top of it (disk ${target})`,
  data: ({ target }) => `has the data of its disk ${target} in it`,
  saved: ({ target }) => `needs it for its managed save${target === null ? '' : ` (disk ${target})`}`,
  state: (use) => `needs it for its ${snapshotsOf(use)}`,
  tags: (use) => `has its ${snapshotsOf(use)} in it`,
  named: (use) => `has it in the definition stored with its ${snapshotsOf(use)}`,
};

/** A golden image may have hundreds of clones. */
const MOST_NAMED = 3;

/** Such as `VM web-2 (shut off) uses it as disk vda and has its snapshot s1 in it`. */
export function describeUses(all: readonly ImageUse[]): string {
  // running VMs come first, because they are the most frequent obstacle
  const uses = [...all.filter(({ open }) => open), ...all.filter(({ open }) => !open)];
  const byVm = new Map<string, ImageUse[]>();
  for (const use of uses) byVm.set(use.vm.uuid, [...(byVm.get(use.vm.uuid) ?? []), use]);
  const sentences = [...byVm.values()].slice(0, MOST_NAMED).map((theirs) => {
    const { vm } = theirs[0] as ImageUse;
    const words = [...new Set(theirs.map((use) => WORDS[use.kind](use)))];
    return `VM ${inText(vm.name)} (${stateOf(vm)}) ${words.join(' and ')}`;
  });
  const more = byVm.size - sentences.length;
  return [...sentences, ...(more > 0 ? [`${more} more VMs use it too`] : [])].join('; ');
}

/** The use that the advice is about: of a running VM first. */
const foremost = (uses: readonly ImageUse[]): ImageUse | undefined =>
  uses.find(({ open }) => open) ??
  uses.find(({ kind }) => kind === 'saved') ??
  uses.find(({ kind }) => IS_OF_DISK.has(kind)) ??
  uses[0];

/** The uses that end if the disk is removed from the definition. */
const IS_OF_DISK: ReadonlySet<UseKind> = new Set(['disk', 'below', 'data']);

/** The advice if another VM has a file open that must be written to. */
export function shutDown(uses: readonly ImageUse[]): Pick<Finding, 'hint' | 'command'> {
  const vm = uses.find(({ open }) => open)?.vm;
  return vm === undefined
    ? {}
    : { hint: `shut ${inText(vm.name)} down first`, command: `virsh shutdown ${virshWord(vm)}` };
}

/** The advice if an action would change the data of another VM; `instead`: what the user can do without that. */
export function partFrom(
  uses: readonly ImageUse[],
  instead: Pick<Finding, 'hint' | 'command'> = {},
): Pick<Finding, 'hint' | 'command'> {
  const use = foremost(uses);
  if (!use) return instead;
  const { vm, kind } = use;
  if (kind === 'saved')
    return {
      hint: `start ${inText(vm.name)} first, so that it continues from its managed save, or discard the saved memory`,
      command: `virsh managedsave-remove ${virshWord(vm)}`,
    };
  const own = IS_OF_DISK.has(kind)
    ? `give ${inText(vm.name)} another disk first, or remove this one from its definition (virsh edit ${virshWord(vm)})`
    : `delete ${snapshotsOf(use)} of ${inText(vm.name)} first, if you can do without ${use.snapshots.length === 1 ? 'it' : 'them'}`;
  return {
    hint: instead.hint === undefined ? own : `${own}; or ${instead.hint}`,
    ...(instead.command === undefined ? {} : { command: instead.command }),
  };
}
