import type { Context } from '../context.ts';
import { type CreateFacts, needsDaemonVersion } from '../core/create-rules.ts';
import { type Disk, type Domain, isActive, takesPart } from '../core/domain.ts';
import type { Agent } from '../core/external-rules.ts';
import type { Images } from '../core/image.ts';
import type { ImageUsers } from '../core/image-users.ts';
import type { DaemonVersion } from '../core/libvirt-versions.ts';
import { internalPlan, plannedFiles, type SnapshotPlan } from '../core/snapshot-plan.ts';
import { agentAnswers, isFrozen } from '../libvirt/guest-agent.ts';
import type { MachineReading } from '../libvirt/machine.ts';
import { NO_RUNTIME, readDaemonVersion, readRuntime } from '../libvirt/runtime.ts';
import { lookAtDisks } from './disks.ts';
import { freeBytes } from './files.ts';
import { readImageUsers } from './image-users.ts';
import { lookAtPlaces } from './places.ts';

/** Gathering what the rules of a create ask for. */

interface KnownFacts {
  readonly images?: Images | undefined;
  readonly daemonVersion?: DaemonVersion;
  /** Absent: an internal snapshot. */
  readonly plan?: SnapshotPlan;
  readonly labelled?: boolean;
  readonly users?: ImageUsers;
}

/** All that the rules of a create ask for. Throws `busy` when another job holds the running machine. */
export async function readCreateFacts(
  ctx: Context,
  { domain, uri, snapshotNames }: MachineReading,
  name: string,
  known: KnownFacts = {},
): Promise<CreateFacts> {
  const { plan = internalPlan(domain), labelled = false } = known;
  const disks = domain.disks.filter(takesPart);
  const targets = disks.map((disk) => disk.target);
  const running = isActive(domain.state);
  const looking = Promise.resolve(known.images ?? lookAtDisks(ctx, uri, disks));
  const [images, users, runtime, daemonVersion, free, places, agent] = await Promise.all([
    looking,
    known.users ??
      readImageUsers(
        ctx,
        { domain, uri, images: looking, snapshots: [] },
        { more: plannedFiles(plan), harmless: true },
      ),
    running ? readRuntime(ctx.virsh, domain.uuid, targets) : NO_RUNTIME,
    known.daemonVersion === undefined && needsDaemonVersion(domain, plan.mode)
      ? readDaemonVersion(ctx.virsh)
      : (known.daemonVersion ?? null),
    spaceForMemory(ctx, disks[0]),
    lookAtPlaces(ctx, uri, plan),
    plan.wishes.quiesce && running ? askAgent(ctx, domain) : null,
  ]);
  return {
    domain,
    images,
    users,
    name,
    plan,
    mode: plan.mode,
    places,
    agent,
    labelled,
    snapshotNames,
    daemonVersion,
    blockJobs: runtime.blockJobs,
    freeBytes: images.get(disks[0]?.target ?? '')?.kind === 'seen' ? free : null,
    residentBytes: runtime.residentBytes,
  };
}

async function askAgent({ virsh }: Context, { uuid, agentChannel }: Domain): Promise<Agent> {
  if (agentChannel === 'none') return 'no-channel';
  if (agentChannel === 'disconnected') return 'not-connected';
  if (!(await agentAnswers(virsh, uuid))) return 'silent';
  return (await isFrozen(virsh, uuid)) ? 'frozen' : 'answers';
}

/** Bytes free where libvirt writes the memory, the first disk that takes part; a block device has a size of its own. */
async function spaceForMemory(ctx: Context, disk: Disk | undefined): Promise<number | null> {
  return disk?.storage === 'file' && disk.source !== null ? freeBytes(disk.source, ctx) : null;
}
