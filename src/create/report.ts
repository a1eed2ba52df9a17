import { registerSnapshot } from '../describe/register.ts';
import { KvmsnapError } from '../errors.ts';
import { readXmlFile } from '../host/user-files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { parseSnapshotRequest } from '../libvirt/xml/snapshot-request.ts';
import { labelledName } from '../model/labels.ts';
import { automaticName } from '../model/names.ts';
import { kvmsnapLine } from '../model/quote.ts';
import type { SnapshotReport } from '../model/report.ts';
import { isPattern } from '../model/selection.ts';
import { locationOf, manualDisks } from '../model/snapshot.ts';
import type { SnapshotSpec } from '../model/snapshot-spec.ts';
import { snapshotDocument } from '../output/documents.ts';
import { type Column, section } from '../output/view.ts';
import type { SpaceRequest, SpaceRun } from '../prune/free-space.ts';
import { concludeSpace, spaceDocument, spaceLines } from '../prune/free-space-report.ts';
import { toPruneRequest } from '../prune/options.ts';
import type { PruneRequest } from '../prune/prune.ts';
import {
  freedOf,
  type PruneResult,
  pruneColumns,
  pruneDocument,
  pruneTogether,
  pruneVm,
} from '../prune/report.ts';
import { hasRules, mostKept } from '../prune/retention.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import {
  type ActionResult,
  concludeDomains,
  type DomainOutcome,
  forEachDomain,
  throwIfNothingDone,
} from '../run/for-each-domain.ts';
import { operate } from '../run/operation.ts';
import { domainResult, ownName } from '../run/results.ts';
import { toSelection } from '../run/select-options.ts';
import { show, showPlan } from '../run/show.ts';
import { NOTHING_FREED } from '../space/reclaimed.ts';
import { freedDocument, freedLines, noteForeseen } from '../space/reclaimed-report.ts';
import { keptTooDeep, mayBeTooDeep } from '../vm/chain-depth.ts';
import { readAgain, requireAllRead, type Vm } from '../vm/load.ts';
import { readSelection, type Targets } from '../vm/select.ts';
import type { CreateOptions } from './command.ts';
import { checkSpec, checkXmlOptions, toSnapshotSpec } from './options.ts';
import { isExternalSpec } from './plan.ts';
import { snapshotXml } from './print-xml.ts';
import { type NameMaker, type SnapshotRequest, type Taken, takeSnapshot } from './take.ts';

/** What a create did to one VM, or in a dry run would do. */
interface Created {
  readonly name: string;
  /** null in a dry run. */
  readonly snapshot: SnapshotReport | null;
  readonly planned: VirshCommand | string | null;
  readonly pruned: PruneResult;
  /** As it is then, where its old ones may go for space; null where they may not. */
  readonly after: Vm | null;
  /** libvirt has paused it, for its storage to take the snapshot of a disk. */
  readonly leftPaused?: boolean;
}

const NOTHING_PRUNED: PruneResult = { rows: [], freed: NOTHING_FREED, unusedFiles: [] };

type Result = DomainOutcome<Created>;

const COLUMNS: readonly Column<Result>[] = [
  { key: 'machine', title: 'VM', kind: 'text', value: ({ vm }) => vm.name },
  { key: 'name', title: 'SNAPSHOT', kind: 'text', value: ({ value }) => value?.name ?? null },
  {
    key: 'createdAt',
    title: 'CREATED',
    kind: 'time',
    value: ({ value }) => value?.snapshot?.createdAtSeconds ?? null,
  },
  { key: 'state', title: 'STATE', kind: 'text', value: ({ value }) => value?.snapshot?.state ?? null },
  {
    key: 'vmStateBytes',
    title: 'VM STATE',
    kind: 'bytes',
    value: ({ value }) => value?.snapshot?.vmStateBytes || null,
    data: ({ value }) => value?.snapshot?.vmStateBytes ?? null,
  },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    // what failed of one that was taken is its prune
    value: ({ outcome, value, failures }) =>
      [value?.snapshot ? takenWords(value) : outcome, ...failures.map(({ message }) => message)].join(': '),
    data: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'done' ? 'good' : outcome === 'failed' ? 'bad' : 'warn'),
    flexible: true,
  },
];

const takenWords = ({ leftPaused = false }: Created): string => (leftPaused ? 'taken, left paused' : 'taken');

