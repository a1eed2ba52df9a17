// Programs of the system that packages are built with: installed where root runs this on Debian.
import { execFileSync } from 'node:child_process';
import { run } from './facts.mjs';

/** Makes sure that a program is there, which on Debian is in `debianPackage`. Throws if it cannot be installed. */
export function requireTool(program, debianPackage) {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
  } catch {
    if (process.getuid() !== 0)
      throw new Error(`${program} is missing; on Debian: apt-get install ${debianPackage}`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update'], { env });
    const options = ['-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=600'];
    run('apt-get', ['install', ...options, debianPackage], { env });
  }
}
