// kvmsnap_VERSION_all.deb, by dpkg-deb.
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, EPOCH, FACTS, run, textOf } from './facts.mjs';
import { CONFIGURATION, END_TIMERS, layOut, packed, systemFiles } from './system-files.mjs';

/** A text as the value of a field: each line begins with a space, and an empty one has a dot. */
const indented = (text) => text.trim().replace(/^/gm, ' ').replace(/^ *$/gm, ' .');

/** The format: Debian Policy Manual, chapter 5. */
const control = (kibibytes) => `Package: kvmsnap
Version: ${FACTS.version}
Section: admin
Priority: optional
Architecture: all
Maintainer: ${FACTS.maintainer}
Installed-Size: ${kibibytes}
Depends: nodejs (>= 18.19), libvirt-clients, qemu-utils
Recommends: openssh-client
Suggests: libvirt-daemon-system
Description: snapshots of libvirt VMs, with checks before and after
 kvmsnap takes, lists, reverts and deletes snapshots of libvirt VMs, in place
 of virsh snapshot-*. Before it acts, it checks that the action can work.
 Afterwards it verifies the result in libvirt and on every disk. It deletes
 old snapshots by keep rules, tells what snapshots cost on disk, and can be
 run by cron or a systemd timer.
`;

/** Units that have changed are read anew, as debhelper's own snippet does it. */
const READ_UNITS = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl --system daemon-reload >/dev/null || true
fi
`;

/** Before a removal, not before an upgrade. */
const END_TIMERS_OF_REMOVED = `#!/bin/sh
set -e
if [ "$1" = remove ]; then
${END_TIMERS.replace(/^/gm, '\t')}
fi
`;

/** The license of each package that is part of the program; Debian has the text of the long one in one place. */
const licenses = () =>
  textOf('dist/THIRD-PARTY-LICENSES.txt')
    .split(/^-{80}$/m)
    .map((text) => {
      if (!text.includes('Apache License')) return text.trim();
      const [title] = text.trim().split('\n');
      const holder = /^ *(Copyright \d{4}.*)$/m.exec(text)?.[1] ?? '';
      return `${title}\n\n${holder}\n\nOn Debian systems the license is in /usr/share/common-licenses/Apache-2.0.`;
    })
    .join('\n\n');

/** Its first field names the version of the format, by the address that Debian has given it. */
const copyright = () => `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: kvmsnap
Upstream-Contact: ${FACTS.maintainer}
Comment:
 The program contains parts of the packages below, each with its license.
 .
${indented(licenses())}

Files: *
Copyright: 2026 the kvmsnap developers
License: Expat

License: Expat
${indented(textOf('LICENSE').replace(/^.*?(?=Permission)/s, ''))}
`;

/** Debian's form of a changelog; what changed is in CHANGELOG.md beside it. */
const changelog = () => `kvmsnap (${FACTS.version}) unstable; urgency=medium

  * Release ${FACTS.version}: see /usr/share/doc/kvmsnap/CHANGELOG.md.gz.

 -- ${FACTS.maintainer}  ${new Date(EPOCH * 1000).toUTCString().replace('GMT', '+0000')}
`;

/** The checksums that `dpkg --verify` reads, as `md5sum` prints them. */
const checksums = (files) =>
  [...files]
    .filter(([path]) => !CONFIGURATION.includes(path))
    .map(([path, content]) => `${createHash('md5').update(content).digest('hex')}  ${path}\n`)
    .sort((a, b) => (a.slice(34) < b.slice(34) ? -1 : 1))
    .join('');

/** Builds the package in a scratch directory, and returns its path. */
export function deb(scratch) {
  const root = join(scratch, 'deb');
  const files = systemFiles({ zshDirectory: 'usr/share/zsh/vendor-completions' });
  files.set('usr/share/doc/kvmsnap/copyright', copyright());
  files.set('usr/share/doc/kvmsnap/changelog.gz', packed(changelog()));
  files.set('usr/share/doc/kvmsnap/CHANGELOG.md.gz', packed(textOf('CHANGELOG.md')));
  files.set('usr/share/doc/kvmsnap/README.md', textOf('README.md'));
  const bytes = [...files.values()].reduce(
    (sum, content) => sum + Math.ceil(content.length / 1024) * 1024,
    0,
  );
  mkdirSync(join(root, 'DEBIAN'), { recursive: true });
  const meta = {
    control: control(Math.ceil(bytes / 1024)),
    conffiles: CONFIGURATION.map((path) => `/${path}\n`).join(''),
    md5sums: checksums(files),
    prerm: END_TIMERS_OF_REMOVED,
    postinst: READ_UNITS,
    postrm: READ_UNITS,
  };
  for (const [name, text] of Object.entries(meta)) {
    writeFileSync(join(root, 'DEBIAN', name), text);
    chmodSync(join(root, 'DEBIAN', name), text.startsWith('#!') ? 0o755 : 0o644);
  }
  layOut(root, files);
  const path = `${BUILD}kvmsnap_${FACTS.version}_all.deb`;
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', root, path]);
  return path;
}
