import { freeBytes } from '../host/files.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { NO_RUNTIME, readDaemonVersion, readRuntime } from '../libvirt/runtime.ts';
import { type Disk, type Domain, isActive, takesPart } from '../model/domain.ts';
import type { Images } from '../model/image.ts';
import type { SnapshotPlan } from '../model/input/snapshot-spec.ts';
import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { roomOnDevice } from '../qemu/image-room.ts';
import type { Context } from '../run/context.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import { readImages } from '../vm/disks.ts';
import { type KnownCounts, readUndercounted } from '../vm/find-undercounted.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import { loadsMemory } from '../vm/memory-load.ts';
import { agentAnswers, isFrozen } from './guest-agent.ts';
import { internalPlan, plannedFiles } from './plan.ts';
import type { Agent, CreateFacts } from './rules/facts.ts';
import { needsDaemonVersion } from './rules/table.ts';
import { readTargetFiles } from './target-files.ts';

/** Reads the facts that the rules of a create need. */

interface KnownFacts {
  readonly images?: Images | undefined;
  readonly daemonVersion?: DaemonVersion;
  /** Absent: an internal snapshot. */
  readonly plan?: SnapshotPlan;
  readonly labeled?: boolean;
  readonly users?: ImageUsers;
  readonly counts?: KnownCounts;
  /** Whether only what lasts is looked for, as in check, and not the locks of a moment. */
  readonly lastingOnly?: boolean;
}

/** Reads all facts that the rules of a create need. Throws `busy` if another job holds the running VM. */
export async function readCreateFacts(
  ctx: Context,
  { domain, uri, snapshotNames, listed }: DomainReading,
  name: string,
  known: KnownFacts = {},
): Promise<CreateFacts> {
  const { plan = internalPlan(domain), labeled = false } = known;
  const disks = domain.disks.filter(takesPart);
  const targets = disks.map((disk) => disk.target);
  const running = isActive(domain.state);
  const imagesRead = Promise.resolve(known.images ?? readImages(ctx, uri, disks));
  const [images, users, runtime, daemonVersion, free, targetFiles, agent, writeObstacles, undercounted] =
    await Promise.all([
      imagesRead,
      known.users ??
        readImageUsers(
          ctx,
          { domain, uri, listed, images: imagesRead, snapshots: [] },
          { more: plannedFiles(plan), harmless: true },
        ),
      running ? readRuntime(ctx.virsh, domain, targets) : NO_RUNTIME,
      known.daemonVersion === undefined && needsDaemonVersion(domain, plan.mode)
        ? readDaemonVersion(ctx.virsh)
        : (known.daemonVersion ?? null),
      spaceForMemory(ctx, domain, disks[0]),
      readTargetFiles(ctx, uri, plan),
      plan.spec.quiesce && running ? askAgent(ctx, domain) : null,
      readWriteObstacles(
        ctx,
        uri,
        disks.map(({ source }) => source),
        {
          adds: plan.mode === 'internal' ? 'snapshot' : null,
          byRoot: !running,
          isOff: !running && !known.lastingOnly,
        },
      ),
      plan.mode === 'internal'
        ? imagesRead.then((images) => readUndercounted(ctx, { domain, uri }, images.values(), known.counts))
        : new Map<string, number>(),
    ]);
  return {
    domain,
    images,
    users,
    name,
    plan,
    mode: plan.mode,
    targetFiles,
    agent,
    labeled,
    snapshotNames,
    daemonVersion,
    loadsMemory: await loadsMemory(ctx.files, uri, daemonVersion),
    blockJobs: runtime.blockJobs,
    freeBytes: images.get(disks[0]?.target ?? '')?.kind === 'seen' ? free : null,
    residentBytes: runtime.residentBytes,
    undercounted,
    writeObstacles,
  };
}

async function askAgent({ virsh }: Context, { uuid, agentChannel }: Domain): Promise<Agent> {
  if (agentChannel === 'none') return 'no-channel';
  if (agentChannel === 'disconnected') return 'not-connected';
  if (!(await agentAnswers(virsh, uuid))) return 'silent';
  return (await isFrozen(virsh, uuid)) ? 'frozen' : 'answers';
}

/**
 * Bytes free where libvirt writes the memory, which is the first disk in the snapshot; on a block device, not more than it
 * can need.
 */
async function spaceForMemory(
  ctx: Pick<Context, 'files'>,
  domain: Domain,
  disk: Disk | undefined,
): Promise<number | null> {
  if (!disk?.source || !isActive(domain.state)) return null;
  if (disk.storage === 'file') return freeBytes(ctx.files, disk.source);
  return disk.storage === 'block' ? roomOnDevice(ctx.files, disk.source, domain.memoryBytes * 2) : null;
}
