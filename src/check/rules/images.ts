import { leftOverlaysAmong } from '../../merge/left-overlays.ts';
import { planMerges } from '../../merge/plan.ts';
import { type Domain, isActive, isSaving } from '../../model/domain.ts';
import { chainOf, type DiskImage } from '../../model/image.ts';
import { commandLine, kvmsnapLine } from '../../model/quote.ts';
import { type Finding, mebibytes, type Rule } from '../../model/rule.ts';
import { freeUnusedMemoryLines, isNotable, resizable, type UnusedMemory } from '../../qemu/unused-memory.ts';
import { describeUses, type ImageUsers, usesOf } from '../../sharing/image-users.ts';
import { beyondLimit, nearLimit } from '../../vm/findings/chain-depth.ts';
import { eachDisk } from '../../vm/findings/disks.ts';
import type { CheckFacts } from './facts.ts';

/** Rules about the images and the files next to them. */

export const IMAGE_RULES: readonly Rule<CheckFacts>[] = [
  {
    id: 'chain-too-deep',
    hazards: [38],
    severity: 'error',
    find: beyondLimit,
  },
  {
    id: 'chain-deep',
    hazards: [38],
    severity: 'warning',
    find: nearLimit,
  },
  {
    id: 'unmerged-overlay',
    hazards: [],
    severity: 'information',
    find: ({ domain, snapshots, images }) =>
      planMerges(domain.disks, images, snapshots, { disks: [], into: null }).merges.map(
        ({ target, overlays: [top], job }) => ({
          what:
            job === 'ready'
              ? `disk ${target}: a merge of ${top.path} lacks only its last step`
              : `disk ${target}: the overlay ${top.path} belongs to no snapshot; a backup tool may be using it or have left it`,
          hint: 'if no backup is running, merge it',
          command: kvmsnapLine('merge', [domain.name]),
        }),
      ),
  },
  {
    id: 'dirty-image',
    hazards: [],
    severity: 'warning',
    find: ({ domain, images }) =>
      // with lazy refcounts the dirty bit is set whenever the VM runs
      isActive(domain.state)
        ? []
        : [...images].flatMap(([target, image]) => {
            const [top] = chainOf(image);
            if (!top?.dirty || top.corrupt) return [];
            return {
              what: `disk ${target}: the image was not closed cleanly (its dirty bit is set); QEMU repairs it when the VM starts`,
              hint: 'copy the image before you start the VM',
              command: commandLine('cp', ['--reflink=auto', '--', top.path, `${top.path}.copy`]),
            };
          }),
  },
  {
    id: 'read-only-disk',
    hazards: [],
    severity: 'information',
    find: ({ domain }) =>
      domain.disks
        .filter(({ readonly, hasSource, device }) => readonly && hasSource && device === 'disk')
        .map(({ target }) => ({ what: `disk ${target} is read-only, so snapshots do not contain it` })),
  },
  {
    id: 'no-guest-agent',
    hazards: [],
    severity: 'information',
    find: ({ domain }) => {
      if (domain.state !== 'running' || domain.agentChannel === 'connected') return [];
      const why =
        domain.agentChannel === 'none'
          ? 'the VM has no channel for a guest agent'
          : 'the guest agent does not answer';
      return [{ what: `${why}, so --quiesce does not work` }];
    },
  },
  {
    id: 'unused-memory',
    hazards: [7],
    severity: 'warning',
    find: ({ domain, images, unusedMemory, users }) =>
      [...unusedMemory].flatMap(([target, unusedMemory]) =>
        isNotable(unusedMemory) && !domain.busy && !isSaving(domain)
          ? unusedMemoryFinding(domain, target, images.get(target), { unusedMemory, users })
          : [],
      ),
  },
  {
    // a guest that encrypts its whole disk writes such a header
    id: 'encrypted-by-guest',
    hazards: [51],
    severity: 'information',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) =>
        chainOf(image)[0]?.looksLike?.format === 'luks'
          ? {
              what: `disk ${target} (${source}) looks like luks, because the guest encrypts its disk; for the VM it is raw, so do not change the type`,
            }
          : null,
      ),
  },
  {
    id: 'unused-file',
    hazards: [23],
    severity: 'information',
    find: ({ domain, images, unusedFiles, snapshots }) => {
      const left = leftOverlaysAmong(unusedFiles, domain.disks, images, snapshots);
      const isLeft = (path: string) => left.some(({ overlays }) => overlays.includes(path));
      const moved = new Set(
        snapshots.flatMap(({ movedFiles }) => movedFiles?.moved.map(([, to]) => to) ?? []),
      );
      const lost = snapshots.flatMap(({ movedFiles }) => movedFiles?.lost ?? []);
      return unusedFiles
        .filter(({ path }) => !moved.has(path))
        .map(({ path, over }) => ({
          what:
            over === null
              ? `${path} contains saved memory of the VM, and no snapshot of the VM refers to it`
              : `${path} is an overlay of ${over} that neither the VM nor one of its snapshots uses`,
          // it may be the missing file
          ...(isLeft(path)
            ? {
                hint: `kvmsnap merge removes it if its content is in ${over}`,
                command: kvmsnapLine('merge', [domain.name]),
              }
            : lost.length > 0
              ? { hint: `keep it: it may be the file that was at ${lost.join(', ')}, which a snapshot needs` }
              : {
                  hint: 'if nobody needs this file, remove it',
                  command: commandLine('rm', [path]),
                }),
        }));
    },
  },
  {
    id: 'readable-file',
    hazards: [54],
    severity: 'warning',
    find: ({ readableFiles }) =>
      readableFiles.map((path) => ({
        what: `${path}, which belongs to a snapshot, contains data of the guest, and other users of this host can read it`,
        command: commandLine('chmod', ['600', path]),
      })),
  },
];

function unusedMemoryFinding(
  domain: Domain,
  target: string,
  image: DiskImage | undefined,
  { unusedMemory, users }: { readonly unusedMemory: UnusedMemory; readonly users: ImageUsers },
): Finding[] {
  const what = `disk ${target}: ${mebibytes(unusedMemory.bytes)} of the image are saved memory that no snapshot needs; it remains after a failed save, or if a snapshot is deleted after a revert to it`;
  const top = resizable(image);
  if (!top)
    return [
      {
        what,
        hint: 'the next snapshot of the running VM reuses this space, and deleting that snapshot frees it',
      },
    ];
  const others = usesOf(users, top.path);
  if (others.length > 0)
    return [{ what, hint: `kvmsnap does not resize an image that another VM uses: ${describeUses(others)}` }];
  const off = isActive(domain.state) ? 'with the VM off and' : 'with';
  return [
    {
      what,
      hint: `${off} a little free space, this gives the space back to the host`,
      commands: freeUnusedMemoryLines(top, unusedMemory),
    },
  ];
}
