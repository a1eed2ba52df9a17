// The aliases of ssh_config, as TAB offers them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sshAliases } from '../../src/host/ssh/ssh-config.ts';

const directory = mkdtempSync(join(tmpdir(), 'ssh-config-'));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);

test('names after Host, in included files too; no patterns, and each once', async () => {
  mkdirSync(at('config.d'));
  writeFileSync(at('config.d/b.conf'), 'HOST=kvm4\nInclude ../config\n');
  writeFileSync(at('config.d/a.conf'), 'host "kvm3" kvm1\n');
  writeFileSync(at('config.d/.hidden.conf'), 'Host hidden\n');
  writeFileSync(
    at('config'),
    'Include config.d/*.conf missing\n# Host no\n  Host kvm1 kvm-2 *.lan !bad k?m\n  HostName 10.0.0.1\nMatch host x\nHost *\n',
  );
  expect([...(await sshAliases([at('config'), at('none')]))].sort()).toEqual([
    'kvm-2',
    'kvm1',
    'kvm3',
    'kvm4',
  ]);
});
