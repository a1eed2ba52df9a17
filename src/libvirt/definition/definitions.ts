import { understand } from '../../errors.ts';
import { allAnswered } from '../answers.ts';
import { dumpCommand } from '../snapshots.ts';
import type { Virsh } from '../virsh.ts';
import type { Element } from '../xml/element.ts';
import { parseElement } from '../xml/xml.ts';

/** The definitions of one VM: the present ones, and those that libvirt stores with its snapshots. */

/** The definition that a snapshot stores. */
export interface StoredDefinition {
  /** The VM as it was; the live definition if it was running. */
  readonly domain: Element;
  /** The definition for its next start; null if that is `domain`. */
  readonly inactive: Element | null;
}

export interface Definitions {
  /** The persistent definition. */
  readonly config: Element | null;
  /** The present definition; for a running VM it includes everything that was plugged in since the start. */
  readonly live: Element | null;
  /** By the snapshot's name; a snapshot without a stored definition is not in it. */
  readonly stored: ReadonlyMap<string, StoredDefinition>;
}

/** Reads them in one process per 100 KB of commands. What libvirt does not print is null or left out. */
export async function readDefinitions(
  virsh: Virsh,
  uuid: string,
  names: readonly string[],
): Promise<Definitions> {
  const [config = '', live = '', ...snapshots] = allAnswered(
    await virsh.read([
      ['dumpxml', '--inactive', '--domain', uuid],
      ['dumpxml', '--domain', uuid],
      ...names.map((name) => dumpCommand(uuid, name)),
    ]),
  );
  const parse = createParser();
  return {
    config: parse(config),
    live: parse(live),
    stored: new Map(
      snapshots.flatMap((xml, i) => {
        const [domain, inactive] = ['domain', 'inactiveDomain'].map((name) => parse(elementOf(xml, name)));
        return domain ? [[names[i] ?? '', { domain, inactive: inactive ?? null }] as const] : [];
      }),
    ),
  };
}

/** Many snapshots of a VM store the same text, so each distinct text is parsed once. */
function createParser(): (text: string) => Element | null {
  const known = new Map<string, Element>();
  return (text) => {
    if (text.trim() === '') return null;
    const element = known.get(text) ?? understand('virsh about a definition', () => parseElement(text));
    known.set(text, element);
    return element;
  };
}

/**
 * The element as text, cut out of a snapshot's XML, in which libvirt prints each of the two at most once, with `domain`
 * first; '' if there is none.
 */
function elementOf(xml: string, name: string): string {
  const start = xml.search(new RegExp(`<${name}[ >]`));
  const end = `</${name}>`;
  return start < 0 ? '' : xml.slice(start, xml.lastIndexOf(end) + end.length);
}
