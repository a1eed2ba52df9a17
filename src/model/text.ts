/** How messages name things, always in the same way. */

/**
 * Names without odd characters: letters and digits of any language and the usual signs, without a dash at the start or
 * a sign at the end that could end a sentence.
 */
const PLAIN = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_.:@+-]*[\p{L}\p{M}\p{N}_@+-])?$/u;

/** The name of a VM or a snapshot within a sentence: in quotes only if it has odd characters, such as spaces. */
export const inText = (name: string): string => (PLAIN.test(name) ? name : `'${name}'`);

/** Several names within a sentence: `a, 'b c'`. */
export const allInText = (names: readonly string[]): string => names.map(inText).join(', ');

/** The first names of a list that may be long: `a, b, c and 197 more`. */
export function someInText(names: readonly string[]): string {
  const [shown, rest] = [names.slice(0, 5), names.length - 5];
  return rest > 0 ? `${allInText(shown)} and ${rest} more` : allInText(shown);
}

/** Whether a sentence names the VM or snapshot: as `inText` writes it, and not within another name. */
export function mentions(sentence: string, name: string): boolean {
  const text = inText(name);
  const isPart = (char: string | undefined) => char !== undefined && /[\p{L}\p{M}\p{N}_@+/-]/u.test(char);
  for (let at = sentence.indexOf(text); at >= 0; at = sentence.indexOf(text, at + 1))
    if (!isPart(sentence[at - 1]) && !isPart(sentence[at + text.length])) return true;
  return false;
}

/** Disks by their targets within a sentence: `disk vda`, `disks vda, vdb`. */
export const disksInText = (targets: readonly string[]): string =>
  `${targets.length === 1 ? 'disk' : 'disks'} ${targets.join(', ')}`;

/** A disk with its path, as far as it has one: `disk vda (/images/a.qcow2)`. */
export const diskInText = ({
  target,
  source,
}: {
  readonly target: string;
  readonly source: string | null;
}): string => `disk ${target}${source === null ? '' : ` (${source})`}`;
