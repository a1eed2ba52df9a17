import { expect, test } from 'vitest';
import { type Answers, type Look, parseLook, verdictOf } from '../../src/verify/signs.ts';

const NOTHING: Answers = { state: '', memory: '', blocks: '', registers: '', agent: '' };

test('a look, as libvirt 9.0 and QEMU 7.2 print it', () => {
  expect(
    parseLook({
      state: 'running (booted)\n',
      memory: 'actual 163840\nunused 100\nlast_update 1795900000\nrss 9000\n',
      blocks: "Domain: 'x'\n  block.count=2\n  block.0.rd.bytes=512\n  block.1.rd.bytes=1024\n",
      registers:
        'RIP=ffffffff81c0 HLT=1\nGDT=     fffffe0000001000 0000007f\nIDT=     fffffe0000000000 00000fff\nCR0=80050033\n',
      agent: '{"return":{}}\n',
    }),
  ).toEqual({
    ...{ exists: true, state: 'running (booted)', agentAnswers: true },
    ...{ balloonAt: 1_795_900_000, hasKernel: true, readBytes: 1536 },
  });
  expect(parseLook(NOTHING)).toEqual({
    ...{ exists: false, state: '', agentAnswers: false },
    ...{ balloonAt: 0, hasKernel: false, readBytes: null },
  });
});

test.each([
  ['a BIOS', 'IDT=     00000000 000003ff'],
  ['a boot loader', 'IDT=     00003008 000007ff'],
  ['OVMF', 'IDT=     000000000f07b018 00000fff'],
])('%s is no kernel', (_, registers) => {
  expect(parseLook({ ...NOTHING, registers }).hasKernel).toBe(false);
});

const LOOK: Look = {
  ...{ exists: true, state: 'running (booted)', agentAnswers: false },
  ...{ balloonAt: 0, hasKernel: false, readBytes: 512 },
};

test.each<readonly [string, readonly Partial<Look>[], boolean, string | null]>([
  ['too early', [{}, {}], false, null],
  ['no kernel', [{}], true, 'not proven: no kernel started; it has read 512 B from its disks'],
  [
    'a kernel',
    [{ hasKernel: true }],
    true,
    'not proven: a kernel started, but neither the guest agent nor the balloon driver answered',
  ],
  ['the agent', [{}, { agentAnswers: true }], false, 'proven: the guest agent answers'],
  ['the balloon driver, once', [{ balloonAt: 5 }, { balloonAt: 5 }], false, null],
  [
    'the balloon driver',
    [{ balloonAt: 5 }, { balloonAt: 7 }],
    false,
    'proven: the balloon driver of the guest answers',
  ],
  [
    'a guest that is just stopping',
    [{}, { state: 'in shutdown (unknown)' }],
    false,
    'failed: the guest has stopped: it reset itself, panicked or turned itself off',
  ],
  [
    'a reset, even after the agent',
    [{ agentAnswers: false }, { exists: false }],
    false,
    'failed: the guest has stopped: it reset itself, panicked or turned itself off',
  ],
  ['an error of a disk', [{ state: 'paused (I/O error)' }], false, 'failed: the VM is paused (I/O error)'],
])('%s', (_, looks, over, expected) => {
  const seen = verdictOf(
    looks.map((look) => ({ ...LOOK, ...look })),
    over,
  );
  expect(seen && `${seen.outcome}: ${seen.what}`).toBe(expected);
});
