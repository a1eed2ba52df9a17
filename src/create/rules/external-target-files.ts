import { formatOfDriver, isActive } from '../../model/domain.ts';
import type { PlannedDisk } from '../../model/input/snapshot-spec.ts';
import { baseName, directoryOf } from '../../model/paths.ts';
import { quote } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { diskInText } from '../../model/text.ts';
import { overlayLine } from '../../qemu/command-lines.ts';
import { tooDeepForMore } from '../../vm/findings/chain-depth.ts';
import { plannedFiles } from '../plan.ts';
import type { CreateFacts, TargetFile } from './facts.ts';
import { EXTERNAL } from './modes.ts';
import { eachOverlay, targetFileAt } from './target-files.ts';

/** Rules about the files that an external snapshot creates: overlays, and a file for the memory. */

/** The longest file name on Linux (NAME_MAX). */
const MAX_FILE_NAME_BYTES = 255;

/**
 * Calls `find` for each overlay that `--reuse-external` will use, unless its backing file is the right image already.
 * `creation` is the command that creates the overlay.
 */
function eachReused(
  facts: CreateFacts,
  find: (
    disk: PlannedDisk & { readonly overlay: string },
    targetFile: TargetFile,
    creation: string,
  ) => Finding | null,
): Finding[] {
  if (!facts.plan.spec.reuse) return [];
  return eachOverlay(facts, (disk, targetFile) => {
    const { target, source, overlay } = disk;
    if (!targetFile || targetFile.backing === source) return null;
    const driver = facts.domain.disks.find((each) => each.target === target)?.driver ?? null;
    const creation = overlayLine(overlay, { path: source ?? '', format: formatOfDriver(driver) });
    return find(disk, targetFile, creation);
  });
}

const OVERLAY_AGAIN =
  'create the overlay again, under another name if you need its content: this command deletes the content';

const unusableDirectory = (directory: string, state: 'blocked' | 'read-only' | 'immutable'): string =>
  ({
    blocked: `${directory} is not a directory, or is below a file`,
    'read-only': `the file system of ${directory} is read-only`,
    immutable: `the directory ${directory} is immutable (chattr +i)`,
  })[state];

