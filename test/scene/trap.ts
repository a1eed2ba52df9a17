// What nothing may open or connect to: each tells whether somebody has.
import { closeSync, constants, openSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { scratch, tool } from '../lab/lab.ts';

export interface Trap {
  /** What a header has to name. */
  readonly name: string;
  isSprung(): boolean;
  close(): void;
}

export const SECRET_BYTE = 0x5a;

/** A file of the host with 4 MiB of one byte; whoever reads it changes the time of its last access. */
export function secretFile(called = 'secret'): Trap {
  const name = join(scratch, called);
  writeFileSync(name, Buffer.alloc(4 * 1024 * 1024, SECRET_BYTE));
  const now = new Date();
  // a file system that notes accesses at all notes the first one after a write
  utimesSync(name, new Date(now.getTime() - 3 * 86_400_000), now);
  const before = statSync(name).atimeMs;
  return { name, isSprung: () => statSync(name).atimeMs !== before, close: () => undefined };
}

/** A named pipe: a writer that asks again and again gets in as soon as somebody has opened it for reading. */
export function pipe(): Trap {
  const name = join(scratch, 'pipe');
  tool('mkfifo', [name]);
  let sprung = false;
  const timer = setInterval(() => {
    try {
      closeSync(openSync(name, constants.O_WRONLY | constants.O_NONBLOCK));
      sprung = true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    }
  }, 2);
  return { name, isSprung: () => sprung, close: () => clearInterval(timer) };
}

/** A port of this host, as the address of an NBD server; nobody is served. */
export async function listener(): Promise<Trap> {
  let sprung = false;
  const server = createServer((socket) => {
    sprung = true;
    socket.on('error', () => undefined).destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    name: `nbd://127.0.0.1:${port}/export`,
    isSprung: () => sprung,
    close: () => void server.close(),
  };
}
