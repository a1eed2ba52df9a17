import { KvmsnapError } from '../errors.ts';
import { dumpCommand } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { kvmsnapLine, quote } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { oldestFirst } from '../model/tree.ts';
import { rfc3339 } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { loadVm, requireAllRead, stillBeingTaken } from '../vm/load.ts';
import type { HistoryOptions } from './command.ts';
import { formatHistory } from './history-file.ts';

/** `history save`: prints the metadata of all snapshots of a VM, for a file. Throws `check` if one cannot be read. */
export async function saveHistory(
  ctx: Context,
  word: string,
  file: string | undefined,
  { map, securityInfo = false }: HistoryOptions,
): Promise<void> {
  if (file !== undefined) {
    const line = kvmsnapLine('history', ['save', word], ...(securityInfo ? ['--security-info'] : []));
    throw new KvmsnapError('usage', 'history save prints to stdout', {
      hint: 'redirect it to the file, which is overwritten',
      command: `${withConnection(ctx, { what: '', command: line }).command} > ${quote(file)}`,
    });
  }
  if (map !== undefined) throw new KvmsnapError('usage', '--map needs history load');
  const vm = await loadVm(ctx, word);
  const { domain, current } = vm;
  requireAllRead(ctx, vm, `save the history of ${inText(domain.name)}`);
  const unfinished = vm.snapshots.find(({ underWay }) => underWay);
  if (unfinished) throw stillBeingTaken(vm, unfinished);
  const names = oldestFirst(vm.snapshots).map(({ name }) => name);
  const secrets = securityInfo ? ['--security-info'] : [];
  const { texts, stderr } = await ctx.virsh.read(
    names.map((name) => [...dumpCommand(domain.uuid, name), ...secrets]),
  );
  const snapshots = names.map((name, i) => {
    const xml = texts[i];
    if (!xml)
      throw virshFailure(`cannot read the snapshot ${inText(name)} of ${inText(domain.name)}`, stderr);
    return { name, xml };
  });
  ctx.terminal.print(
    formatHistory({
      kvmsnapHistory: 1,
      savedAt: rfc3339(ctx.clock.now() / 1000),
      vm: { name: domain.name, uuid: domain.uuid },
      current,
      snapshots,
    }),
  );
}
