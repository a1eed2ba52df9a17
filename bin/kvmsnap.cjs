#!/usr/bin/env node
'use strict';
const { enableCompileCache } = require('node:module');
if (enableCompileCache) {
  // Node's own choice is below /tmp; what is cached is code, and root must not run what others may write.
  const { homedir } = require('node:os').userInfo();
  enableCompileCache(`${homedir}/.cache/kvmsnap`);
}
require('../dist/main.cjs');
