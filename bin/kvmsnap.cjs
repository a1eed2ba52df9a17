#!/usr/bin/env node
'use strict';
const { enableCompileCache } = require('node:module');
if (enableCompileCache) {
  // Node's own choice is below /tmp; what is cached is code, and root must not run what others may write.
  try {
    const { homedir } = require('node:os').userInfo();
    enableCompileCache(`${homedir}/.cache/kvmsnap`);
  } catch {} // a user whom /etc/passwd does not know has no home
}
require('../dist/main.cjs');
