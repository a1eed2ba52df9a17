import { KvmsnapError } from '../errors.ts';
import type { SnapshotSpec } from '../model/input/snapshot-spec.ts';
import { labeledName } from '../model/labels.ts';
import { automaticName } from '../model/names.ts';
import type { PruneRequest } from '../prune/prune-vm.ts';
import { hasRules } from '../prune/retention.ts';
import type { Context } from '../run/context.ts';
import type { Hooks } from '../run/hooks.ts';
import type { CreateOptions } from './command.ts';
import { toSnapshotSpec } from './options.ts';

/** What a user asks to create: the options of `create` and `create-as`, checked for contradictions. */

export interface SnapshotRequest {
  /** A name, or a function that makes one from the time (seconds since the epoch) and the names that exist. */
  readonly name: string | NameMaker;
  readonly description: string | null;
  readonly force: boolean;
  /** What is created, and how; absent for an internal snapshot. */
  readonly spec?: SnapshotSpec;
  /** Whether the name begins with a label. */
  readonly labeled?: boolean;
  /** Programs that are run before and after. */
  readonly hooks?: Hooks | null;
  /** The file that `spec` and the description come from. */
  readonly xml?: XmlFile;
}

/** A file with the XML of a snapshot. */
export interface XmlFile {
  readonly path: string;
  readonly text: string;
  /** Whether it contains the snapshot's name. */
  readonly isNamed: boolean;
}

export type NameMaker = (nowSeconds: number, taken: (name: string) => boolean) => string;

export type CreateRequest = SnapshotRequest & Required<Pick<SnapshotRequest, 'spec'>>;

/** The request that the options describe. Throws `usage` for options that cannot be combined. */
export function toRequest(
  name: string | null,
  { scope: { label }, rules }: PruneRequest,
  options: CreateOptions,
): CreateRequest {
  if (hasRules(rules) && label === null) {
    throw new KvmsnapError('usage', 'keep rules need --label: only snapshots with a label are pruned');
  }
  const spec = toSnapshotSpec(options);
  if (label !== null && spec.noMetadata)
    throw new KvmsnapError(
      'usage',
      '--label cannot be combined with --no-metadata: prune would not find the snapshot',
    );
  const maker: NameMaker = label === null ? automaticName : (now, taken) => labeledName(label, now, taken);
  return {
    name: name ?? maker,
    description: options.description ?? null,
    force: options.force ?? false,
    spec,
    labeled: label !== null,
  };
}

/** Throws `usage` for options that would have no effect. */
export function checkUse({ settings }: Context, { rules }: PruneRequest, options: CreateOptions): void {
  const { allowEmpty, leftovers, printXml, redefine, force } = options;
  requireTaken(options);
  const prunes = hasRules(rules);
  if (!prunes && (allowEmpty || leftovers))
    throw new KvmsnapError(
      'usage',
      `${allowEmpty ? '--allow-empty' : '--leftovers'} needs a keep rule, such as --keep-last 7`,
    );
  if (redefine && force)
    throw new KvmsnapError(
      'usage',
      '--redefine cannot be combined with --force: its checks cannot be overridden',
    );
  if (printXml && (prunes || settings.output !== 'table'))
    throw new KvmsnapError(
      'usage',
      prunes
        ? '--print-xml cannot be combined with keep rules: it takes no snapshot'
        : '--print-xml cannot be combined with -o, --json or -q: it prints XML',
    );
}

/** Throws `usage` for hooks of a run that takes no snapshot. */
function requireTaken({ before, after, printXml, redefine }: CreateOptions): void {
  if ((before === undefined && after === undefined) || !(printXml || redefine)) return;
  throw new KvmsnapError(
    'usage',
    `--before and --after cannot be combined with ${printXml ? '--print-xml' : '--redefine'}: no snapshot is taken`,
  );
}

/** Throws `usage` for options that describe a single VM. */
export function checkForMany({ spec }: CreateRequest, { printXml, xml }: CreateOptions): void {
  if (spec.memory?.file || spec.disks.length || printXml || xml !== undefined)
    throw new KvmsnapError('usage', '--memspec, --diskspec, --xml and --print-xml need a single VM');
}

/** The request with name, memory and disks from an XML file. Throws `usage` if the file cannot be understood. */
export async function byXml(request: CreateRequest, path: string): Promise<CreateRequest> {
  const { readUserFile } = await import('../host/user-files.ts');
  const { parseSnapshotRequest } = await import('../libvirt/xml/snapshot-request.ts');
  const text = await readUserFile(path, 'the file of --xml');
  const { name, memory, disks } = parseSnapshotRequest(path, text);
  const spec: SnapshotSpec = { ...request.spec, memory, disks, namedBy: 'libvirt' };
  return {
    ...request,
    name: name ?? request.name,
    spec,
    xml: { path, text, isNamed: name !== null },
  };
}
