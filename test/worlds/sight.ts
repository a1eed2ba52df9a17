// What a world holds, by virsh and qemu-img alone: what each VM's disks and snapshots contain.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tryTool } from '../lab/lab.ts';
import type { World } from './world.ts';

/** A VM as it was seen. Content is a hash; null: it cannot be read. */
export interface Sight {
  readonly state: string;
  readonly definition: string;
  /** By target, what the guest finds on the disk. */
  readonly disks: Readonly<Record<string, string | null>>;
  /** By target, the active file. */
  readonly paths: Readonly<Record<string, string>>;
  readonly current: string | null;
  readonly snapshots: Readonly<Record<string, SeenSnapshot>>;
}

export interface SeenSnapshot {
  readonly xml: string;
  /** By target, the content that belongs to it. */
  readonly content: Readonly<Record<string, string | null>>;
  readonly isExternal: boolean;
}

/** All VMs of a world, by name. */
export type Seen = ReadonlyMap<string, Sight>;

/** Contents by the bytes of the files that they come from: most of them do not change from one look to the next. */
export interface Memory {
  readonly chains: Map<string, readonly string[]>;
  readonly contents: Map<string, string | null>;
}

export const newMemory = (): Memory => ({ chains: new Map(), contents: new Map() });

export function look({ vms }: World, memory: Memory): Seen {
  const first = batch(
    vms.flatMap(({ uuid }) => [
      `domstate ${uuid}`,
      `dumpxml --inactive ${uuid}`,
      `dumpxml ${uuid}`,
      `snapshot-current ${uuid} --name`,
      `snapshot-list ${uuid} --name`,
    ]),
  );
  const named = vms.map((vm, i) => {
    const [state = '', definition = '', live = '', current = '', names = ''] = first.slice(i * 5, i * 5 + 5);
    return { vm, state, definition, live, current, names: names.split('\n').filter((name) => name !== '') };
  });
  const second = batch(
    named.flatMap(({ vm, names }) => names.map((name) => `snapshot-dumpxml ${vm.uuid} ${name}`)),
  );
  return new Map(
    named.map(({ vm, state, definition, live, current, names }) => {
      const paths = diskPaths(live);
      const xmls = second.splice(0, names.length);
      const sight: Sight = {
        state: state.trim(),
        definition,
        paths,
        disks: mapValues(paths, (path) => contentOf(path, null, memory)),
        current: current.trim() || null,
        snapshots: Object.fromEntries(
          names.map((name, i) => [name, seeSnapshot(name, xmls[i] ?? '', memory)]),
        ),
      };
      return [vm.name, sight];
    }),
  );
}

function seeSnapshot(name: string, xml: string, memory: Memory): SeenSnapshot {
  const stored = diskPaths(/<domain .*<\/domain>/s.exec(xml)?.[0] ?? '');
  const parts = [...xml.matchAll(/<disk name='([^']+)' snapshot='(internal|external)'/g)];
  const content = parts.map(([, target = '', location]) => {
    const path = stored[target];
    return [target, path ? contentOf(path, location === 'internal' ? name : null, memory) : null] as const;
  });
  return {
    xml,
    content: Object.fromEntries(content),
    isExternal: parts.some(([, , location]) => location === 'external'),
  };
}

/** By target, the source files of a definition. */
function diskPaths(xml: string): Record<string, string> {
  const disks = xml.match(/<disk type='file'.*?<\/disk>/gs) ?? [];
  return Object.fromEntries(
    disks.flatMap((disk) => {
      const [, target] = /<target dev='([^']+)'/.exec(disk) ?? [];
      const [, path] = /<source file='([^']+)'/.exec(disk) ?? [];
      return target && path ? [[target, path]] : [];
    }),
  );
}

const mapValues = <T>(
  record: Readonly<Record<string, string>>,
  change: (value: string) => T,
): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

/** The answers of raw virsh to several commands, in one process. */
function batch(commands: readonly string[]): string[] {
  if (commands.length === 0) return [];
  const { stdout } = tryTool('virsh', [commands.map((command) => `${command}; echo @@@`).join('; ')]);
  return stdout.split('@@@\n').slice(0, commands.length);
}

/** A hash of what the image holds, or one snapshot inside it; null when there is none, or two of that name. */
export function contentOf(path: string, tag: string | null, memory: Memory): string | null {
  const own = hashOf(path);
  if (own === null) return null;
  const chain = remember(memory.chains, `${path} ${own}`, () => chainOf(path));
  const key = [...chain.map((link) => `${hashOf(link)}`), tag].join(' ');
  return remember(memory.contents, key, () => convert(path, tag));
}

function remember<T>(known: Map<string, T>, key: string, find: () => T): T {
  if (!known.has(key)) known.set(key, find());
  return known.get(key) as T;
}

const hashOf = (path: string): string | null =>
  existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : null;

const info = (path: string) =>
  tryTool('qemu-img', ['info', '-U', '-f', 'qcow2', '--backing-chain', '--output=json', '--', path]);

function chainOf(path: string): string[] {
  const { code, stdout } = info(path);
  return code === 0 ? (JSON.parse(stdout) as { filename: string }[]).map(({ filename }) => filename) : [path];
}

/** How many tags of that name are in the image. */
export function countTags(path: string, name: string): number {
  const { code, stdout } = info(path);
  if (code !== 0) return 0;
  const [top] = JSON.parse(stdout) as { snapshots?: { name: string }[] }[];
  return (top?.snapshots ?? []).filter((tag) => tag.name === name).length;
}

function convert(path: string, tag: string | null): string | null {
  if (tag !== null && countTags(path, tag) !== 1) return null;
  const copy = join(scratch, 'content.raw');
  const of = tag === null ? [] : ['-l', `snapshot.name=${tag}`];
  const { code } = tryTool('qemu-img', ['convert', '-U', '-f', 'qcow2', ...of, '-O', 'raw', path, copy]);
  if (code !== 0) return null;
  try {
    return createHash('sha256').update(readFileSync(copy)).digest('hex');
  } finally {
    rmSync(copy);
  }
}

/** Fails where an image of the world is not sound by qemu-img. */
export function unsound(seen: Seen): string[] {
  const paths = new Set(
    [...seen.values()].flatMap(({ paths, state }) => (state === 'shut off' ? Object.values(paths) : [])),
  );
  return [...paths].filter(
    (path) => existsSync(path) && tryTool('qemu-img', ['check', '-q', '-U', '-f', 'qcow2', path]).code === 2,
  );
}
