import type { VirshCommand } from '../libvirt/batch.ts';
import { createCommand, createFromXmlCommand, requireValidate } from '../libvirt/create-command.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { FROM_PIPE, pipedLine, printing } from '../libvirt/piped-lines.ts';
import { withName } from '../libvirt/xml/snapshot-request.ts';
import type { Domain } from '../model/domain.ts';
import type { Images } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { INTERNAL_SPEC, type SnapshotPlan } from '../model/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { noteUnseen } from '../vm/disks.ts';
import type { Vm } from '../vm/load.ts';
import { readCreateFacts } from './facts.ts';
import { thawCommand } from './guest-agent.ts';
import { checkName, existsAlready, holdsTag, isListed, withNewName } from './naming.ts';
import { planOrThrow, planSnapshot } from './plan.ts';
import type { SnapshotRequest, XmlFile } from './request.ts';
import { CREATE_RULES } from './rules/table.ts';
import { createAndVerify } from './write.ts';

/** Takes a snapshot of one VM: names it, plans it, checks the plan, and has it written and verified. */

/**
 * What came of it: the VM afterwards and its new snapshot (null: libvirt was told to keep no metadata of it), or with
 * `--dry-run` the command that would run.
 */
export type Taken =
  | {
      readonly vm: Vm;
      readonly snapshot: SnapshotReport | null;
      readonly name: string;
      readonly plan: SnapshotPlan;
    }
  | { readonly planned: VirshCommand | string; readonly name: string };

/**
 * Takes a snapshot: checks, writes and verifies. Returns only when it is complete in libvirt and in every disk: an
 * internal one's tag is in each image exactly once, an external one's overlays are in use over the images of before.
 */
export async function takeSnapshot(
  ctx: Context,
  reading: DomainReading,
  request: SnapshotRequest,
): Promise<Taken> {
  const { uuid, name } = reading.domain;
  return retryWhileBusy(ctx, async (ctx, again) =>
    takeNow(ctx, again ? await readByUuid(ctx.virsh, uuid, name) : reading, request),
  );
}

function takeNow(ctx: Context, reading: DomainReading, request: SnapshotRequest): Promise<Taken> {
  const { name } = request;
  if (typeof name === 'string') return attempt(ctx, reading, name, request);
  return withNewName(ctx, reading, name, (reading, name, images) =>
    attempt(ctx, reading, name, request, images),
  );
}

async function attempt(
  ctx: Context,
  reading: DomainReading,
  name: string,
  { description, force, spec = INTERNAL_SPEC, labelled = false, xml }: SnapshotRequest,
  known?: Images,
): Promise<Taken> {
  const { domain } = reading;
  checkName(name);
  if (reading.snapshotNames.includes(name)) throw await existsAlready(ctx, domain, name);
  const plan = planOrThrow(planSnapshot(domain, name, spec));
  const facts = await readCreateFacts(ctx, reading, name, { images: known, plan, labelled });
  const { images, targetFiles } = facts;
  // another run with the same name may have written its tag or overlay before its snapshot is listed
  const isBegun =
    plan.mode === 'internal' ? holdsTag(images, name) : [...targetFiles.values()].some(({ holds }) => holds);
  if (isBegun && (await isListed(ctx, domain.uuid, name))) throw await existsAlready(ctx, domain, name);
  noteUnseen(ctx, domain, images);
  refuseOn(ctx, `cannot take a snapshot of '${domain.name}'`, applyRules(CREATE_RULES, facts), force);

  if (spec.validate) await requireValidate(ctx.virsh);
  const byFile = (file: string) => createFromXmlCommand(domain.uuid, file, plan);
  if (ctx.settings.dryRun)
    return {
      planned: xml
        ? lineWithName(ctx, xml, name, byFile)
        : createCommand(domain.uuid, name, description, plan),
      name,
    };
  const named = xml ? await fileWithName(ctx, domain, xml, name) : null;
  const command = named === null ? createCommand(domain.uuid, name, description, plan) : byFile(named);
  const taken = await ctx.interrupts.protect(describeSnapshot(ctx, domain, name, plan), () =>
    createAndVerify(ctx, { reading, images, plan, targetFiles }, name, command),
  );
  if (named !== null && named !== xml?.path) await ctx.stateFiles.drop(named);
  return taken;
}

/** The path of the XML with the name in it: without a name, libvirt would choose one and not tell it beforehand. */
async function fileWithName(
  { stateFiles, clock }: Pick<Context, 'stateFiles' | 'clock'>,
  { uuid }: Domain,
  { path, text, isNamed }: XmlFile,
  name: string,
): Promise<string> {
  return isNamed ? path : stateFiles.keep(`${uuid}.${clock.now()}.create.xml`, withName(text, name));
}

/** The same for a dry run, which writes no file. */
const lineWithName = (
  { virsh }: Context,
  { path, text, isNamed }: XmlFile,
  name: string,
  byFile: (file: string) => VirshCommand,
): VirshCommand | string =>
  isNamed ? byFile(path) : pipedLine(virsh, printing(withName(text, name)), byFile(FROM_PIPE));

/** What libvirtd continues if kvmsnap stops waiting, which includes the thaw of the guest. */
function describeSnapshot({ virsh }: Context, { name: vm, uuid }: Domain, name: string, plan: SnapshotPlan) {
  const thawing = plan.spec.quiesce
    ? ` (libvirtd thaws the guest's file systems at its end; should they stay frozen: ${virsh.line(thawCommand(uuid))})`
    : '';
  return `the snapshot '${name}' of '${vm}'${thawing}`;
}
