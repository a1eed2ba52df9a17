import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { definitionCommand } from '../libvirt/piped-lines.ts';
import { readMerged } from '../libvirt/runtime.ts';
import { virshMessage } from '../libvirt/virsh-error.ts';
import { withDiskFile } from '../libvirt/xml/disk-file.ts';
import { isActive } from '../model/domain.ts';
import { commandLine } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { carryOut, type WriteEnd } from '../run/write.ts';
import type { MergeFacts } from './facts.ts';
import type { DiskMerge } from './plan.ts';

/**
 * Merges the overlays of one disk. QEMU does it for a VM that runs. For one that is off, qemu-img writes the content of the overlays
 * into the file below, and the overlays stay complete, so that the VM can be started at any moment in between; then the
 * definition is changed.
 */

/** The virsh command for a VM that runs; it ends when the VM uses the file below. */
export const blockCommand = (uuid: string, { target, base, overlays, job }: DiskMerge): VirshCommand =>
  job === 'ready'
    ? ['blockjob', '--domain', uuid, '--path', target, '--pivot']
    : [
        ...[
          'blockcommit',
          '--domain',
          uuid,
          '--path',
          target,
          '--base',
          base.path,
          '--top',
          overlays[0].path,
        ],
        ...['--active', '--pivot'],
      ];

const commitWords = ({ overlays: [top], base }: DiskMerge): string[] => [
  ...['commit', '-q', '-f', top.format, '-b', base.path, '-d', top.path],
];

const compareWords = ({ overlays: [top], base }: DiskMerge): string[] => [
  ...['compare', '-q', '-f', top.format, '-F', base.format, top.path, base.path],
];

/** The command lines of a merge, for a dry run. */
export const mergeLines = ({ vm: { domain } }: MergeFacts, merge: DiskMerge): (VirshCommand | string)[] =>
  isActive(domain.state)
    ? [blockCommand(domain.uuid, merge)]
    : [
        commandLine('qemu-img', commitWords(merge)),
        commandLine('qemu-img', compareWords(merge)),
        `# then the definition of the VM names ${merge.base.path} for disk ${merge.target}`,
      ];

/** Merges one disk; the result is what virsh or qemu-img reported, and has to be verified. */
export async function mergeDisk(ctx: Context, facts: MergeFacts, merge: DiskMerge): Promise<WriteEnd> {
  const { domain } = facts.vm;
  if (!isActive(domain.state)) return mergeOff(ctx, facts, merge);
  return carryOut(ctx, {
    command: blockCommand(domain.uuid, merge),
    label: `merging the overlays of disk ${merge.target} of ${inText(domain.name)}`,
    growing: null,
    progress: () => readMerged(ctx.virsh, domain.uuid, [merge.target]),
  });
}

async function mergeOff(ctx: Context, { vm: { domain } }: MergeFacts, merge: DiskMerge): Promise<WriteEnd> {
  const { target, overlays, base } = merge;
  const refused = (stderr: string): WriteEnd => ({ kind: 'refused', stderr });
  const { texts, stderr } = await ctx.virsh.read([definitionCommand(domain.uuid)]);
  const before = texts[0] ?? '';
  const after = withDiskFile(before, target, overlays[0].path, base);
  if (before === '' || after === null)
    return refused(stderr || `the definition has no file for disk ${target} that can be changed`);

  ctx.terminal.progress(`merging the overlays of disk ${target} of ${inText(domain.name)}`);
  try {
    const committed = await ctx.changeImage(commitWords(merge));
    if (committed.exitCode !== 0) return refused(committed.stderr || 'qemu-img was killed');
    const compared = await ctx.changeImage(compareWords(merge));
    if (compared.exitCode !== 0)
      return refused(compared.stderr || `${base.path} differs from the overlay after the merge`);
  } finally {
    ctx.terminal.progress('');
  }
  return redefine(ctx, domain, { before, after });
}

/** Changes the definition, and takes that back if the VM was started meanwhile, because it then writes to the overlay. */
async function redefine(
  ctx: Context,
  { uuid, name }: { readonly uuid: string; readonly name: string },
  { before, after }: { readonly before: string; readonly after: string },
): Promise<WriteEnd> {
  const isOff = async () => {
    const { texts } = await ctx.virsh.read([['domstate', '--domain', uuid]]);
    return texts[0]?.trim() === 'shut off';
  };
  const started = { kind: 'refused', stderr: `${inText(name)} was started meanwhile` } as const;
  if (!(await isOff())) return started;
  const end = await define(ctx, uuid, after);
  if (end.kind !== 'done' || (await isOff())) return end;
  const back = await define(ctx, uuid, before);
  if (back.kind === 'done') return started;
  throw new KvmsnapError(
    'refused',
    `${inText(name)} was started meanwhile, and its definition for the next start is wrong: ${virshMessage(back.stderr)}`,
    { hint: 'put the overlay back with virsh edit before you shut the VM down' },
  );
}

async function define(ctx: Context, uuid: string, xml: string): Promise<WriteEnd> {
  const path = await ctx.savedXml.keep(`${uuid}.${ctx.clock.now()}.merge.xml`, xml);
  try {
    return await carryOut(ctx, {
      command: ['define', path],
      label: 'changing the definition',
      growing: null,
    });
  } finally {
    await ctx.savedXml.drop(path);
  }
}
