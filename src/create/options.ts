import { KvmsnapError } from '../errors.ts';
import type { SnapshotSpec } from '../model/input/snapshot-spec.ts';
import { specProblem } from './plan.ts';
import type { SpecOptions } from './spec-options.ts';

/** Translates the options of a create into a `SnapshotSpec`, and checks their combinations. */

/** What the options ask for: disks, memory, files. */
export function toSnapshotSpec(options: SpecOptions): SnapshotSpec {
  return {
    external: options.external ?? false,
    diskOnly: options.diskOnly ?? false,
    memory: options.memspec?.spec ?? null,
    disks: (options.diskspec ?? []).map(({ spec }) => spec),
    live: options.live ?? false,
    halt: options.halt ?? false,
    quiesce: options.quiesce ?? false,
    atomic: options.atomic ?? false,
    reuse: options.reuseExternal ?? false,
    noMetadata: options.metadata === false,
    validate: options.validate ?? false,
    namedBy: 'kvmsnap',
  };
}

/** Throws `usage` for options that contradict each other. */
export function checkSpec(spec: SnapshotSpec): void {
  const wrong = specProblem(spec);
  if (wrong) throw new KvmsnapError('usage', wrong.problem, { hint: wrong.hint });
}

/** Options that an XML file replaces, and options that have no meaning with `--redefine`. */
const IN_THE_XML = ['external', 'memspec', 'diskspec', 'description', 'label', 'printXml'];
const WHEN_TAKEN = ['diskOnly', 'live', 'halt', 'quiesce', 'atomic', 'reuseExternal', 'validate'];

const spelled = (option: string): string => `--${option.replace(/[A-Z]/g, (big) => `-${big.toLowerCase()}`)}`;

/** What describes a single VM, would let a guest run on, or is run for each VM in turn. */
const NOT_TOGETHER = [
  'xml',
  'redefine',
  'printXml',
  'diskspec',
  'memspec',
  'live',
  'halt',
  'quiesce',
  'jobs',
  'before',
  'after',
];

const INSTEAD: Readonly<Record<string, string>> = {
  '--quiesce': 'with --disk-only, --together freezes the guests that have an agent by itself',
  '--before': 'run the program yourself, before this command',
  '--after': 'run the program yourself, after this command',
};

/** Throws `usage` for options that cannot be combined with `--together`. */
export function checkTogetherOptions(options: Readonly<Record<string, unknown>>): void {
  if (!options['together']) return;
  const noMetadata = options['metadata'] === false ? '--no-metadata' : undefined;
  const [other = noMetadata] = NOT_TOGETHER.filter((name) => options[name]).map(spelled);
  if (other === undefined) return;
  throw new KvmsnapError('usage', `${other} cannot be combined with --together`, { hint: INSTEAD[other] });
}

/** Throws `usage` for options that cannot be combined with `--xml` or `--redefine`, or that need one of them. */
export function checkXmlOptions(
  options: {
    readonly xml?: string | undefined;
    readonly redefine?: boolean | undefined;
    readonly current?: boolean | undefined;
  } & SpecOptions,
): void {
  const { xml, redefine = false, current = false } = options;
  const given = new Set(Object.entries(options).flatMap(([name, value]) => (value ? [name] : [])));
  const excluded = [
    ...(xml === undefined ? [] : IN_THE_XML.map((name) => [name, '--xml'] as const)),
    ...(redefine ? WHEN_TAKEN.map((name) => [name, '--redefine'] as const) : []),
  ].find(([name]) => given.has(name));
  if (excluded)
    throw new KvmsnapError('usage', `${spelled(excluded[0])} cannot be combined with ${excluded[1]}`);
  if (redefine && options.metadata === false)
    throw new KvmsnapError(
      'usage',
      '--redefine cannot be combined with --no-metadata: it registers the metadata',
    );
  if (redefine && xml === undefined)
    throw new KvmsnapError('usage', '--redefine needs the XML of the snapshot: --xml FILE');
  if (current && !redefine)
    throw new KvmsnapError(
      'usage',
      '--current needs --redefine: a new snapshot always becomes the current one',
    );
}
