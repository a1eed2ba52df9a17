import { join } from 'node:path';
import { KvmsnapError } from '../errors.ts';
import { errorCode } from '../host/files.ts';
import type { Executed } from '../host/process/exec.ts';
import type { OwnRun } from '../host/run-files.ts';
import { inText } from '../model/text.ts';
import { narrowArguments, type ServedDisk, serveArguments } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import type { Part } from './facts.ts';

/** Serves one disk of a snapshot, read-only, on a unix socket. */

export interface Server extends ServedDisk {
  /** When it ends by itself: what it said. */
  readonly ended: Promise<Executed>;
  close(): Promise<void>;
}

/** `name`: of the socket. `clients`: how many there may be at once, besides kvmsnap itself. */
interface Place {
  readonly name: string;
  readonly clients: number;
}

/**
 * Starts the server, and waits until it answers. kvmsnap stays connected with it, so that it ends with kvmsnap, however that ends.
 * Throws `refused` if it does not answer.
 */
export async function serve(
  ctx: Context,
  run: OwnRun,
  part: Part,
  { name, clients }: Place,
): Promise<Server & Pick<Started, 'servedBytes'>> {
  const socket = join(run.sockets, name);
  const args = serveArguments(part, { socket, clients: clients + 1 });
  return { ...(await startServer(ctx, args, socket, part)), diskBytes: part.diskBytes };
}

/** The same, but what it shows is not more than the disk had at the time of the snapshot, for clients that take all of it. */
export async function serveExactly(
  ctx: Context,
  run: OwnRun,
  part: Part,
  { name, clients }: Place,
): Promise<Server> {
  const first = await serve(ctx, run, part, { name, clients });
  if (first.servedBytes === part.diskBytes) return first;
  await first.close();
  // the disk was made larger since, and behind its end at that time QEMU shows the saved memory of the guest
  const behind = await serve(ctx, run, part, { name: `whole-${name}`, clients: 1 });
  try {
    const socket = join(run.sockets, name);
    const args = narrowArguments(behind, { socket, clients: clients + 1 });
    const narrow = await startServer(ctx, args, socket, part);
    return {
      ...{ socket, diskBytes: part.diskBytes },
      ended: Promise.race([narrow.ended, behind.ended]),
      close: async () => {
        await narrow.close();
        await behind.close();
      },
    };
  } catch (error) {
    await behind.close();
    throw error;
  }
}

interface Started extends Omit<Server, 'diskBytes'> {
  readonly servedBytes: number;
}

/** A server that has just been started answers within milliseconds; a loaded host takes longer. */
const ANSWER_SECONDS = 30;
const POLL_MILLISECONDS = 20;

async function startServer(
  ctx: Context,
  args: readonly string[],
  socket: string,
  { target, diskBytes }: Pick<Part, 'target' | 'diskBytes'>,
): Promise<Started> {
  const running = ctx.start('qemu-nbd', args);
  let hasEnded = false;
  const note = () => {
    hasEnded = true;
  };
  running.ended.then(note, note);
  const stop = async () => {
    running.end();
    await running.ended.catch(() => undefined);
  };
  try {
    for (const until = ctx.clock.now() + ANSWER_SECONDS * 1000; ; ) {
      const connection = await ctx.connectNbd(socket).catch((error: unknown) => {
        if (!['ENOENT', 'ECONNREFUSED'].includes(String(errorCode(error)))) throw failed(target, error);
        return null;
      });
      if (connection && connection.sizeBytes < diskBytes) {
        connection.close();
        throw failed(target, `it shows ${connection.sizeBytes} bytes instead of ${diskBytes}`);
      }
      if (connection)
        return {
          socket,
          servedBytes: connection.sizeBytes,
          ended: running.ended,
          close: async () => {
            connection.close();
            await stop();
          },
        };
      if (hasEnded) throw failed(target, wordsOf(await running.ended));
      if (ctx.clock.now() > until) throw failed(target, `it did not answer within ${ANSWER_SECONDS} s`);
      await ctx.clock.sleep(POLL_MILLISECONDS);
    }
  } catch (error) {
    await stop();
    throw error;
  }
}

const wordsOf = ({ stderr, exitCode }: Executed): string =>
  stderr.trim().replace(/^qemu-nbd: /, '') || `it ended with exit code ${exitCode}`;

const failed = (target: string, why: unknown): KvmsnapError =>
  new KvmsnapError(
    'refused',
    `qemu-nbd cannot serve disk ${inText(target)}: ${why instanceof Error ? why.message : why}`,
  );
