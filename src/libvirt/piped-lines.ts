import { commandLine, quote } from '../model/quote.ts';
import type { VirshCommand } from './batch.ts';
import { dumpCommand } from './snapshots.ts';
import type { Virsh } from './virsh.ts';
import { tagRegistrationParts } from './xml/tag-registration.ts';
import { escapeText } from './xml/xml.ts';

/**
 * Command lines of a dry run that need an XML file. A dry run writes no file, so the line itself makes the XML when it
 * is run, and virsh reads it from stdin. Secrets are never printed.
 */

/** The path by which virsh reads its stdin. */
export const FROM_PIPE = '/dev/stdin';

/** The shell line that pipes the output of `source` into a virsh command that reads `FROM_PIPE`. */
export const pipedLine = (virsh: Virsh, source: string, command: VirshCommand): string =>
  `${source} | ${virsh.line(command)}`;

/** The shell command that prints the text. */
export const printing = (text: string): string => `printf '%s\\n' ${quote(text)}`;

/**
 * The line that prints the XML of a snapshot with another description (null: none), as `withDescription` makes it.
 * libvirt indents the elements of the snapshot by two spaces and all others by more, and text never contains a raw `<`.
 */
export function redescribing(
  virsh: Virsh,
  { uuid, name }: { readonly uuid: string; readonly name: string },
  description: string | null,
): string {
  const dump = virsh.line([...dumpCommand(uuid, name), '--security-info']);
  const cut = [
    ...['/^  <description>/{:a', '/<\\/description>$/!{N;ba', '}', 'd', '}'],
    '/^  <description\\/>$/d',
  ];
  const put =
    description === null
      ? []
      : [`s/^  <state>/  <description>${forSed(escapeText(description))}<\\/description>\\n&/`];
  return `${dump} | ${commandLine(
    'sed',
    [...cut, ...put].flatMap((part) => ['-e', part]),
  )}`;
}

/** The line that prints the XML of a snapshot with other paths in its stored definitions, as `withPaths` makes it. */
export function redirecting(
  virsh: Virsh,
  { uuid, name }: { readonly uuid: string; readonly name: string },
  paths: readonly (readonly [from: string, to: string])[],
): string {
  const dump = virsh.line([...dumpCommand(uuid, name), '--security-info']);
  const script = paths.flatMap(([from, to]) => [
    `s/\\(<\\(source\\|memory\\) [^>]*\\(file\\|dev\\)='\\)${toFind(escapeText(from))}'/\\1${forSed(escapeText(to))}'/`,
    't',
  ]);
  return `${dump} | ${commandLine(
    'sed',
    script.flatMap((part) => ['-e', part]),
  )}`;
}

/** A text as the pattern of sed's `s///`. */
const toFind = (text: string): string => text.replace(/[\\/.*[\]^$]/g, '\\$&');

/** A text as the replacement of sed's `s///`. */
const forSed = (text: string): string => text.replace(/[\\/&]/g, '\\$&').replaceAll('\n', '\\n');

/** The line that prints the XML of a snapshot that only the images hold, as `tagRegistrationXml` makes it. */
export function printingTagRegistration(
  virsh: Virsh,
  uuid: string,
  ...parts: Parameters<typeof tagRegistrationParts>
): string {
  const { head, tail } = tagRegistrationParts(...parts);
  return `{ ${printing(head)}; ${virsh.line(definitionCommand(uuid))}; ${printing(tail)}; }`;
}

/** The command that prints a VM's own definition with its secrets, because a definition without them would lose them. */
export const definitionCommand = (uuid: string): VirshCommand => [
  ...['dumpxml', '--domain', uuid, '--inactive', '--security-info'],
];
