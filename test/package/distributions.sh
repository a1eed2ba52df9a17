#!/usr/bin/env bash
# distributions.sh [--short] [VERSION...]
#
# Installs, runs, upgrades and removes the packages in build/ on clean systems by the lines of the README: those that
# test/lab/debian.sh makes with libvirt VERSION, by default Debian 12, Debian 13 and sid, each with its own Node.js. With --short, man,
# zsh, fish and the .rpm are left out. Needs root, and some minutes for each.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${1-}" = --short ]; then export KVMSNAP_SHORT=yes && shift; fi

[ -s build/SHA256SUMS ] || npm run --silent package
(cd build && sha256sum --check --quiet SHA256SUMS)
command -v lintian >/dev/null || (apt-get update && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 lintian) >/dev/null
lintian --allow-root --fail-on error build/*.deb
# the Node.js of the tests, at a path where no package of a distribution puts its own
scratch=$(mktemp -d /var/tmp/kvmsnap-node.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
install -D "$(readlink -f "$(type -P node)")" "$scratch/bin/node"
chmod 755 "$scratch"
export PATH=$scratch/bin:$PATH
versions=("$@")
[ $# != 0 ] || versions=(9.0 11.3 12.8)
for version in "${versions[@]}"; do
  printf '\n==== the Debian with libvirt %s\n' "$version"
  test/lab/enter.sh --libvirt "$version" test/package/in-distribution.sh
done
