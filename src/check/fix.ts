import { closeFile } from '../create/file-modes.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { registerCommand } from '../libvirt/create-command.ts';
import { readByUuid } from '../libvirt/domains.ts';
import {
  definitionCommand,
  FROM_PIPE,
  pipedLine,
  printingTagRegistration,
  redirecting,
} from '../libvirt/piped-lines.ts';
import { isIdle } from '../libvirt/runtime.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { withPaths } from '../libvirt/xml/snapshot.ts';
import { type TagRegistration, tagRegistrationXml } from '../libvirt/xml/tag-registration.ts';
import type { Domain } from '../model/domain.ts';
import { commandLine } from '../model/quote.ts';
import { localTime } from '../output/format.ts';
import { deleteTagArguments } from '../qemu/command-lines.ts';
import { freeUnusedMemoryArguments } from '../qemu/unused-memory.ts';
import type { Context } from '../run/context.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { carryOut } from '../run/write.ts';
import { readAgain, type Vm } from '../vm/load.ts';
import { type Checked, type CheckRequest, checkVm } from './check.ts';
import { type Fix, fixKey } from './fix-plan.ts';

/** Fixing a VM, step by step, and looking whether it is so. */

type Command =
  | {
      readonly tool: 'virsh';
      readonly args: VirshCommand;
      /** In a dry run: the shell line that makes what virsh reads from its stdin. */
      readonly source?: string;
    }
  | { readonly tool: 'qemu-img'; readonly args: readonly string[] }
  /** Done by this process, and told as the command that does the same. */
  | { readonly tool: 'chmod'; readonly path: string };

/** A step with the very commands that it takes. */
export interface PreparedFix extends Fix {
  readonly commands: readonly Command[];
  /** The file with what the step takes away, or the line that takes it back; null where there is none. */
  readonly backup: string | null;
  /** All that was written for the step; nobody needs it when the plan is declined. */
  readonly files: readonly string[];
}

export type FixOutcome =
  | 'done'
  | 'failed'
  /** It was so no longer when its turn came. */
  | 'not needed'
  /** The run was ended before, or the VM could not be begun with. */
  | 'not reached';

export interface FixResult {
  readonly fix: PreparedFix;
  readonly outcome: FixOutcome;
  readonly failure: KvmsnapError | null;
}

/** The line that does the same in a shell. */
export function fixLine({ virsh }: Context, command: Command): string {
  if (command.tool === 'chmod') return commandLine('chmod', ['600', command.path]);
  if (command.tool === 'qemu-img') return commandLine(command.tool, command.args);
  const { args, source } = command;
  return source === undefined ? virsh.line(args) : pipedLine(virsh, source, args);
}

/**
 * Makes the commands of each step; what libvirt has now and a step changes is written to the state directory first, but in
 * a dry run, which writes nothing.
 */
