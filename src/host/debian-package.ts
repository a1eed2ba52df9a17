import type { HostFiles } from './files.ts';

/**
 * The version of a Debian package that is installed on the host, such as `11.3.0-3+deb13u3`; null where dpkg does not know
 * it or cannot be read. Format: dpkg's own record, paragraphs of `Name: value` lines (deb-control(5), dpkg(1)).
 */
export async function debianVersion(files: Pick<HostFiles, 'read'>, name: string): Promise<string | null> {
  const bytes = await files.read('/var/lib/dpkg/status').catch(() => null);
  if (bytes === null) return null;
  const text = `\n\n${new TextDecoder().decode(bytes)}`;
  const start = text.indexOf(`\n\nPackage: ${name}\n`);
  if (start < 0) return null;
  const [paragraph = ''] = text.slice(start + 2).split('\n\n', 1);
  if (!/^Status: .* installed$/m.test(paragraph)) return null;
  return /^Version: (\S+)$/m.exec(paragraph)?.[1] ?? null;
}
