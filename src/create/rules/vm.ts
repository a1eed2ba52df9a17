import { isActive } from '../../model/domain.ts';
import { ifBefore, SAVES_BY_JOB } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import { mebibytes, type Rule } from '../../model/rule.ts';
import { bitmapFindings } from '../../vm/findings/bitmaps.ts';
import { participants } from '../../vm/findings/disks.ts';
import { failureToLoad } from '../../vm/memory-load.ts';
import { savedMemoryBytes } from '../saved-memory.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL, WITH_MEMORY } from './modes.ts';

/** Rules about what the VM does now and which devices it has, and about the space that its memory takes. */

export const VM_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'memory-cannot-be-loaded',
    hazards: [],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain, daemonVersion, loadsMemory }) => {
      const failure = isActive(domain.state) ? failureToLoad(daemonVersion, loadsMemory) : null;
      return failure === null
        ? []
        : [
            {
              what: `${failure}: to revert to this snapshot, update libvirt first (Debian: 11.3.0-2 or newer)`,
            },
          ];
    },
  },
  {
    id: 'block-job',
    hazards: [30],
    severity: 'error',
    find: ({ domain, blockJobs }) => {
      const busy = new Set([
        ...blockJobs,
        ...domain.disks.filter((disk) => disk.mirrored).map((disk) => disk.target),
      ]);
      return [...busy].map((target) => ({
        what: `disk ${target}: a block job (copy, commit or pull) is running`,
        hint: 'wait until it has finished, or abort it (what it has done so far is lost)',
        command: `virsh blockjob ${virshWord(domain)} ${target} --abort`,
      }));
    },
  },
  {
    id: 'transient-disk',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    find: ({ domain, plan }) =>
      isActive(domain.state)
        ? participants(domain)
            // a disk that is left out prevents only snapshots with memory
            .filter(
              ({ target, transient }) =>
                transient && !(plan.mode === 'disk-only' && plan.leftOut.includes(target)),
            )
            .map((disk) => ({
              what: `disk ${disk.target} is <transient/>, and libvirt takes no snapshot of such a disk while the VM runs`,
              hint: 'shut the VM down first',
              command: `virsh shutdown ${virshWord(domain)}`,
            }))
        : [],
  },
  {
    id: 'host-device',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: WITH_MEMORY,
    find: ({ domain }) => {
      const kinds = domain.hostDevices.filter((kind) => kind !== 'usb');
      if (!isActive(domain.state) || kinds.length === 0) return [];
      return [
        {
          what: `the VM has host devices (${[...new Set(kinds)].join(', ')}), whose state cannot be saved while the VM runs`,
          hint: 'shut the VM down first, detach the devices, or leave the memory out with --disk-only',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
    },
  },
  {
    id: 'shared-filesystem',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: WITH_MEMORY,
    // a newer libvirtd asks virtiofsd whether it can save its state, and refuses before it changes anything
    find: ({ domain, daemonVersion }) => {
      const older = ifBefore(daemonVersion, SAVES_BY_JOB, 'cannot save its state while the VM runs');
      return older !== null && isActive(domain.state) && domain.sharedFilesystems.includes('virtiofs')
        ? [
            {
              what: `the VM shares a file system by virtiofs, and ${older}`,
              hint: 'shut the VM down first, detach the share, or leave the memory out with --disk-only',
              command: `virsh shutdown ${virshWord(domain)}`,
            },
          ]
        : [];
    },
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain }) =>
      domain.managedSave
        ? [
            {
              what: "the VM's memory is in a managed save, which will NOT be part of the snapshot: it contains only the disks, as they were when the VM was saved",
              hint: 'start the VM first to have its memory in the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'free-space',
    hazards: [7],
    severity: 'overridable',
    modes: INTERNAL,
    find: (facts) => {
      const { domain, freeBytes } = facts;
      if (!isActive(domain.state) || freeBytes === null) return [];
      const needed = savedMemoryBytes(facts);
      if (freeBytes >= needed) return [];
      const [disk] = participants(domain);
      const path = disk?.source ?? 'the disk';
      const where = disk?.storage === 'block' ? path : `the file system of ${path}`;
      return [
        {
          what: `the guest's memory takes up to ${mebibytes(needed)}, but ${where} has only ${mebibytes(freeBytes)} free. If the space runs out, the save fails, and the image keeps all the space`,
          hint: 'free some space, shut the VM down first, or use --force',
        },
      ];
    },
  },
  {
    id: 'no-metadata',
    hazards: [],
    severity: 'warning',
    find: ({ plan }) =>
      plan.spec.noMetadata
        ? [
            {
              what: `libvirt will not record the snapshot: no command can list it, revert to it or delete it, and ${
                plan.mode === 'internal'
                  ? 'in the images it counts as an orphan'
                  : 'the VM continues in overlays that belong to no snapshot'
              }`,
            },
          ]
        : [],
  },
  {
    id: 'dirty-bitmaps',
    hazards: [43],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      bitmapFindings(
        facts,
        participants(facts.domain).map(({ target }) => target),
        'QEMU could not revert to the snapshot: a revert would stop the running VM, and its memory would be lost',
      ),
  },
];
