import { type Server, serveExactly } from '../content/serve.ts';
import { requireUnchanged, type Session, withContent } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import type { Context } from '../run/context.ts';
import type { OpenOptions } from './command.ts';
import { showOpen, showOpenPlan } from './report.ts';

/** `open`: the disks of a snapshot on unix sockets, until the user ends it. */

/** A disk of a snapshot that is served. */
export interface Opened extends Server {
  readonly target: string;
}

/** The most clients of a disk at once. */
export const MOST_CLIENTS = 8;

/** Seconds between two looks at the snapshot, which virsh could delete. */
const LOOK_SECONDS = 2;

/**
 * Serves the disks until a signal; SIGINT is the ordinary end. Throws what prevents that, `refused` if a server ends by itself, and
 * `check` if the snapshot is deleted meanwhile. Afterwards nothing is left.
 */
export async function openSnapshot(
  ctx: Context,
  vm: string,
  name: string,
  { disk, force = false }: OpenOptions,
): Promise<void> {
  const request = { vm, name, targets: disk ?? null, force, command: 'open' };
  await withContent(ctx, request, async (session) => {
    if (ctx.settings.dryRun) return showOpenPlan(ctx, session);
    const opened: Opened[] = [];
    try {
      for (const part of session.parts) {
        const server = await serveExactly(ctx, session.run, part, {
          name: `${part.target}.sock`,
          clients: MOST_CLIENTS,
        });
        opened.push({ ...server, target: part.target });
      }
      await lookAgain(ctx, session);
      await untilEnd(ctx, session, opened);
    } finally {
      for (const server of opened) await server.close();
    }
  });
}

const lookAgain = (ctx: Context, session: Session): Promise<void> =>
  requireUnchanged(ctx, session, 'what was read since may be wrong');

/** Shows the sockets, and returns after a signal. */
async function untilEnd(ctx: Context, session: Session, opened: readonly Opened[]): Promise<void> {
  let isEnded = false;
  let takeBack = () => {};
  const signal = new Promise<void>((resolve) => {
    takeBack = ctx.interrupts.handOver(() => resolve());
  }).then(() => {
    isEnded = true;
  });
  const watch = async () => {
    while (!isEnded) {
      await ctx.clock.sleep(LOOK_SECONDS * 1000);
      if (!isEnded) await lookAgain(ctx, session);
    }
  };
  const deaths = opened.map(async ({ target, ended }) => {
    const { stderr, exitCode } = await ended;
    if (isEnded) return;
    const why = stderr.trim() || (exitCode === null ? 'it was killed' : `exit code ${exitCode}`);
    throw new KvmsnapError(
      'refused',
      `disk ${target} is not served any more, because qemu-nbd ended: ${why}`,
    );
  });
  try {
    await showOpen(ctx, session, opened);
    const watching = watch();
    watching.catch(() => undefined); // it ends after the signal
    await Promise.race([signal, watching, ...deaths]);
    isEnded = true;
  } finally {
    takeBack();
  }
}
