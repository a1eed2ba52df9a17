#!/bin/sh
':' //; PATH="${PATH:-/usr/bin:/bin}:${0%/*}:/usr/local/bin" exec node "$0" "$@"
// cron's PATH has no /usr/local/bin, and `#!/usr/bin/env node` would fail there: sh looks further, Node reads on here.
'use strict';
require('node:module').enableCompileCache?.();
require('../dist/main.cjs');
