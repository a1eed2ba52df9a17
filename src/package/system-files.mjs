// The files of kvmsnap as a package of a distribution lays them out. Debian's and RPM's differ in few paths.
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { EPOCH, ROOT, run, textOf } from './facts.mjs';

/** Where kvmsnap itself lies. */
const PROGRAM = 'usr/share/kvmsnap';

const PROGRAMS = [`${PROGRAM}/bin/kvmsnap.cjs`, `${PROGRAM}/dist/ansible/kvmsnap`];

/** Man pages are found elsewhere, and the licenses too. */
const IS_OF_PROGRAM = (name) => !/^man$|^kvmsnap\.1$|^THIRD-PARTY-LICENSES\.txt$/.test(name);

const filesBelow = (directory) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.path, entry.name).slice(directory.length + 1))
    .sort();

/** `gzip -9n`: without a name and a time, so that it is the same bytes each time. */
export const packed = (text) => gzipSync(text, { level: 9 });

const completion = (shell) => run(process.execPath, ['bin/kvmsnap.cjs', 'completion', shell]);

const own = (name) => textOf(`src/package/files/${name}`);

/** The paths of the program, its man pages, completions, units and policies, each with its content. */
export function systemFiles({ zshDirectory }) {
  const files = new Map();
  for (const name of readdirSync(`${ROOT}bin`)) {
    // the Node.js of the distribution, whatever else is first in PATH
    const code = textOf(`bin/${name}`).replace(/^#!.*/, '#!/usr/bin/node');
    files.set(`${PROGRAM}/bin/${name}`, code);
  }
  for (const path of filesBelow(`${ROOT}dist`).filter((path) => IS_OF_PROGRAM(path.split('/')[0])))
    files.set(`${PROGRAM}/dist/${path}`, readFileSync(`${ROOT}dist/${path}`));
  files.set('usr/share/man/man1/kvmsnap.1.gz', packed(textOf('dist/kvmsnap.1')));
  for (const page of readdirSync(`${ROOT}dist/man`))
    files.set(`usr/share/man/man7/${page}.gz`, packed(textOf(`dist/man/${page}`)));
  files.set('usr/share/bash-completion/completions/kvmsnap', completion('bash'));
  files.set(`${zshDirectory}/_kvmsnap`, completion('zsh'));
  files.set('usr/share/fish/vendor_completions.d/kvmsnap.fish', completion('fish'));
  for (const unit of ['kvmsnap@.service', 'kvmsnap@.timer'])
    files.set(`usr/lib/systemd/system/${unit}`, own(unit));
  for (const path of CONFIGURATION) files.set(path, own(path.replace('etc/kvmsnap/', '')));
  return files;
}

/** The files that belong to the administrator once they are installed. */
export const CONFIGURATION = ['etc/kvmsnap/nightly.conf'];

/** Shell lines for a removal: a timer without its program would fail every night. */
export const END_TIMERS = `[ ! -d /run/systemd/system ] || systemctl stop 'kvmsnap@*.timer' >/dev/null 2>&1 || true
rm -f /etc/systemd/system/*.wants/kvmsnap@*.timer`;

/** Writes the files below a directory, with the modes and times that they have once installed. */
export function layOut(root, files) {
  for (const [path, content] of files) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, PROGRAMS.includes(path) ? 0o755 : 0o644);
  }
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  symlinkSync('../share/kvmsnap/bin/kvmsnap.cjs', join(root, 'usr/bin/kvmsnap'));
  for (const entry of ['', ...readdirSync(root, { recursive: true })]) {
    lutimesSync(join(root, entry), EPOCH, EPOCH);
  }
}
