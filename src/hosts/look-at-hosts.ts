import { KvmsnapError } from '../errors.ts';
import type { Context } from '../run/context.ts';
import { chooseHosts } from './choose-hosts.ts';
import { openHost } from './host-context.ts';

/** Quick looks at hosts from a command that does not run on them, such as the completion of names. */

/** More connections than these are not opened for a key that a user presses. */
const MOST_HOSTS = 8;

/**
 * What libvirt answers on the hosts of these words (names, sets, groups), on the first of them if there are many. Nobody is asked or
 * told anything. A host that fails, or does not answer within these seconds, has no result. Throws what chooseHosts throws.
 */
export async function lookAtHosts<T>(
  ctx: Context,
  words: readonly string[],
  seconds: number,
  read: (host: Pick<Context, 'connect'>) => Promise<T>,
): Promise<readonly T[]> {
  const quiet: Context = {
    ...ctx,
    terminal: { ...ctx.terminal, hasPerson: false, note: () => undefined, trace: () => undefined },
  };
  const hosts = await chooseHosts(
    { names: words, from: null, exclude: [], atOnce: MOST_HOSTS },
    ctx.configFiles,
  );
  const answers = hosts.slice(0, MOST_HOSTS).map(async (host): Promise<T[]> => {
    const part = openHost(quiet, host, {
      timeout: seconds,
      isAlone: true,
      sharedWith: () => [],
      progress: () => undefined,
    });
    try {
      return [await read(part.contextWith(ctx.settings))];
    } catch (error) {
      if (error instanceof KvmsnapError) return [];
      throw error;
    } finally {
      part.close();
    }
  });
  return (await Promise.all(answers)).flat();
}
