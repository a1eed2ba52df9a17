import { expect, test } from 'vitest';
import { logLine } from '../../src/host/log-entry.ts';

const ACTOR = { user: 'root', sudoUser: null, commandLine: 'kvmsnap revert web-1 s1' };

test('who did what, and how it ended', () => {
  expect(logLine({ action: 'revert', vm: 'web-1', snapshots: ['s1'] }, 'done', ACTOR)).toBe(
    "revert vm=web-1 snapshot=s1 result=done user=root command='kvmsnap revert web-1 s1'",
  );
});

test('it is one line, whatever the names and the result are', () => {
  const line = logLine({ action: 'delete', vm: 'a\nb', snapshots: ["it's", '-x'] }, 'failed: no\nway', {
    ...ACTOR,
    sudoUser: 'ann',
  });
  expect(line).toBe(
    "delete vm=$'a\\nb' snapshot='it'\\''s' snapshot=-x result=$'failed: no\\nway' user=root sudo-user=ann command='kvmsnap revert web-1 s1'",
  );
});
