import type { VirshCommand } from '../libvirt/batch.ts';
import { registerCommand } from '../libvirt/create-command.ts';
import {
  definitionCommand,
  FROM_PIPE,
  pipedLine,
  printingTagRegistration,
  redirecting,
} from '../libvirt/piped-lines.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { withPaths } from '../libvirt/xml/snapshot.ts';
import { type TagRegistration, tagRegistrationXml } from '../libvirt/xml/tag-registration.ts';
import type { Domain } from '../model/domain.ts';
import { commandLine } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { localTime } from '../output/format.ts';
import { deleteTagArguments } from '../qemu/command-lines.ts';
import { freeUnusedMemoryArguments } from '../qemu/unused-memory.ts';
import type { Context } from '../run/context.ts';
import { letGoCommands } from '../vm/left-pause.ts';
import type { Vm } from '../vm/load.ts';
import type { Fix } from './fix-plan.ts';

/** Prepares the commands of each step of a fix, and saves what the step takes away. */

export type Command =
  | {
      readonly tool: 'virsh';
      readonly args: VirshCommand;
      /** In a dry run: the shell line whose output virsh reads from stdin. */
      readonly source?: string;
    }
  | { readonly tool: 'qemu-img'; readonly args: readonly string[] }
  /** This process does it itself, and shows the command that does the same. */
  | { readonly tool: 'chmod'; readonly path: string };

/** A step with its exact commands. */
export interface PreparedFix extends Fix {
  readonly commands: readonly Command[];
  /** The file with what the step takes away, or with the command that undoes the step; null if there is none. */
  readonly backup: string | null;
  /** All files that were written for the step; they are removed if the plan is declined. */
  readonly files: readonly string[];
}

/** The same command as a line for a shell. */
export function fixLine({ virsh }: Context, command: Command): string {
  if (command.tool === 'chmod') return commandLine('chmod', ['600', command.path]);
  if (command.tool === 'qemu-img') return commandLine(command.tool, command.args);
  const { args, source } = command;
  return source === undefined ? virsh.line(args) : pipedLine(virsh, source, args);
}

/**
 * Makes the commands of each step. Metadata of libvirt that a step changes is first saved in the state directory,
 * except in a dry run, which writes nothing.
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
      dryRun ? null : ctx.savedXml.keep(`${stem}.fix-${i + 1}${ending}`, text);
    switch (action.kind) {
      case 'resume':
        prepared.push({ ...fix, commands: [virsh('resume', '--domain', uuid)], backup: null, files: [] });
        break;
      case 'let-go': {
        const commands = letGoCommands(uuid, action.left).map((args) => virsh(...args));
        prepared.push({ ...fix, commands, backup: null, files: [] });
        break;
      }
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
        const description = `Registered by kvmsnap on ${localTime(ctx.clock.now() / 1000)} from the images. Assumed: ${fix.assumed}.`;
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
        // for the case that kvmsnap is killed before it can shrink the disk again
        const cut = commands.at(-1) as Command;
        const backup = await keep(`${fixLine(ctx, cut)}\n`, '.txt');
        prepared.push({ ...fix, commands, backup, files: filesOf(backup) });
      }
    }
  }
  return prepared;
}

const filesOf = (file: string | null): string[] => (file === null ? [] : [file]);

/** `file` null: the shell line makes the XML. */
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
  if (!xml) throw virshFailure(`cannot read the definition of ${inText(name)}`, stderr);
  return xml;
}
