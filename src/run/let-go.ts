import { KvmsnapError } from '../errors.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { inText } from '../model/text.ts';
import { goOnCommand, judgeLeftPause, type LeftPause, letGoCommands } from '../vm/left-pause.ts';
import type { Context } from './context.ts';
import { type Operation, operate, skip } from './operation.ts';

/** Lets a guest go on that a killed `create --together` has left paused or frozen, and reads the VM again. */
export async function letGoOf(ctx: Context, reading: DomainReading): Promise<DomainReading> {
  const ended = await operate(ctx, lettingGo(reading));
  return 'done' in ended ? ended.done : reading;
}

/** How letting go ended: virsh's error, or null. */
interface LetGo {
  readonly stderr: string | null;
}

interface Facts {
  readonly reading: DomainReading;
  readonly left: LeftPause | null;
}

const lettingGo = (first: DomainReading): Operation<Facts, null, DomainReading, never, LetGo> => ({
  async load(ctx, again) {
    const { uuid, name } = first.domain;
    const reading = again ? await readByUuid(ctx.virsh, uuid, name) : first;
    return { reading, left: await judgeLeftPause(ctx.virsh, reading.domain, ctx.clock.now()) };
  },
  settled: ({ reading, left }) =>
    left === null || left.verdict === 'under-way' || left.verdict === 'unproven' ? reading : null,
  rules: skip('the verdict is the check'),
  plan: skip('a dry run changes nothing, and does not come here'),
  consent: skip('the pause was made by kvmsnap, and its run has ended'),
  prepare: skip('virsh needs no file'),
  write: {
    subject: (_, { reading: { domain } }) => `letting ${inText(domain.name)} go on`,
    async run({ virsh }, { reading: { domain }, left }) {
      for (const command of left ? letGoCommands(domain.uuid, left) : []) {
        const { exitCode, stderr } = await virsh.write(command);
        // the record stays as long as the guest stands
        if (exitCode !== 0) return { stderr };
      }
      return { stderr: null };
    },
  },
  log: ({ reading: { domain }, left }) => ({
    action: left?.record.how === 'frozen' ? 'thaw' : 'resume',
    vm: domain.name,
    snapshots: left ? [left.record.snapshot] : [],
  }),
  async verify(ctx, { reading: { domain }, left }, { stderr }) {
    const { uuid, name } = domain;
    const now = await readByUuid(ctx.virsh, uuid, name);
    if (!left || left.verdict === 'over') return { done: now };
    const { how, snapshot } = left.record;
    const what = `create --together was killed, and has left the guest of ${inText(name)} ${how}`;
    const stands = how === 'paused' ? now.domain.state === 'paused' : stderr !== null;
    if (stands) {
      const { code, message } = virshFailure(`${what}; it may still be ${how}`, stderr ?? '');
      const command = ctx.virsh.line(goOnCommand(uuid, left.record));
      return { failure: new KvmsnapError(code, message, { command }), seen: null };
    }
    ctx.terminal.note(
      `note: ${what}; kvmsnap has ${how === 'paused' ? 'resumed' : 'thawed'} it. Other VMs may not have its snapshot ${inText(snapshot)}`,
    );
    return { done: now };
  },
  residue: skip('the failure has the command'),
});
