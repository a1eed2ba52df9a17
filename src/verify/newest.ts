import { KvmsnapError } from '../errors.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { forEachDomain, throwIfNothingDone } from '../run/for-each-domain.ts';
import { toSelection } from '../run/select-options.ts';
import { completeVm } from '../vm/load.ts';
import { readSelection } from '../vm/select.ts';
import { watched } from '../watch/watched.ts';
import type { VerifyOptions } from './command.ts';
import { showVerdicts } from './report.ts';
import { verifyOne } from './verify.ts';

/**
 * `verify --label`: the newest snapshot with the label of each VM, one after the other; of all VMs if none is named. A VM that was not named
 * and has no such snapshot is skipped.
 */
export async function verifyNewest(
  ctx: Context,
  words: readonly string[],
  label: string,
  options: VerifyOptions,
): Promise<void> {
  if (options.screenshot !== undefined)
    throw new KvmsnapError('usage', '--screenshot cannot be combined with --label');
  const selected = await readSelection(ctx, toSelection(words, { all: words.length === 0 }));
  const run = { jobs: 1, skips: ({ code }: KvmsnapError) => code === 'not-found' };
  const results = await forEachDomain(ctx, selected, run, async (ctx, reading) => {
    const { name, uuid } = reading.domain;
    const { newest } = watched((await completeVm(ctx, reading)).snapshots, label);
    if (newest === null)
      throw new KvmsnapError('not-found', `${inText(name)} has no snapshot with the label ${label}`);
    const value = await verifyOne(ctx, uuid, newest.name, options);
    const failures = 'failure' in value && value.failure ? [value.failure] : [];
    return { value, failures, succeeded: 1 - failures.length };
  });
  throwIfNothingDone(ctx, selected.single, results);
  await showVerdicts(ctx, results);
}
