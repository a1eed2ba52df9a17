import type { Context } from '../run/context.ts';
import type { NamedSnapshots, OneNamed } from '../vm/named.ts';

/** Actions on what the words of a line name (vm/named.ts), for the definitions of commands. */

type Act = (ctx: Context) => Promise<void>;

/** The words that were given. */
export const given = (...words: readonly (string | undefined)[]): readonly string[] =>
  words.filter((word) => word !== undefined);

/** Of one VM, and at most one of its snapshots. */
export const onOne =
  (line: OneNamed, act: (ctx: Context, vm: string, name: string | undefined) => Promise<void>): Act =>
  async (ctx) => {
    const { requireOneName, withOneNamed } = await import('../vm/named.ts');
    await withOneNamed(ctx, line, (vm, names) => act(ctx, vm, requireOneName(names)));
  };

/** Of one VM and one of its snapshots. */
export const onSnapshot = (
  line: OneNamed,
  act: (ctx: Context, vm: string, name: string) => Promise<void>,
): Act => onOne({ ...line, needsName: true }, (ctx, vm, name = '') => act(ctx, vm, name));

/** Of one VM and any number of its snapshots. */
export const onSnapshotsOfOne =
  (line: OneNamed, act: (ctx: Context, vm: string, names: readonly string[]) => Promise<void>): Act =>
  async (ctx) =>
    (await import('../vm/named.ts')).withOneNamed(ctx, line, (vm, names) => act(ctx, vm, names));

/** Of any VMs and snapshots. */
export const onSnapshots =
  (
    line: Pick<OneNamed, 'words' | 'others'>,
    act: (ctx: Context, named: NamedSnapshots) => Promise<void>,
  ): Act =>
  async (ctx) =>
    (await import('../vm/named.ts')).withNamed(ctx, line, (named) => act(ctx, named));
