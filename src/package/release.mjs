// npm run release: checks everything that a release needs, builds the packages, and prints the commands that publish them. It
// publishes nothing itself. With --quick, .ci/run and the matrix are left out, which take hours.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { BUILD, FACTS, ROOT, run, textOf } from './facts.mjs';
import { obstacles } from './ready.mjs';

const [option, ...others] = process.argv.slice(2);
if ((option !== undefined && option !== '--quick') || others.length > 0) {
  process.stderr.write('usage: npm run release [-- --quick]\n');
  process.exit(2);
}

const git = (...args) => run('git', args).trim();
/** Null if it fails, as for a branch that does not exist. */
const gitOrNull = (...args) => {
  try {
    return git(...args);
  } catch {
    return null;
  }
};

const { version } = FACTS;
const found = obstacles({
  version,
  lockVersion: JSON.parse(textOf('package-lock.json')).version,
  changelog: textOf('CHANGELOG.md'),
  author: FACTS.maintainer,
  status: git('status', '--porcelain'),
  head: git('rev-parse', 'HEAD'),
  main: gitOrNull('rev-parse', 'origin/main'),
  tags: git('tag', '--list').split('\n'),
});
if (found.length > 0) {
  process.stderr.write(`${version} cannot be released yet:\n${found.map((each) => `- ${each}\n`).join('')}`);
  process.exit(1);
}

const show = (file, ...args) => execFileSync(file, args, { cwd: ROOT, stdio: 'inherit' });
if (option === undefined) {
  process.env.KVMSNAP_TESTS = 'all';
  show('.ci/run');
  show('test/lab/matrix.sh');
}
show('npm', 'run', '--silent', 'package');
const packages = readdirSync(BUILD).filter((name) => name.startsWith('kvmsnap') || name === 'SHA256SUMS');
const tarball = packages.find((name) => name.endsWith('.tgz'));

process.stdout.write(`
${version} is ready${option === undefined ? '' : ' as far as it was checked: .ci/run was left out'}. Nothing was published. In build/:

${packages.map((name) => `  ${name}`).join('\n')}

To publish it:

  git tag --sign --message 'kvmsnap ${version}' v${version}
  git push origin v${version}
  npm publish build/${tarball}

The push of the tag starts .github/workflows/release.yml, which runs .ci/run again and attaches the packages to the release.
`);
