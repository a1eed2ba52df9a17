import { expect, test } from 'vitest';
import { prioritized } from '../../src/output/priority.ts';

test.each([
  ['error: no VM\nhint: look\n  kvmsnap list\n', '<3>error: no VM\n<3>hint: look\n<3>  kvmsnap list\n'],
  ['web-1: warning: it is old\n', '<4>web-1: warning: it is old\n'],
  ['note: work on 1 VM was not started: a\n', '<5>note: work on 1 VM was not started: a\n'],
  ['skipped web-1: error: raw\n', '<5>skipped web-1: error: raw\n'],
  ['took the snapshot s1 of web-1\n', '<6>took the snapshot s1 of web-1\n'],
  ['notes and errors\n', '<6>notes and errors\n'],
  ['Planned\n\n1. a\n', '<6>Planned\n\n<6>1. a\n'],
  ['', ''],
])('%j', (text, expected) => {
  expect(prioritized(text)).toBe(expected);
});
