import { KvmsnapError } from '../../errors.ts';
import { ownProcess } from '../../host/process/own-process.ts';
import { parseState } from '../../libvirt/answers.ts';
import type { VirshCommand } from '../../libvirt/batch.ts';
import { askRunTime, forgetPause, parseRunTime, recordPause } from '../../libvirt/pause-record.ts';
import { countErrors, lostConnection, virshFailure } from '../../libvirt/virsh-error.ts';
import type { PauseRecord } from '../../model/domain.ts';
import { inText } from '../../model/text.ts';
import type { Context } from '../../run/context.ts';
import type { WriteEnd } from '../../run/write.ts';
import { goOnCommand } from '../../vm/left-pause.ts';
import { freezeCommand, frozenIn, isFrozenCommand } from '../guest-agent.ts';
import { type Holding, type Member, vmOf } from './member.ts';

/**
 * Takes the snapshots of all VMs at one moment: first a record is written into each running VM, then all guests are frozen or paused, and
 * only then the snapshots are taken, in parallel. One process of virsh for each VM takes its snapshot and lets its guest go on, even if
 * kvmsnap is killed meanwhile. What is killed before leaves the record, by which the next run lets the guest go on.
 */

/** How it ended for one VM. */
export interface MemberEnd {
  readonly member: Member;
  readonly end: WriteEnd;
  /** Whether the guest still stood when its snapshot was complete. */
  readonly stood: boolean;
  /** The longest time for which it can have stood; null if its guest did not run. */
  readonly heldMilliseconds: number | null;
}

export type TakenAtOnce =
  /** Nothing was taken: not all guests could be held, or a signal came first. */
  { readonly failure: KvmsnapError } | { readonly ends: readonly MemberEnd[] };

/** Seconds in which all guests must be frozen, because the first ones stand meanwhile. */
const FREEZE_SECONDS = 30;

/** `commandOf`: the command that takes the snapshot of a VM. All guests go on before this returns or throws. */
export async function takeAtOneMoment(
  ctx: Context,
  members: readonly Member[],
  snapshot: string,
  commandOf: (member: Member) => VirshCommand,
): Promise<TakenAtOnce> {
  const hold = openHold(ctx, members, snapshot);
  try {
    const failure = (await hold.begin()) ?? ctx.interrupts.pending;
    if (failure) return { failure };
    return { ends: await Promise.all(members.map((member) => hold.take(member, commandOf(member)))) };
  } finally {
    await hold.letGo();
  }
}

