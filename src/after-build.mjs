// What dist holds beside the program, made by the program itself: V8's compiled code, the man page, the Ansible module, the JSON Schemas.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const bin = fileURLToPath(new URL('../bin', import.meta.url));
const manual = (...options) =>
  execFileSync(process.execPath, [`${bin}/kvmsnap.cjs`, 'manual', ...options], { encoding: 'utf8' });

createRequire(import.meta.url)(`${bin}/code-cache.cjs`).write(dist);
writeFileSync(`${dist}/kvmsnap.1`, manual());
mkdirSync(`${dist}/ansible`);
copyFileSync(fileURLToPath(new URL('ansible/module.sh', import.meta.url)), `${dist}/ansible/kvmsnap`);
chmodSync(`${dist}/ansible/kvmsnap`, 0o755);
mkdirSync(`${dist}/schemas`);
for (const [name, schema] of Object.entries(JSON.parse(manual('--schemas')))) {
  writeFileSync(`${dist}/schemas/${name}.json`, `${JSON.stringify(schema, null, 2)}\n`);
}
