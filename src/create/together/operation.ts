import { KvmsnapError } from '../../errors.ts';
import type { VirshCommand } from '../../libvirt/batch.ts';
import { createCommand, registerCommand } from '../../libvirt/create-command.ts';
import type { DomainReading } from '../../libvirt/domains.ts';
import { FROM_PIPE, pipedLine, redescribing } from '../../libvirt/piped-lines.ts';
import { isActive } from '../../model/domain.ts';
import { withTogether } from '../../model/marks/together.ts';
import { commandLine } from '../../model/quote.ts';
import { inText } from '../../model/text.ts';
import { humanBytes } from '../../output/format.ts';
import type { Context } from '../../run/context.ts';
import { loadChecked, type Operation, skip } from '../../run/operation.ts';
import { goOnCommand } from '../../vm/left-pause.ts';
import { agentAnswers, freezeCommand, isFrozen } from '../guest-agent.ts';
import type { CreateRequest } from '../request.ts';
import { savedMemoryBytes } from '../saved-memory.ts';
import { takingPlainly } from '../take.ts';
import { type TakenAtOnce, takeAtOneMoment } from './at-one-moment.ts';
import { type Holding, type Member, type TakenTogether, vmOf } from './member.ts';
import { verifyTogether } from './verify.ts';

/** The operation of `create --together`, over all VMs. */

export interface PlannedTogether {
  readonly planned: readonly (VirshCommand | string)[];
  readonly name: string;
}

export type TogetherRequest = CreateRequest & { readonly name: string };

interface Facts {
  readonly members: readonly Member[];
}

/** `refusal`: the failure for VMs that cannot have a snapshot. */
export function takingTogether(
  readings: readonly DomainReading[],
  request: TogetherRequest,
  refusal: (failures: readonly KvmsnapError[]) => KvmsnapError,
): Operation<Facts, null, ReadonlyMap<string, TakenTogether>, PlannedTogether, TakenAtOnce> {
  const { name } = request;
  const description = withTogether(request.description, []);
  const commandOf = ({ prepared: { facts } }: Member) =>
    createCommand(facts.domain.uuid, name, description, facts.plan);
  return {
    async load(ctx, again) {
      const found = await Promise.allSettled(
        readings.map((reading) => loadMember(withVmName(ctx, reading), reading, request, again)),
      );
      const failures: KvmsnapError[] = [];
      const members: Member[] = [];
      for (const each of found) {
        if (each.status === 'fulfilled') members.push(each.value);
        else if (each.reason instanceof KvmsnapError && !ctx.interrupts.stop.aborted)
          failures.push(each.reason);
        else throw each.reason;
      }
      const [first] = failures;
      // so that --wait tries again
      if (first && ctx.settings.wait > 0 && failures.every(({ code }) => code === 'busy')) throw first;
      if (first) throw refusal(failures);
      if (!request.force) await requireRoomForAll(ctx, members);
      return { members };
    },
    settled: skip('existing snapshots of that name are different snapshots'),
    rules: skip(
      'each VM is checked by the rules of its own snapshot when it is loaded, so that all refusals are told',
    ),
    plan: (ctx, { members }) => ({ planned: planned(ctx, members, request, commandOf), name }),
    consent: skip('nothing is lost'),
    prepare: skip('virsh needs no file'),
    write: {
      subject: (_, { members }) =>
        `the snapshots ${inText(name)} of ${members.map((member) => inText(vmOf(member).name)).join(', ')} (each guest continues as soon as its own snapshot is complete)`,
      run: (ctx, { members }) => takeAtOneMoment(ctx, members, name, commandOf),
    },
    log: skip('nothing is lost, and libvirt keeps when they were taken'),
    verify: (ctx, { members }, end) => verifyTogether(ctx, members, end, request),
    residue: skip('the failure has what each VM was left with'),
  };
}

/** The checks of one VM, and how its guest is kept from writing. */
async function loadMember(
  ctx: Context,
  reading: DomainReading,
  request: TogetherRequest,
  again: boolean,
): Promise<Member> {
  const prepared = await loadChecked(ctx, takingPlainly(reading, request), again);
  return {
    prepared,
    holding: await howToHold(ctx, prepared.reading, prepared.facts.plan.mode === 'disk-only'),
  };
}

