import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { entriesNamed, type Part } from '../content/facts.ts';
import { NVRAM, readNvram } from '../content/nvram.ts';
import type { Session } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import { freeBytes, unlessOurs } from '../host/files.ts';
import { type HostSecurity, readHostSecurity } from '../libvirt/host-security.ts';
import { SAVE_HEAD_BYTES, type SavedStream, savedStream } from '../libvirt/save-file.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { toBytes } from '../libvirt/xml/domain.ts';
import { type Element, elementsAt } from '../libvirt/xml/element.ts';
import { liveDefinition, storedDefinition } from '../libvirt/xml/snapshot.ts';
import { parseElement } from '../libvirt/xml/xml.ts';
import { inText } from '../model/text.ts';
import { THROW_AWAY_PREFIX } from '../model/throw-away.ts';
import { withImageFile } from '../qemu/image-file.ts';
import type { Context } from '../run/context.ts';
import type { VerifyRuleFacts } from './rules.ts';

/** What a throw-away VM is made of. */

export interface StageFacts extends VerifyRuleFacts {
  readonly name: string;
  readonly uuid: string;
  readonly security: HostSecurity;
  /** The disks, each with the path of its overlay. */
  readonly overlays: readonly { readonly part: Part; readonly path: string }[];
  /** The NVRAM of the firmware, and the path of its copy; `part` null: it is made anew. Null: it needs none. */
  readonly nvram: { readonly part: Part | null; readonly path: string } | null;
}

/** The saved memory of a snapshot. */
export interface SavedMemory {
  /** The image, or the memory file. */
  readonly path: string;
  /** The id of the tag in the image; or where the memory is in a file of its own, or why that is unknown. */
  readonly in: { readonly tagId: string } | { readonly stream: SavedStream | string };
  readonly bytes: number;
  /** The file from which it is resumed. */
  readonly saveFile: string;
}

/** Throws `check` if the snapshot stores no definition. */
export async function readStage(ctx: Context, session: Session, resumes: boolean): Promise<StageFacts> {
  const { domain, snapshot, parts, run } = session;
  const text = await readSnapshotXml(ctx.virsh, domain, snapshot.name, false);
  // the memory is that of the VM as it ran, with all that was plugged in
  const xml = resumes ? liveDefinition(text) : storedDefinition(text);
  if (xml === null)
    throw new KvmsnapError(
      'check',
      `cannot verify ${inText(snapshot.name)} of ${inText(domain.name)}: the snapshot stores no definition of the VM`,
    );
  const stored = parseElement(xml);
  const id = basename(dirname(run.sockets));
  const overlays = await Promise.all(
    parts.map(async (part) => ({
      part,
      path: join(await directoryFor(ctx, part.path), `.kvmsnap-${id}-${part.target}.overlay`),
    })),
  );
  const needsNvram =
    stored.children.some(({ name, attributes }) => name === 'os' && attributes['firmware'] === 'efi') ||
    ['os/nvram', 'os/varstore'].some((path) => elementsAt(stored, path).length > 0);
  const part = needsNvram ? await readNvram(ctx, session, stored) : null;
  const [first] = overlays;
  const directory = first ? dirname(first.path) : ELSEWHERE;
  const memory = resumes
    ? await readMemory(ctx, session, join(directory, `.kvmsnap-${id}-memory.save`))
    : null;
  const directories = [...new Set(overlays.map(({ path }) => dirname(path)))];
  return {
    ...{ stored, overlays, memory, resumes, name: `${THROW_AWAY_PREFIX}${id}`, uuid: randomUUID() },
    nvram: needsNvram ? { part, path: join(directory, `.kvmsnap-${id}-${NVRAM}.overlay`) } : null,
    security: await readHostSecurity(ctx.virsh, stored.attributes['type'] ?? 'kvm'),
    memoryBytes: memoryOf(stored),
    availableBytes: await availableMemory(ctx),
    room: await Promise.all(
      directories.map(async (directory) => ({ directory, freeBytes: await freeBytes(ctx.files, directory) })),
    ),
  };
}

/** Where the memory is; null if the snapshot has none. */
async function readMemory(
  ctx: Context,
  { snapshot, disks, parts }: Session,
  saveFile: string,
): Promise<SavedMemory | null> {
  const { location, file } = snapshot.memory;
  if (location === 'external' && file !== null) {
    const found = await ctx.files.stat(file).catch(unlessOurs);
    const head = found && (await readHead(ctx, file));
    return head ? { path: file, in: { stream: savedStream(head) }, bytes: found.sizeBytes, saveFile } : null;
  }
  for (const { target, tags } of disks) {
    const [entry] = entriesNamed(tags, snapshot.name);
    const part = parts.find((each) => each.target === target);
    if (entry && part && entry.vmStateBytes > 0)
      return { path: part.path, in: { tagId: entry.id }, bytes: entry.vmStateBytes, saveFile };
  }
  return null;
}

/** The first bytes of a file; null if it cannot be read. */
async function readHead({ files }: Context, path: string): Promise<Uint8Array | null> {
  const read = await withImageFile(files, path, (file) => {
    const head = new Uint8Array(SAVE_HEAD_BYTES);
    return head.subarray(0, file.read(0, head));
  });
  return 'value' in read ? read.value : null;
}

/** For the overlay over a block device. */
const ELSEWHERE = '/var/tmp';

/** The directory of the image, which QEMU can reach. */
async function directoryFor({ files }: Context, path: string): Promise<string> {
  const found = await files.stat(path).catch(unlessOurs);
  return found?.kind === 'file' ? dirname(path) : ELSEWHERE;
}

/** Bytes; 0 if it is not told. */
function memoryOf(stored: Element): number {
  const [memory] = elementsAt(stored, 'memory');
  return toBytes(memory?.text ?? '0', memory?.attributes['unit'] ?? 'KiB');
}

/** `MemAvailable` of proc_meminfo(5), in bytes; null if it cannot be read. */
async function availableMemory({ files }: Context): Promise<number | null> {
  const text = await files.read('/proc/meminfo').then(
    (bytes) => Buffer.from(bytes).toString('latin1'),
    () => '',
  );
  const [, kib] = /^MemAvailable:\s+(\d+) kB/m.exec(text) ?? [];
  return kib === undefined ? null : Number(kib) * 1024;
}
