import { understand } from '../errors.ts';
import { allAnswered } from './answers.ts';
import { dumpCommand } from './snapshots.ts';
import type { Virsh } from './virsh.ts';
import type { Element } from './xml/element.ts';
import { parseElement } from './xml/xml.ts';

/** The definitions of one VM: those of now, and those that libvirt stores with its snapshots. */

/** The definition that a snapshot stores. */
export interface StoredDefinition {
  /** As the VM was; live, if it ran. */
  readonly domain: Element;
  /** As it was to be at its next start; null where that is `domain`. */
  readonly inactive: Element | null;
}

export interface Definitions {
  /** The persistent definition. */
  readonly config: Element | null;
  /** As it is now; of a running VM with all that was plugged in since. */
  readonly live: Element | null;
  /** By the snapshot's name; one that stores no definition is not in it. */
  readonly stored: ReadonlyMap<string, StoredDefinition>;
}

/** Reads them in one process per 100 KB of commands. What libvirt does not tell is null, or is left out. */
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

/** Many snapshots of a VM store the same text, which is parsed once. */
function createParser(): (text: string) => Element | null {
  const known = new Map<string, Element>();
  return (text) => {
    if (text.trim() === '') return null;
    const element = known.get(text) ?? understand('virsh says of a definition', () => parseElement(text));
    known.set(text, element);
    return element;
  };
}

/** Cut out of a snapshot's XML, where libvirt prints each of the two at most once, and `domain` first; '' for none. */
function elementOf(xml: string, name: string): string {
  const start = xml.search(new RegExp(`<${name}[ >]`));
  const end = `</${name}>`;
  return start < 0 ? '' : xml.slice(start, xml.lastIndexOf(end) + end.length);
}
