import type { VirshCommand } from '../libvirt/batch.ts';
import { createCommand, createFromXmlCommand, requireValidate } from '../libvirt/create-command.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { FROM_PIPE, pipedLine, printing } from '../libvirt/piped-lines.ts';
import { readJobProgress } from '../libvirt/runtime.ts';
import { withName } from '../libvirt/xml/snapshot-request.ts';
import { type Domain, isActive, takesPart } from '../model/domain.ts';
import { INTERNAL_SPEC, type SnapshotPlan } from '../model/input/snapshot-spec.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { betweenHooks, type HookRun } from '../run/hooks.ts';
import { type Operated, type Operation, operate, skip } from '../run/operation.ts';
import { withNotesOnce } from '../run/retry-while-busy.ts';
import { carryOut } from '../run/write.ts';
import { noteUnseen } from '../vm/disks.ts';
import type { Vm } from '../vm/load.ts';
import { readCreateFacts } from './facts.ts';
import { closeNewFiles } from './file-modes.ts';
import { thawCommand } from './guest-agent.ts';
import { checkName, chooseName, existsAlready, requireNotBegun, withNewNames } from './naming.ts';
import { planOrThrow, planSnapshot } from './plan.ts';
import type { SnapshotRequest, XmlFile } from './request.ts';
import type { CreateFacts } from './rules/facts.ts';
import { CREATE_RULES } from './rules/table.ts';
import { type FailedCreate, leftBehind, verifyTaken } from './verify.ts';

/** Takes a snapshot of one VM: the steps of the operation. */

/** The VM afterwards and its new snapshot; `snapshot` null: it was taken without metadata. */
export interface Taken {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport | null;
  readonly name: string;
  readonly plan: SnapshotPlan;
}

/** What `--dry-run` prints: the command that would run. */
export interface PlannedSnapshot {
  readonly command: VirshCommand | string;
  readonly name: string;
}

/** Everything that was read before a snapshot is taken. */
export interface Prepared {
  readonly reading: DomainReading;
  readonly facts: CreateFacts;
  /** The file for virsh; null if no XML is given. */
  readonly file: string | null;
}

/**
 * Takes a snapshot of a VM that was just read. Returns only if it is complete in libvirt and on every disk. What its hooks did is added
 * to `runs`, also if it fails.
 */
export async function takeSnapshot(
  outer: Context,
  reading: DomainReading,
  request: SnapshotRequest,
  runs: HookRun[] = [],
): Promise<Operated<Taken, PlannedSnapshot>> {
  const ctx = withNotesOnce(outer);
  const take = (reading: DomainReading) => operate(ctx, taking(reading, request, runs));
  return typeof request.name === 'string' ? take(reading) : withNewNames(ctx, reading, take);
}

function taking(
  first: DomainReading,
  request: SnapshotRequest,
  runs: HookRun[],
): Operation<Prepared, FailedCreate, Taken, PlannedSnapshot> {
  const operation = takingPlainly(first, request);
  const { hooks = null } = request;
  if (hooks === null) return operation;
  // the name that the first hook was told must be the one of the snapshot
  let told: string | null = null;
  return {
    ...operation,
    load: (ctx, again) =>
      (told === null ? operation : takingPlainly(first, { ...request, name: told })).load(ctx, again),
    async around(ctx, { facts: { domain, name } }, act) {
      told = name;
      try {
        return await betweenHooks(
          ctx,
          hooks,
          {
            action: 'create',
            vm: domain.name,
            snapshot: name,
            cannot: `cannot take a snapshot of ${inText(domain.name)}`,
          },
          runs,
          act,
        );
      } finally {
        told = null;
      }
    },
  };
}

