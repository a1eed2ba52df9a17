import type { NamedFile } from '../../model/domain-files.ts';
import { parseDisks } from '../xml/domain.ts';
import { parseXml } from '../xml/xml.ts';

/**
 * Finds the files that a definition names, in the output of `virsh dumpxml` or in the definition stored with a
 * snapshot.
 */

/** A disk that is a volume of a storage pool; only the pool knows its path. */
export interface NamedVolume extends Omit<NamedFile, 'path'> {
  readonly pool: string;
  readonly volume: string;
}

export interface DefinitionFiles {
  readonly files: readonly NamedFile[];
  readonly volumes: readonly NamedVolume[];
}

/** Most snapshots of a VM have the same elements in their stored definitions, so each distinct text is read once. */
export function createDefinitionReader(): (definition: string) => DefinitionFiles {
  const known = new Map<string, DefinitionFiles>();
  return (definition) => {
    const text = filePart(definition);
    const found = known.get(text) ?? readPart(text);
    known.set(text, found);
    return found;
  };
}

/**
 * The definitions within a snapshot's XML: that of the VM as it ran, and that of its next start if it differs. A raw
 * `<` cannot occur in text.
 */
export function storedDefinitions(xml: string): string[] {
  const starts = [xml.search(/<domain[ >]/), xml.search(/<inactiveDomain[ >]/)].filter((at) => at >= 0);
  return starts.map((start, i) => xml.slice(start, starts[i + 1]));
}

/** True for the definition of a VM that QEMU runs. */
export const isOfRunning = (definition: string): boolean => /^\s*<domain\s[^>]*\bid=/.test(definition);

/** The elements that name files. `<devices>` comes after `<metadata>`, which may contain anything. */
function filePart(definition: string): string {
  const from = definition.lastIndexOf('</metadata>');
  const own = from < 0 ? definition : definition.slice(from);
  const devices = own.slice(own.lastIndexOf('<devices>'), own.lastIndexOf('</devices>'));
  return [
    ...(devices.match(/<disk .*?<\/disk>/gs) ?? []),
    ...(own.match(/<nvram[ >].*?<\/nvram>/gs) ?? []),
    ...(own.match(/<varstore .*?>/gs) ?? []),
    ...(own.match(OTHER_FILES) ?? []),
    ...(own.match(/<qemu:arg .*?\/>/gs) ?? []),
  ].join('');
}

/** Elements that name a file which is no disk: what is booted directly, firmware, ROMs, outputs of serial devices. */
const OTHER_FILES =
  /<(?:kernel|initrd|dtb|shim|loader|table|path)(?: [^>]*)?>\/[^<]*<\/|<(?:rom|log|entry) [^>]*\bfile=['"]\/[^>]*>|<source path=['"]\/[^>]*>/g;

/** What is booted, firmware and ROMs are only read. */
const others = (text: string): NamedFile[] =>
  (text.match(OTHER_FILES) ?? []).flatMap((element) => {
    const [, inner, attribute] = />(\/[^<]*)<|(?:file|path)=['"](\/[^'"]*)['"]/.exec(element) ?? [];
    const path = plainText(inner ?? attribute ?? '').trim();
    const isWritten = /^<(?:log|path|source) /.test(element) || element.startsWith('<path>');
    return path === '' ? [] : [{ ...other(path, null), readonly: !isWritten }];
  });

function readPart(text: string): DefinitionFiles {
  const disks = parseDisks((text.match(/<disk .*?<\/disk>/gs) ?? []).join(''));
  const files: NamedFile[] = [];
  const volumes: NamedVolume[] = [];
  for (const { target, source, address, backing, backingFormats, driver, readonly, device, pool } of disks) {
    const file = {
      format: driver ?? 'raw',
      target,
      readonly: readonly || device === 'cdrom',
      nvram: false,
      below: false,
    };
    const place = source ?? address;
    if (place !== undefined) files.push({ ...file, path: place });
    // for a disk that libvirt never started, the backing files may be named only here
    for (const path of backing) {
      const format = backingFormats.get(path) ?? null;
      files.push({ ...file, path, format, readonly: true, below: true });
    }
    if (pool && source === null) volumes.push({ ...file, pool: pool.name, volume: pool.volume });
  }
  return {
    files: [...files, ...mirrors(text), ...nvram(text), ...others(text), ...fromCommandLine(text)],
    volumes,
  };
}

const plainText = (text: string): string => {
  const value = parseXml(`<a>${text}</a>`);
  return typeof value === 'object' && typeof value['a'] === 'string' ? value['a'] : '';
};

const other = (path: string, format: string | null): NamedFile => ({
  path,
  format,
  target: null,
  readonly: false,
  nvram: false,
  below: false,
});

/** The file to which a block copy writes. */
const mirrors = (text: string): NamedFile[] =>
  (text.match(/<mirror .*?<\/mirror>/gs) ?? []).flatMap((mirror) => {
    const [, path] = /<source (?:file|dev)=['"]([^'"]*)['"]/.exec(mirror) ?? [];
    return path === undefined ? [] : [other(plainText(path), null)];
  });

function nvram(text: string): NamedFile[] {
  const [element] = /<nvram[ >].*?<\/nvram>/s.exec(text) ?? [];
  if (element === undefined) return varstore(text);
  const [, source] = /<source file=['"]([^'"]*)['"]/.exec(element) ?? [];
  const [, inner = ''] = /<nvram[^>]*>([^<]*)</.exec(element) ?? [];
  const [, format = 'raw'] = /<nvram[^>]*\sformat=['"]([^'"]*)['"]/.exec(element) ?? [];
  const path = plainText(source ?? inner).trim();
  return path.startsWith('/') ? [{ ...other(path, format), nvram: true }] : [];
}

/** The file in which QEMU itself keeps the variables of UEFI firmware (libvirt 12 and later), with content in JSON. */
function varstore(text: string): NamedFile[] {
  const [, path] = /<varstore [^>]*?\bpath=['"]([^'"]*)['"]/.exec(text) ?? [];
  return path?.startsWith('/') ? [{ ...other(plainText(path), 'raw'), nvram: true }] : [];
}

/** Drives that the XML passes directly to QEMU: `file=/a,format=qcow2`, `{"filename":"/a"}`, `-hda /a`. */
const fromCommandLine = (text: string): NamedFile[] =>
  [...text.matchAll(/<qemu:arg value=['"]([^'"]*)['"]/g)].flatMap(([, value = '']) => {
    const word = plainText(value);
    const paths = word.startsWith('/')
      ? [word]
      : [...word.matchAll(/\b(?:file|filename|file\.filename|path)["']?\s*[=:]\s*["']?(\/[^,"']*)/g)].map(
          ([, path = '']) => path,
        );
    const format = /\bqcow2\b/.test(word) ? 'qcow2' : null;
    return paths.map((path) => other(path, format));
  });
