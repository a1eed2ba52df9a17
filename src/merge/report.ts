import { inText } from '../model/text.ts';
import { domainDocument } from '../output/documents.ts';
import { type Column, section } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { show } from '../run/show.ts';
import type { Merged } from './operation.ts';
import type { DiskMerge } from './plan.ts';

/** What a merge has done, as a table and as a document. */

const DISK: Column<DiskMerge> = { key: 'disk', title: 'DISK', kind: 'text', value: ({ target }) => target };

const FILE: Column<DiskMerge> = {
  key: 'base',
  title: 'FILE IN USE NOW',
  kind: 'text',
  ownLine: true,
  value: ({ base }) => base.path,
};

const MORE: readonly Column<DiskMerge>[] = [
  { key: 'overlays', title: 'OVERLAYS', kind: 'count', value: ({ overlays }) => overlays.length },
  { key: 'outcome', title: 'RESULT', kind: 'text', value: () => 'merged' },
];

/** Shows what was merged. */
export async function showMerged(ctx: Context, { facts, vm, unusedFiles }: Merged): Promise<void> {
  await show(ctx, {
    kind: 'merge',
    document: {
      domain: domainDocument(vm.domain),
      disks: facts.merges.map(({ target, overlays, base }) => ({
        target,
        base: base.path,
        overlays: overlays.map(({ path }) => path),
      })),
      leftovers: unusedFiles.map(({ path, bytes, removed }) => ({ path, bytes, removed })),
    },
    sections: [section({ columns: [DISK, ...MORE, FILE], rows: facts.merges })],
    csv: section({ columns: [DISK, FILE, ...MORE], rows: facts.merges }),
    empty: `${inText(vm.domain.name)} has no overlays to merge`,
    names: facts.merges.map(({ target }) => target),
  });
}
