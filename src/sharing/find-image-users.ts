import type { DomainName, ListedVm } from '../libvirt/domains.ts';
import { namedFiles } from '../model/domain-files.ts';
import { chainOf, type Images } from '../model/image.ts';
import { inText } from '../model/text.ts';
import { backingLocation } from '../qemu/backing-name.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import { byText, identifyFiles } from '../vm/file-identity.ts';
import type { Vm } from '../vm/load.ts';
import type { ImageUse, ImageUsers } from './image-users.ts';
import { bringUpToDate } from './read-known-vms.ts';
import { mergeUses } from './vm-files.ts';

/**
 * Which other VMs use the files of a VM, as it is now. Before each write, one virsh process tells which VMs there are, their
 * states, definitions and lists of snapshots, and what changed is read again. What changes no data of others (a create) compares
 * the definitions of those that have nothing to do with its files every few seconds only: they are most of what that costs.
 */

/** How well known it has to be: as it was read, or as it is now. */
export type Currency = 'old' | 'now';

/**
 * How other VMs use the files that this VM and its snapshots name, and these `more` files. Says once a run which VM could
 * not be read.
 */
export function readImageUsers(
  ctx: Context,
  { uri, domain, snapshots, images, listed = [] }: OwnFiles,
  { more = [], currency = 'now', harmless = false }: Asking = {},
): Promise<ImageUsers> {
  const nvram = domain.pflash?.nvramPath ?? null;
  const files = async () => {
    const looked = await images;
    return {
      paths: [...namedFiles(domain, snapshots, looked), ...(nvram === null ? [] : [nvram]), ...more],
      dataFiles: dataFilesOf(looked),
    };
  };
  return readUsersOf(ctx, { uri, files, except: domain.uuid, harmless, listed }, currency);
}

interface Asking {
  readonly more?: readonly string[];
  readonly currency?: Currency;
  readonly harmless?: boolean;
}

/** A VM as far as its files go; its images may still be looked at meanwhile. */
interface OwnFiles extends Pick<Vm, 'uri' | 'domain' | 'snapshots'>, Partial<Pick<Vm, 'listed'>> {
  readonly images: Images | Promise<Images>;
}

/** By the path of an image, the file that its data go to, where it keeps them apart. */
const dataFilesOf = (images: Images): ReadonlyMap<string, string> =>
  new Map(
    [...images.values()].flatMap(chainOf).flatMap(({ path, dataFile }) => {
      const place = dataFile ? backingLocation(dataFile, path) : null;
      return place?.kind === 'file' ? [[path, place.path] as const] : [];
    }),
  );

interface Files {
  readonly paths: readonly string[];
  readonly dataFiles?: ReadonlyMap<string, string>;
}

interface Question {
  /** What virsh is connected to. */
  readonly uri: string;
  /** Asked for when they are needed: a promise that fails before would be nobody's. */
  readonly files: Files | (() => Promise<Files>);
  /** The UUID of the VM whose own use is no matter; null: all are asked for. */
  readonly except: string | null;
  /**
   * What it is asked for changes no data of another VM: then it is no matter which could not be read, and what is stored with
   * snapshots only of those that use the files.
   */
  readonly harmless?: boolean;
  /** The VMs that are known to be there: those not yet read are read with the first question. */
  readonly listed?: readonly ListedVm[];
}

/** How the VMs of the host use these files. */
export async function readUsersOf(
  ctx: Context,
  question: Question,
  wanted: Currency = 'now',
): Promise<ImageUsers> {
  const { uri, except, harmless = false, listed = [] } = question;
  // a dry run writes nothing, so what it has read once is good enough
  const currency = ctx.settings.dryRun ? 'old' : wanted;
  const { comparedAt } = ctx.known;
  if (currency === 'now' || comparedAt === null) {
    const isRecent = comparedAt !== null && ctx.clock.now() - comparedAt <= MOST_MILLISECONDS;
    await bringUpToDate(ctx, uri, harmless && isRecent ? 'none' : 'all', {
      withSnapshots: !harmless,
      except,
      listed,
    });
  } else if (!harmless && [...ctx.known.vms.values()].some(({ hasSnapshots }) => !hasSnapshots))
    await bringUpToDate(ctx, uri, 'all');
  let found = await usesKnown(ctx, question);
  const users = new Set([...found.uses.values()].flat().map(({ vm }) => vm.uuid));
  if (harmless && currency === 'now' && users.size > 0) {
    await bringUpToDate(ctx, uri, users);
    found = await usesKnown(ctx, question);
  }
  if (wanted !== 'old' && !harmless) noteHidden(ctx, found.hidden);
  return { uses: found.uses, unknown: found.hidden.map(({ name }) => name) };
}

/** How long a VM that has nothing to do with a file is taken to be defined as it was, by what changes no data of others. */
const MOST_MILLISECONDS = 10_000;

/** The same by what is known. */
async function usesKnown({ known, files: hostFiles }: Context, { uri, files, except }: Question) {
  const { paths, dataFiles = new Map<string, string>() } =
    typeof files === 'function' ? await files() : files;
  // what is written to an image may go to the file with its data
  const partsOf = (path: string) => [path, dataFiles.get(path) ?? []].flat();
  const key = isRemote(uri) ? byText : await identifyFiles(hostFiles, paths.flatMap(partsOf));
  const wanted = new Set(paths.flatMap(partsOf).map(key));
  const vms = [...known.vms.values()].filter(({ definitions }) => definitions.vm.uuid !== except);
  const byFile = new Map<string, ImageUse[]>();
  for (const { uses, definitions } of vms) {
    const theirs = uses.filter(({ file }) => wanted.has(file));
    for (const file of new Set(theirs.map((use) => use.file))) {
      const merged = mergeUses(theirs.filter((use) => use.file === file));
      byFile.set(file, [
        ...(byFile.get(file) ?? []),
        ...merged.map((use) => ({ ...use, vm: definitions.vm })),
      ]);
    }
  }
  const uses = new Map(
    paths.flatMap((path) => {
      const found = [...new Set(partsOf(path).map(key))].flatMap((file) => byFile.get(file) ?? []);
      return found.length === 0 ? [] : [[path, found] as const];
    }),
  );
  const hidden = [
    ...known.failed,
    ...vms.filter((vm) => !vm.isWhole || vm.isUnreadable).map(({ definitions }) => definitions.vm),
  ];
  return { uses, hidden: hidden.filter(({ uuid }) => uuid !== except) };
}

function noteHidden(ctx: Context, hidden: readonly DomainName[]): void {
  const untold = hidden.filter(({ uuid }) => !ctx.noted.has(uuid));
  if (untold.length === 0) return;
  const names = untold.map(({ name }) => inText(name)).join(', ');
  ctx.terminal.note(
    `note: could not read all of VM ${names}, so it is not known whether ${untold.length === 1 ? 'it uses' : 'they use'} a file that is changed here`,
  );
  for (const { uuid } of untold) ctx.noted.add(uuid);
}
