import { join } from 'node:path';
import { copyDisk, whileServed } from '../content/copy.ts';
import { type Server, serve } from '../content/serve.ts';
import type { Session } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import { unlessOurs } from '../host/files.ts';
import type { Running } from '../host/process/exec.ts';
import { changedAt, elementXml, withAttributes } from '../libvirt/xml/change.ts';
import { overlayArguments } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import type { StageFacts } from './facts.ts';
import { errorIn, refusedByLibvirt } from './not-started.ts';
import { whileResumed } from './resume.ts';
import { throwAwayDefinition } from './throw-away.ts';

/** Starts the throw-away VM, and leaves nothing of it behind. */

/** virsh prints it when it has carried out what was asked before. */
const DONE = 'kvmsnap: done';
const POLL_MILLISECONDS = 100;

/**
 * Runs the task, which takes at most so many seconds, while the VM runs. A VM that boots ends with kvmsnap, however that ends: libvirt destroys it when our virsh has gone, and virsh
 * ends with the pipe to kvmsnap. Throws NotStarted if libvirt refuses it.
 */
export async function onStage<T>(
  ctx: Context,
  session: Session,
  facts: StageFacts,
  seconds: number,
  task: () => Promise<T>,
): Promise<T> {
  const files = temporaryFiles(ctx, session);
  const servers: Server[] = [];
  try {
    await prepare(ctx, session, facts, { files, servers });
    const xml = elementXml(definitionOf(facts));
    return facts.memory
      ? await whileResumed(ctx, facts.uuid, { xml, memory: facts.memory, files, seconds }, task)
      : await whileBooted(ctx, facts.uuid, { xml, directory: session.run.sockets, files }, task);
  } finally {
    await files.remove();
    for (const server of servers) await server.close();
  }
}

interface Boot {
  readonly xml: string;
  /** For the file with the XML. */
  readonly directory: string;
  readonly files: TemporaryFiles;
}

async function whileBooted<T>(
  ctx: Context,
  uuid: string,
  { xml, directory, files }: Boot,
  task: () => Promise<T>,
): Promise<T> {
  const file = join(directory, 'vm.xml');
  await files.begin(file, Buffer.from(xml));
  const virsh = ctx.virsh.stay([
    ['create', '--file', file, '--autodestroy'],
    ['echo', DONE],
  ]);
  try {
    await requireStarted(ctx, virsh);
    // QEMU has opened them
    await files.remove();
    return await task();
  } finally {
    await ctx.virsh.setRight([['destroy', '--domain', uuid]]);
    virsh.end();
    await virsh.ended.catch(() => undefined);
  }
}

/** Files that the next run removes if this one is killed. */
export interface TemporaryFiles {
  begin(path: string, bytes?: Uint8Array): Promise<void>;
  /** For a file that another program makes. */
  expect(path: string): Promise<void>;
  remove(): Promise<void>;
}

function temporaryFiles({ files }: Context, { run }: Session): TemporaryFiles {
  const made: string[] = [];
  const expect = async (path: string) => {
    await run.note(path);
    made.push(path);
  };
  return {
    expect,
    async begin(path, bytes = new Uint8Array()) {
      await run.note(path);
      await files.write(path, bytes, 0o600);
      made.push(path);
    },
    async remove() {
      for (const path of made.splice(0)) await files.remove(path).catch(unlessOurs);
    },
  };
}

interface Stage {
  readonly files: TemporaryFiles;
  readonly servers: Server[];
}

/** Serves the disks, and makes an overlay over each and a copy of the NVRAM. */
async function prepare(
  ctx: Context,
  session: Session,
  { overlays, nvram, security }: StageFacts,
  { files, servers }: Stage,
): Promise<void> {
  const place = await session.run.reachableBy(security.qemuUser);
  for (const { part, path } of overlays) {
    const socket = { name: `vm/${part.target}.sock`, clients: CLIENTS };
    const server = await serve(ctx, session.run, part, socket);
    servers.push(server);
    // only QEMU's user can enter the directory
    await ctx.files.chmod(server.socket, 0o666);
    await files.begin(path);
    await runQemuImg(ctx, overlayArguments(server, path));
    await place.give(path);
  }
  if (nvram?.part) {
    const { part, path } = nvram;
    await files.begin(path);
    const to = { path, format: part.chain[0]?.format === 'raw' ? 'raw' : 'qcow2', compress: false } as const;
    await whileServed(ctx, session, part, (disk) => copyDisk(ctx, disk, to, 'the NVRAM', part.diskBytes));
    await place.give(path);
  } else if (nvram) await files.expect(nvram.path);
}

/** Waits until virsh has carried out its command. Throws NotStarted. */
async function requireStarted(ctx: Context, virsh: Running): Promise<void> {
  let hasEnded = false;
  const note = () => {
    hasEnded = true;
  };
  virsh.ended.then(note, note);
  while (!virsh.said().includes(DONE) && !hasEnded) await ctx.clock.sleep(POLL_MILLISECONDS);
  if (hasEnded) {
    const { stderr, exitCode } = await virsh.ended;
    throw refusedByLibvirt(stderr.trim() || `virsh ended with exit code ${exitCode}`);
  }
  if (!/^Domain .* created from /m.test(virsh.said())) throw refusedByLibvirt(errorIn(virsh.errors()));
}

/** libvirt may look at the disk before QEMU does. */
const CLIENTS = 4;

async function runQemuImg(ctx: Context, args: readonly string[]): Promise<void> {
  const { stderr, exitCode } = await ctx.start('qemu-img', args).ended;
  if (exitCode !== 0) throw new KvmsnapError('refused', `cannot make an overlay: ${stderr.trim()}`);
}

/** The definition of the throw-away VM. */
export function definitionOf({ stored, name, uuid, overlays, security, nvram, resumes }: StageFacts) {
  const domain = throwAwayDefinition(stored, {
    ...{ name, uuid, resumes, securityModels: security.models },
    overlays: new Map(overlays.map(({ part, path }) => [part.target, path])),
  });
  if (!nvram) return domain;
  const withVarstore = changedAt(domain, 'os/varstore', (element) =>
    withAttributes(element, { path: nvram.path }),
  );
  return changedAt(withVarstore, 'os/nvram', (element) => ({
    ...element,
    attributes: Object.fromEntries(Object.entries(element.attributes).filter(([key]) => key !== 'type')),
    children: [],
    text: nvram.path,
  }));
}
