import { attributeText, escapeText } from './xml.ts';

/**
 * The definition of a VM (`virsh dumpxml --inactive --security-info`) with another file for a disk, and without the backing files
 * that it names for it. Null if the definition has no disk of that target with the file `from`.
 */
export function withDiskFile(
  xml: string,
  target: string,
  from: string,
  to: { readonly path: string; readonly format: string },
): string | null {
  // <metadata> may contain anything, and comes before the devices
  const start = Math.max(0, xml.lastIndexOf('</metadata>'));
  let isFound = false;
  const changed = xml.slice(start).replace(/<disk [\s\S]*?<\/disk>/g, (disk) => {
    const [, name] = /<target [^>]*\bdev='([^']*)'/.exec(disk) ?? [];
    if (name === undefined || attributeText(name) !== target) return disk;
    const source = /<source file='([^']*)'/.exec(disk.replace(BACKING, ''));
    if (attributeText(source?.[1] ?? '') !== from) return disk;
    isFound = true;
    return disk
      .replace(BACKING, '')
      .replace(/(<source file=')[^']*'/, (_, before: string) => `${before}${escapeText(to.path)}'`)
      .replace(/(<driver [^>]*\btype=')[^']*'/, (_, before: string) => `${before}${to.format}'`);
  });
  return isFound ? xml.slice(0, start) + changed : null;
}

/** The backing files of a disk are within one another. */
const BACKING = /\n? *<backingStore(?: [^>]*)?(?:\/>|>[\s\S]*<\/backingStore>)/;
