import type { Context } from '../run/context.ts';
import type { NamedSnapshots, OneNamed } from '../vm/named.ts';

/** Helpers for the definitions of commands that run an action for the VMs and snapshots in a line (vm/named.ts). */

type Act = (ctx: Context) => Promise<void>;

/** The words of the line. */
export const given = (...words: readonly (string | undefined)[]): readonly string[] =>
  words.filter((word) => word !== undefined);

/** For one VM and at most one of its snapshots. */
export const onOne =
  (line: OneNamed, act: (ctx: Context, vm: string, name: string | undefined) => Promise<void>): Act =>
  async (ctx) => {
    const { requireOneName, withOneNamed } = await import('../vm/named.ts');
    await withOneNamed(ctx, line, (vm, names) => act(ctx, vm, requireOneName(names)));
  };

/** For one VM and one of its snapshots. */
export const onSnapshot = (
  line: OneNamed,
  act: (ctx: Context, vm: string, name: string) => Promise<void>,
): Act => onOne({ ...line, needsName: true }, (ctx, vm, name = '') => act(ctx, vm, name));

/** For one VM and any number of its snapshots. */
export const onSnapshotsOfOne =
  (line: OneNamed, act: (ctx: Context, vm: string, names: readonly string[]) => Promise<void>): Act =>
  async (ctx) =>
    (await import('../vm/named.ts')).withOneNamed(ctx, line, (vm, names) => act(ctx, vm, names));

/** For any VMs and snapshots. */
export const onSnapshots =
  (
    line: Pick<OneNamed, 'words' | 'others'>,
    act: (ctx: Context, named: NamedSnapshots) => Promise<void>,
  ): Act =>
  async (ctx) =>
    (await import('../vm/named.ts')).withNamed(ctx, line, (named) => act(ctx, named));
