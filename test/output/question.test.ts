import { expect, test } from 'vitest';
import { fold, planText, questionText } from '../../src/output/question.ts';

const UNCHANGED = { come: [], gone: [] };

test('a question stands beneath what there is to know about it', () => {
  const question = { details: ['web: s1', 'web: s2'], asks: 'Delete both?' };
  expect(questionText(question, UNCHANGED)).toBe('  web: s1\n  web: s2\nDelete both?');
});

test('what has changed stands first', () => {
  const question = { details: ['web: s3'], asks: 'Delete it?' };
  expect(questionText(question, { come: ['web loses s3'], gone: ['web loses s1'] })).toBe(
    'This has changed meanwhile:\n  now: web loses s3\n  no longer: web loses s1\n  web: s3\nDelete it?',
  );
});

test('a plan has its steps numbered, each with its reasons and its commands', () => {
  const step = {
    what: 'web: resume it',
    facts: [['why', 'it is paused']],
    commands: ['virsh resume web'],
  } as const;
  const other = { what: 'db: forget s1', facts: [], commands: ['virsh a', 'virsh b'] };
  expect(planText([step])).toBe(
    'Planned fixes (1):\n1. web: resume it\n   why: it is paused\n   virsh resume web',
  );
  expect(questionText({ details: [], steps: [step, other], asks: 'Apply these 2 fixes?' }, UNCHANGED)).toBe(
    'Planned fixes (2):\n1. web: resume it\n   why: it is paused\n   virsh resume web\n' +
      '2. db: forget s1\n   virsh a\n   virsh b\nApply these 2 fixes?',
  );
});

test('a long list is its beginning and its end', () => {
  const lines = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1}`);
  expect(fold(lines(16))).toEqual(lines(16));
  expect(fold(lines(20))).toEqual([...lines(12), '... and 5 more ...', '18', '19', '20']);
});
