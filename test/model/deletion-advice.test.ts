import { describe, expect, test } from 'vitest';
import { adviseDeletion } from '../../src/model/deletion-advice.ts';
import { withHold } from '../../src/model/marks/hold.ts';

const domain = { name: 'web-1' };
const hint = 'delete these first';
const plain = (name: string) => ({ name, description: null });

describe('the advice to delete snapshots', () => {
  test('without a hold is the one command', () => {
    expect(adviseDeletion({ domain, snapshots: [plain('a')] }, ['a', 'gone'], { hint })).toEqual({
      hint,
      command: 'kvmsnap delete web-1 a gone',
    });
  });

  test.each([
    ['by the mark in the description', { name: 'b', description: withHold('mine') }],
    ['by what was read of it', { name: 'b', description: 'mine', held: true }],
  ])('takes a hold back first, and names it: %s', (_, held) => {
    const facts = { domain, snapshots: [plain('a'), held, plain('c')] };
    expect(adviseDeletion(facts, ['a', 'b'], { hint, options: ['--metadata'] })).toEqual({
      hint: `${hint}. b is on hold: release the hold only if you do not need this snapshot`,
      commands: ['kvmsnap unhold web-1 b', 'kvmsnap delete --metadata web-1 a b'],
    });
    expect(adviseDeletion(facts, ['a', 'c'], { hint })).not.toHaveProperty('commands');
  });
});
