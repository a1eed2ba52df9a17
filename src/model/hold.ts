/**
 * What protects a snapshot from every prune and delete: a last line in its description, since libvirt keeps nothing else that is
 * the user's own with a snapshot (`<metadata>` is dropped).
 */
const HOLD = 'Kvmsnap-Hold: yes';

/** Whether the last line is the mark. */
export function isHeld(description: string | null): boolean {
  return description?.split('\n').at(-1) === HOLD;
}

/** The description as its author wrote it, however often it was held; null when there is nothing but the hold. */
export function withoutHold(description: string | null): string | null {
  if (description === null || !isHeld(description)) return description;
  return withoutHold(description.slice(0, -HOLD.length).replace(/\n{1,2}$/, '') || null);
}

/** The description with the mark once, behind an empty line. */
export function withHold(description: string | null): string {
  const text = withoutHold(description);
  return text ? `${text}\n\n${HOLD}` : HOLD;
}
