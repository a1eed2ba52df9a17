import { join } from 'node:path';
import { type NewFiles, newFilesOf, requireNew, requireRoom, writeCopy } from '../content/new-files.ts';
import { NVRAM } from '../content/nvram.ts';
import { requireUnchanged, type Session, withContent } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import { unlessOurs } from '../host/files.ts';
import { elementXml } from '../libvirt/xml/change.ts';
import { nameProblem } from '../model/names.ts';
import { directoryOf } from '../model/paths.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { type Operation, operate, skip } from '../run/operation.ts';
import { carryOut } from '../run/write.ts';
import type { CloneOptions } from './command.ts';
import { clonedDefinition } from './definition.ts';
import { type CloneFacts, type CloneRequest, cannotClone, readCloneFacts } from './facts.ts';
import { showClone, showClonePlan } from './report.ts';
import { cloneFindings } from './rules.ts';
import { type Cloned, forget, verifyClone } from './verify.ts';

/** `clone`: a new VM from a snapshot. */

/**
 * Copies the disks of a snapshot, and defines a VM with them; it is not started. Throws `exists` for a VM or a file that exists,
 * `check` for what prevents it, and `refused` for a copy that failed and for what libvirt refused; then nothing of it is left.
 */
export async function cloneSnapshot(
  ctx: Context,
  vm: string,
  name: string,
  newVm: string,
  { to, force = false }: CloneOptions,
): Promise<void> {
  const problem = nameProblem(newVm);
  if (problem !== null)
    throw new KvmsnapError('usage', `${inText(newVm)} cannot be the name of a VM: ${problem}`);
  const request = { name: newVm, to: to ?? null, force };
  await withContent(ctx, { vm, name, targets: null, force, command: 'clone' }, async (session) => {
    const files = newFilesOf(ctx, session.run);
    try {
      const ended = await operate(ctx, clone(session, request, files));
      if ('planned' in ended) return await showClonePlan(ctx, session, ended.planned);
      await showClone(ctx, session, ended.done);
    } catch (error) {
      // of a run that was stopped while libvirt defined the VM, nothing is known
      if (!ctx.interrupts.abandoned) await files.discard();
      throw error;
    }
  });
}

const NOTHING = 'nothing was cloned';

/** A clone whose files are written. */
interface Prepared extends CloneFacts {
  /** The file with the definition for virsh. */
  readonly xml: string;
}

/** The operation; what it makes is noted in `files`, so that a failure removes it. */
const clone = (
  session: Session,
  request: CloneRequest,
  files: NewFiles,
): Operation<Prepared, null, Cloned, CloneFacts> => ({
  async load(ctx) {
    const facts = await readCloneFacts(ctx, session, request);
    const hint = 'name a directory with --to, or remove the file if you do not need it';
    await requireNew(
      ctx,
      facts.planned.map(({ path }) => path),
      { nothing: NOTHING, hint },
    );
    return { ...facts, xml: '' };
  },
  settled: skip('a clone is always new'),
  rules: [
    {
      cannot: () => cannotClone(session),
      force: request.force,
      find: ({ stored, planned }) =>
        cloneFindings({ vm: session.domain.name, stored, targets: planned.map(({ part }) => part.target) }),
    },
  ],
  plan: (_, facts) => facts,
  consent: skip('it changes nothing that exists'),
  async prepare(ctx, facts) {
    await requireRoom(ctx, cannotClone(session), facts.planned, request.force);
    // QEMU has to reach the files in it
    for (const { path } of facts.planned) await files.makeDirectory(directoryOf(path), 0o711);
    for (const each of facts.planned) {
      const copy = await writeCopy(ctx, session, files, each);
      // libvirt with dynamic_ownership = 0 does not make it QEMU's own; only root can give files away
      await ctx.files.giveLike(copy, each.part.path).catch(unlessOurs);
    }
    await requireUnchanged(ctx, session, NOTHING);
    await files.publish(NOTHING);
    // in the directory of the run: the next one finds a virsh that still defines the VM by its command line
    const xml = join(session.run.sockets, 'clone.xml');
    await ctx.files.write(xml, Buffer.from(elementXml(definitionOf(session, facts))), 0o600);
    return { ...facts, xml };
  },
  write: {
    subject: (_, { name }) => `the definition of ${inText(name)}`,
    async run(ctx, { name, xml }) {
      const label = `defining ${inText(name)}`;
      return carryOut(ctx, { command: ['define', xml], label, growing: null });
    },
  },
  log: ({ name }) => ({
    action: `clone to ${name}`,
    vm: session.domain.name,
    snapshots: [session.snapshot.name],
  }),
  async verify(ctx, facts, end) {
    const verified = await verifyClone(ctx, session, facts, end);
    // what libvirt has defined is of no use without its files
    if ('failure' in verified) await forget(ctx, facts.uuid);
    else await files.settle();
    return verified;
  },
  residue: skip('the files are removed'),
});

/** The definition of the clone. */
export function definitionOf({ domain, snapshot }: Session, { name, uuid, stored, planned }: CloneFacts) {
  return clonedDefinition(stored, {
    ...{ name, uuid, from: domain.name },
    title: `clone of ${domain.name} as of ${snapshot.name}`.replace(/\s+/g, ' '),
    disks: new Map(planned.map(({ part, path, format }) => [part.target, { path, format }])),
    nvram: planned.find(({ part }) => part.target === NVRAM)?.path ?? null,
  });
}
