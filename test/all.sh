#!/usr/bin/env bash
# All tests, also on a fresh checkout: sets up what is missing, then unit tests, then the lab with a real libvirtd.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent build
npm run --silent test:unit

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

half() { # NUMBER
  npm run --silent test:lab -- "--shard=$1/2" --reporter=default --reporter=json "--outputFile.json=$scratch/$1.json"
}

# The tests of the lab wait half of their time: two labs side by side, each with half of the files.
test/lab/enter.sh --tests true # installs what is missing, before both would
half 2 >"$scratch/log" 2>&1 </dev/null &
failed=0
half 1 || failed=1
wait $! || failed=1
cat "$scratch/log"
if [ "$failed" != 0 ]; then
  printf '\nfailed, of both halves:\n'
  node test/lab/failed-tests.mjs "$scratch"/{1,2}.json | sed 's/^/  /'
fi
exit "$failed"
