import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import * as z from 'zod/mini';
import type { DiskImage, Image } from '../core/image.ts';
import { understand } from '../errors.ts';

/** What is in an image, by `qemu-img info`. Format: QEMU's qapi/block-core.json, ImageInfo; fixtures of four versions. */

/** Runs qemu-img and returns what it said; the host's Exec, narrowed. */
export type RunQemuImg = (
  args: readonly string[],
) => Promise<{ readonly stdout: string; readonly stderr: string; readonly exitCode: number | null }>;

const ImageInfo = z.object({
  filename: z.string(),
  format: z.string(),
  'virtual-size': z.number(),
  'actual-size': z.optional(z.number()),
  'cluster-size': z.optional(z.number()),
  'dirty-flag': z.optional(z.boolean()),
  encrypted: z.optional(z.boolean()),
  'backing-filename': z.optional(z.string()),
  'full-backing-filename': z.optional(z.string()),
  snapshots: z.optional(
    z.array(
      z.object({ id: z.string(), name: z.string(), 'vm-state-size': z.number(), 'date-sec': z.number() }),
    ),
  ),
  'format-specific': z.optional(
    z.object({
      data: z.optional(
        z.object({
          corrupt: z.optional(z.boolean()),
          'data-file': z.optional(z.string()),
          'refcount-bits': z.optional(z.number()),
        }),
      ),
    }),
  ),
});

/** The image itself, then what it is laid over. */
const Chain = z.tuple([ImageInfo], ImageInfo);

const understandInfo = <T>(path: string, read: () => T): T => understand(`qemu-img says of ${path}`, read);

/**
 * Looks at an image and all that it is laid over. Also works while a guest writes to it (`-U`), when the answer may lag
 * behind. Never throws for what is wrong with the image: that is the answer; `refused` for an answer that is none.
 */
export async function inspectImage(run: RunQemuImg, path: string): Promise<DiskImage> {
  const first = await look(run, path);
  // perhaps it was being written to: another script's snapshot
  return first.kind === 'broken' && first.why === 'unreadable' ? look(run, path) : first;
}

async function look(run: RunQemuImg, path: string): Promise<DiskImage> {
  const { stdout, stderr, exitCode } = await run(infoArgs(path, '--backing-chain'));
  if (exitCode !== 0) return explainFailure(run, path, stderr);
  const [active, ...backing] = understandInfo(path, () => z.parse(Chain, JSON.parse(stdout)));
  return { kind: 'seen', chain: [toImage(active), ...backing.map(toImage)] };
}

/** An absolute path after `--`: a name that starts with `-`, `nbd:` or `json:` would be taken for something else. */
function infoArgs(path: string, ...flags: string[]): string[] {
  return ['info', '-U', '--output=json', ...flags, '--', path];
}

/**
 * qemu-img reports a missing or unreadable link of the chain as a failure of the whole. Walks the chain to say which
 * link it is, deciding by the file system and not by the text.
 */
async function explainFailure(run: RunQemuImg, path: string, stderr: string): Promise<DiskImage> {
  const detail = stderr.trim().replace(/^qemu-img: /, '') || 'qemu-img failed without a word';
  const visited = new Set<string>();
  for (let link: string | null = path; link !== null && !visited.has(link); ) {
    visited.add(link);
    const problem = await accessProblem(link);
    if (problem === 'permission')
      return { kind: 'unseen', why: 'permission', format: null, source: "machine's XML" };
    if (problem)
      return { kind: 'broken', why: link === path ? 'missing' : 'backing-missing', path: link, detail };
    const { stdout, exitCode } = await run(infoArgs(link));
    if (exitCode !== 0) return { kind: 'broken', why: 'unreadable', path: link, detail };
    link = toImage(understandInfo(link, () => z.parse(ImageInfo, JSON.parse(stdout)))).backing;
  }
  return { kind: 'broken', why: 'unreadable', path, detail };
}

async function accessProblem(path: string): Promise<'permission' | 'missing' | null> {
  if (!path.startsWith('/')) return null;
  try {
    await access(path, constants.R_OK);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'permission' : 'missing';
  }
}

function toImage(info: z.infer<typeof ImageInfo>): Image {
  const data = info['format-specific']?.data;
  return {
    path: info.filename,
    format: info.format,
    virtualBytes: info['virtual-size'],
    allocatedBytes: info['actual-size'] ?? 0,
    clusterBytes: info['cluster-size'] ?? null,
    tags: (info.snapshots ?? []).map((tag) => ({
      id: tag.id,
      name: tag.name,
      vmStateBytes: tag['vm-state-size'],
      createdAtSeconds: tag['date-sec'],
    })),
    backing: info['full-backing-filename'] ?? info['backing-filename'] ?? null,
    corrupt: data?.corrupt ?? false,
    dirty: info['dirty-flag'] ?? false,
    encrypted: info.encrypted ?? false,
    dataFile: data?.['data-file'] ?? null,
    refcountBits: data?.['refcount-bits'] ?? null,
  };
}
