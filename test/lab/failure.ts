// What kvmsnap says of a failure, and doing what it says.
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { destroy, type Vm } from '../scene/vm.ts';
import type { CliResult } from './cli.ts';
import { tool } from './lab.ts';

/** The error document of `--json`: the last line of stderr, for warnings may stand before it. Throws when it breaks the contract. */
export function errorDocument({ stderr }: Pick<CliResult, 'stderr'>) {
  const last = stderr.trimEnd().split('\n').at(-1) ?? '';
  return z.parse(DOCUMENTS.error, JSON.parse(last)).error;
}

/** `with the VM off: COMMAND`, or with more that is to be so. */
const OFF = /\b(?:with the VM off|while the VM is off)\b/;
const COMMAND = /^(?:\d+\. )?((?:virsh|qemu-img) .*)$/;

/** The commands of a hint, in its order; `off`: the words before them want the VM off. */
function cures(stderr: string): { readonly command: string; readonly off: boolean }[] {
  const hint = stderr.slice(stderr.indexOf('hint: ') + 'hint: '.length);
  let off = false;
  return hint.split('\n').flatMap((line) => {
    const [, command] = COMMAND.exec(line.trim()) ?? [];
    if (command !== undefined) return [{ command, off }];
    off = OFF.test(line);
    return [];
  });
}

/** Pastes the commands of a hint into a shell, turning the VM off where the hint wants it off. */
export function followHint(vm: Vm, stderr: string): string[] {
  return cures(stderr).map(({ command, off }) => {
    if (off) destroy(vm);
    tool('sh', ['-c', command]);
    return command;
  });
}
