#!/usr/bin/env bash
# All tests, also on a fresh checkout: sets up what is missing, then unit tests, then the lab with a real libvirtd.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent build
npm run --silent test:unit

# The tests of the lab wait half of their time: two labs side by side, each with half of the files.
test/lab/enter.sh --tests true # installs what is missing, before both would
log=$(mktemp)
trap 'rm -f "$log"' EXIT
npm run --silent test:lab -- --shard=2/2 >"$log" 2>&1 </dev/null &
failed=0
npm run --silent test:lab -- --shard=1/2 || failed=1
wait $! || failed=1
cat "$log"
exit "$failed"
