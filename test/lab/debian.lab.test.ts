// Proves that a lab can have another libvirt. Builds a Debian where this VM has none yet.
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { isSystemLab, tryTool, virsh, waitFor } from './lab.ts';

const enter = fileURLToPath(new URL('./enter.sh', import.meta.url));
const repository = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const run = promisify(execFile);

/** The answer of a script in a lab with that libvirt. */
async function inside(version: string, script: string): Promise<string> {
  return (await run(enter, ['--libvirt', version, 'sh', '-ec', script], { timeout: 600_000 })).stdout;
}

describe.runIf(isSystemLab && existsSync('/usr/bin/apt-get'))('a lab with another libvirt', () => {
  const here = virsh('version', '--daemon');
  const other = here.includes('daemon: 12.') ? '11.3' : '12.8';

  test('has that, its own QEMU, our Node.js and the repository where it always is', {
    timeout: 600_000,
  }, async () => {
    const said = await inside(
      other,
      'virsh version --daemon; node --version; npx --version; pwd; ls package.json',
    );
    expect(said).toContain(`Running against daemon: ${other.split('.')[0]}.`);
    expect(/Running hypervisor: .*/.exec(said)?.[0]).not.toBe(/Running hypervisor: .*/.exec(here)?.[0]);
    expect(said).toContain(`${process.version}\n`);
    expect(said).toContain(`${repository}\npackage.json\n`);
    expect(virsh('version', '--daemon')).toBe(here);
  });

  test('forgets what is written to it, and hands its exit code out', async () => {
    const script =
      'test ! -e /etc/written; date >/etc/written; date >/tmp/written; mount | head -n 1; exit 7';
    for (const _ of [1, 2]) {
      await expect(inside(other, script)).rejects.toMatchObject({
        code: 7,
        stdout: expect.stringMatching(/^overlay on \/ /),
      });
    }
    expect(existsSync('/tmp/written')).toBe(false);
  });

  test('keeps what its libvirtd learned of its QEMU', async () => {
    const kept = 'ls "$KVMSNAP_LAB_CACHE"';
    await inside(other, 'true');
    expect(await inside(other, kept)).toMatch(/^[0-9a-f]{64}\.xml$/m);
    expect(await inside(other, 'echo "$KVMSNAP_LAB_CACHE"')).not.toBe(process.env['KVMSNAP_LAB_CACHE']);
  });

  test('sees nothing of the system that was there before, and nests', async () => {
    const said = await inside(other, 'findmnt -rno TARGET; test/lab/enter.sh virsh uri');
    expect(said).not.toContain('/.old');
    expect(said).toContain('qemu:///system');
  });

  test('is one of several at once, and killed with SIGKILL leaves no loop device', async () => {
    const script =
      'truncate -s 1M "$KVMSNAP_LAB/image"; losetup --find --show "$KVMSNAP_LAB/image"; sleep 60';
    const child = spawn(enter, ['--libvirt', other, 'sh', '-ec', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve));
    const file = `/sys/block/${said.toString().trim().replace('/dev/', '')}/loop/backing_file`;
    await inside(other, 'true');
    expect(readFileSync(file, 'utf8')).toContain('/vm/image');
    child.kill('SIGKILL');
    await waitFor(() => !existsSync(file), { what: 'the end of the device' });
  });

  test('is refused for a version that there is not', () => {
    const { code, stderr } = tryTool(enter, ['--libvirt', '5.0', 'true']);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'lab: no libvirt 5.0; there are: 7.0 9.0 11.3 12.8 12.9\n',
    });
  });
});
