import { formatOfDriver, isActive } from '../../model/domain.ts';
import { baseName, directoryOf } from '../../model/paths.ts';
import { quote } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import type { PlannedDisk } from '../../model/snapshot-spec.ts';
import { overlayLine } from '../../qemu/command-lines.ts';
import { tooDeepForMore } from '../../vm/chain-depth.ts';
import { plannedFiles } from '../plan.ts';
import type { CreateFacts, TargetFile } from './facts.ts';
import { EXTERNAL } from './modes.ts';
import { eachOverlay, targetFileAt } from './target-files.ts';

/** Rules about the files that an external snapshot makes: overlays, and a file for the memory. */

/** The longest file name on Linux (NAME_MAX). */
const MAX_FILE_NAME_BYTES = 255;

/**
 * Calls `find` for each overlay that `--reuse-external` is to use, unless its backing file is the right image
 * already. `anew` is the command that makes it.
 */
function eachReused(
  facts: CreateFacts,
  find: (
    disk: PlannedDisk & { readonly overlay: string },
    targetFile: TargetFile,
    anew: string,
  ) => Finding | null,
): Finding[] {
  if (!facts.plan.spec.reuse) return [];
  return eachOverlay(facts, (disk, targetFile) => {
    const { target, source, overlay } = disk;
    if (!targetFile || targetFile.backing === source) return null;
    const driver = facts.domain.disks.find((each) => each.target === target)?.driver ?? null;
    const anew = overlayLine(overlay, { path: source ?? '', format: formatOfDriver(driver) });
    return find(disk, targetFile, anew);
  });
}

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
          what: `disk ${target} (${source ?? 'without a path'}) is no file, so there is no place beside it for its overlay`,
          hint: `name one: --diskspec ${target},file=/PATH/TO/${quote(`${domain.name}.${target}.overlay`)}`,
        })),
      ...(plan.mode === 'external' && plan.memoryFile === null
        ? [
            {
              what: 'there is no image in a file, so there is no place beside it for the memory',
              hint: 'name one with --memspec /PATH/TO/FILE, or leave the memory out with --disk-only',
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
        what: `${path} would be the file of more than one part of the snapshot`,
        hint: 'name another one with --diskspec or --memspec',
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
          ? 'libvirt would write over it, though it may be the memory of another snapshot'
          : 'it may hold what a guest has written since another snapshot';
        return [
          {
            what: `${path} exists already, and ${lost}`,
            hint: 'choose another name for the snapshot or the file, or move that one away if nothing needs it',
          },
        ];
      });
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
              what: `whether ${facts.plan.memoryFile} exists cannot be seen from here, and libvirt would write over it`,
              hint: 'use --force if you are sure that it does not',
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
                  what: `disk ${target}: the overlay overwrites what is on ${overlay}`,
                  hint: 'use --force if nothing is on it that you need',
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
      eachReused(facts, ({ target, overlay, source }, targetFile, anew) => {
        if (targetFile.holds === null)
          return { what: `disk ${target}: ${overlay}, to be reused, is not there`, command: anew };
        if (isActive(facts.domain.state))
          return targetFile.backing === null
            ? null
            : {
                what: `disk ${target}: ${overlay}, to be reused, names ${targetFile.backing} as its backing file. libvirt uses it over ${source} all the same, but every other program will see another disk`,
                hint: 'make it anew, elsewhere if you need what is in it',
                command: anew,
              };
        return {
          what: `disk ${target}: ${overlay}, to be reused, is laid over ${targetFile.backing ?? 'nothing'} and not over ${source}, so the guest would see another disk`,
          hint: 'make it anew, elsewhere if you need what is in it',
          command: anew,
        };
      }),
  },
  {
    // libvirt passes the backing file that it knows to QEMU and writes it into the VM's XML (seen on 7.0 to 12.8)
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
                  what: `disk ${target}: ${overlay}, to be reused, names no backing file. libvirt uses it over ${source} and keeps that in the VM's XML alone: every other program will see what is in ${overlay} only`,
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
              ? { what: `the directory ${directory} does not exist`, command: `mkdir -p ${quote(directory)}` }
              : {
                  what:
                    state === 'read-only'
                      ? `the file system of ${directory} is read-only`
                      : `the directory ${directory} is immutable (chattr +i)`,
                  hint: 'name a file elsewhere with --diskspec or --memspec',
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
                what: `the file ${path} would have a name of ${bytes} bytes, and the limit is ${MAX_FILE_NAME_BYTES}`,
                hint: 'choose a shorter name for the snapshot',
              },
            ];
      }),
  },
];

const unique = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ what }, i) => findings.findIndex((other) => other.what === what) === i);
