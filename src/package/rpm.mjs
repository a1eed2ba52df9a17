// kvmsnap-VERSION-1.noarch.rpm as kvmsnap-VERSION.noarch.rpm, by rpmbuild.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, FACTS, run, textOf } from './facts.mjs';
import { requireTool } from './install-tool.mjs';
import { CONFIGURATION, END_TIMERS, layOut, systemFiles } from './system-files.mjs';

/** The licenses of kvmsnap and of the packages that are part of it. */
const LICENSE = 'MIT AND ISC AND Apache-2.0';

/**
 * https://rpm-software-management.github.io/rpm/manual/spec.html. Fedora, RHEL and SUSE name their packages in different
 * ways, but the paths of virsh, qemu-img and Node.js are the same. Units are read anew by systemd's own file triggers.
 */
const spec = (paths) => `Name: kvmsnap
Version: ${FACTS.version}
Release: 1
Summary: Snapshots of libvirt VMs, with checks before and after
License: ${LICENSE}
Group: System/Management
Packager: ${FACTS.maintainer}
BuildArch: noarch
Requires: /usr/bin/node
Requires: (nodejs(engine) >= 18.19 or nodejs >= 18.19)
Requires: /usr/bin/virsh
Requires: /usr/bin/qemu-img
Recommends: /usr/bin/ssh
AutoReqProv: no

%description
kvmsnap takes, lists, reverts and deletes snapshots of libvirt VMs, in place
of virsh snapshot-*. Before it acts, it checks that the action can work.
Afterwards it verifies the result in libvirt and on every disk. It deletes
old snapshots by keep rules, tells what snapshots cost on disk, and can be
run by cron or a systemd timer.

%preun
if [ "$1" = 0 ]; then
${END_TIMERS}
fi

%install
cp -a %{tree}/. %{buildroot}/

%files
%dir /etc/kvmsnap
%dir /usr/share/kvmsnap
%license /usr/share/licenses/kvmsnap
%doc /usr/share/doc/kvmsnap
${paths.join('\n')}
`;

/** How rpmbuild makes the same bytes each time, and leaves the files as they are. */
const MACROS = {
  _buildhost: 'localhost',
  use_source_date_epoch_as_buildtime: '1',
  clamp_mtime_to_source_date_epoch: '1',
  source_date_epoch_from_changelog: '0',
  _binary_payload: 'w9.xzdio',
  _build_name_fmt: '%{NAME}-%{VERSION}.%{ARCH}.rpm',
  __os_install_post: '%{nil}',
  _docdir: '/usr/share/doc',
};

/** What rpmlint reports, as an indented list; rpmlint exits with a failure if it reports an error. */
function lint(path) {
  requireTool('rpmlint');
  try {
    return run('rpmlint', [path]);
  } catch ({ stdout }) {
    return stdout;
  }
}

/**
 * Builds the package in a scratch directory, and returns its path, with what rpmlint reports in lines below it. Throws if there is no
 * rpmbuild.
 */
export function rpm(scratch) {
  requireTool('rpmbuild');
  const [tree, top] = [join(scratch, 'rpm-tree'), join(scratch, 'rpm')];
  const files = systemFiles({ zshDirectory: 'usr/share/zsh/site-functions' });
  const listed = [...files.keys()].filter((path) => !path.startsWith('usr/share/kvmsnap/'));
  files.set('usr/share/licenses/kvmsnap/LICENSE', textOf('LICENSE'));
  files.set('usr/share/licenses/kvmsnap/THIRD-PARTY-LICENSES.txt', textOf('dist/THIRD-PARTY-LICENSES.txt'));
  for (const name of ['README.md', 'CHANGELOG.md']) files.set(`usr/share/doc/kvmsnap/${name}`, textOf(name));
  layOut(tree, files);
  const paths = [
    ...listed.map((path) => `${CONFIGURATION.includes(path) ? '%config(noreplace) ' : ''}/${path}`),
    '/usr/share/kvmsnap/bin',
    '/usr/share/kvmsnap/dist',
    '/usr/bin/kvmsnap',
  ];
  mkdirSync(top);
  writeFileSync(join(top, 'kvmsnap.spec'), spec(paths));
  const macros = Object.entries({ ...MACROS, tree, _topdir: top });
  const defines = macros.flatMap(([name, value]) => ['--define', `${name} ${value}`]);
  run('rpmbuild', ['-bb', '--quiet', ...defines, join(top, 'kvmsnap.spec')]);
  const name = `kvmsnap-${FACTS.version}.noarch.rpm`;
  copyFileSync(join(top, 'RPMS', name), `${BUILD}${name}`);
  return `${BUILD}${name}\n${lint(`${BUILD}${name}`).trim().replace(/^/gm, '  ')}`;
}
