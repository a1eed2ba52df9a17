// What the tests of the commands judge by: the images, virsh, and what a person would paste.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { tags } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { domainXml, state, type Vm } from '../scene/vm.ts';
import { kvmsnap, kvmsnapInShell } from './cli.ts';
import { errorDocument } from './failure.ts';
import { type ToolResult, tryTool, virsh } from './lab.ts';

/** All that a refusal must leave alone: each image to the last byte and block, the definition, the snapshots, the state. */
export function fingerprint(vm: Vm) {
  return {
    images: vm.disks.filter(({ path }) => existsSync(path)).map(({ path }) => imagePrint(path)),
    definition: virsh('dumpxml', '--inactive', '--domain', vm.uuid),
    snapshots: snapshotNames(vm),
    state: state(vm),
  };
}

function imagePrint(path: string) {
  return {
    path,
    content: createHash('sha256').update(readFileSync(path)).digest('hex'),
    blocks: statSync(path).blocks,
  };
}

/** How many tags of that name each disk holds, in the disks' order. */
export function tagCounts(vm: Vm, name: string): number[] {
  return vm.disks
    .filter(({ path }) => existsSync(path))
    .map(({ path }) => tags(path).filter((tag) => tag.name === name).length);
}

/** The files of the writable disks, as the VM's XML has them now. */
export function writableImages(vm: Vm): string[] {
  const disks = domainXml(vm).match(/<disk .*?<\/disk>/gs) ?? [];
  return disks
    .filter((disk) => disk.includes("device='disk'") && !disk.includes('<readonly/>'))
    .map((disk) => /<source (?:file|dev)='([^']*)'/.exec(disk)?.[1]?.replaceAll('&apos;', "'") ?? '');
}

export type Refusal = ReturnType<typeof errorDocument>;

/** Runs kvmsnap with --json, to be refused. */
export async function refused(...args: string[]): Promise<Refusal> {
  const result = await kvmsnap([...args, '--json']);
  if (result.code === 0) throw new Error(`kvmsnap ${args.join(' ')} was not refused: ${result.stdout}`);
  const refusal = errorDocument(result);
  if (refusal.exitCode !== result.code || result.stdout !== '')
    throw new Error(`exit ${result.code}, stdout '${result.stdout}', but said: ${result.stderr}`);
  return refusal;
}

/** Pastes a line into a shell, in which kvmsnap is the built one. `edit` is what the person then types into the editor: a script for sed. */
export function paste(line: string | null, edit?: string): ToolResult {
  if (line === null) throw new Error('there is no command to paste');
  const editor = edit === undefined ? [] : [`VISUAL=sed -i "${edit}"`];
  const kvmsnap = `kvmsnap() { ${kvmsnapInShell} "$@"; }`;
  // only where a character could not be pasted otherwise
  const shell = line.includes("$'") ? ['bash', '--norc'] : ['sh'];
  return tryTool('env', [...editor, ...shell, '-ec', `${kvmsnap}; ${line}`]);
}

/** Pastes all commands that a refusal prints, in their order, each once. */
export function pasteAll({ findings }: Pick<Refusal, 'findings'>): void {
  for (const line of new Set(findings.flatMap(({ commands }) => commands))) pasteOk(line);
}

/** Pastes a line that must work. */
export function pasteOk(line: string | null, edit?: string): string {
  const { code, stdout, stderr } = paste(line, edit);
  if (code !== 0) throw new Error(`${line}: exit ${code}\n${stderr}${stdout}`);
  return stdout;
}
