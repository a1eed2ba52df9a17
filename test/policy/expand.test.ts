import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createProgram } from '../../src/cli.ts';
import { expanded } from '../../src/policy/expand.ts';
import { policyLines } from '../../src/policy/policy-lines.ts';

const NIGHTLY = `--label nightly
--keep-daily 7
--exclude 'test-*'
--max-age 26h:50h
--wait 10min
--silent
-d "every night"`;

async function expand(line: string, text = NIGHTLY): Promise<string> {
  const { program } = await createProgram([], async () => undefined);
  const lines = policyLines(text);
  if ('problem' in lines) throw new Error(lines.problem);
  return expanded(program, line.split(' '), '@nightly', { file: '/etc/x.conf', lines }).join(' ');
}

test.each([
  [
    'create --all @nightly',
    'create --policy=nightly --label=nightly --keep-daily=7 --exclude=test-* --wait=10min --silent --description=every night --all',
  ],
  [
    'check @nightly',
    'check --policy=nightly --label=nightly --exclude=test-* --max-age=26h:50h --wait=10min --silent',
  ],
  [
    '--wait 5s prune web @nightly --keep-daily 3 --exclude x',
    '--wait 5s prune --policy=nightly --label=nightly --silent --keep-daily 3 --exclude x web',
  ],
  // the value of an option, and a VM after --
  [
    'create --exclude @nightly -d z --label=n @nightly -- -vm',
    'create --policy=nightly --keep-daily=7 --wait=10min --silent --exclude @nightly -d z --label=n -- -vm',
  ],
])('%s', async (line, expected) => {
  expect(await expand(line)).toBe(expected);
});

test('a --policy on the line wins', async () => {
  expect(await expand('create --all @nightly --policy weekly', '--label n')).toBe(
    'create --label=n --all --policy weekly',
  );
});

test('the policy of the packages', async () => {
  const text = readFileSync(new URL('../../src/package/files/nightly.conf', import.meta.url), 'utf8');
  expect(await expand('create --all @nightly', text)).toBe(
    'create --policy=nightly --label=nightly --keep-daily=7 --keep-weekly=4 --wait=10min --silent --strict --all',
  );
});

test('the policy that the manual shows', async () => {
  const page = readFileSync(new URL('../../src/manual/policies.md', import.meta.url), 'utf8');
  const [, text = ''] = /^```text\n(.*?)^```/ms.exec(page) ?? [];
  expect(await expand('check @nightly', text)).toBe(
    'check --policy=nightly --label=nightly --exclude=test-* --max-age=26h:50h --wait=10min --silent',
  );
});

test.each([
  ['--keep-dayly 7', "/etc/x.conf:1: unknown option '--keep-dayly'", 'did you mean --keep-daily?'],
  ['--silent\n--foo=1', "/etc/x.conf:2: unknown option '--foo'", undefined],
  ['--security-info', "/etc/x.conf:1: unknown option '--security-info'", undefined],
  ['--label', '/etc/x.conf:1: --label needs a value', undefined],
  ['--silent yes', '/etc/x.conf:1: --silent takes no value', undefined],
  ['--silent=yes', '/etc/x.conf:1: --silent takes no value', undefined],
  [
    '--keep-daily x',
    "/etc/x.conf:1: --keep-daily cannot be 'x': expected a whole number, 0 or greater",
    undefined,
  ],
  ['--json', "/etc/x.conf:1: a policy cannot contain '--json'", 'write it on the command line'],
])('%j', async (text, message, hint) => {
  // whichever of the commands it is for
  for (const command of ['create', 'check', 'prune'])
    await expect(expand(`${command} @nightly`, text)).rejects.toMatchObject({ code: 'usage', message, hint });
});
