import { isHeld, withHold, withoutHold } from './hold.ts';
import { parseTogether, type Together, withTogether } from './together.ts';
import { parseVerified, type Verified, withVerified } from './verified.ts';

/** What kvmsnap itself writes into the description of a snapshot. */
export interface Marks {
  /** The VMs of which it was taken at one moment. */
  readonly together: Together;
  /** The result of the last `kvmsnap verify`; null: there was none. */
  readonly verified: Verified | null;
  /** Whether it is protected from prune and delete. */
  readonly held: boolean;
}

/** Separates a description as libvirt stores it into the text of its author and the marks. */
export function readMarks(description: string | null): Marks & { readonly text: string | null } {
  const { text: rest, verified } = parseVerified(withoutHold(description));
  return { ...parseTogether(rest), verified, held: isHeld(description) };
}

/** The description with these marks. */
export function withMarks(text: string | null, { together, verified, held }: Marks): string | null {
  const marked = withVerified(withTogether(text, together), verified);
  return held ? withHold(marked) : marked;
}
