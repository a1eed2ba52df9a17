// What a killed export or open may leave: files that are complete or are removed by the next run, and no protection of the snapshot.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CliResult, kvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { scratch, tool } from '../lab/lab.ts';
import { countTo, THEN, take, write } from '../scene/steps.ts';
import { defineVm, pathOf, start, type Vm } from '../scene/vm.ts';
import type { Target } from './kill-others.ts';

const RUNS = '/run/kvmsnap';

/** All that the guest sees, by its hash; `tag`: in that snapshot. */
function contentOf(path: string, tag: string | null): string {
  const raw = join(scratch, 'content.raw');
  const from = tag === null ? [] : ['-l', `snapshot.name=${tag}`];
  tool('qemu-img', ['convert', '-U', ...from, '-f', 'qcow2', '-O', 'raw', '--', path, raw]);
  return createHash('sha256').update(readFileSync(raw)).digest('hex');
}

/** A running VM with the snapshot `s1`, and what its disks held then. */
async function withSnapshot(name: string) {
  const vm = defineVm({ name, boot: 'counter', disks: [{ size: '8M' }, { size: '64M' }] });
  write(vm, THEN);
  start(vm);
  await countTo(vm, 3);
  take(vm, 's1');
  return { vm, held: vm.disks.map((_, n) => contentOf(pathOf(vm, n), 's1')) };
}

/** What no run may leave behind after the next one. */
async function leftBehind(vm: Vm, directories: readonly string[]): Promise<string[]> {
  const unfinished = directories.flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith('.')) : [],
  );
  const tools = processes()
    .map(({ args }) => args.join(' '))
    .filter((line) => /^qemu-(nbd|img) /.test(line) && line.includes(`${RUNS}/`));
  const runs = existsSync(RUNS) ? readdirSync(RUNS) : [];
  const { code, stderr } = await kvmsnap(['delete', vm.name, 's1', '--dry-run']);
  return [
    ...[...unfinished, ...tools, ...runs].map((what) => `${what} is left`),
    ...(code === 0 ? [] : [`the snapshot cannot be deleted: ${stderr}`]),
  ];
}

/** Exports into a new directory, which must succeed; returns what is wrong. */
async function exportsAgain(vm: Vm, held: readonly string[], to: string): Promise<string[]> {
  const { code, stderr } = await kvmsnap(['export', vm.name, 's1', to]);
  return code === 0 ? wrongFiles(to, held, true) : [`exit ${code}: ${stderr}`];
}

/** What is wrong with the files that have their names; `all`: none may be missing. */
function wrongFiles(to: string, held: readonly string[], all: boolean): string[] {
  return ['vda', 'vdb'].flatMap((target, n) => {
    const path = join(to, `killed-export-${target}.qcow2`);
    const other = join(to, `killed-open-${target}.qcow2`);
    const found = [path, other].find((each) => existsSync(each));
    if (found === undefined) return all ? [`there is no file of ${target}`] : [];
    return contentOf(found, null) === held[n] ? [] : [`${found} is not what the snapshot holds`];
  });
}

const isSurvivor = ({ signal }: CliResult): boolean => signal === null;

/** `export` of a running VM. */
export function exporting(): Target {
  const made = withSnapshot('killed-export');
  const to = (n: number) => join(scratch, `killed-export-${n}`);
  return {
    what: 'export',
    async prepare(n) {
      const { vm } = await made;
      return ['export', vm.name, 's1', to(n)];
    },
    async after(n, ended) {
      const { held } = await made;
      const files = existsSync(to(n)) ? readdirSync(to(n)) : [];
      const isTold = ended.code === 0 ? files.length === 3 : files.length === 0;
      return [
        ...wrongFiles(to(n), held, ended.code === 0),
        ...(isSurvivor(ended) && !isTold ? [`exit ${ended.code}, but there are ${files.join(', ')}`] : []),
      ];
    },
    async next(n) {
      const { vm, held } = await made;
      const again = `${to(n)}-again`;
      return [...(await exportsAgain(vm, held, again)), ...(await leftBehind(vm, [to(n), again]))];
    },
  };
}

/** `open` of a running VM, ended by Ctrl-C if it lives so long. */
export function opening(): Target {
  const made = withSnapshot('killed-open');
  return {
    what: 'open',
    async prepare() {
      const { vm } = await made;
      return ['open', vm.name, 's1', '--json'];
    },
    waits: ({ stdout }) => stdout.endsWith('}\n'),
    async after() {
      return [];
    },
    async next(n) {
      const { vm, held } = await made;
      const again = join(scratch, `killed-open-${n}`);
      return [...(await exportsAgain(vm, held, again)), ...(await leftBehind(vm, [again]))];
    },
  };
}
