import { XMLParser } from 'fast-xml-parser';

/**
 * XML as libvirt prints it, read so that text stays text: `007`, `1.10`, and leading spaces survive (DESIGN, facts).
 * Attributes get the prefix `@`, an element's text beside attributes stands under `#text`.
 */
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  htmlEntities: true,
  isArray: (name) => REPEATED.has(name),
});

/** Elements that may come more than once where this program looks for them. */
const REPEATED: ReadonlySet<string> = new Set(['disk', 'hostdev', 'filesystem']);

/** A parsed element: its children, attributes and text, still untyped. Schemas (zod) give it a shape. */
export function parseXml(text: string): unknown {
  return parser.parse(text);
}
