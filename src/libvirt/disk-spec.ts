import type { DiskSpec, MemorySpec } from '../model/input/snapshot-spec.ts';

/**
 * virsh's syntax for where a snapshot keeps a disk or the memory (virsh-snapshot.c): parts separated by commas; a comma
 * within a part is doubled.
 */

/** `[file=]name[,snapshot=type]`; null for anything else. */
export function parseMemspec(text: string): MemorySpec | null {
  const fields = new Map<string, string>();
  for (const part of splitSpec(text)) {
    const [, key, value] = /^(file|snapshot)=(.*)$/s.exec(part) ?? [null, 'file', part];
    if (key === undefined || value === undefined || value === '' || fields.has(key)) return null;
    fields.set(key, value);
  }
  return { location: fields.get('snapshot') ?? null, file: fields.get('file') ?? null };
}

/** `disk[,snapshot=type][,driver=type][,stype=type][,file=name]`; null for anything else. */
export function parseDiskspec(text: string): DiskSpec | null {
  const [disk = '', ...parts] = splitSpec(text);
  const fields = new Map<string, string>();
  for (const part of parts) {
    const [, key, value] = /^(snapshot|driver|stype|file)=(.+)$/s.exec(part) ?? [];
    if (key === undefined || value === undefined || fields.has(key)) return null;
    fields.set(key, value);
  }
  if (disk === '') return null;
  return {
    disk,
    location: fields.get('snapshot') ?? null,
    file: fields.get('file') ?? null,
    driver: fields.get('driver') ?? null,
    storage: fields.get('stype') ?? null,
  };
}

/** Formats such a text; parts that are null are left out. */
export function formatSpec(parts: readonly (readonly [key: string, value: string | null])[]): string {
  return parts
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `${key === '' ? '' : `${key}=`}${(value ?? '').replaceAll(',', ',,')}`)
    .join(',');
}

const splitSpec = (text: string): string[] =>
  [...text.matchAll(/(?:^|,)((?:[^,]|,,)*)/g)].map(([, part = '']) => part.replaceAll(',,', ','));
