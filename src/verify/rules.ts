import { type Element, elementsAt } from '../libvirt/xml/element.ts';
import { applyRules, mebibytes, type Rule, type RuledFinding } from '../model/rule.ts';
import type { SavedMemory } from './facts.ts';
import { outwardDevices } from './throw-away.ts';

/** Whether a throw-away VM can be started from a snapshot on this host. */

export interface VerifyRuleFacts {
  /** The stored definition. */
  readonly stored: Element;
  /** Whether the guest resumes from its saved memory. */
  readonly resumes: boolean;
  /** The saved memory; null: there is none, or it is not needed. */
  readonly memory: SavedMemory | null;
  readonly memoryBytes: number;
  /** Bytes of memory that the host can still give; null: unknown. */
  readonly availableBytes: number | null;
  /** The directories for the overlays, and their free bytes; null: unknown. */
  readonly room: readonly { readonly directory: string; readonly freeBytes: number | null }[];
}

/** What a guest that boots may write: its logs and its journal. */
const ROOM_BYTES = 256 * 2 ** 20;

export const VERIFY_RULES: readonly Rule<VerifyRuleFacts>[] = [
  {
    id: 'command-line',
    hazards: [47],
    severity: 'error',
    find: ({ stored }) =>
      elementsAt(stored, 'qemu:commandline/qemu:arg').length > 0
        ? [
            {
              what: 'the definition passes options to QEMU itself (qemu:commandline), and kvmsnap cannot tell what they reach',
            },
          ]
        : [],
  },
  {
    id: 'memory-file',
    hazards: [],
    severity: 'error',
    find: ({ stored }) =>
      elementsAt(stored, 'devices/memory').some(({ attributes }) =>
        ['nvdimm', 'virtio-pmem'].includes(attributes['model'] ?? ''),
      )
        ? [{ what: 'its memory device keeps its content in a file, and the throw-away VM would write to it' }]
        : [],
  },
  {
    id: 'no-memory',
    hazards: [],
    severity: 'error',
    find: ({ resumes, memory }) =>
      resumes && memory === null
        ? [{ what: 'the snapshot has no saved memory, or its file is missing', hint: 'leave out --memory' }]
        : [],
  },
  {
    id: 'unknown-memory',
    hazards: [],
    severity: 'error',
    find: ({ memory }) =>
      memory !== null && 'stream' in memory.in && typeof memory.in.stream === 'string'
        ? [
            {
              what: `the saved memory in ${memory.path} cannot be used: ${memory.in.stream}`,
              hint: 'leave out --memory to see whether the guest boots',
            },
          ]
        : [],
  },
  {
    id: 'outward-devices',
    hazards: [],
    severity: 'error',
    find: ({ resumes, stored, memory }) => {
      const devices = resumes && memory !== null ? outwardDevices(stored) : [];
      return devices.length === 0
        ? []
        : [
            {
              what: `its memory can only be resumed with its devices of the host (${devices.join(', ')}), which a throw-away VM must not use`,
              hint: 'leave out --memory to see whether the guest boots',
            },
          ];
    },
  },
  {
    id: 'memory',
    hazards: [],
    severity: 'overridable',
    find: ({ memoryBytes, availableBytes }) =>
      availableBytes !== null && availableBytes < memoryBytes
        ? [
            {
              what: `the host has ${mebibytes(availableBytes)} of memory left, and the throw-away VM can use ${mebibytes(memoryBytes)}`,
              hint: 'try again when the host has more memory left, or add --force',
            },
          ]
        : [],
  },
  {
    id: 'room',
    hazards: [],
    severity: 'overridable',
    find: ({ room, memory }) =>
      room.flatMap(({ directory, freeBytes }) => {
        const needed = ROOM_BYTES + (memory?.bytes ?? 0);
        return freeBytes !== null && freeBytes < needed
          ? [
              {
                what: `${directory} has ${mebibytes(freeBytes)} of free space for what the guest writes, and it should have ${mebibytes(needed)}`,
                hint: 'make room on this file system, or add --force',
              },
            ]
          : [];
      }),
  },
];

/** What prevents the start. */
export const verifyFindings = (facts: VerifyRuleFacts): RuledFinding[] => applyRules(VERIFY_RULES, facts);
