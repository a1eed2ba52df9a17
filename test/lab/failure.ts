// What kvmsnap says of a failure, and doing what it says.
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import type { CliResult } from './cli.ts';
import { tool } from './lab.ts';
import { destroy, type Vm } from './vm.ts';

/** The error document of `--json`: the last line of stderr, for warnings may stand before it. Throws when it breaks the contract. */
export function errorDocument({ stderr }: Pick<CliResult, 'stderr'>) {
  const last = stderr.trimEnd().split('\n').at(-1) ?? '';
  return z.parse(DOCUMENTS.error, JSON.parse(last)).error;
}

/** `with the VM off: COMMAND`, or with more that is to be so. */
const OFF = /^with the VM off[^:]*: /;

/** The commands of a hint, in its order. */
function cures(stderr: string): { readonly command: string; readonly off: boolean }[] {
  const hint = stderr.slice(stderr.indexOf('hint: ') + 'hint: '.length);
  return hint
    .split('\n')
    .map((line) => line.trim())
    .map((line) => ({ command: line.replace(OFF, ''), off: OFF.test(line) }))
    .filter(({ command }) => /^(virsh|qemu-img) /.test(command));
}

/** Pastes the commands of a hint into a shell, turning the VM off where the hint wants it off. */
export function followHint(vm: Vm, stderr: string): string[] {
  return cures(stderr).map(({ command, off }) => {
    if (off) destroy(vm);
    tool('sh', ['-c', command]);
    return command;
  });
}
