/**
 * The hold that protects a snapshot from prune and delete. It is the last line of the description, because libvirt
 * stores no other user data with a snapshot (it drops `<metadata>`).
 */
const HOLD = 'Kvmsnap-Hold: yes';

/** Whether the last line of the description is the mark. */
export function isHeld(description: string | null): boolean {
  return description?.split('\n').at(-1) === HOLD;
}

/** The description without the mark, however often it was added; null if there is nothing else. */
export function withoutHold(description: string | null): string | null {
  if (description === null || !isHeld(description)) return description;
  return withoutHold(description.slice(0, -HOLD.length).replace(/\n{1,2}$/, '') || null);
}

/** The description with the mark once, after an empty line. */
export function withHold(description: string | null): string {
  const text = withoutHold(description);
  return text ? `${text}\n\n${HOLD}` : HOLD;
}
