import { POLICY_NAMESPACE } from '../../model/policy.ts';
import { type Element, elementsAt } from './element.ts';
import { escapeText } from './xml.ts';

/**
 * The policy of a VM in its XML: `<kvmsnap:policy xmlns:kvmsnap="urn:kvmsnap:policy" name="nightly"/>` within `<metadata>`.
 * libvirt prints the namespace on the element itself, whatever its prefix is, and keeps one element of a namespace.
 */

/** The prefix for `virsh metadata --key`. */
export const POLICY_KEY = 'kvmsnap';

/** The element for `virsh metadata --set`, to which libvirt adds the prefix. */
export const policyElement = (name: string): string => `<policy name='${escapeText(name)}'/>`;

/** The policy in a definition; null: none. */
export function policyIn(definition: Element): string | null {
  const [found] = elementsAt(definition, 'metadata')
    .flatMap(({ children }) => children)
    .filter(({ name, attributes }) => isPolicy(name, (attribute) => attributes[attribute]));
  return found?.attributes['name'] || null;
}

/** The same for `<metadata>` as `parseXml` returns it. */
export function policyOf(metadata: unknown): string | null {
  if (typeof metadata !== 'object' || metadata === null) return null;
  const found = Object.entries(metadata).find(([name, value]) =>
    isPolicy(name, (attribute) => value?.[`@${attribute}`]),
  );
  const choice: unknown = found?.[1]['@name'];
  return typeof choice === 'string' && choice !== '' ? choice : null;
}

/** `attribute` returns the value of an attribute of the element. */
function isPolicy(name: string, attribute: (name: string) => unknown): boolean {
  const [, prefix, local] = /^(?:([^:]*):)?([^:]*)$/.exec(name) ?? [];
  const namespace = attribute(prefix === undefined ? 'xmlns' : `xmlns:${prefix}`);
  return local === 'policy' && namespace === POLICY_NAMESPACE;
}
