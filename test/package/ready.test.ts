import { expect, test } from 'vitest';
// @ts-expect-error a script of the build, without types
import { obstacles, sectionOf } from '../../src/package/ready.mjs';

const CHANGELOG =
  '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-29\n\n### Added\n\n- x\n\n## [1.2.2] - 2026-01-01\n\n- y\n';
const READY = {
  version: '1.2.3',
  lockVersion: '1.2.3',
  changelog: CHANGELOG,
  author: 'A <a@example.org>',
  status: '',
  head: 'abc',
  main: 'abc',
  tags: ['v1.2.2', ''],
};

test('the section of a version', () => {
  expect(sectionOf(CHANGELOG, '1.2.3')).toBe('### Added\n\n- x');
  expect(sectionOf(CHANGELOG, 'Unreleased')).toBe('');
  expect(sectionOf(CHANGELOG, '1.2')).toBe(null);
});

test('a version that can be released', () => {
  expect(obstacles(READY)).toEqual([]);
  expect(
    obstacles({ ...READY, main: null, changelog: CHANGELOG.replace('## [Unreleased]\n\n', '') }),
  ).toEqual([]);
});

test.each([
  [{ version: '1.2', lockVersion: '1.2' }, ['not of the form', 'no section 1.2']],
  [{ lockVersion: '1.2.2' }, ['package-lock.json has the version 1.2.2']],
  [{ changelog: CHANGELOG.replace(/- x/, '').replace('### Added', '') }, ['is empty']],
  [{ version: '1.2.2', lockVersion: '1.2.2' }, ['1.2.3 stands above 1.2.2', 'the tag v1.2.2 exists']],
  [{ changelog: CHANGELOG.replace(' - 2026-11-29', '') }, ['has no date']],
  [{ changelog: CHANGELOG.replace('[Unreleased]', '[Unreleased]\n\n- z') }, ['changes under Unreleased']],
  [{ author: 'A <a@b.invalid>' }, ['is a placeholder']],
  [{ status: ' M x' }, ['not committed']],
  [{ head: 'abd' }, ['not at the commit of origin/main']],
])('%j is told', (facts, says) => {
  const found: string[] = obstacles({ ...READY, ...facts });
  expect(found.map((each, i) => each.includes(says[i] ?? '?'))).toEqual(says.map(() => true));
});