/** `create` (name null: one is given, with a label where wanted) and `create-as`. Prunes after, and only after, success. */
export async function create(
  ctx: Context,
  words: readonly string[],
  name: string | null,
  options: CreateOptions,
): Promise<void> {
  checkXmlOptions(options);
  const pruning = toPruneRequest(options);
  checkUse(ctx, pruning, options);
  const asked = toRequest(name, pruning, options);
  const request = options.xml === undefined ? asked : await byXml(asked, options.xml);
  if (!options.printXml) {
    checkSpec(request.spec);
    await refuseTooMany(ctx, request, pruning);
  }
  const selected = await readSelection(ctx, toSelection(words, options));
  if (name === null && options.label === undefined) refuseSecondName(ctx, words, selected);
  if (!selected.single) checkForMany(request, options);
  if (options.printXml) return printXml(ctx, selected, request, options);
  const skips = { jobs: options.jobs ?? 1, skips: ({ unsupported }: KvmsnapError) => unsupported };
  const results = await forEachDomain(ctx, selected, skips, async (ctx, reading) => {
    // of many VMs, a later one's turn may come an hour after it was read
    const isFresh = selected.single || ctx.settings.dryRun;
    const now = isFresh ? reading : await readByUuid(ctx.virsh, reading.domain.uuid, reading.domain.name);
    return options.redefine ? registerOne(ctx, now, request, options) : createOne(ctx, now, request, pruning);
  });
  const run = { single: selected.single, strict: options.strict ?? false };
  const { freeMin } = pruning;
  if (freeMin === null) return report(ctx, results, run, null);
  // of all VMs the oldest go first, so not before all have been taken
  const { pruned, space } = await freeTogether(ctx, results, { ...pruning, freeMin });
  await report(ctx, pruned, run, space);
}

type Asked = SnapshotRequest & Required<Pick<SnapshotRequest, 'spec'>>;

/** Throws `usage` for options of which nothing would be made. */
function checkUse({ settings }: Context, { rules }: PruneRequest, options: CreateOptions): void {
  const { allowEmpty, leftovers, printXml, redefine, force } = options;
  const prunes = hasRules(rules);
  if (!prunes && (allowEmpty || leftovers))
    throw new KvmsnapError(
      'usage',
      `${allowEmpty ? '--allow-empty' : '--leftovers'} goes with rules of retention, such as --keep-last 7`,
    );
  if (redefine && force)
    throw new KvmsnapError('usage', '--redefine and --force exclude each other: no check is passed there');
  if (printXml && (prunes || settings.output !== 'table'))
    throw new KvmsnapError(
      'usage',
      prunes
        ? '--print-xml takes no snapshot, so no rule of retention goes with it'
        : '--print-xml is a format of its own, and goes with no -o, --json or -q',
    );
}

/** Throws `usage` for options that do not go together. */
function toRequest(
  name: string | null,
  { scope: { label }, rules }: PruneRequest,
  options: CreateOptions,
): Asked {
  if (hasRules(rules) && label === null) {
    throw new KvmsnapError('usage', 'rules of retention go with --label: only labelled snapshots are pruned');
  }
  const spec = toSnapshotSpec(options);
  if (label !== null && spec.noMetadata)
    throw new KvmsnapError('usage', '--label and --no-metadata exclude each other: no prune would find it');
  const maker: NameMaker = label === null ? automaticName : (now, taken) => labelledName(label, now, taken);
  return {
    name: name ?? maker,
    description: options.description ?? null,
    force: options.force ?? false,
    spec,
    labelled: label !== null,
  };
}

/** Throws `check` for rules that would pile up more external snapshots than libvirt starts a VM with. */
async function refuseTooMany({ virsh }: Context, { spec }: Asked, { rules }: PruneRequest): Promise<void> {
  const kept = mostKept(rules);
  if (!isExternalSpec(spec) || !mayBeTooDeep(kept)) return;
  const why = keptTooDeep(kept, await readDaemonVersion(virsh));
  if (why === null) return;
  throw new KvmsnapError('check', `no snapshot was taken: ${why}`, {
    hint: 'keep fewer, or take internal snapshots (without --external)',
  });
}

