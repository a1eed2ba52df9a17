import { KvmsnapError } from '../errors.ts';
import { loadMeanwhile } from '../host/meanwhile.ts';
import type { Domain, DomainDefinition } from '../model/domain.ts';
import { isPattern, selectDomains } from '../model/input/selection.ts';
import { inText } from '../model/text.ts';
import { allAnswered, isBusy, parseSnapshotTree, parseState, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { type DomainName, notFound, resolve } from './resolve.ts';
import type { Virsh } from './virsh.ts';
import { connectionFailure, countErrors, virshFailure } from './virsh-error.ts';

/** Reads VMs and their snapshots with few processes, by exact names, and never from a table of virsh. */

/** The present state of one VM, as libvirt reports it. */
export interface DomainReading {
  /** The URI to which virsh is connected. */
  readonly uri: string;
  readonly domain: Domain;
  readonly snapshotNames: readonly string[];
  readonly current: string | null;
  /** All VMs of the connection at that moment, this one too. */
  readonly listed: readonly ListedVm[];
}

/** A VM as the lists of libvirt have it. */
export interface ListedVm extends DomainName {
  readonly isActive: boolean;
}

/** All VMs of the connection; `parseDomainNames` reads the answer. */
export const LIST_DOMAINS: VirshCommand = ['list', '--all', '--uuid', '--name'];

/** All VMs of the connection, by name. Throws `unreachable` if there is no connection. */
export async function listDomains(virsh: Virsh): Promise<DomainName[]> {
  const { texts, stderr, lastSucceeded } = await virsh.read([LIST_DOMAINS]);
  if (!lastSucceeded) throw connectionFailure(stderr);
  return parseDomainNames(texts[0] ?? '');
}

/** Parses the output of `LIST_DOMAINS`. */
export function parseDomainNames(text: string): DomainName[] {
  return splitLines(text).map((line) => ({ uuid: line.slice(0, 36), name: line.slice(37) }));
}

/**
 * The snapshot names of the VMs that the words (names, UUIDs, patterns) select, without names that contain a line feed.
 * One process is enough if the only word cannot be an id, UUID or pattern. A VM that cannot be read has no names.
 */
export async function readSnapshotNames(virsh: Virsh, words: readonly string[]): Promise<string[]> {
  return (await readSnapshotNamesOf(virsh, words)).flatMap(({ names }) => names);
}

/** The same, by VM. */
export async function readSnapshotNamesOf(
  virsh: Virsh,
  words: readonly string[],
): Promise<(DomainName & { readonly names: readonly string[] })[]> {
  const [word = ''] = words;
  if (words.length === 1 && !couldBeIdOrUuid(word) && !isPattern(word)) {
    const commands = [['domuuid', '--domain', word], snapshotTree(word), LIST_DOMAINS];
    const [uuid, tree, list] = (await virsh.read(commands)).texts;
    const named = parseDomainNames(list ?? '').find(({ name }) => name === word);
    if (named && named.uuid === uuid?.trim()) return [{ ...named, names: parseSnapshotTree(tree ?? '') }];
  }
  const { vms } = selectDomains(await listDomains(virsh), {
    words,
    all: false,
    exclude: [],
    states: [],
  });
  const { texts } = await virsh.read(vms.map(({ uuid }) => snapshotTree(uuid)));
  return vms.map((vm, i) => ({ ...vm, names: parseSnapshotTree(texts[i] ?? '') }));
}

/** The only list in which a name with a line feed can be told from two names. */
const snapshotTree = (target: string): VirshCommand => ['snapshot-list', '--domain', target, '--tree'];

/**
 * Reads one VM by its exact name or its UUID, in one process if that is safe, otherwise in two. virsh takes an id
 * before a UUID before a name, so a word that could be an id or a UUID is never shown to it (hazard 1).
 */
export async function readDomain(virsh: Virsh, word: string): Promise<DomainReading> {
  if (couldBeIdOrUuid(word)) {
    const { texts, stderr, lastSucceeded } = await virsh.read([
      ['uri'],
      ['domname', '--domain', word],
      LIST_DOMAINS,
    ]);
    if (!lastSucceeded) throw connectionFailure(stderr);
    const [uri = '', runningAs = '', list] = texts.map((text) => text ?? '');
    const { uuid } = resolve(word, parseDomainNames(list ?? ''), {
      uri: uri.trim(),
      runningAs: runningAs.trim(),
    });
    return readByUuid(virsh, uuid, word);
  }
  const batch = await readTargets(virsh, [word]);
  const { uuid } = resolve(word, batch.vms, { uri: batch.uri });
  const [reading] = batch.readings;
  return reading?.domain.uuid === uuid && isWhole(batch) ? reading : readByUuid(virsh, uuid, word);
}

/** The reasons why these words match no VM, in one process. A word whose VM was defined meanwhile has no entry. */
export async function explainMissing(
  virsh: Virsh,
  words: readonly string[],
): Promise<ReadonlyMap<string, KvmsnapError>> {
  const asked = words.filter(couldBeIdOrUuid);
  const { texts, stderr, lastSucceeded } = await virsh.read([
    ...asked.map((word) => ['domname', '--domain', word]),
    ['uri'],
    LIST_DOMAINS,
  ]);
  if (!lastSucceeded) throw connectionFailure(stderr);
  const [uri = '', list = ''] = texts.slice(asked.length).map((text) => text ?? '');
  const vms = parseDomainNames(list);
  return new Map(
    words.flatMap((word) => {
      const isThere = selectDomains(vms, { words: [word], all: false, exclude: [], states: [] });
      if (isThere.vms.length > 0) return [];
      const runningAs = texts[asked.indexOf(word)]?.trim();
      return [[word, notFound(word, vms, { uri: uri.trim(), runningAs })] as const];
    }),
  );
}

/** Reads the VM of a UUID that was resolved before. `word` names the VM in errors. */
export async function readByUuid(virsh: Virsh, uuid: string, word: string = uuid): Promise<DomainReading> {
  const batch = await readTargets(virsh, [uuid]);
  const [reading] = batch.readings;
  if (reading?.domain.uuid !== uuid) throw virshFailure(`cannot read the VM ${inText(word)}`, batch.stderr);
  if (!isWhole(batch)) throw virshFailure(`cannot read all facts about the VM ${inText(word)}`, batch.stderr);
  return reading;
}

/**
 * Reads many VMs in one process per 100 KB of commands. A VM with errors is read again alone, and becomes a failed
 * result if that fails too.
 */
export async function readDomains(
  virsh: Virsh,
  vms: readonly DomainName[],
): Promise<(DomainReading | KvmsnapError)[]> {
  const batch = await readTargets(
    virsh,
    vms.map(({ uuid }) => uuid),
  );
  const whole = isWhole(batch);
  return Promise.all(
    vms.map(async ({ uuid, name }, i) => {
      const reading = batch.readings[i];
      if (whole && reading?.domain.uuid === uuid) return reading;
      return readByUuid(virsh, uuid, name).catch((error: unknown) => {
        if (error instanceof KvmsnapError && error.code !== 'unreachable') return error;
        throw error;
      });
    }),
  );
}

/** virsh's own tests for an id (a decimal integer; blanks and a sign are allowed) and for a UUID (36 characters). */
function couldBeIdOrUuid(word: string): boolean {
  return /^[\s+-]*\d+$/.test(word) || word.length === 36;
}

/** The commands for each VM; `toReading` reads the answers in this order. */
function vmCommands(target: string): VirshCommand[] {
  const domain = ['--domain', target];
  return [
    ['dumpxml', ...domain],
    ['snapshot-current', ...domain, '--name'],
    ['snapshot-list', ...domain, '--name'],
    ['checkpoint-list', ...domain, '--name'],
    ['domstate', ...domain, '--reason'],
    ['domcontrol', ...domain],
  ];
}

/** The commands that are run once for all VMs; virsh's exit code is that of the last one. */
const HOST_COMMANDS: readonly VirshCommand[] = [
  ['uri'],
  ['list', '--all', '--with-managed-save', '--uuid'],
  ['list', '--all', '--transient', '--uuid'],
  ['list', '--uuid'],
  LIST_DOMAINS,
];

interface Batch {
  readonly uri: string;
  readonly vms: readonly DomainName[];
  readonly readings: readonly (DomainReading | null)[];
  /** The number of expected failures: no current snapshot, no checkpoints in this driver, no job of a VM that is off. */
  readonly expectedFailures: number;
  readonly stderr: string;
}

async function readTargets(virsh: Virsh, targets: readonly string[]): Promise<Batch> {
  const [answers, [{ parseDomain }, { withVolumePaths }]] = await loadMeanwhile(
    virsh.read([...targets.flatMap(vmCommands), ...HOST_COMMANDS]),
    () => Promise.all([import('./xml/domain.ts'), import('./volumes.ts')]),
  );
  const { stderr } = answers;
  if (!answers.lastSucceeded) throw connectionFailure(stderr);
  const texts = allAnswered(answers);
  const [uri = '', saved = '', transient = '', active = '', list = ''] = texts.slice(-HOST_COMMANDS.length);
  const size = vmCommands('').length;
  const parts = targets.map((_, i) => texts.slice(i * size, (i + 1) * size));
  const withoutCheckpoints = stderr.split('virDomainListAllCheckpoints').length - 1;
  const vms = parseDomainNames(list);
  const isActive = new Set(splitLines(active));
  const host: HostLists = {
    uri: uri.trim(),
    saved: splitLines(saved),
    transient: splitLines(transient),
    listed: vms.map((vm) => ({ ...vm, isActive: isActive.has(vm.uuid) })),
  };
  const readings = parts.map((part) => toReading(part, host, parseDomain));
  const domains = readings.flatMap((reading) => reading?.domain ?? []);
  const placed = new Map((await withVolumePaths(virsh, domains)).map((domain) => [domain.uuid, domain]));
  return {
    uri: host.uri,
    vms,
    readings: readings.map(
      (reading) => reading && { ...reading, domain: placed.get(reading.domain.uuid) ?? reading.domain },
    ),
    expectedFailures: parts.reduce(
      (sum, [, current, , , , control]) => sum + (current ? 0 : 1) + (control ? 0 : 1),
      withoutCheckpoints,
    ),
    stderr,
  };
}

/**
 * False if more commands failed than expected. In a batch, a failed list looks like an empty one, so the answers cannot
 * be trusted then.
 */
function isWhole({ expectedFailures, stderr }: Batch): boolean {
  return countErrors(stderr) <= expectedFailures;
}

/** What `HOST_COMMANDS` tell. */
interface HostLists extends Pick<DomainReading, 'uri' | 'listed'> {
  /** UUIDs. */
  readonly saved: readonly string[];
  readonly transient: readonly string[];
}

function toReading(
  texts: readonly string[],
  { uri, saved, transient, listed }: HostLists,
  parse: (xml: string) => DomainDefinition,
): DomainReading | null {
  const [xml, current = '', snapshots = '', checkpoints = '', state, control = ''] = texts;
  if (!xml || !state?.trim()) return null;
  const definition = parse(xml);
  return {
    uri,
    domain: {
      ...definition,
      ...parseState(state),
      busy: isBusy(control),
      managedSave: saved.includes(definition.uuid),
      transient: transient.includes(definition.uuid),
      checkpoints: splitLines(checkpoints),
    },
    snapshotNames: splitLines(snapshots),
    current: splitLines(current).join('\n') || null,
    listed,
  };
}
