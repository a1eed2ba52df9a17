/** One element of a definition (libvirt's domain XML) with all its content, not interpreted. */
export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly Element[];
  /** Its own text, trimmed; '' if it has none. */
  readonly text: string;
}

/** All elements at this path below the element, such as `devices/disk`, in document order. */
export function elementsAt(element: Element, path: string): Element[] {
  return path
    .split('/')
    .reduce<Element[]>(
      (found, name) => found.flatMap(({ children }) => children.filter((child) => child.name === name)),
      [element],
    );
}

/** An attribute of the first element at this path; null if there is none. */
export const attributeAt = (element: Element, path: string, name: string): string | null =>
  elementsAt(element, path)[0]?.attributes[name] ?? null;

/** The text of the first element at this path; null if there is none or it is empty. */
export const textAt = (element: Element, path: string): string | null =>
  elementsAt(element, path)[0]?.text || null;

/** `1-3,^2,7` -> 1, 3, 7 (formatdomain, cpuset and nodeset; /sys/devices/system/cpu/online). */
export function numbersIn(set: string): number[] {
  const found = new Set<number>();
  for (const part of set.split(',')) {
    const [, not, from = '', to = from] = /^(\^?)(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (from === '') continue;
    for (let n = Number(from); n <= Math.min(Number(to), Number(from) + 4096); n++)
      not ? found.delete(n) : found.add(n);
  }
  return [...found];
}
