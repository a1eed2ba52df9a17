import { KvmsnapError } from '../errors.ts';
import { readDomain } from '../libvirt/domains.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { allInText, inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { operate } from '../run/operation.ts';
import { showPlan } from '../run/show.ts';
import { isRemote } from '../vm/disks.ts';
import type { MergeOptions } from './command.ts';
import { mergeOverlays } from './operation.ts';
import type { OtherBase } from './plan.ts';
import { showMerged } from './report.ts';

/**
 * `merge`: merges the overlays that belong to no snapshot into the files below them, and removes them. Throws `check` if a snapshot
 * or another VM needs one of the files, `declined`, and what a merge fails with; the VM can be used with the same content then.
 */
export async function mergeVm(ctx: Context, word: string, { disk, into }: MergeOptions): Promise<void> {
  const { uri, domain } = await readDomain(ctx.virsh, word);
  if (isRemote(uri))
    throw new KvmsnapError('check', `the files of ${inText(domain.name)} are on another host`, {
      hint: 'run kvmsnap merge on that host',
    });
  const disks = disk ?? [];
  const unknown = disks.filter((target) => !domain.disks.some((each) => each.target === target));
  if (unknown.length > 0)
    throw new KvmsnapError('not-found', `${inText(domain.name)} has no disk ${allInText(unknown)}`, {
      hint: `its disks are ${domain.disks.map(({ target }) => target).join(', ')}`,
    });
  if (into?.startsWith('/') === false)
    throw new KvmsnapError('usage', '--into needs an absolute path, as kvmsnap info shows it');
  const ended = await operate(ctx, mergeOverlays(domain.uuid, { disks, into: into ?? null }));
  if ('planned' in ended) {
    const { vm, lines } = ended.planned;
    return showPlan(ctx, lines, { vms: [vm.domain] });
  }
  const { facts } = ended.done;
  for (const other of facts.others) noteOther(ctx, domain.name, other);
  if (ctx.settings.dryRun) return showPlan(ctx, [], { vms: [] });
  await showMerged(ctx, ended.done);
  const [failure] = ended.done.unremoved;
  if (failure) throw failure;
}

/** A file with another name below an overlay may be a template. */
function noteOther(ctx: Context, vm: string, { target, overlay, base }: OtherBase): void {
  const { command } = withConnection(ctx, {
    what: '',
    command: kvmsnapLine('merge', [vm], '--disk', target, '--into', base),
  });
  ctx.terminal.note(
    `note: disk ${target}: ${overlay} is on top of ${base}, which has another name and may be a template, so it is left alone. To merge it all the same:\n  ${command}`,
  );
}
