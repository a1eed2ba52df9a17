import { connect, type Socket } from 'node:net';

/**
 * A connection to an NBD server of QEMU on a unix socket. It transfers no data: it tells the size of the disk, and as long as it is
 * open, a qemu-nbd without `-t` goes on; when kvmsnap is killed, the kernel closes it. Source: the NBD protocol, doc/proto.md of
 * NetworkBlockDevice/nbd, "Fixed newstyle negotiation".
 */
export interface NbdConnection {
  /** The size of the disk that is served. */
  readonly sizeBytes: number;
  close(): void;
}

const OPTION_MAGIC = 'IHAVEOPT';
const FIXED_NEWSTYLE = 1;
const NO_ZEROES = 2;
const OPTION_EXPORT_NAME = 1;

/** Connects to the default export. Throws an error with the `code` of errno(3), or one about the protocol. */
export async function connectNbd(path: string): Promise<NbdConnection> {
  const socket = await opened(path);
  try {
    const greeting = await bytesFrom(socket, 18);
    if (greeting.toString('latin1', 0, 16) !== `NBDMAGIC${OPTION_MAGIC}`)
      throw new Error(`${path}: the server does not speak NBD`);
    const flags = greeting.readUInt16BE(16) & (FIXED_NEWSTYLE | NO_ZEROES);
    const request = Buffer.alloc(20);
    request.writeUInt32BE(flags, 0);
    request.write(OPTION_MAGIC, 4, 'latin1');
    request.writeUInt32BE(OPTION_EXPORT_NAME, 12);
    socket.write(request); // and the length of the name, 0
    const answer = await bytesFrom(socket, flags & NO_ZEROES ? 10 : 134);
    // nothing else comes, but a server that ends must not raise an error here
    socket.on('error', () => undefined).resume();
    return { sizeBytes: Number(answer.readBigUInt64BE(0)), close: () => void socket.destroy() };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

const opened = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });

/** The next bytes; throws if the server closes the connection before. */
const bytesFrom = (socket: Socket, count: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const fail = (error?: Error) => reject(error ?? new Error('the NBD server has closed the connection'));
    const take = () => {
      const bytes = socket.read(count) as Buffer | null;
      if (bytes === null) return;
      socket.removeListener('readable', take).removeListener('error', fail).removeListener('end', fail);
      if (bytes.length < count) fail();
      else resolve(bytes);
    };
    socket.on('readable', take).once('error', fail).once('end', fail);
    take();
  });
