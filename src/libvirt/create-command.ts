import { KvmsnapError } from '../errors.ts';
import type { SnapshotPlan, SnapshotSpec } from '../model/input/snapshot-spec.ts';
import type { VirshCommand } from './batch.ts';
import { formatSpec } from './disk-spec.ts';
import type { Virsh } from './virsh.ts';

/** The virsh command that takes a snapshot as it was planned. Nothing is left to libvirt's choice. */
export function createCommand(
  uuid: string,
  name: string,
  description: string | null,
  plan: SnapshotPlan,
): VirshCommand {
  return [
    'snapshot-create-as',
    ...['--domain', uuid, '--name', name],
    ...(description === null || description === '' ? [] : ['--description', description]),
    ...flags(plan),
    ...specs(plan),
  ];
}

/** The same command with the options as they were typed, for virsh itself to interpret. */
export function uncheckedCommand(
  uuid: string,
  typed: {
    readonly name: string | null;
    readonly description: string | null;
    readonly memspec: string | null;
    readonly diskspecs: readonly string[];
  },
  spec: SnapshotSpec,
): VirshCommand {
  const given = (option: string, value: string | null) => (value ? [option, value] : []);
  return [
    'snapshot-create-as',
    ...['--domain', uuid],
    ...given('--name', typed.name),
    ...given('--description', typed.description),
    ...(spec.diskOnly ? ['--disk-only'] : []),
    ...specFlags(spec),
    ...given('--memspec', typed.memspec),
    ...typed.diskspecs.flatMap((spec) => ['--diskspec', spec]),
  ];
}

/** The same from an XML file; the plan has predicted the names. */
export function createFromXmlCommand(uuid: string, file: string, plan: SnapshotPlan): VirshCommand {
  return ['snapshot-create', '--domain', uuid, '--xmlfile', file, ...flags(plan)];
}

/** Registers a snapshot from a file with its whole XML; the images are not changed. */
export function registerCommand(uuid: string, file: string, isCurrent: boolean): VirshCommand {
  const command = ['snapshot-create', '--domain', uuid, '--xmlfile', file, '--redefine'];
  return isCurrent ? [...command, '--current'] : command;
}

/** virsh's own options, as they were requested. */
const FLAGS: readonly (readonly [diskSpec: keyof SnapshotSpec, flag: string])[] = [
  ['live', '--live'],
  ['halt', '--halt'],
  ['quiesce', '--quiesce'],
  ['atomic', '--atomic'],
  ['reuse', '--reuse-external'],
  ['noMetadata', '--no-metadata'],
  ['validate', '--validate'],
];

/** The options for a plan, without those for its files. */
function flags({ mode, spec }: SnapshotPlan): string[] {
  return [...(mode === 'disk-only' ? ['--disk-only'] : []), ...specFlags(spec)];
}

const specFlags = (spec: SnapshotSpec): string[] =>
  FLAGS.filter(([diskSpec]) => spec[diskSpec]).map(([, flag]) => flag);

function specs({ mode, disks, leftOut, manual, memoryFile }: SnapshotPlan): string[] {
  if (mode === 'internal') return [];
  const external = ['snapshot', 'external'] as const;
  return [
    ...(memoryFile === null ? [] : ['--memspec', formatSpec([['file', memoryFile], external])]),
    ...disks.flatMap(({ target, overlay, driver, storage }) => [
      '--diskspec',
      formatSpec([['', target], external, ['driver', driver], ['stype', storage], ['file', overlay]]),
    ]),
    ...leftOut.flatMap((target) => ['--diskspec', withLocation(target, 'no')]),
    ...manual.flatMap((target) => ['--diskspec', withLocation(target, 'manual')]),
  ];
}

const withLocation = (target: string, location: string): string =>
  formatSpec([
    ['', target],
    ['snapshot', location],
  ]);

/** Throws `check` if this virsh has no `--validate` (7.0), according to its own help. */
export async function requireValidate(virsh: Virsh): Promise<void> {
  const { texts } = await virsh.read([['help', 'snapshot-create-as']]);
  if (texts[0]?.includes('--validate')) return;
  throw new KvmsnapError(
    'check',
    'this virsh does not have the option --validate (libvirt 7.0 does not have it)',
    {
      hint: 'leave --validate out',
    },
  );
}