function openHold(ctx: Context, members: readonly Member[], snapshot: string) {
  const { virsh, clock } = ctx;
  const held = members.filter(({ holding }) => holding !== 'still');
  const frozen = held.filter(({ holding }) => holding === 'frozen');
  const paused = held.filter(({ holding }) => holding === 'paused');
  const owner = ownProcess();
  /** By UUID: since when the guest stands, what freezes it, and how long its virtual CPUs had run. */
  const since = new Map<string, number>();
  const freezing = new Map<string, Promise<unknown>>();
  const ran = new Map<string, number | null>();
  const recorded = new Set<Member>();
  const onItsOwn = new Set<Member>();

  const record = (member: Member, exact: boolean): VirshCommand => {
    const { uuid, id = '' } = member.prepared.reading.domain;
    const how = member.holding === 'frozen' ? 'frozen' : 'paused';
    const content: PauseRecord = {
      ...{ how, snapshot, owner, exact },
      since: since.get(uuid) ?? clock.now(),
      ran: ran.get(uuid) ?? null,
    };
    return recordPause(uuid, content, id);
  };

  const writeRecords = async (): Promise<KvmsnapError | null> => {
    const { texts } = await virsh.read(held.map((member) => askRunTime(vmOf(member).uuid)));
    for (const [i, member] of held.entries()) ran.set(vmOf(member).uuid, parseRunTime(texts[i] ?? ''));
    for (const member of held) recorded.add(member);
    const { stderr } = await virsh.writeInOne(held.map((member) => record(member, false)));
    return countErrors(stderr) === 0
      ? null
      : virshFailure(
          'no snapshot was taken, because kvmsnap cannot record in the running VMs that it pauses them',
          stderr,
        );
  };

  const freeze = async (): Promise<KvmsnapError | null> => {
    const failures: KvmsnapError[] = [];
    for (const member of frozen) {
      const { uuid, name } = vmOf(member);
      since.set(uuid, clock.now());
      const freezes = virsh.write(freezeCommand(uuid)).then(({ exitCode, stderr }) => {
        if (exitCode === 0) return;
        failures.push(
          virshFailure(
            `no snapshot was taken, because the guest file systems of ${inText(name)} could not be frozen`,
            stderr,
          ),
        );
      });
      freezes.catch(() => {}); // the run is being stopped
      freezing.set(uuid, freezes);
    }
    if (frozen.length === 0) return null;
    const isLate = await Promise.race([
      Promise.all(freezing.values()).then(() => false),
      clock.sleep(FREEZE_SECONDS * 1000).then(() => true),
    ]);
    if (failures[0]) return failures[0];
    return isLate
      ? new KvmsnapError(
          'refused',
          `no snapshot was taken, because not all guests were frozen within ${FREEZE_SECONDS} s`,
          {
            hint: 'check the guest agents, and what their fsfreeze hooks wait for',
          },
        )
      : null;
  };

  const pause = async (): Promise<KvmsnapError | null> => {
    const uuids = paused.map((member) => vmOf(member).uuid);
    for (const uuid of uuids) since.set(uuid, clock.now());
    if (uuids.length === 0) return null;
    const asks = uuids.flatMap((uuid) => [stateCommand(uuid), askRunTime(uuid)]);
    const { texts, stderr } = await virsh.writeInOne([...uuids.map(suspendCommand), ...asks]);
    for (const [i, member] of paused.entries()) {
      const [state = '', stats = ''] = texts.slice(uuids.length + 2 * i);
      const { uuid, name } = vmOf(member);
      if (stateIn(state ?? '') !== 'paused')
        return virshFailure(`no snapshot was taken, because ${inText(name)} could not be paused`, stderr);
      ran.set(uuid, parseRunTime(stats ?? ''));
    }
    // by this exact time the next run recognizes the pause, if this one is killed now
    await virsh.writeInOne(paused.map((member) => record(member, true)));
    return null;
  };

  return {
    /** Holds all guests. Returns why that failed. */
    begin: async () =>
      held.length === 0 ? null : ((await writeRecords()) ?? (await freeze()) ?? (await pause())),

    /** Takes the snapshot of one VM, and lets its guest go on. */
    async take(member: Member, command: VirshCommand): Promise<MemberEnd> {
      const { uuid } = vmOf(member);
      const { holding } = member;
      const asks = holding === 'frozen' ? isFrozenCommand(uuid) : stateCommand(uuid);
      const commands =
        holding === 'still'
          ? [command]
          : [command, asks, goOnCommand(uuid, { how: holding }), forgetPause(uuid)];
      onItsOwn.add(member);
      const { texts, stderr } = await virsh.writeInOne(commands);
      const [text = null, asked = null] = texts;
      const from = since.get(uuid);
      return {
        member,
        end: { kind: endOf(text, stderr), stderr },
        stood: STANDS[holding](asked ?? ''),
        heldMilliseconds: from === undefined ? null : clock.now() - from,
      };
    },

    /** Lets all guests go on that no process of virsh lets go on by itself. */
    async letGo(): Promise<void> {
      const left = [...recorded].filter((member) => !onItsOwn.has(member));
      await Promise.all(
        left.map(async (member) => {
          const { uuid } = vmOf(member);
          await freezing.get(uuid)?.catch(() => {});
          const how = member.holding === 'frozen' ? 'frozen' : 'paused';
          await virsh.setRight([...(since.has(uuid) ? [goOnCommand(uuid, { how })] : []), forgetPause(uuid)]);
        }),
      );
    },
  };
}

/** Whether the guest stood, by the answer to the question after its snapshot. */
const STANDS: Readonly<Record<Holding, (answer: string) => boolean>> = {
  still: () => true,
  frozen: (answer) => frozenIn(answer) === true,
  paused: (answer) => stateIn(answer) === 'paused',
};

const suspendCommand = (uuid: string): VirshCommand => ['suspend', '--domain', uuid];
const stateCommand = (uuid: string): VirshCommand => ['domstate', '--domain', uuid, '--reason'];

/** The line that `virsh -t` prints after each answer (vsh.c). */
const TIME = /\(Time: [\d.]+ ms\)\n?/g;

const stateIn = (text: string): string => parseState(text.replaceAll(TIME, '')).state;

/** virsh prints this, in English, when it has taken a snapshot (virsh-snapshot.c). */
const TAKEN = /^Domain snapshot .* created/ms;

function endOf(text: string | null, stderr: string): WriteEnd['kind'] {
  if (text !== null && TAKEN.test(text)) return 'done';
  return text === null || lostConnection(stderr) ? 'unknown' : 'refused';
}
