#!/usr/bin/env bash
# Builds the packages twice, which must be the same bytes. Runs the single file and the .rpm. Installs the npm tarball as a user
# would, and runs it on every supported Node.js. test/package/distributions.sh installs the others in clean systems.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

build() { npm run --silent package >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }; }
build
cp build/SHA256SUMS "$scratch/first"
(umask 077 && TZ=Asia/Tokyo LC_ALL=C build)
diff "$scratch/first" build/SHA256SUMS || { echo "two builds of the packages differ"; exit 1; }
(cd build && sha256sum --check --quiet SHA256SUMS)

version=$(node -p 'require("./package.json").version')
for script in preinstall install postinstall prepare; do
  [ "$(node -p "'$script' in require('./package.json').scripts")" = false ] || { echo "npm warns of the script $script"; exit 1; }
done
npm install --silent --no-audit --no-fund --global --prefix "$scratch/prefix" "./build/kvmsnap-$version.tgz"
installed=$scratch/prefix/bin/kvmsnap
[ "$(ls "$scratch/prefix/lib/node_modules")" = kvmsnap ] || { echo "the package brings others with it"; exit 1; }
[ -s "$scratch/prefix/lib/node_modules/kvmsnap/dist/THIRD-PARTY-LICENSES.txt" ] || { echo "no licences"; exit 1; }
[ "$("$installed" --version)" = "$version" ]

# the compiled code beside dist is a help only: without it, or with what V8 refuses, all goes as ever
dist=$scratch/prefix/lib/node_modules/kvmsnap/dist
grep -q '^.SH SYNOPSIS' "$scratch/prefix/share/man/man1/kvmsnap.1" || { echo "no man page"; exit 1; }
! grep -n "^'" "$scratch/prefix/lib/node_modules/kvmsnap"/dist/man/* || { echo "roff takes these lines for commands"; exit 1; }
[ -s "$dist/main.cjs.cache" ] || { echo "no compiled code"; exit 1; }
: >"$dist/main.cjs.cache" && [ "$("$installed" --version)" = "$version" ]
rm "$dist"/*.cache && [ "$("$installed" --version)" = "$version" ]

cat >"$scratch/node.xml" <<'XML'
<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
  <name>vm1</name><uuid>11111111-2222-4333-8444-555555555555</uuid><memory>8192</memory><os><type>hvm</type></os>
</domain></node>
XML
# the single file, with no Node.js on the path; each command is in it
single=build/kvmsnap-$version-linux-x64
alone() { env -i PATH=/usr/bin:/bin "$single" "$@"; }
[ "$(alone --version)" = "$version" ] || { echo "single file: --version failed"; exit 1; }
for command in $(alone --help | sed -n '/^Examples/q; s/^  \([a-z-]*\)[ ,].*/\1/p'); do
  alone "$command" --help >/dev/null || { echo "single file: $command --help failed"; exit 1; }
done
[ "$(alone list -q -c "test://$scratch/node.xml")" = vm1 ] || { echo "single file: list failed"; exit 1; }
alone list vm1 --json -c "test://$scratch/node.xml" | grep -q '"schemaVersion": 1' || { echo "single file: JSON failed"; exit 1; }
echo "the single file runs without Node.js"

# the .rpm, which distributions.sh installs only if it has the time
cp "build/kvmsnap-$version.noarch.rpm" "$scratch/kvmsnap.rpm"
(cd "$scratch" && mkdir rpm && rpm2archive kvmsnap.rpm && tar -xzf kvmsnap.rpm.tgz -C rpm)
[ "$(node "$scratch/rpm/usr/bin/kvmsnap" --version)" = "$version" ] || { echo "the .rpm does not run"; exit 1; }

for major in 18.19 20 22 24 26; do
  node=$(npm exec --silent --yes --package="node@$major" -- node -p process.execPath)
  run() { "$node" "$installed" "$@"; }
  [ "$(run --version)" = "$version" ] || { echo "Node.js $major: --version failed"; exit 1; }
  run list --help | grep -q 'exit codes' || { echo "Node.js $major: help failed"; exit 1; }
  # libvirt's test driver answers without a daemon: virsh, XML, tables and JSON all run
  [ "$(run list -q -c "test://$scratch/node.xml")" = vm1 ] || { echo "Node.js $major: list failed"; exit 1; }
  run list vm1 --json -c "test://$scratch/node.xml" | grep -q '"schemaVersion": 1' || { echo "Node.js $major: JSON failed"; exit 1; }
  echo "Node.js $("$node" --version): runs from the tarball"
done