/** Throws `check` for a guest that another program has frozen, because its thaw would come in between. */
async function howToHold(
  { virsh, terminal }: Context,
  { domain }: DomainReading,
  diskOnly: boolean,
): Promise<Holding> {
  const { name, uuid, state, stateReason, agentChannel } = domain;
  if (!isActive(state) || state === 'paused') return 'still';
  if (state !== 'running')
    throw new KvmsnapError(
      'check',
      `${inText(name)} is ${state}${stateReason ? ` (${stateReason})` : ''}, so its guest can be neither paused nor frozen`,
    );
  if (!diskOnly || agentChannel !== 'connected') return 'paused';
  if (!(await agentAnswers(virsh, uuid))) {
    terminal.note(
      'note: the guest agent does not answer, so kvmsnap pauses the guest instead of freezing it',
    );
    return 'paused';
  }
  if (await isFrozen(virsh, uuid))
    throw new KvmsnapError(
      'check',
      `the guest file systems of ${inText(name)} are already frozen, possibly by a backup`,
      {
        hint: 'wait until the other program thaws them; if there is no such program any more, thaw them yourself',
        command: virsh.line(goOnCommand(uuid, { how: 'frozen' })),
      },
    );
  return 'frozen';
}

/** Throws `check` if the memory of all guests together does not fit on a file system, as it does for each alone. */
async function requireRoomForAll({ files }: Context, members: readonly Member[]): Promise<void> {
  const needs = new Map<string, { needed: number; free: number; path: string; vms: string[] }>();
  for (const { prepared } of members) {
    const { facts } = prepared;
    const { domain, plan, freeBytes } = facts;
    const path = domain.disks.find(({ target }) => facts.images.has(target))?.source;
    if (!isActive(domain.state) || plan.mode !== 'internal' || freeBytes === null || !path) continue;
    const found = await files.stat(path).catch(() => null);
    if (found?.kind !== 'file') continue;
    const sum = needs.get(found.fileSystemId) ?? { needed: 0, free: freeBytes, path, vms: [] };
    needs.set(found.fileSystemId, {
      ...sum,
      needed: sum.needed + savedMemoryBytes(facts),
      vms: [...sum.vms, domain.name],
    });
  }
  for (const { needed, free, path, vms } of needs.values())
    if (needed > free)
      throw new KvmsnapError(
        'check',
        `no snapshot was taken: the memory of ${vms.map(inText).join(', ')} can take up to ${humanBytes(needed)} together, but the file system of ${path} has only ${humanBytes(free)} free`,
        { hint: 'free some space first; --force takes the snapshots nevertheless' },
      );
}

/** The commands to paste, in their order. */
function planned(
  { virsh }: Context,
  members: readonly Member[],
  { name, description }: TogetherRequest,
  commandOf: (member: Member) => VirshCommand,
): (VirshCommand | string)[] {
  const held = members.filter(({ holding }) => holding !== 'still');
  const mark = withTogether(
    description,
    members.map((member) => vmOf(member).name),
  );
  const toRunning = commandLine('sed', ['-e', 's/^  <state>paused</  <state>running</']);
  return [
    ...held.map((member): VirshCommand => {
      const { uuid } = vmOf(member);
      return member.holding === 'frozen' ? freezeCommand(uuid) : ['suspend', '--domain', uuid];
    }),
    ...members.flatMap((member) => {
      const { holding } = member;
      const goOn = holding === 'still' ? [] : [goOnCommand(vmOf(member).uuid, { how: holding })];
      return [commandOf(member), ...goOn];
    }),
    ...members.map((member) => {
      const { uuid } = vmOf(member);
      const source = redescribing(virsh, { uuid, name }, mark);
      const state = member.holding === 'paused' ? ` | ${toRunning}` : '';
      return pipedLine(virsh, `${source}${state}`, registerCommand(uuid, FROM_PIPE, true));
    }),
  ];
}

/** Notes with the name of the VM. */
function withVmName(ctx: Context, { domain }: DomainReading): Context {
  const note = (line: string) => ctx.terminal.note(`${inText(domain.name)}: ${line}`);
  return { ...ctx, terminal: { ...ctx.terminal, note } };
}
