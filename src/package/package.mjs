// npm run package: builds all packages into build/, the same bytes from the same commit.
// With names (deb npm), only those. SHA256SUMS is over all of them.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deb } from './deb.mjs';
import { BUILD, run } from './facts.mjs';
import { npmTarball } from './npm-tarball.mjs';
import { rpm } from './rpm.mjs';
import { singleFile } from './single-file.mjs';

const PACKAGES = { deb, rpm, npm: npmTarball, single: singleFile };

process.umask(0o022);
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(PACKAGES, name));
if (unknown.length > 0) {
  process.stderr.write(
    `no such package: ${unknown.join(', ')}; there are: ${Object.keys(PACKAGES).join(', ')}\n`,
  );
  process.exit(2);
}

mkdirSync(BUILD, { recursive: true });
for (const name of readdirSync(BUILD)) rmSync(join(BUILD, name), { recursive: true });
run('npm', ['run', '--silent', 'build']);
const scratch = mkdtempSync(join(tmpdir(), 'kvmsnap-package-'));
try {
  for (const name of asked.length > 0 ? asked : Object.keys(PACKAGES)) {
    process.stdout.write(`${await PACKAGES[name](scratch)}\n`);
  }
} finally {
  rmSync(scratch, { recursive: true });
}

const sums = readdirSync(BUILD)
  .filter((name) => name.startsWith('kvmsnap'))
  .sort()
  .map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(join(BUILD, name)))
        .digest('hex')}  ${name}\n`,
  );
writeFileSync(join(BUILD, 'SHA256SUMS'), sums.join(''));