export const TARGET_FILE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'no-target-file',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ domain, plan }) => [
      ...plan.disks
        .filter(({ overlay }) => overlay === null)
        .map(({ target, source }) => ({
          what: `${diskInText({ target, source })} is not a file, so kvmsnap cannot choose a place for its overlay`,
          hint: `choose one with --diskspec ${target},file=/PATH/TO/${quote(`${domain.name}.${target}.overlay`)}`,
        })),
      ...(plan.mode === 'external' && plan.memoryFile === null
        ? [
            {
              what: 'none of the images is a file, so kvmsnap cannot choose a place for the memory',
              hint: 'choose one with --memspec /PATH/TO/FILE, or leave the memory out with --disk-only',
            },
          ]
        : []),
    ],
  },
  {
    id: 'chain-too-deep',
    hazards: [38],
    severity: 'error',
    modes: EXTERNAL,
    find: (facts) =>
      tooDeepForMore(
        facts,
        facts.plan.disks.map(({ target }) => target),
      ),
  },
  {
    id: 'same-file',
    hazards: [14],
    severity: 'error',
    modes: EXTERNAL,
    find: ({ plan }) => {
      const files = plannedFiles(plan);
      const twice = [...new Set(files.filter((path, i) => files.indexOf(path) !== i))];
      return twice.map((path) => ({
        what: `${path} would be used for more than one part of the snapshot`,
        hint: 'choose another file with --diskspec or --memspec',
      }));
    },
  },
  {
    id: 'existing-file',
    hazards: [14],
    severity: 'error',
    modes: EXTERNAL,
    find: (facts) => {
      const { plan } = facts;
      const overlays = plan.disks.flatMap(({ overlay, storage }) =>
        overlay !== null && storage !== 'block' && !plan.spec.reuse ? [overlay] : [],
      );
      const memory = plan.memoryFile === null ? [] : [plan.memoryFile];
      return [...overlays, ...memory].flatMap((path) => {
        const holds = targetFileAt(facts, path)?.holds ?? null;
        if (holds === null) return [];
        const lost = memory.includes(path)
          ? 'libvirt would overwrite it, although it may be the memory of another snapshot'
          : 'it may contain what a guest has written since another snapshot';
        return [
          {
            what: `${path} already exists, and ${lost}`,
            hint: 'choose another name for the snapshot or the file, or move the existing file away if nothing needs it',
          },
        ];
      });
    },
  },
  {
    // libvirt creates the file to which the link leads, with exit 0, and later removes only the link (seen on 9.0 and 12.8)
    id: 'dangling-link',
    hazards: [],
    severity: 'error',
    modes: EXTERNAL,
    find: (facts) => {
      const { plan } = facts;
      const overlays = plan.spec.reuse ? [] : plan.disks.flatMap(({ overlay }) => overlay ?? []);
      return [...overlays, ...(plan.memoryFile === null ? [] : [plan.memoryFile])]
        .filter((path) => targetFileAt(facts, path)?.isDanglingLink)
        .map((path) => ({
          what: `${path} is a symbolic link to a file that does not exist, and libvirt would write to that place instead of ${directoryOf(path) || '/'}`,
          hint: 'choose another name for the snapshot or the file, or move the link away; this command shows where it leads',
          command: `ls -ld -- ${quote(path)}`,
        }));
    },
  },
  {
    id: 'unseen-file',
    hazards: [14],
    severity: 'overridable',
    modes: ['external'],
    find: (facts) =>
      facts.plan.memoryFile !== null && targetFileAt(facts, facts.plan.memoryFile) === undefined
        ? [
            {
              what: `kvmsnap cannot see from here whether ${facts.plan.memoryFile} exists; libvirt would overwrite it`,
              hint: 'use --force if you are sure that it does not exist',
            },
          ]
        : [],
  },
  {
    id: 'device-overwritten',
    hazards: [14],
    severity: 'overridable',
    modes: EXTERNAL,
    find: (facts) =>
      facts.plan.spec.reuse
        ? []
        : eachOverlay(facts, ({ target, overlay, storage }) =>
            storage === 'block'
              ? {
                  what: `disk ${target}: the overlay will overwrite everything on ${overlay}`,
                  hint: 'use --force if you do not need what is on it',
                }
              : null,
          ),
  },
  {
    id: 'reused-file',
    hazards: [14],
    severity: 'overridable',
    modes: EXTERNAL,
    find: (facts) =>
      eachReused(facts, ({ target, overlay, source }, targetFile, creation) => {
        if (targetFile.holds === null)
          return {
            what: `disk ${target}: the overlay to reuse, ${overlay}, does not exist`,
            hint: 'create it first',
            command: creation,
          };
        if (isActive(facts.domain.state))
          return targetFile.backing === null
            ? null
            : {
                what: `disk ${target}: the overlay to reuse, ${overlay}, has the backing file ${targetFile.backing}. libvirt puts it on top of ${source ?? 'the image'} anyway, but every other program will see a different disk`,
                hint: OVERLAY_AGAIN,
                command: creation,
              };
        return {
          what: `disk ${target}: the overlay to reuse, ${overlay}, has ${targetFile.backing === null ? 'no backing file' : `the backing file ${targetFile.backing}`} instead of ${source ?? 'the image'}, so the guest would see a different disk`,
          hint: OVERLAY_AGAIN,
          command: creation,
        };
      }),
  },
  {
    // libvirt passes the backing file of its own records to QEMU and writes it into the VM's XML (seen on 7.0 to 12.8)
    id: 'reused-without-backing',
    hazards: [14],
    severity: 'warning',
    modes: EXTERNAL,
    find: (facts) =>
      isActive(facts.domain.state)
        ? eachReused(facts, ({ target, overlay, source }, { holds, backing }) =>
            holds === null || backing !== null
              ? null
              : {
                  what: `disk ${target}: the overlay to reuse, ${overlay}, has no backing file. libvirt puts it on top of ${source ?? 'the image'} and records that only in the VM's XML: every other program will see only what is in ${overlay}`,
                },
          )
        : [],
  },
  {
    id: 'directory',
    hazards: [50],
    severity: 'error',
    modes: EXTERNAL,
    find: (facts) =>
      unique(
        plannedFiles(facts.plan).flatMap((path) => {
          const state = targetFileAt(facts, path)?.directory ?? 'fine';
          if (state === 'fine') return [];
          const directory = directoryOf(path) || '/';
          return [
            state === 'missing'
              ? {
                  what: `the directory ${directory} does not exist`,
                  hint: 'create it first',
                  command: `mkdir -p ${quote(directory)}`,
                }
              : {
                  what: unusableDirectory(directory, state),
                  hint: 'choose a file elsewhere with --diskspec or --memspec',
                },
          ];
        }),
      ),
  },
  {
    id: 'file-name-too-long',
    hazards: [5],
    severity: 'error',
    modes: EXTERNAL,
    find: ({ plan }) =>
      plannedFiles(plan).flatMap((path) => {
        const bytes = new TextEncoder().encode(baseName(path)).length;
        return bytes <= MAX_FILE_NAME_BYTES
          ? []
          : [
              {
                what: `the name of the file ${path} would be ${bytes} bytes long, and the limit is ${MAX_FILE_NAME_BYTES}`,
                hint: 'choose a shorter name for the snapshot',
              },
            ];
      }),
  },
];

const unique = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ what }, i) => findings.findIndex((other) => other.what === what) === i);
