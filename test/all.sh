#!/usr/bin/env bash
# All tests, also on a fresh checkout: sets up what is missing, then unit tests, then the labs, each with a real libvirtd.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent build
npm run --silent test:unit
npm run --silent test:lab
