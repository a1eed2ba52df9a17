// A host of its own beside this lab: another lab within it, with its own libvirtd, processes, mounts and network.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tool } from '../lab/lab.ts';
import { domainXml, pathOf, type Vm } from './vm.ts';

export interface OwnLab {
  /** The words before a command that is to run in there. */
  readonly inside: readonly string[];
  /** Its directory for images, which this lab sees under the same path. */
  readonly scratch: string;
  virsh(...args: string[]): string;
  /** Defines a VM of the same name and hardware there, on an image of its own, and returns the path of that. */
  defineLike(vm: Vm): string;
  /** Ends it, with all that runs in there. */
  stop(): Promise<void>;
}

const enter = fileURLToPath(new URL('../lab/enter.sh', import.meta.url));

/** Starts it. Root only. */
export async function startOwnLab(): Promise<OwnLab> {
  // it lives as long as its stdin
  const lab = spawn(enter, ['sh', '-c', 'echo "$KVMSNAP_LAB"; cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => lab.on('exit', () => resolve()));
  const scratch = await new Promise<string>((resolve, reject) => {
    lab.stdout.setEncoding('utf8').on('data', (text: string) => resolve(text.trim()));
    ended.then(() => reject(new Error('the other lab did not start')));
  });
  const init = readFileSync(join(dirname(scratch), 'init'), 'utf8').trim();
  const inside = ['nsenter', '--target', init, '--mount', '--pid', '--net'];
  const virsh = (...args: string[]) => tool(inside[0] ?? '', [...inside.slice(1), 'virsh', ...args]);
  return {
    inside,
    scratch,
    virsh,
    defineLike(vm) {
      const path = join(scratch, `${vm.name}.qcow2`);
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', path, '16M']);
      const file = join(scratch, `${vm.name}.xml`);
      writeFileSync(file, domainXml(vm).replace(vm.uuid, randomUUID()).replace(pathOf(vm), path));
      virsh('define', file);
      return path;
    },
    async stop() {
      lab.stdin.end();
      await ended;
    },
  };
}
