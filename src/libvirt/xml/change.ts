import type { Element } from './element.ts';
import { escapeText } from './xml.ts';

/** Makes another definition of a definition, and prints it. */

/** The element, with what `change` makes of each element at this path (`devices/disk`); null removes it. */
export function changedAt(
  element: Element,
  path: string,
  change: (found: Element) => Element | null,
): Element {
  const [name = '', ...rest] = path.split('/');
  return {
    ...element,
    children: element.children.flatMap((child) => {
      if (child.name !== name) return child;
      return (rest.length === 0 ? change(child) : changedAt(child, rest.join('/'), change)) ?? [];
    }),
  };
}

/** The element without the elements at this path. */
export const withoutAt = (element: Element, path: string): Element => changedAt(element, path, () => null);

/** The definition without the UUID that its firmware tells the guest, which must be that of the VM. */
export const withoutFirmwareUuid = (domain: Element): Element =>
  changedAt(domain, 'sysinfo/system/entry', (entry) => (entry.attributes['name'] === 'uuid' ? null : entry));

/** The element with these attributes; null removes one. */
export const withAttributes = (
  element: Element,
  attributes: Readonly<Record<string, string | null>>,
): Element => ({
  ...element,
  attributes: Object.fromEntries(
    Object.entries<string | null>({ ...element.attributes, ...attributes }).flatMap(([name, value]) =>
      value === null ? [] : [[name, value]],
    ),
  ),
});

/** A new element. */
export const newElement = (
  name: string,
  { attributes = {}, children = [], text = '' }: Partial<Omit<Element, 'name'>> = {},
): Element => ({ name, attributes, children, text });

/** The element as XML, each element on a line of its own. */
export function elementXml({ name, attributes, children, text }: Element, indent = ''): string {
  const words = [name, ...Object.entries(attributes).map(([key, value]) => `${key}='${attribute(value)}'`)];
  const start = `${indent}<${words.join(' ')}`;
  if (children.length === 0) return text === '' ? `${start}/>\n` : `${start}>${escapeText(text)}</${name}>\n`;
  const within = children.map((child) => elementXml(child, `${indent}  `)).join('');
  return `${start}>${escapeText(text)}\n${within}${indent}</${name}>\n`;
}

/** A parser reads a line feed or a tab in an attribute as a space unless it is escaped. */
const attribute = (value: string): string =>
  escapeText(value).replace(/[\n\r\t]/g, (char) => `&#${char.charCodeAt(0)};`);
