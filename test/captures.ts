import { readFileSync } from 'node:fs';

/** What real virsh and qemu-img printed, unchanged, by libvirt version (fixtures/). */

export const VERSIONS = ['7.0.0', '9.0.0', '11.3.0', '12.8.0'] as const;

export type Version = (typeof VERSIONS)[number];

/** One captured stream: `capture('9.0.0', 'version.out')`. */
export function capture(version: Version, file: string): string {
  return readFileSync(new URL(`./fixtures/libvirt-${version}/${file}`, import.meta.url), 'utf8');
}

/** The definition of the captured VM while its snapshots were all internal: the one stored with `run1`. */
export function storedDefinition(version: Version): string {
  const [definition] = /<domain .*<\/domain>/s.exec(capture(version, 'dumpxml-run1.out')) ?? [];
  if (definition === undefined) throw new Error('the capture of run1 has no definition');
  return definition;
}
