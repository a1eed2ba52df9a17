#!/usr/bin/env node
'use strict';
const { enableCompileCache } = require('node:module');
const dist = require('node:path').join(__dirname, '..', 'dist');
if (enableCompileCache) {
  // Node's own choice is below /tmp; what is cached is code, and root must not run what others may write.
  try {
    const { homedir } = require('node:os').userInfo();
    enableCompileCache(`${homedir}/.cache/kvmsnap`);
  } catch {} // a user whom /etc/passwd does not know has no home
} else require('./code-cache.cjs').use(dist);
require(`${dist}/main.cjs`);
