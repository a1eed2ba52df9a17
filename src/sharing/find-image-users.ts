import type { ListedVm } from '../libvirt/domains.ts';
import type { DomainName } from '../libvirt/resolve.ts';
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
 * Finds out which other VMs use the files of a VM now. Before each write, one virsh process tells which VMs exist, with their
 * states, definitions and lists of snapshots, and what has changed is read again. For a write that changes no data of other
 * VMs (a create), the definitions of unconcerned VMs are compared only every few seconds, because they are most of the cost.
 */

/** Which knowledge is needed: as it was read earlier, or as it is now. */
export type Currency = 'old' | 'now';

/**
 * How other VMs use the files that this VM and its snapshots name, and the `more` files. Prints once in a run which VMs could
 * not be read.
 */
export function readImageUsers(
  ctx: Context,
  { uri, domain, snapshots, images, listed = [] }: OwnFiles,
  { more = [], currency = 'now', harmless = false }: Asking = {},
): Promise<ImageUsers> {
  const nvram = domain.pflash?.nvramPath ?? null;
  const files = async () => {
    const imagesRead = await images;
    return {
      paths: [...namedFiles(domain, snapshots, imagesRead), ...(nvram === null ? [] : [nvram]), ...more],
      dataFiles: dataFilesOf(imagesRead),
    };
  };
  return readUsersOf(ctx, { uri, files, except: domain.uuid, harmless, listed }, currency);
}

interface Asking {
  readonly more?: readonly string[];
  readonly currency?: Currency;
  readonly harmless?: boolean;
}

/** A VM with its files; its images may still be being read. */
interface OwnFiles extends Pick<Vm, 'uri' | 'domain' | 'snapshots'>, Partial<Pick<Vm, 'listed'>> {
  readonly images: Images | Promise<Images>;
}

/** By the path of an image, the separate file that contains its data, if it has one. */
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
  /** The connection URI of virsh. */
  readonly uri: string;
  /** A function, because nobody would handle a promise that fails before it is needed. */
  readonly files: Files | (() => Promise<Files>);
  /** The UUID of the VM whose own use does not count; null: all count. */
  readonly except: string | null;
  /**
   * The write changes no data of another VM: then unreadable VMs do not matter, and the definitions stored with snapshots are
   * read only for the VMs that use the files.
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
  // a dry run writes nothing, so what it has read once is current enough
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

/** How long, for a write that changes no data of others, the definitions of unconcerned VMs are not compared again. */
const MOST_MILLISECONDS = 10_000;

/** The same from what the run has read already. */
async function usesKnown(
  { known, files: hostFiles }: Pick<Context, 'files' | 'known'>,
  { uri, files, except }: Question,
) {
  const { paths, dataFiles = new Map<string, string>() } =
    typeof files === 'function' ? await files() : files;
  // what QEMU writes to an image may go to its separate data file
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

function noteHidden(ctx: Pick<Context, 'noted' | 'terminal'>, hidden: readonly DomainName[]): void {
  const unreported = hidden.filter(({ uuid }) => !ctx.noted.has(uuid));
  if (unreported.length === 0) return;
  const names = unreported.map(({ name }) => inText(name)).join(', ');
  ctx.terminal.note(
    `note: kvmsnap could not read everything about VM ${names}, and does not know whether ${unreported.length === 1 ? 'it uses' : 'they use'} the files about to be changed`,
  );
  for (const { uuid } of unreported) ctx.noted.add(uuid);
}
