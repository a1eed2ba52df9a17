import { describe, expect, test } from 'vitest';
import { chooseSnapshots, readAnswer } from '../../../src/run/choose.ts';
import { fakeHost } from '../fake-host.ts';

const NAMES = ['alpha', 'b c', '2', '1649751390', 'epsilon'];

describe('an answer', () => {
  test.each<[string, boolean, readonly string[] | null]>([
    ['1', false, ['alpha']],
    ['5', false, ['epsilon']],
    ['2', false, ['b c']], // a number of the list, and not the name
    ['alpha', false, ['alpha']],
    ['b c', false, ['b c']],
    ['1649751390', false, ['1649751390']],
    ['0', false, null],
    ['6', false, null],
    ['1 2', false, null],
    ['1-2', false, null],
    ['3-3', false, ['2']],
    ['alph', false, null],
    ['-1', false, null],
    ['1.0', false, null],
    ['y', false, null],
    ['1', true, ['alpha']],
    ['1 3', true, ['alpha', '2']],
    ['1,3', true, ['alpha', '2']],
    ['5, 1-2  1', true, ['epsilon', 'alpha', 'b c']],
    ['2-4', true, ['b c', '2', '1649751390']],
    ['4-2', true, null],
    ['1 9', true, null],
    ['1 alpha', true, null],
    ['b c', true, ['b c']],
    [',', true, null],
    ['all', true, null],
  ])('%j (several: %s) is %j', (answer, several, chosen) => {
    expect(readAnswer(answer, NAMES, several)).toEqual(chosen);
  });
});

describe('the question', () => {
  /** A person who gives these answers; hands back what was asked. */
  function asking(...answers: string[]) {
    const host = fakeHost();
    const ctx = host.context();
    const questions: string[] = [];
    const askLine = async (question: string) => {
      questions.push(question);
      return answers[questions.length - 1] ?? '';
    };
    return { host, questions, ctx: { ...ctx, terminal: { ...ctx.terminal, hasPerson: true, askLine } } };
  }

  test('shows each snapshot with its number, time and age, and is asked again until it is understood', async () => {
    const { ctx, questions } = asking('7', 'no', '2');
    const choice = { asks: 'Revert to which snapshot of', several: false };
    expect(await chooseSnapshots(ctx, 'b-fix', choice)).toEqual(['run1']);
    const [first = '', second = ''] = questions;
    expect(first).toMatch(/^ *1 +off1 .*\n *2 +run1 .*\(23 h.*\n/m);
    expect(first).toContain('(current)');
    expect(first.split('\n').at(-1)).toBe('Revert to which snapshot of b-fix? (1-2; Enter for none)');
    expect(second).toMatch(/^7 is not a number from 1 to 2\nRevert/);
    expect(questions).toHaveLength(3);
  });

  test('no answer declines', async () => {
    const { ctx } = asking('');
    await expect(chooseSnapshots(ctx, 'b-fix', { asks: 'Delete', several: true })).rejects.toMatchObject({
      code: 'declined',
      message: expect.stringContaining('nothing was changed'),
    });
  });

  test('nothing is asked where there is nothing to choose', async () => {
    const { ctx, questions, host } = asking('1');
    host.vm.snapshots = new Map();
    host.vm.current = null;
    await expect(chooseSnapshots(ctx, 'b-fix', { asks: 'Delete', several: true })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(chooseSnapshots(ctx, 'nosuch', { asks: 'Delete', several: true })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(chooseSnapshots(ctx, 'b-*', { asks: 'Delete', several: true })).rejects.toMatchObject({
      code: 'usage',
    });
    expect(questions).toEqual([]);
  });
});
