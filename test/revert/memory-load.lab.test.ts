// libvirt 11.2 and 11.3 as they were released have QEMU wait for an incoming migration when they revert to an internal snapshot
// with memory, and QEMU cannot load it then. Debian's package of 11.3 has the fix: so here the emulator itself puts that option
// in, and dpkg's record is made that of the package before.
import { chmodSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tryVirsh } from '../lab/lab.ts';
import { libvirtVersion } from '../lab/version.ts';
import { count, countTo, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, qemuPid, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const STATUS = '/var/lib/dpkg/status';

test.runIf(libvirtVersion === '11.3')(
  'before the fix, raw virsh stops the guest; kvmsnap refuses and it runs on',
  async () => {
    const [emulator, broken] = [join(scratch, 'emulator'), join(scratch, 'broken')];
    writeFileSync(
      emulator,
      `#!/bin/sh\n[ ! -e ${broken} ] || set -- "$@" -incoming defer\nexec qemu-system-x86_64 "$@"\n`,
    );
    chmodSync(emulator, 0o755);
    const [raw, vm] = ['twin', 'web'].map((name) => {
      const extraDevicesXml = `<emulator>${emulator}</emulator>`;
      const made = defineVm({ name, boot: 'counter', disks: [{ size: '8M' }], extraDevicesXml });
      start(made);
      take(made, 's1');
      return made;
    }) as [Vm, Vm];
    writeFileSync(broken, '');
    const { code, stderr } = tryVirsh('snapshot-revert', '--domain', raw.uuid, '--snapshotname', 's1');
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('is writable but does not support snapshots'),
    ]);
    expect(state(raw)).toBe('shut off');
    rmSync(broken);

    const kept = join(scratch, 'status');
    copyFileSync(STATUS, kept);
    const [pid, counted] = [qemuPid(vm), count(vm)];
    try {
      const older = readFileSync(kept, 'utf8').replace(
        /(\nPackage: libvirt-daemon-driver-qemu\n(?:.+\n)*?Version: ).*/,
        (_, before) => `${before}11.3.0-1`,
      );
      writeFileSync(STATUS, older);
      for (const force of [[], ['--force']]) {
        const refused = await kvmsnap(['revert', 'web', 's1', ...force]);
        expect(refused.stderr).toContain('libvirt 11.3 cannot load the memory of internal snapshots');
        expect(refused.code).toBe(5);
      }
      expect(qemuPid(vm)).toBe(pid);
      await countTo(vm, counted + 5);
    } finally {
      copyFileSync(kept, STATUS);
    }
    await succeed('revert', 'web', 's1');
    expect(state(vm)).toBe('running');
  },
);
