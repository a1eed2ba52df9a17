import { type Domain, formatOfDriver, isActive } from '../../model/domain.ts';
import { chainOf, tagsIn } from '../../model/image.ts';
import {
  DELETES_EXTERNAL,
  DELETES_PARTIAL,
  ifBefore,
  isBefore,
  KNOWS_ENCRYPTED_BASE,
  REVERTS_EXTERNAL,
} from '../../model/libvirt-versions.ts';
import { mebibytes } from '../../model/mebibytes.ts';
import { baseName, directoryOf, stem } from '../../model/paths.ts';
import { quote, virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import type { PlannedDisk } from '../../model/snapshot-spec.ts';
import { overlayLine } from '../../qemu/command-lines.ts';
import { tooDeepForMore } from '../../vm/chain-depth.ts';
import { editCommand } from '../../vm/disk-findings.ts';
import { plannedFiles, wantsMemory } from '../plan.ts';
import { savedMemoryBytes } from '../saved-memory.ts';
import type { Agent, CreateFacts, TargetFile } from './facts.ts';
import { isPartial, isUndeletable, PARTIAL_STAY } from './partial.ts';

/** The rules of a create whose disks or memory go to files of their own. */

/** A qcow2 file without data, with its tables. */
const OVERLAY_BYTES = 1024 * 1024;

/** The longest name of a file on Linux. */
const MAX_FILE_NAME_BYTES = 255;

const EXTERNAL = ['external', 'disk-only'] as const;

const NO_WAY_BACK = 'use --force if you know how to go back without libvirt';

const targetFileAt = ({ targetFiles }: CreateFacts, path: string): TargetFile | undefined =>
  targetFiles.get(path);

/** The overlays with what is there now. */
function eachOverlay(
  facts: CreateFacts,
  find: (
    disk: PlannedDisk & { readonly overlay: string },
    targetFile: TargetFile | undefined,
  ) => Finding | null,
): Finding[] {
  return facts.plan.disks.flatMap((disk) => {
    const { overlay } = disk;
    return overlay === null ? [] : (find({ ...disk, overlay }, targetFileAt(facts, overlay)) ?? []);
  });
}

/** The overlays that are there already and are to be used, but for those that are laid over the right image. */
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

export const EXTERNAL_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'external-on-old-daemon',
    hazards: [17],
    severity: 'overridable',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ daemonVersion, plan }) => {
      const older = ifBefore(daemonVersion, REVERTS_EXTERNAL, 'cannot revert to external snapshots');
      if (plan.spec.noMetadata || older === null) return [];
      if (!isUndeletable(plan, daemonVersion)) return [{ what: older, hint: NO_WAY_BACK }];
      const what = isBefore(daemonVersion, DELETES_EXTERNAL)
        ? 'this libvirtd can neither revert to external snapshots (9.9 can) nor delete them (9.0 can)'
        : 'this libvirtd can neither revert to external snapshots (9.9 can) nor delete those that leave disks to their storage or keep the memory alone (11.3 can)';
      return [{ what, hint: NO_WAY_BACK }];
    },
  },
  {
    // a revert lays new overlays over the images of now, and names them as libvirt does
    id: 'no-revert',
    hazards: [17],
    severity: 'overridable',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ domain, plan, daemonVersion }) => {
      if (plan.spec.noMetadata || isBefore(daemonVersion, REVERTS_EXTERNAL)) return [];
      const isFile = new Set(
        domain.disks.filter((disk) => disk.storage === 'file').map(({ target }) => target),
      );
      const stems = plan.disks.map(({ source }) => stem(source ?? ''));
      const same = plan.disks.filter(
        (_, i) => stems.filter((other) => other === stems[i]).length > 1 && stems[i],
      );
      return [
        ...plan.disks
          .filter(({ target }) => !isFile.has(target))
          .map(({ target, source }) => ({
            what: `disk ${target} (${source ?? 'without a path'}) is no file, and libvirt cannot revert such a disk to an external snapshot`,
            hint: NO_WAY_BACK,
          })),
        ...(same.length === 0
          ? []
          : [
              {
                what: `libvirt could not revert to it: the images of disk ${same.map(({ target }) => target).join(', ')} differ only after the last dot of their names, and it would give their new overlays one name`,
                hint: 'rename one of the images, and in the XML, with the VM off; or use --force',
                command: editCommand(domain),
              },
            ]),
      ];
    },
  },
  {
    id: 'over-internal',
    hazards: [],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ plan, images, snapshotNames, daemonVersion }) => {
      if (plan.spec.noMetadata || isBefore(daemonVersion, DELETES_EXTERNAL)) return [];
      const over = plan.disks
        .filter(({ overlay }) => overlay !== null)
        .flatMap(({ target }) => tagsIn(images.get(target)).map(({ name }) => name));
      const names = [...new Set(over)].filter((name) => snapshotNames.includes(name));
      if (names.length === 0) return [];
      const all = names.map((name) => `'${name}'`).join(', ');
      return [
        {
          what: `the images hold internal snapshots (${all}): libvirt deletes the new external one only after those of them that it descends from`,
        },
      ];
    },
  },
  {
    id: 'label-undeletable',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ daemonVersion, labelled, plan }) => {
      const older =
        ifBefore(daemonVersion, DELETES_EXTERNAL, 'deletes no external ones') ??
        (isPartial(plan) ? ifBefore(daemonVersion, DELETES_PARTIAL, PARTIAL_STAY) : null);
      return labelled && older !== null
        ? [
            {
              what: `snapshots with a label are there to be pruned, and ${older}`,
              hint: 'leave --label out, or take internal ones',
            },
          ]
        : [];
    },
  },
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
    // libvirt hands QEMU the backing file that it knows, and names it in the VM's XML: seen on 7.0 to 12.8
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
  {
    id: 'network-overlay',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: ['disk-only'],
    find: ({ domain, plan }) =>
      isActive(domain.state)
        ? []
        : plan.disks
            .filter(({ target }) => domain.disks.some((d) => d.target === target && d.storage === 'network'))
            .map(({ target }) => ({
              what: `disk ${target} is on the network, and libvirt lays overlays over such disks only while the VM runs`,
              command: `virsh start ${virshWord(domain)}`,
            })),
  },
  {
    id: 'encrypted-base',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ domain, plan, images, daemonVersion }) =>
      plan.disks.flatMap(({ target, source }) => {
        const chain = chainOf(images.get(target));
        // libvirt reads the header of a raw base too, and takes it for its own affair
        const byGuest = chain.some(({ looksLike }) => looksLike?.format === 'luks');
        if (!byGuest && !chain.some(({ encrypted }) => encrypted)) return [];
        const what = `disk ${target} (${source}): the image ${byGuest ? 'looks like luks (the guest encrypts it)' : 'is encrypted'}, and`;
        const older = ifBefore(
          daemonVersion,
          KNOWS_ENCRYPTED_BASE,
          'lays no overlay over it that can be opened',
        );
        if (older !== null) return [{ what: `${what} ${older}` }];
        if (isActive(domain.state)) return [];
        return [
          {
            what: `${what} with an overlay that libvirt lays over it while the VM is off, the VM cannot be started any more`,
            hint: 'start the VM first',
            command: `virsh start ${virshWord(domain)}`,
          },
        ];
      }),
  },
  {
    id: 'memory-of-off-vm',
    hazards: [],
    severity: 'error',
    find: ({ domain, plan }) =>
      !isActive(domain.state) && (wantsMemory(plan.spec) || plan.spec.live)
        ? [
            {
              what: 'the VM is off, so there is no memory to save',
              hint: `leave ${wantsMemory(plan.spec) ? '--memspec' : '--live'} out`,
            },
          ]
        : [],
  },
  {
    id: 'quiesce',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: ['disk-only'],
    find: ({ domain, plan, agent }) => {
      if (!plan.spec.quiesce) return [];
      if (!isActive(domain.state))
        return [{ what: 'the VM is off: there is nothing to quiesce', hint: 'leave --quiesce out' }];
      return agent === 'no-channel' ? [AGENT_FINDINGS[agent](domain)] : [];
    },
  },
  {
    // no kind of VM: an agent that was there yesterday
    id: 'guest-agent',
    hazards: [],
    severity: 'error',
    modes: ['disk-only'],
    find: ({ domain, plan, agent }) =>
      plan.spec.quiesce && isActive(domain.state) && agent && agent !== 'answers' && agent !== 'no-channel'
        ? [AGENT_FINDINGS[agent](domain)]
        : [],
  },
  {
    id: 'saved-beneath',
    hazards: [11],
    severity: 'error',
    modes: ['disk-only'],
    // the managed save has a definition of its own, which names the images and not their overlays
    find: ({ domain }) =>
      domain.managedSave
        ? [
            {
              what: "the VM's memory is in a managed save, and when it starts from that it writes to the images of now, beneath the overlays",
              hint: 'start the VM first, or drop the saved memory with virsh managedsave-remove',
              command: `virsh start ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'nvram-beside',
    hazards: [15],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ domain }) =>
      domain.pflash
        ? [
            {
              what: 'the UEFI NVRAM (boot entries, secure boot keys) is in no overlay and will NOT be part of the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'left-out',
    hazards: [],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ plan }) =>
      plan.leftOut.length === 0 || plan.disks.length + plan.manual.length === 0
        ? []
        : [
            {
              what: `disk ${plan.leftOut.join(', ')} is left out of the snapshot: a revert will not bring its content back`,
            },
          ],
  },
  {
    id: 'inside-beneath',
    hazards: [17],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ plan, images, snapshotNames }) => {
      const known = new Set(snapshotNames);
      return plan.disks.flatMap(({ target, source }) => {
        const inside = tagsIn(images.get(target)).filter(({ name }) => known.has(name));
        const [first, ...others] = inside.map(({ name }) => `'${name}'`);
        if (first === undefined) return [];
        const more = others.length === 0 ? ' stays' : ` and ${others.length} more stay`;
        return [
          {
            what: `disk ${target}: ${first}${more} inside ${source}, beneath the overlay: a revert there leaves behind what is written from now on`,
          },
        ];
      });
    },
  },
  {
    id: 'space-for-memory-file',
    hazards: [7],
    severity: 'overridable',
    modes: ['external'],
    find: (facts) => {
      const { plan } = facts;
      const free =
        plan.memoryFile === null ? null : (targetFileAt(facts, plan.memoryFile)?.freeBytes ?? null);
      const needed = savedMemoryBytes(facts);
      if (free === null || free >= needed) return [];
      return [
        {
          what: `the guest's memory takes up to ${mebibytes(needed)}, and the file system of ${plan.memoryFile} has ${mebibytes(free)} free`,
          hint: 'free some space, name a file elsewhere with --memspec, leave the memory out with --disk-only, or use --force',
        },
      ];
    },
  },
  {
    id: 'space-for-overlay',
    hazards: [],
    severity: 'overridable',
    modes: EXTERNAL,
    find: (facts) =>
      eachOverlay(facts, ({ target, overlay, storage }, targetFile) =>
        targetFile &&
        storage !== 'block' &&
        targetFile.freeBytes !== null &&
        targetFile.freeBytes < OVERLAY_BYTES
          ? {
              what: `disk ${target}: the file system of ${overlay} has ${mebibytes(targetFile.freeBytes)} free, and the guest stops when its overlay cannot grow`,
              hint: 'free some space, or name a file elsewhere with --diskspec',
            }
          : null,
      ),
  },
];

const AGENT_FINDINGS: Readonly<Record<Exclude<Agent, 'answers'>, (domain: Domain) => Finding>> = {
  'no-channel': () => ({
    what: 'the VM has no channel for a guest agent, so its file systems cannot be held still',
    hint: "add <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel> to it, and install qemu-guest-agent in the guest",
  }),
  'not-connected': () => ({
    what: 'no guest agent is connected, so the file systems cannot be held still',
    hint: 'install and start qemu-guest-agent in the guest, or leave --quiesce out',
  }),
  silent: () => ({
    what: 'the guest agent gives no answer, so the file systems cannot be held still',
    hint: 'restart qemu-guest-agent in the guest, or leave --quiesce out',
  }),
  // whoever holds them counts on it, and the thaw after ours would be his too
  frozen: (domain) => ({
    what: "the guest's file systems are held still already, by a backup perhaps",
    hint: 'wait until they are thawed; should nobody do it any more, thaw them',
    command: `virsh domfsthaw ${virshWord(domain)}`,
  }),
};

const unique = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ what }, i) => findings.findIndex((other) => other.what === what) === i);
