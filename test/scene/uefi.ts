// A VM with UEFI firmware.
import { copyFileSync, existsSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import type { Vm, VmSpec } from './vm.ts';

/** Where the distributions keep the firmware. */
const FIRMWARE = [
  '/usr/share/OVMF/OVMF_CODE_4M.fd',
  '/usr/share/edk2/ovmf/OVMF_CODE.fd',
  '/usr/share/edk2/x64/OVMF_CODE.4m.fd',
  '/usr/share/qemu/ovmf-x86_64-code.bin',
];

/** With UEFI; its NVRAM, made of the firmware's template, is of that format. */
export function uefi(format: 'raw' | 'qcow2'): Omit<VmSpec, 'name'> {
  const firmware = FIRMWARE.find(existsSync);
  if (!firmware) throw new Error('no OVMF here: test/lab/enter.sh --tests installs it');
  const directory = mkdtempSync(join(scratch, 'uefi-'));
  // a copy: of the original libvirt knows the template, and refuses NVRAM of another format
  const code = join(directory, 'code.fd');
  copyFileSync(firmware, code);
  const template = firmware.replace('CODE', 'VARS').replace('-code', '-vars');
  const nvram = join(directory, `nvram.${format}`);
  tool('qemu-img', ['convert', '-f', 'raw', '-O', format, '--', template, nvram]);
  const formats = format === 'raw' ? '' : since({ '7.0': '', '11.3': ` format='${format}'` });
  return {
    disks: [{ size: '4M' }],
    memoryMiB: 64,
    osXml: `<os><type arch='x86_64' machine='q35'>hvm</type>
      <loader readonly='yes' type='pflash'>${code}</loader><nvram${formats}>${nvram}</nvram></os>`,
  };
}

/** The file with the NVRAM of a VM. */
export const nvramOf = (vm: Vm): string =>
  /<nvram[^>]*>(.*?)<\/nvram>/.exec(virsh('dumpxml', '--inactive', '--domain', vm.uuid))?.[1] ?? '';
