import { attributeAt, type Element, elementsAt } from '../libvirt/xml/element.ts';
import { applyRules, type Finding, type Rule, type RuledFinding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import { disksOf } from './definition.ts';

/** Whether a second VM can be defined from a snapshot, and what it would share with the first. */

export interface CloneRuleFacts {
  readonly vm: string;
  /** The stored definition. */
  readonly stored: Element;
  /** The disks that are copied. */
  readonly targets: readonly string[];
}

type CloneRule = Rule<CloneRuleFacts>;

export const CLONE_RULES: readonly CloneRule[] = [
  {
    id: 'disk-not-copied',
    hazards: [39],
    severity: 'error',
    find: ({ stored, targets, vm }) =>
      disksOf(stored)
        .filter(({ target, disk }) => !targets.includes(target) && isWritable(disk))
        .map(({ target }) => ({
          what: `disk ${target} is not part of the snapshot, and the clone would write to the same image as ${inText(vm)}`,
          hint: 'kvmsnap export copies the disks that are part of it',
        })),
  },
  {
    id: 'command-line-drives',
    hazards: [47],
    severity: 'error',
    find: ({ stored, vm }) =>
      elementsAt(stored, 'qemu:commandline/qemu:arg').some(({ attributes }) =>
        /\b(?:file|filename|path)\b|^\//.test(attributes['value'] ?? ''),
      )
        ? [
            {
              what: `the definition passes options with files to QEMU itself (qemu:commandline), and the clone would use the same files as ${inText(vm)}`,
            },
          ]
        : [],
  },
  {
    id: 'memory-file',
    hazards: [39],
    severity: 'error',
    find: ({ stored, vm }) =>
      elementsAt(stored, 'devices/memory')
        .filter(({ attributes }) => ['nvdimm', 'virtio-pmem'].includes(attributes['model'] ?? ''))
        .map(({ attributes }) => ({
          what: `its memory device ${attributes['model']} keeps its content in a file, and the clone would write to the same file as ${inText(vm)}`,
        })),
  },
  {
    id: 'null-network',
    hazards: [55],
    severity: 'error',
    find: ({ stored }) =>
      elementsAt(stored, 'devices/interface').some(({ attributes }) => attributes['type'] === 'null')
        ? [{ what: "it has an <interface type='null'>, which crashes some versions of libvirtd" }]
        : [],
  },
  {
    id: 'shared',
    hazards: [],
    severity: 'warning',
    find: ({ stored, vm }) => [
      ...sharedDevices(stored).map((device) => ({
        what: `the clone uses ${device} as ${inText(vm)} does, so only one of them can run`,
      })),
      ...(elementsAt(stored, 'devices/filesystem').length > 0
        ? [
            {
              what: `the clone shares directories of the host with ${inText(vm)}, and writes to the same files`,
            },
          ]
        : []),
    ],
  },
  {
    id: 'empty-tpm',
    hazards: [],
    severity: 'warning',
    find: ({ stored }): Finding[] =>
      elementsAt(stored, 'devices/tpm/backend').some(({ attributes }) => attributes['type'] === 'emulator')
        ? [
            {
              what: 'the TPM of the clone is empty: a guest that keeps the key of its disk in the TPM asks for its recovery key',
            },
          ]
        : [],
  },
];

const isWritable = (disk: Element): boolean =>
  !['cdrom'].includes(disk.attributes['device'] ?? '') && elementsAt(disk, 'readonly').length === 0;

/** What only one running VM can have. */
function sharedDevices(stored: Element): string[] {
  const ports = ['serial', 'parallel', 'console', 'channel'].flatMap((kind) =>
    elementsAt(stored, `devices/${kind}`).filter(
      (device) => device.attributes['type'] === 'tcp' && attributeAt(device, 'source', 'mode') === 'bind',
    ),
  );
  return [
    ...(elementsAt(stored, 'devices/hostdev').length > 0 ? ['the same host devices'] : []),
    ...(elementsAt(stored, 'devices/tpm/backend').some(
      ({ attributes }) => attributes['type'] === 'passthrough',
    )
      ? ['the TPM of the host']
      : []),
    ...new Set(ports.map((device) => `the port ${attributeAt(device, 'source', 'service')} of the host`)),
  ];
}

/** What prevents a clone, and what it shares. */
export const cloneFindings = (facts: CloneRuleFacts): RuledFinding[] => applyRules(CLONE_RULES, facts);
