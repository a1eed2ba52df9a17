// The commands of hints reach the libvirt that the run has reached.
import { expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { createVirsh } from '../../src/libvirt/virsh.ts';
import type { Context } from '../../src/run/context.ts';
import { withConnection } from '../../src/run/enforce.ts';
import { withResidue } from '../../src/run/failed-write.ts';

const none = async () => ({ stdout: '', stderr: '', exitCode: 0 });
const start = () => ({ ended: none(), end: () => undefined, said: () => '', errors: () => '' });
const connectedTo = (uri: string | null) =>
  ({
    virsh: createVirsh(
      { read: none, write: none, writeToTheEnd: none, setRight: async () => {}, start },
      uri,
      'x',
    ),
  }) as Context;

const URI = 'qemu:///system';
const there = connectedTo(URI);
const commandOf = (ctx: Context, command: string) => withConnection(ctx, { what: '', command }).command;

test.each([
  ['kvmsnap delete web s1', `kvmsnap -c ${URI} delete web s1`],
  ['virsh blockcommit web vda', `virsh -c ${URI} blockcommit web vda`],
  [`virsh -c ${URI} start web`, `virsh -c ${URI} start web`],
  ['qemu-img info virsh.qcow2', 'qemu-img info virsh.qcow2'],
])('%s', (command, expected) => {
  expect(commandOf(there, command)).toBe(expected);
  expect(commandOf(connectedTo(null), command)).toBe(command);
});

test('also in what a failed write has left behind', () => {
  const left = [{ what: 'a tag', command: 'kvmsnap check web --fix' }];
  expect(withResidue(there, new KvmsnapError('refused', 'failed'), left).findings.at(-1)).toEqual({
    message: 'a tag',
    hint: null,
    commands: [`kvmsnap -c ${URI} check web --fix`],
  });
});