export async function prepareFixes(ctx: Context, vm: Vm, fixes: readonly Fix[]): Promise<PreparedFix[]> {
  const { uuid } = vm.domain;
  const { dryRun } = ctx.settings;
  const definition =
    !dryRun && fixes.some(({ action }) => action.kind === 'adopt') ? await readDefinition(ctx, vm) : '';
  const stem = `${uuid}.${ctx.clock.now()}`;
  const prepared: PreparedFix[] = [];
  for (const [i, fix] of fixes.entries()) {
    const { action } = fix;
    const keep = async (text: string, ending: string) =>
      dryRun ? null : ctx.stateFiles.keep(`${stem}.fix-${i + 1}${ending}`, text);
    switch (action.kind) {
      case 'resume':
        prepared.push({ ...fix, commands: [virsh('resume', '--domain', uuid)], backup: null, files: [] });
        break;
      case 'forget': {
        const { name } = action;
        const xml = await readSnapshotXml(ctx.virsh, vm.domain, name, true);
        const command = virsh('snapshot-delete', '--domain', uuid, '--snapshotname', name, '--metadata');
        const backup = await keep(xml, '.xml');
        prepared.push({ ...fix, commands: [command], backup, files: filesOf(backup) });
        break;
      }
      case 'delete-tag': {
        const command = qemuImg(...deleteTagArguments(action.name, action.path));
        prepared.push({ ...fix, commands: Array(action.times).fill(command), backup: null, files: [] });
        break;
      }
      case 'adopt': {
        const description = `Adopted by kvmsnap on ${localTime(ctx.clock.now() / 1000)} from the images. Assumed: ${fix.assumed}.`;
        const registration = { ...action, description };
        const file = await keep(tagRegistrationXml(registration, vm.domain.disks, definition), '.new.xml');
        const command = registrationLine(ctx, vm.domain, registration, file);
        prepared.push({ ...fix, commands: [command], backup: null, files: filesOf(file) });
        break;
      }
      case 'register': {
        const { name, paths, isCurrent } = action;
        const xml = await readSnapshotXml(ctx.virsh, vm.domain, name, true);
        const backup = await keep(xml, '.xml');
        const file = await keep(withPaths(xml, new Map(paths)), '.new.xml');
        const args = registerCommand(uuid, file ?? FROM_PIPE, isCurrent);
        const source = file === null ? { source: redirecting(ctx.virsh, { uuid, name }, paths) } : {};
        const files = [...filesOf(backup), ...filesOf(file)];
        prepared.push({ ...fix, commands: [{ tool: 'virsh', args, ...source }], backup, files });
        break;
      }
      case 'chmod': {
        const command: Command = { tool: 'chmod', path: action.path };
        prepared.push({ ...fix, commands: [command], backup: null, files: [] });
        break;
      }
      case 'win-back': {
        const { path, virtualBytes, growBytes } = action;
        const commands = freeUnusedMemoryArguments(path, virtualBytes, growBytes).map((args) =>
          qemuImg(...args),
        );
        // should nothing of ours live to cut it off again
        const cut = commands.at(-1) as Command;
        const backup = await keep(`${fixLine(ctx, cut)}\n`, '.txt');
        prepared.push({ ...fix, commands, backup, files: filesOf(backup) });
      }
    }
  }
  return prepared;
}

const filesOf = (file: string | null): string[] => (file === null ? [] : [file]);

/** `file` null: the line makes the XML itself. */
function registrationLine(
  { virsh }: Context,
  { uuid, disks }: Domain,
  registration: TagRegistration,
  file: string | null,
): Command {
  const args = registerCommand(uuid, file ?? FROM_PIPE, false);
  const source = file === null ? { source: printingTagRegistration(virsh, uuid, registration, disks) } : {};
  return { tool: 'virsh', args, ...source };
}

const virsh = (...args: string[]): Command => ({ tool: 'virsh', args });
const qemuImg = (...args: string[]): Command => ({ tool: 'qemu-img', args });

async function readDefinition({ virsh }: Context, { domain: { uuid, name } }: Vm): Promise<string> {
  const { texts, stderr } = await virsh.read([definitionCommand(uuid)]);
  const [xml] = texts;
  if (!xml) throw virshFailure(`cannot read the definition of '${name}'`, stderr);
  return xml;
}

export interface Fixed {
  readonly results: readonly FixResult[];
  /** The VM as it is then; as it was before, where we were to stop at once. */
  readonly checked: Checked;
}

/**
 * Takes those of the steps that are still called for, going on after a failure, and judges the VM again: done is
 * what is not called for any more. A signal lets the step under way come to its end, and the rest is not reached. Throws
 * `busy` when a job holds the VM, which is left alone then.
 */
