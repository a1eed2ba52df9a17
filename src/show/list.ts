import { KvmsnapError } from '../errors.ts';
import { loadMeanwhile } from '../host/meanwhile.ts';
import { readDomain } from '../libvirt/domains.ts';
import { isPattern } from '../model/input/selection.ts';
import type { Context } from '../run/context.ts';
import { toSelection } from '../run/select-options.ts';
import type { ListOptions } from './command.ts';

/** `list`: the snapshots of one VM or of several; without a VM, an overview of all VMs. */
export async function list(ctx: Context, words: readonly string[], options: ListOptions): Promise<void> {
  const [word = ''] = words;
  const { all, state, exclude, space } = options;
  checkFilter(options);
  const isOne = words.length === 1 && !isPattern(word) && !all && !state && !exclude;
  if (space && !isOne) throw new KvmsnapError('usage', '--space needs one VM, given by its name');
  if (space && ctx.settings.output === 'name')
    throw new KvmsnapError('usage', '--space cannot be combined with -q, which prints only names');
  if (!isOne) return (await import('./list-many.ts')).listMany(ctx, words, options);
  const [reading, { listOne }] = await loadMeanwhile(
    readDomain(ctx.virsh, word),
    () => import('./list-one.ts'),
  );
  await listOne(ctx, reading, options, toSelection(words, options));
}

function checkFilter({ roots, from, current, descendants }: ListOptions): void {
  if (from !== undefined && current)
    throw new KvmsnapError('usage', '--from cannot be combined with --current');
  const below = from !== undefined || current;
  if (roots && below) throw new KvmsnapError('usage', '--roots cannot be combined with --from or --current');
  if (descendants && !below) throw new KvmsnapError('usage', '--descendants needs --from or --current');
}