/** `create VM NAME` was meant as create-as. Throws `not-found` where the second of two words is no VM. */
function refuseSecondName(
  ctx: Context,
  [vm = '', word = '', ...others]: readonly string[],
  { targets }: Targets,
): void {
  const missing = targets.find(({ vm }) => vm.uuid === null && vm.name === word);
  const isMeant =
    others.length === 0 && !isPattern(word) && targets.some(({ named, vm }) => named && vm.uuid !== null);
  if (!missing || !isMeant || !(missing.reading instanceof KvmsnapError)) return;
  const { message, hint } = missing.reading;
  const slip = hint?.startsWith('did you mean') ? `${hint} Or, ` : '';
  const finding = {
    what: `${message}; nothing was done`,
    hint: `${slip}to give the snapshot of '${vm}' that name`,
    command: kvmsnapLine('create-as', [vm, word]),
  };
  const { command } = withConnection(ctx, finding);
  throw new KvmsnapError('not-found', finding.what, { hint: finding.hint, command });
}

function checkForMany({ spec }: Asked, { printXml, xml }: CreateOptions): void {
  if (spec.memory?.file || spec.disks.length || printXml || xml !== undefined)
    throw new KvmsnapError('usage', '--memspec, --diskspec, --xml and --print-xml are about one VM');
}

/** The request of a file with the XML, with the other options as they are. Throws `usage`. */
async function byXml(request: Asked, path: string): Promise<Asked> {
  const text = await readXmlFile(path);
  const { name, memory, disks } = parseSnapshotRequest(path, text);
  const spec: SnapshotSpec = { ...request.spec, memory, disks, namedBy: 'libvirt' };
  return {
    ...request,
    name: name ?? request.name,
    spec,
    xml: { path, text, isNamed: name !== null },
  };
}

async function registerOne(
  ctx: Context,
  reading: DomainReading,
  { xml }: SnapshotRequest,
  { current = false }: CreateOptions,
): Promise<ActionResult<Created>> {
  if (!xml) throw new Error('a redefinition needs a file');
  const ended = await operate(ctx, registerSnapshot(reading, { ...xml, makeCurrent: current }));
  const value =
    'planned' in ended
      ? { name: ended.planned.name, snapshot: null, planned: ended.planned.command }
      : { name: ended.done.name, snapshot: ended.done, planned: null };
  return { value: { ...value, pruned: NOTHING_PRUNED, after: null }, failures: [], succeeded: 1 };
}

async function printXml(
  ctx: Context,
  { targets }: Targets,
  { name, spec, labelled, description }: Asked,
  { memspec, diskspec = [], external = false }: CreateOptions,
): Promise<void> {
  for (const { reading } of targets) {
    if (reading instanceof KvmsnapError) throw reading;
    const isNamed = typeof name === 'string' || labelled || external;
    const typed = {
      name: isNamed ? name : null,
      description,
      spec,
      memspec: memspec?.text ?? null,
      diskspecs: diskspec.map(({ text }) => text),
    };
    ctx.terminal.print(await snapshotXml(ctx, reading, typed));
  }
}

async function createOne(
  ctx: Context,
  reading: DomainReading,
  request: SnapshotRequest,
  pruning: PruneRequest,
): Promise<ActionResult<Created>> {
  const taken = await takeSnapshot(ctx, reading, request);
  const created =
    'planned' in taken
      ? { name: taken.name, snapshot: null, planned: taken.planned }
      : {
          name: taken.name,
          snapshot: taken.snapshot,
          planned: null,
          leftPaused: isLeftPaused(reading, taken),
        };
  if ('plan' in taken && created.leftPaused) noteHowToResume(ctx, taken);
  const { value, failures, succeeded, cutShort } = await pruneAfter(ctx, reading, pruning, created.name);
  return { value: { ...created, ...value }, failures, succeeded: 1 + succeeded, cutShort: cutShort ?? false };
}

type Done = Extract<Taken, { readonly plan: unknown }>;

const isLeftPaused = ({ domain }: DomainReading, { vm, plan }: Done): boolean =>
  plan.manual.length > 0 && domain.state === 'running' && vm.domain.state === 'paused';

function noteHowToResume({ terminal, virsh }: Context, { vm, plan }: Done): void {
  const { name, uuid } = vm.domain;
  terminal.note(
    `note: '${name}' is paused: take the snapshot of the storage of disk ${plan.manual.join(', ')} now, and then let it go on: ${virsh.line(['resume', uuid])}`,
  );
}

