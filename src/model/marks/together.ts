/**
 * The mark of snapshots that `create --together` has taken of several VMs at one moment: a line at the end of the description (before
 * the hold), because libvirt stores no other user data with a snapshot. It names all VMs, so that a missing one is noticed.
 */
const MARK = 'Kvmsnap-Together: ';

/** The word for a snapshot that was taken, but not yet proven to be of the same moment as the others. */
const UNFINISHED = 'unfinished';

/** The names of all VMs, this one too; none: the run did not finish; null: the snapshot was taken alone. */
export type Together = readonly string[] | null;

interface Marked {
  readonly text: string | null;
  readonly together: Together;
}

/** Separates a description without the hold into its text and the mark. A line that is no mark of ours stays text. */
export function parseTogether(description: string | null): Marked {
  const none = { text: description, together: null };
  if (description === null) return none;
  const start = description.lastIndexOf('\n') + 1;
  const line = description.slice(start);
  if (!line.startsWith(MARK)) return none;
  const together = namesIn(line.slice(MARK.length));
  if (together === null) return none;
  return { text: description.slice(0, start).replace(/\n{1,2}$/, '') || null, together };
}

function namesIn(text: string): Together {
  if (text === UNFINISHED) return [];
  try {
    const names: unknown = JSON.parse(text);
    const isList =
      Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string');
    return isList ? names : null;
  } catch {
    return null;
  }
}

/** The description with the mark, after an empty line; unchanged if `together` is null. */
export function withTogether(text: string | null, together: Together): string | null {
  if (together === null) return text;
  const line = `${MARK}${together.length === 0 ? UNFINISHED : JSON.stringify(together)}`;
  return text ? `${text}\n\n${line}` : line;
}
