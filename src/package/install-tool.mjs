// Programs of the system that packages are built with: installed where root runs this on Debian.
import { execFileSync } from 'node:child_process';
import { run } from './facts.mjs';

/** By program, the package of Debian. All that any package of kvmsnap needs is installed at once. */
const TOOLS = { rpmbuild: 'rpm', rpmlint: 'rpmlint', strip: 'binutils' };

/** Makes sure that a program is there. Throws if it cannot be installed. */
export function requireTool(program) {
  if (isThere(program)) return;
  const missing = Object.entries(TOOLS).flatMap(([each, name]) => (isThere(each) ? [] : [name]));
  if (process.getuid() !== 0)
    throw new Error(`${program} is missing; on Debian: apt-get install ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update'], { env });
  const options = ['-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=600'];
  run('apt-get', ['install', ...options, ...missing], { env });
}

function isThere(program) {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