export async function fixVm(
  ctx: Context,
  { uuid, name }: { readonly uuid: string; readonly name: string },
  prepared: readonly PreparedFix[],
  request: CheckRequest,
): Promise<Fixed> {
  return retryWhileBusy(ctx, async (ctx) => {
    const look = async () => checkVm(ctx, await readAgain(ctx, { uuid, name }), request, 'now');
    const isBusy = async () =>
      (await readByUuid(ctx.virsh, uuid, name)).domain.busy || !(await isIdle(ctx.virsh, uuid));
    if (prepared.length > 0 && (await isBusy()))
      throw new KvmsnapError('busy', `a job of libvirt holds '${name}', which is left alone`);
    const before = await look();
    const needed = new Set(before.fixes.map(fixKey));
    const tried: FixResult[] = [];
    for (const fix of prepared) {
      if (!needed.has(fixKey(fix))) tried.push({ fix, outcome: 'not needed', failure: null });
      else if (ctx.interrupts.pending) tried.push({ fix, outcome: 'not reached', failure: null });
      else tried.push(await tryFix(ctx, name, fix));
    }
    if (!tried.some(({ outcome }) => outcome === 'done' || outcome === 'failed'))
      return { results: tried, checked: before };
    const checked = await look().catch((error) => {
      if (ctx.interrupts.stop.aborted) return null;
      throw error;
    });
    if (!checked) {
      ctx.terminal.note(`note: '${name}' was not looked at again: what is said of it is from before`);
      return { results: tried, checked: before };
    }
    const left = new Set(checked.fixes.map(fixKey));
    return { results: tried.map((result) => verified(result, left)), checked };
  });
}

async function tryFix(ctx: Context, vm: string, fix: PreparedFix): Promise<FixResult> {
  const task = async (): Promise<FixResult> => {
    for (const [i, command] of fix.commands.entries()) {
      const failure = await run(ctx, vm, fix, command);
      if (!failure) continue;
      return { fix, outcome: 'failed', failure: withRest(ctx, failure, fix.commands.slice(i)) };
    }
    // what was written only for virsh to read
    await Promise.all(fix.files.filter((file) => file !== fix.backup).map(ctx.stateFiles.drop));
    return { fix, outcome: 'done', failure: null };
  };
  if (fix.commands.every(({ tool }) => tool === 'chmod')) return task();
  const by = fix.commands.some(({ tool }) => tool === 'virsh') ? 'libvirtd' : 'qemu-img';
  return ctx.interrupts.protect(`'${fix.what}' of '${vm}'`, task, by);
}

/** What could not be done, or is left to itself, with the commands that are still to run. */
function withRest(ctx: Context, failure: KvmsnapError, commands: readonly Command[]): KvmsnapError {
  const { code, message, hint } = failure;
  const isLeft = failure === ctx.interrupts.pending;
  // what is under way comes to its end without us
  const rest = (isLeft ? commands.slice(1) : commands).map((command) => fixLine(ctx, command));
  if (rest.length === 0) return new KvmsnapError(code, message, { hint: 'kvmsnap check shows how it ended' });
  const then = isLeft ? 'once that has ended, this is still to be done' : hint;
  return new KvmsnapError(code, message, { hint: then, command: rest.join(' && ') });
}

/** Runs one command; null when it says that all is well. */
async function run(ctx: Context, vm: string, { what }: Fix, command: Command): Promise<KvmsnapError | null> {
  const failed = `${vm}: could not ${what}`;
  if (command.tool === 'chmod')
    return (await closeFile(ctx.files, command.path))
      ? null
      : new KvmsnapError('refused', `${failed}: only its owner or root can`);
  const { tool, args } = command;
  try {
    if (tool === 'virsh') {
      const { kind, stderr } = await carryOut(ctx, { command: args, label: what, growing: null });
      return kind === 'done' ? null : virshFailure(failed, stderr);
    }
    const { exitCode, stderr } = await ctx.changeImage(args);
    if (exitCode === 0) return null;
    const detail = stderr.trim().replace(/^qemu-img: /, '') || 'qemu-img was ended';
    return new KvmsnapError('refused', `${failed}: ${detail}`);
  } catch (error) {
    // what was done before is still to be told
    if (error === ctx.interrupts.pending && error instanceof KvmsnapError) return error;
    throw error;
  }
}

function verified(result: FixResult, left: ReadonlySet<string>): FixResult {
  const { fix, outcome } = result;
  if (outcome !== 'done' || !left.has(fixKey(fix))) return result;
  const failure = new KvmsnapError(
    'refused',
    `could not ${fix.what}: the command reported success, but it is not so`,
  );
  return { fix, outcome: 'failed', failure };
}
