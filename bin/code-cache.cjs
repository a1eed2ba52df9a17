'use strict';
/**
 * V8's compiled code beside each file of dist, for a Node.js that keeps none itself (before 22.1). Measured on Node.js 20 in
 * CPU time of `node -e 0`: `--version` 1.43 with it and 1.56 without, `list` 4.2 and 4.9. From 22.1 on Node's own does the
 * same, and this is not loaded. Written by the build, only read afterwards, and as trusted as the code beside it. V8 refuses
 * what another version of it has written, and then compiles as ever.
 */
const { readdirSync, readFileSync, writeFileSync } = require('node:fs');
const Module = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

/** Loads the modules of a directory from their compiled code. */
function use(directory) {
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (content, filename) {
    const cachedData = dirname(filename) === directory ? read(`${filename}.cache`) : undefined;
    if (!cachedData) return compile.call(this, content, filename);
    const run = new Script(Module.wrap(content), { filename, cachedData }).runInThisContext();
    return run.call(this.exports, this.exports, Module.createRequire(filename), this, filename, directory);
  };
}

function read(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Writes the compiled code of every module of a directory, functions that were never called included. */
function write(directory) {
  const { setFlagsFromString } = require('node:v8');
  for (const name of readdirSync(directory).filter((name) => name.endsWith('.cjs'))) {
    const filename = join(directory, name);
    const content = readFileSync(filename, 'utf8');
    // a Script of its own cannot import() without a flag of Node; our own chunks are required
    if (/\bimport\(/.test(content))
      throw new Error(`${filename} has an import(): import that module statically`);
    setFlagsFromString('--no-lazy');
    const script = new Script(Module.wrap(content), { filename });
    setFlagsFromString('--lazy'); // the flags are part of what V8 compares
    writeFileSync(`${filename}.cache`, script.createCachedData());
  }
}

module.exports = { use, write };