/** The operation for a VM that was just read, without the programs around it. */
export const takingPlainly = (
  first: DomainReading,
  { name: wanted, description, force, spec = INTERNAL_SPEC, labeled = false, xml }: SnapshotRequest,
): Operation<Prepared, FailedCreate, Taken, PlannedSnapshot> => ({
  async load(ctx, again) {
    const { uuid, name: vm } = first.domain;
    const reading = again ? await readByUuid(ctx.virsh, uuid, vm) : first;
    const { domain } = reading;
    const { name, images } = await chooseName(ctx, reading, wanted);
    checkName(name);
    if (reading.snapshotNames.includes(name)) throw await existsAlready(ctx, domain, name);
    const plan = planOrThrow(planSnapshot(domain, name, spec));
    const facts = await readCreateFacts(ctx, reading, name, {
      images: images ?? undefined,
      plan,
      labeled,
    });
    await requireNotBegun(ctx, facts);
    noteUnseen(ctx, domain, facts.images);
    if (spec.validate) await requireValidate(ctx.virsh);
    return { reading, facts, file: null };
  },
  settled: skip('an existing snapshot of that name is a different snapshot'),
  rules: [
    {
      cannot: ({ reading: { domain } }) => `cannot take a snapshot of ${inText(domain.name)}`,
      find: ({ facts }) => applyRules(CREATE_RULES, facts),
      force,
    },
  ],
  plan({ virsh, host }, { facts: { domain, name, plan } }) {
    const byFile = (file: string) => createFromXmlCommand(domain.uuid, file, plan);
    if (!xml) return { command: createCommand(domain.uuid, name, description, plan), name };
    if (xml.isNamed && host === null) return { command: byFile(xml.path), name };
    return { command: pipedLine(virsh, printing(textOf(xml, name)), byFile(FROM_PIPE)), name };
  },
  consent: skip('nothing is lost'),
  async prepare({ savedXml, clock, host }, prepared) {
    if (!xml || (xml.isNamed && host === null)) return { ...prepared, file: xml?.path ?? null };
    const { domain, name } = prepared.facts;
    const file = await savedXml.keep(`${domain.uuid}.${clock.now()}.create.xml`, textOf(xml, name));
    return { ...prepared, file };
  },
  write: {
    subject: (ctx, { facts: { domain, name, plan } }) => describeSnapshot(ctx, domain, name, plan),
    async run(ctx, { facts: { domain, name, plan, targetFiles }, file }) {
      const command =
        file === null
          ? createCommand(domain.uuid, name, description, plan)
          : createFromXmlCommand(domain.uuid, file, plan);
      const end = await carryOut(ctx, { command, ...howFar(ctx, domain, plan) });
      if (file !== null && file !== xml?.path) await ctx.savedXml.drop(file);
      await closeNewFiles(ctx, plan, targetFiles);
      return end;
    },
  },
  log: skip('nothing is lost, and libvirt keeps when it was taken'),
  verify: verifyTaken,
  residue: leftBehind,
});

/** Without a name in the XML, libvirt would choose one that is unknown beforehand. */
const textOf = ({ text, isNamed }: XmlFile, name: string): string => (isNamed ? text : withName(text, name));

/** What libvirtd continues if kvmsnap stops waiting; that includes the thaw of the guest. */
function describeSnapshot(
  { virsh }: Context,
  { name: vm, uuid, state }: Domain,
  name: string,
  plan: SnapshotPlan,
) {
  const thawing =
    plan.spec.quiesce && isActive(state)
      ? ` (libvirtd then thaws the guest file systems; if they stay frozen, use ${virsh.line(thawCommand(uuid))})`
      : '';
  return `the snapshot ${inText(name)} of ${inText(vm)}${thawing}`;
}

/** The text of the progress line, and the measure of progress: the growth of a file, or libvirt's own figures. */
function howFar(
  { virsh }: Context,
  { name, uuid, disks, state }: Domain,
  { mode, memoryFile }: SnapshotPlan,
) {
  const saves = isActive(state) && mode !== 'disk-only';
  return {
    label: saves ? `saving the memory of ${inText(name)}` : `taking a snapshot of ${inText(name)}`,
    growing: mode === 'internal' ? (disks.find(takesPart)?.source ?? null) : memoryFile,
    ...(mode === 'external' ? { progress: () => readJobProgress(virsh, uuid) } : {}),
  };
}
