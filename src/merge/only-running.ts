import type { Disk, Domain } from '../model/domain.ts';
import type { Image } from '../model/image.ts';
import { virshWord } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import type { MergeFacts } from './facts.ts';
import type { DiskMerge } from './plan.ts';

/** What QEMU and libvirt can merge, but qemu-img and a changed definition cannot. */

interface Facts {
  readonly domain: Domain;
  readonly disk: Disk | undefined;
  readonly overlays: readonly Image[];
  readonly base: Image;
}

const REASONS: readonly { readonly why: string; readonly applies: (facts: Facts) => boolean }[] = [
  { why: 'the definition names no file for it', applies: ({ disk }) => disk?.storage !== 'file' },
  {
    why: 'a file is encrypted',
    applies: ({ overlays, base }) => [...overlays, base].some(({ encrypted }) => encrypted),
  },
  {
    why: 'a file keeps its data in another file',
    applies: ({ overlays, base }) => [...overlays, base].some(({ dataFile }) => dataFile !== null),
  },
  {
    why: 'it has bitmaps for incremental backups',
    applies: ({ domain, overlays }) =>
      domain.checkpoints.length > 0 || overlays.some(({ bitmaps = [] }) => bitmaps.length > 0),
  },
  {
    why: 'the backing file is neither raw nor qcow2',
    applies: ({ base }) => base.format !== 'raw' && base.format !== 'qcow2',
  },
];

/** Why a disk of a VM that is off can be merged only while the VM runs. */
export function whyOnlyRunning({ vm: { domain } }: MergeFacts, { target, ...merge }: DiskMerge): Finding[] {
  const disk = domain.disks.find((each) => each.target === target);
  const reason = REASONS.find(({ applies }) => applies({ domain, disk, ...merge }));
  if (!reason) return [];
  return [
    {
      what: `disk ${target}: ${reason.why}, so its overlays can be merged only while the VM runs`,
      hint: 'start the VM, and merge while it runs',
      command: `virsh start ${virshWord(domain)}`,
    },
  ];
}
