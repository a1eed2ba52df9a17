import { expect, test } from 'vitest';
import { candidateLines, FILES, SCRIPTS } from '../../src/completion/scripts.ts';

test('candidates are lines, with what they mean behind a tab', () => {
  const candidates = [
    { text: 'list', help: 'list snapshots' },
    { text: 'two words', help: '' },
  ];
  expect(candidateLines(candidates)).toBe('list\tlist snapshots\ntwo words\t\n');
  expect(candidateLines([])).toBe('');
});

test('the scripts know the line that asks for files', () => {
  expect(FILES).toBe('\tfiles\n');
  for (const script of Object.values(SCRIPTS)) expect(script).toMatch(/(\\t|\$\{tab\})files/);
});
