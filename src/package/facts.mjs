// What all packages are made from: the version, the time that is written into them, the texts of this repository.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The directory of the repository, with a slash at its end. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Where the packages go. */
export const BUILD = `${ROOT}build/`;

/** Reads a text of the repository. */
export const textOf = (path) => readFileSync(`${ROOT}${path}`, 'utf8');

const { version, description, author } = JSON.parse(textOf('package.json'));

/** `version` has one place, package.json; all else is derived from it. */
export const FACTS = { version, description, maintainer: author };

/** The time in seconds that all files of a package have: $SOURCE_DATE_EPOCH, or that of the last commit. */
export const EPOCH = Number(
  process.env.SOURCE_DATE_EPOCH ??
    execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, encoding: 'utf8' }),
);

/** The same for programs that are started, which know it by this variable; and only one thread packs. */
export const ENVIRONMENT = {
  ...process.env,
  SOURCE_DATE_EPOCH: `${EPOCH}`,
  DPKG_DEB_THREADS_MAX: '1',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
};

/** Runs a program and returns its output. Throws with what it says on stderr if it fails. */
export const run = (file, args, options = {}) =>
  execFileSync(file, args, {
    cwd: ROOT,
    env: ENVIRONMENT,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
