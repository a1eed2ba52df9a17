// Whether a version can be released, as far as the repository itself tells. Pure; release.mjs reads the facts.

/** The text of a version's section in CHANGELOG.md, without its heading; null: there is none. */
export function sectionOf(changelog, version) {
  const sections = changelog.split(/^## /m).slice(1);
  const found = sections.find((section) => section.startsWith(`[${version}]`));
  return found === undefined ? null : found.replace(/^.*\n/, '').trim();
}

/**
 * What has to be done before the release, a sentence each. `status`: `git status --porcelain`; `head` and `main`: the commits of the
 * work tree and of origin/main (null: unknown); `tags`: all tags.
 */
export function obstacles({ version, lockVersion, changelog, author, status, head, main, tags }) {
  const section = sectionOf(changelog, version);
  const heading = /^## \[(.+?)\](?: - (.*))?$/m;
  const [, newest, date] = heading.exec(changelog.replace(/^## \[Unreleased\]$/m, '')) ?? [];
  const found = [
    [
      !/^\d+\.\d+\.\d+$/.test(version),
      `the version in package.json is ${version}, and not of the form 1.2.3`,
    ],
    [lockVersion !== version, `package-lock.json has the version ${lockVersion}: run npm install`],
    [section === null, `CHANGELOG.md has no section ${version}`],
    [section === '', `the section ${version} of CHANGELOG.md is empty`],
    [section !== null && newest !== version, `${newest} stands above ${version} in CHANGELOG.md`],
    [
      section !== null && !/^\d{4}-\d\d-\d\d$/.test(date ?? ''),
      `the section ${version} of CHANGELOG.md has no date`,
    ],
    [
      (sectionOf(changelog, 'Unreleased') ?? '') !== '',
      `CHANGELOG.md has changes under Unreleased: move them to ${version}`,
    ],
    [
      /\.invalid\b/.test(author),
      `the author in package.json, who becomes the maintainer of the .deb, is a placeholder: ${author}`,
    ],
    [status !== '', 'the work tree has changes that are not committed'],
    [main !== null && head !== main, 'the work tree is not at the commit of origin/main'],
    [tags.includes(`v${version}`), `the tag v${version} exists: raise the version in package.json`],
  ];
  return found.filter(([is]) => is).map(([, says]) => says);
}