/** Whatever becomes of it, the snapshot stands, and is reported. */
async function pruneAfter(
  ctx: Context,
  { domain }: DomainReading,
  pruning: PruneRequest,
  fresh: string,
): Promise<ActionResult<Pick<Created, 'pruned' | 'after'>>> {
  const nothing = { pruned: NOTHING_PRUNED, after: null };
  if (!hasRules(pruning.rules)) return { value: nothing, failures: [], succeeded: 0 };
  try {
    const after = await readAgain(ctx, domain);
    requireAllRead(ctx, after, `prune '${domain.name}'`);
    if (pruning.freeMin) return { value: { ...nothing, after }, failures: [], succeeded: 0 };
    const { value: pruned, ...completed } = await pruneVm(ctx, after, pruning, fresh);
    return { ...completed, value: { ...nothing, pruned } };
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    return { value: nothing, failures: [error], succeeded: 0 };
  }
}

/** Prunes for space over all VMs of which a snapshot was taken. */
async function freeTogether(
  ctx: Context,
  results: readonly Result[],
  request: SpaceRequest,
): Promise<{ readonly pruned: Result[]; readonly space: SpaceRun }> {
  const vmsToPrune = results.map(({ value }) =>
    value?.after ? { vm: value.after, fresh: value.name } : null,
  );
  const { results: after, space } = await pruneTogether(ctx, results, vmsToPrune, request);
  const pruned = results.map((result, i): Result => {
    const { value: pruned, outcome, failures, succeeded } = after[i] ?? { value: null };
    if (!result.value || !pruned) return result;
    return {
      ...result,
      outcome,
      value: { ...result.value, pruned },
      failures,
      succeeded: result.succeeded + succeeded,
    };
  });
  return { pruned, space };
}

async function report(
  ctx: Context,
  results: readonly Result[],
  { single, strict }: { readonly single: boolean; readonly strict: boolean },
  space: SpaceRun | null,
): Promise<void> {
  const { dryRun } = ctx.settings;
  throwIfNothingDone(ctx, single, results);
  const conclusion = concludeDomains(ctx, results, { strict, parts: 'steps' });
  const done = results.flatMap(({ vm, value }) => (value ? [{ vm, ...value }] : []));
  const pruned = done.flatMap((created) => created.pruned.rows);
  const prunedSections = pruned.length > 0 ? [section({ columns: pruneColumns(dryRun), rows: pruned })] : [];
  const freed = freedLines(
    dryRun,
    done.map(({ vm, pruned }) => freedOf(vm, pruned)),
  );
  const lines = [...freed, ...spaceLines(space)];
  const freeMin = spaceDocument(space);
  const names = done.map(({ vm, name }) => (single ? name : ownName(vm, name)));
  if (dryRun) {
    await showPlan(
      ctx,
      done.flatMap(({ planned }) => (planned ? [planned] : [])),
      { document: { domains: results.map(plannedDocument(true)), freeMin }, sections: prunedSections, names },
    );
    noteForeseen(ctx, lines);
  } else {
    await show(ctx, {
      kind: 'create',
      document: { domains: results.map(document), freeMin },
      sections: [section({ columns: COLUMNS, rows: results }), ...prunedSections],
      names,
      remarks: [
        // of many VMs the table says it, but for where overlays lie
        ...done
          .filter(({ snapshot }) => results.length === 1 || (snapshot && isSaid(snapshot)))
          .map(
            ({ vm, name, snapshot }) =>
              `'${name}' of '${vm.name}' is complete${snapshot ? `, in ${whereItIs(snapshot)}` : ''}`,
          ),
        ...lines,
      ],
    });
  }
  const end = await concludeSpace(ctx, conclusion, space);
  if (end) throw end;
}

/** Where files were made, or something is still to be done. */
const isSaid = (snapshot: SnapshotReport): boolean =>
  locationOf(snapshot) === 'external' || manualDisks(snapshot).length > 0;

function whereItIs({ disks, memory }: SnapshotReport): string {
  const overlays = disks.filter(({ location }) => location === 'external');
  const saved = memory.file === null ? [] : [`memory ${memory.file}`];
  if (overlays.length + saved.length === 0)
    return `disk ${disks
      .filter(({ location }) => location !== 'manual')
      .map(({ target }) => target)
      .join(', ')}`;
  return [...overlays.map(({ target, source }) => `disk ${target} (now on ${source})`), ...saved].join(', ');
}

const plannedDocument = (dryRun: boolean) => (result: Result) => ({
  ...domainResult(result),
  pruned: (result.value?.pruned.rows ?? []).map(pruneDocument),
  ...freedDocument(dryRun, result.value?.pruned.freed ?? null),
});

const document = (result: Result) => ({
  ...plannedDocument(false)(result),
  leftovers: result.value?.pruned.unusedFiles ?? [],
  snapshot: result.value?.snapshot ? snapshotDocument(result.value.snapshot) : null,
});
