import { parseXml as parseDocument, XmlElement, XmlText } from '@rgrove/parse-xml';
import type { Element } from './element.ts';

/** A parsed element without a type; a schema (zod) gives it one. */
export type XmlValue = string | { readonly [key: string]: XmlValue | readonly XmlValue[] | undefined };

/** Elements that may occur more than once. */
const REPEATED: ReadonlySet<string> = new Set([
  'disk',
  'hostdev',
  'filesystem',
  'channel',
  'tpm',
  'qemu:arg',
]);

/**
 * XML as libvirt prints it -> plain values, where text stays text: `007`, `1.10` and leading spaces survive. An element
 * without attributes and children is its text; others are objects, with attributes as `@name` and text as `#text`.
 * Throws when it is not well-formed.
 */
export function parseXml(text: string): XmlValue {
  const { root } = parseDocument(text);
  return root ? { [root.name]: toValue(root) } : {};
}

function toValue(element: XmlElement): XmlValue {
  const value: Record<string, XmlValue | XmlValue[]> = {};
  for (const [name, text] of Object.entries(element.attributes)) value[`@${name}`] = text;
  let text = '';
  let simple = true;
  for (const child of element.children) {
    if (child instanceof XmlText) text += child.text;
    if (!(child instanceof XmlElement)) continue;
    simple = false;
    add(value, child.name, toValue(child));
  }
  if (simple && Object.keys(element.attributes).length === 0) return text;
  if (text.trim() !== '') value['#text'] = text;
  return value;
}

function add(value: Record<string, XmlValue | XmlValue[]>, name: string, child: XmlValue): void {
  if (!REPEATED.has(name)) {
    value[name] = child;
    return;
  }
  const list = value[name];
  if (Array.isArray(list)) list.push(child);
  else value[name] = [child];
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
};

/** Escapes a text for use in an element, or in an attribute in single quotes. */
export function escapeText(text: string): string {
  return text.replace(/[&<>']/g, (char) => ENTITIES[char] ?? char);
}

/** The text that the raw value of an attribute stands for. */
export function attributeText(raw: string): string {
  return parseDocument(`<a v='${raw}'/>`).root?.attributes['v'] ?? raw;
}

/** Parses a document with all elements in their order, including repeated ones. Throws if it is not well-formed. */
export function parseElement(text: string): Element {
  const { root } = parseDocument(text);
  if (!root) throw new Error('it is empty');
  return toElement(root);
}

function toElement(element: XmlElement): Element {
  return {
    name: element.name,
    attributes: element.attributes,
    children: element.children.filter((child) => child instanceof XmlElement).map(toElement),
    text: element.children
      .filter((child) => child instanceof XmlText)
      .map(({ text }) => text)
      .join('')
      .trim(),
  };
}
