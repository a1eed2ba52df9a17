// Whatever language the user, cron or libvirtd speaks (hazard 20).
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type CliOptions, kvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { tagCounts } from '../lab/evidence.ts';
import { isSystemLab, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const ENVIRONMENTS: readonly [string, CliOptions][] = [
  ['LC_ALL=zh_CN.UTF-8', { env: { LC_ALL: 'zh_CN.UTF-8', LANG: 'zh_CN.UTF-8' } }],
  ['LANGUAGE=zh_CN', { env: { LANG: 'C.UTF-8', LANGUAGE: 'zh_CN' } }],
  ['LC_ALL=C', { env: { LC_ALL: 'C', LANG: 'C' } }],
  ['of cron', { env: { PATH: '/usr/bin:/bin' }, replaceEnv: true }],
  ['that makes virsh talk', { env: { VIRSH_DEBUG: '0', LIBVIRT_DEBUG: '1' } }],
];

test.each(share(2, ENVIRONMENTS))('an environment %s changes nothing', async (_, options) => {
  const vm = defineVm({ name: '测试 机', disks: [{ size: '4M' }] });
  const args = ['create-as', '测试 机', '升级 之前', '-d', '说明'];
  const result = await kvmsnap(['-o', 'csv', ...args], options);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toMatch(/\n测试 机,升级 之前,\S+,shutoff,0,done,internal,0,,0\n$/);
  expect(snapshotNames(vm)).toEqual(['升级 之前']);
  expect(snapshotXml(vm, '升级 之前')).toContain('<description>说明</description>');
  expect(tagCounts(vm, '升级 之前')).toEqual([1]);
  const again = await kvmsnap(args, options);
  expect(again).toMatchObject({ code: 6, stdout: '' });
  expect(again.stderr).toMatch(/^error: VM '测试 机' already has a snapshot '升级 之前'\nhint: /);
});

/** A message catalogue as gettext reads it (GNU gettext manual, "The Format of GNU MO Files"); the entries sorted by key. */
function catalogue(entries: readonly (readonly [string, string])[]): Buffer {
  const header = 28;
  const strings = [...entries.map(([key]) => key), ...entries.map(([, text]) => text)].map((text) =>
    Buffer.from(`${text}\0`),
  );
  const table = Buffer.alloc(header + strings.length * 8);
  [0x950412de, 0, entries.length, header, header + entries.length * 8, 0, 0].forEach(
    (word, i) => void table.writeUInt32LE(word, i * 4),
  );
  let offset = table.length;
  for (const [i, text] of strings.entries()) {
    table.writeUInt32LE(text.length - 1, header + i * 8);
    table.writeUInt32LE(offset, header + i * 8 + 4);
    offset += text.length;
  }
  return Buffer.concat([table, ...strings]);
}

/** As libvirt's own zh_CN.po has them: words of virsh, and messages of libvirtd, which newer ones number. */
const CHINESE = catalogue([
  ['', 'Content-Type: text/plain; charset=UTF-8\n'],
  ['domain moment %1$s already exists', '时域 %1$s 已存在'],
  ['domain moment %s already exists', '时域 %s 已存在'],
  ['error: ', '错误：'],
  ['operation failed: %1$s', '操作失败: %1$s'],
  ['operation failed: %s', '操作失败: %s'],
  ['shut off', '关闭'],
  ['unknown', '未知'],
]);

describe.runIf(isSystemLab)('where libvirt is translated (root mounts its words)', () => {
  function installChinese(): Vm {
    const directory = join(smallFilesystem(1, '/usr/share/locale'), 'zh_CN/LC_MESSAGES');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'libvirt.mo'), CHINESE);
    return defineVm({ name: 'web-1', disks: [{ size: '4M' }] });
  }

  // From 2.41 on, the C library translates nothing in C.UTF-8.
  const chinese = {
    LC_ALL: tool('locale', ['-a']).includes('zh_CN.utf8') ? 'zh_CN.UTF-8' : 'C.UTF-8',
    LANGUAGE: 'zh_CN',
  };

  test('a virsh that would speak Chinese is understood', async () => {
    const vm = installChinese();
    const raw = tool('env', [
      ...Object.entries(chinese).map(([name, value]) => `${name}=${value}`),
      'virsh',
      'domstate',
      '--reason',
      vm.uuid,
    ]);
    expect(raw.trim()).toBe('关闭 (未知)');
    const result = await kvmsnap(['create-as', 'web-1', 's1', '--json'], { env: chinese });
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(result.stdout).domains[0].state).toBe('shutoff');
    expect(tagCounts(vm, 's1')).toEqual([1]);
    expect((await kvmsnap(['create-as', 'web-1', 's1'], { env: chinese })).code).toBe(6);
  });

  test('a libvirtd that speaks Chinese is understood', async () => {
    const vm = installChinese();
    await killLibvirtd('SIGTERM');
    try {
      await startLibvirtd(chinese);
      virsh('snapshot-create-as', vm.uuid, 's1');
      const raw = tryVirsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
      expect(raw.stderr).toBe('error: 操作失败: 时域 s1 已存在\n');

      for (const name of ['s2', 's3', 's4']) {
        const results = await Promise.all([1, 2, 3].map(() => kvmsnap(['create-as', 'web-1', name])));
        expect(results.map(({ code }) => code).sort()).toEqual([0, 6, 6]);
        expect(tagCounts(vm, name)).toEqual([1]);
      }
      const names = await Promise.all([1, 2, 3].map(() => kvmsnap(['create', '-q', 'web-1'])));
      expect(new Set(names.map(({ stdout }) => stdout)).size).toBe(3);
      expect(snapshotNames(vm)).toHaveLength(7);
    } finally {
      await killLibvirtd('SIGTERM');
      await startLibvirtd({ LC_ALL: 'C.UTF-8', LANGUAGE: '' });
    }
  });
});
