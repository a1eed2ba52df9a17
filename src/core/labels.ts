/** Labelled names, `nightly-20261123T030000Z`: how a prune knows the snapshots that a schedule took from those of a person. */

const STAMPED = /^(.+)-\d{8}T\d{6}Z(-\d+)?$/;

/** The label that a snapshot's name carries; null for a name of any other form. */
export function labelOf(name: string): string | null {
  return STAMPED.exec(name)?.[1] ?? null;
}

/** Why this cannot be a label, or null when it can. The resulting names suit every libvirt, running machines included. */
export function labelProblem(label: string): string | null {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(label))
    return "letters A-Z a-z, digits, '.', '_' and '-' only, the first one no sign";
  if (label.length > 150) return 'at most 150 characters';
  return labelOf(label) === null ? null : 'it ends like a time stamp itself';
}

/** The name of a labelled snapshot taken at that moment (seconds since the epoch), with `-2` ... if taken. */
export function labelledName(label: string, seconds: number, taken: (name: string) => boolean): string {
  const stamp = new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '');
  const base = `${label}-${stamp}`;
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`;
    if (!taken(name)) return name;
  }
}
